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
        chain = [model.conv1, model.conv2, model.conv3]
        nn.init.zeros_(model.conv3.weight)
        nn.init.zeros_(model.conv3.bias)
    elif isinstance(model, ResidualUNet):
        blocks = [model.enc1, model.dec1.block]
        for block in blocks:  # the shortcut carries channel 0, the convolutions add nothing to it
            nn.init.zeros_(block.conv2.weight[0])
            nn.init.zeros_(block.conv2.bias[:1])
        chain = [*(block.shortcut for block in blocks), model.out_conv]
    elif isinstance(model, SimpleUNet | UNetPP):
        nested = isinstance(model, UNetPP)
        first, last = (model.x0_0, model.x0_2) if nested else (model.enc1, model.dec1.block)
        chain = [first.block[0], first.block[2], last.block[0], last.block[2], model.out_conv]
        if isinstance(model, AttentionUNet):
            nn.init.zeros_(model.dec1.attn.psi.weight)
            nn.init.zeros_(model.dec1.attn.psi.bias)
            last_scale = 2.0
    else:
        raise TypeError(f"no identity initialisation for {type(model).__name__}; see its docstring")
    if residual:
        return
    with torch.no_grad():
        for conv in chain[:-1]:
            conv.weight[0], conv.bias[0] = 0, 0
        for conv in chain:
            middle = conv.kernel_size[0] // 2
            conv.weight[0, 0, middle, middle] = last_scale if conv is chain[-1] else 1
