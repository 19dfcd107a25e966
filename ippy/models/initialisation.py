"""Where training starts: networks that carry their input through."""

import torch
from torch import nn

from ippy.models.cnn import SimpleCNN
from ippy.models.unet import AttentionUNet, ResidualUNet, SimpleUNet, UNetPP

__all__ = ["identity_init"]


def identity_init(model: nn.Module, residual: bool = False) -> None:
    """Make a network carry its input through from the start (for non-negative images).

    Channel 0 is carried by Dirac kernels through all layers of a :class:`~ippy.models.SimpleCNN`,
    and its last layer ignores the others; inside a skip (``residual``) its last layer is zero
    instead. In the UNet family it is carried through the first encoder block, the uppermost skip
    and the last decoder block; an attention gate on the way starts at one half. Everything else
    keeps its initialisation, so that a UNet's first output is its input plus what the other
    channels of the last layer add.

    Raises:
        TypeError: For any other network.
    """
    last_scale = 1.0
    if type(model) is SimpleCNN:
        names = ["conv1", "conv2", "conv3"]
        _silence(_conv(model, "conv3"), slice(None))
    elif isinstance(model, ResidualUNet):
        # the shortcuts carry channel 0, the convolutions add nothing to it
        names = ["enc1.shortcut", "dec1.block.shortcut", "out_conv"]
        for name in ("enc1.conv2", "dec1.block.conv2"):
            _silence(_conv(model, name), 0)
    elif isinstance(model, SimpleUNet | UNetPP):
        first, last = ("x0_0", "x0_2") if isinstance(model, UNetPP) else ("enc1", "dec1.block")
        names = [f"{block}.block.{layer}" for block in (first, last) for layer in (0, 2)]
        names.append("out_conv")
        if isinstance(model, AttentionUNet):
            _silence(_conv(model, "dec1.attn.psi"), slice(None))
            last_scale = 2.0
    else:
        raise TypeError(f"no identity initialisation for {type(model).__name__}; see its docstring")
    if residual:
        return
    *chain, output = (_conv(model, name) for name in names)
    for conv in chain:
        _silence(conv, 0)
        _carry(conv, 1.0)
    _carry(output, last_scale)


def _conv(model: nn.Module, name: str) -> nn.Conv2d:
    found = model.get_submodule(name)
    assert isinstance(found, nn.Conv2d), f"{name} is a {type(found).__name__}"
    return found


@torch.no_grad()
def _silence(conv: nn.Conv2d, channel: int | slice) -> None:
    """Weights and bias of these output channels become zero."""
    for parameter in conv.parameters():
        parameter[channel] = 0


@torch.no_grad()
def _carry(conv: nn.Conv2d, scale: float) -> None:
    """The middle of the kernel takes channel 0 to channel 0."""
    middle = conv.kernel_size[0] // 2
    conv.weight[0, 0, middle, middle] = scale
