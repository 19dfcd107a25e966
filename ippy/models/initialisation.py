"""Where training starts: networks that carry their input through."""

import torch
from torch import nn

from ippy.models.cnn import SimpleCNN
from ippy.models.unet import AttentionGate, CorrectionUNet, DoubleConv, ResidualDoubleConv

__all__ = ["he_identity_init", "he_init", "identity_init", "zero_output_init"]


def identity_init(model: nn.Module, residual: bool = False) -> None:
    """Make a network carry its input through from the start (for non-negative images).

    Channel 0 is carried by Dirac kernels through all layers of a :class:`~ippy.models.SimpleCNN`,
    and its last layer ignores the others; inside a skip (``residual``) its last layer is zero
    instead. In a UNet it is carried through the first convolution block, the uppermost skip, the
    last block and ``out_conv``; an attention gate on the way starts at one half. Everything else
    keeps its initialisation, so that a UNet's first output is its input plus what the other
    channels of the last layer add.

    Args:
        model: A ``SimpleCNN``, or a UNet of any kind: its blocks are
            :class:`~ippy.models.DoubleConv` or :class:`~ippy.models.ResidualDoubleConv`, made in
            the order of the data, the last one reads the uppermost skip first, and its last layer
            is called ``out_conv``. It has one channel of input and one of output.
        residual: Whether the network stands inside a skip.

    Raises:
        TypeError: For any other network, and for a :class:`~ippy.models.CorrectionUNet`.
        ValueError: If the network has another number of channels, and stands inside no skip.
    """
    if not residual:
        _check_carries(model)
    last_scale = 1.0
    blocks = [m for m in model.modules() if isinstance(m, DoubleConv | ResidualDoubleConv)]
    if type(model) is SimpleCNN:
        chain = [model.conv1, model.conv2, model.conv3]
        _silence(model.conv3, slice(None))
    elif blocks and isinstance(out_conv := getattr(model, "out_conv", None), nn.Conv2d):
        chain = [*_carriers(blocks[0]), *_carriers(blocks[-1]), out_conv]
        gates = [m for m in model.modules() if isinstance(m, AttentionGate)]
        if gates:  # the last one is that of the uppermost skip
            _silence(gates[-1].psi, slice(None))
            last_scale = 2.0
    else:
        raise TypeError(f"no identity initialisation for {type(model).__name__}; see its docstring")
    if residual:
        return
    with torch.no_grad():
        for conv in chain:
            if conv is not chain[-1]:
                _silence(conv, 0)
            middle = conv.kernel_size[0] // 2
            conv.weight[0, 0, middle, middle] = last_scale if conv is chain[-1] else 1


def he_identity_init(model: nn.Module) -> None:
    """Make a UNet the identity (for non-negative images), with a signal at all its levels.

    PyTorch's own initialisation lets the signal shrink from layer to layer, until the deepest level
    has almost none and dies in the first steps of training. That of He et al. (ICCV 2015, Eq. 10)
    keeps its size. The last layer ignores all channels but the one that carries the input.

    Args:
        model: A UNet as :func:`identity_init` takes it.

    Raises:
        TypeError: For any other network, and for a :class:`~ippy.models.CorrectionUNet`.
        ValueError: If the network has not one channel of input and one of output.

    Example:
        >>> from ippy.models import SimpleUNet
        >>> he_identity_init(net := SimpleUNet(base_ch=4))
        >>> bool(torch.equal(net(x := torch.rand(1, 1, 16, 16)), x))
        True
    """
    if type(model) is SimpleCNN:
        raise TypeError("no such initialisation for SimpleCNN, which has one level: identity_init")
    _check_carries(model)
    he_init(model)
    identity_init(model)
    out_conv = model.get_submodule("out_conv")
    assert isinstance(out_conv, nn.Conv2d)  # identity_init has seen it
    with torch.no_grad():
        out_conv.weight[:, 1:] = 0


def zero_output_init(model: nn.Module) -> None:
    """Make a UNet give zero, with a signal at all its levels: the start of a correction.

    The last layer is zero, and everything before it has the initialisation of He et al. (ICCV
    2015, Eq. 10). A :class:`~ippy.models.CorrectionUNet` is the identity then.

    Args:
        model: A UNet, whose last layer is called ``out_conv``.

    Raises:
        TypeError: For any other network.

    Example:
        >>> from ippy.models import CorrectionUNet
        >>> zero_output_init(net := CorrectionUNet(base_ch=4))
        >>> bool(torch.equal(net(x := torch.randn(1, 1, 16, 16)), x))
        True
    """
    if not isinstance(out_conv := getattr(model, "out_conv", None), nn.Conv2d):
        raise TypeError(
            f"{type(model).__name__} has no last layer out_conv that could start at zero; use a "
            "UNet, or another initialisation"
        )
    he_init(model)
    _silence(out_conv, slice(None))


def he_init(model: nn.Module) -> None:
    """Initialise all convolutions after He et al. (ICCV 2015, Eq. 10), biases with zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _check_carries(model: nn.Module) -> None:
    """Refuse a network that is not the identity when its channel 0 carries the input through."""
    if isinstance(model, CorrectionUNet):
        raise TypeError(
            "CorrectionUNet adds its input to what its layers give, and would start as twice its "
            "input: it needs zero_output_init"
        )
    last = model.conv3 if type(model) is SimpleCNN else getattr(model, "out_conv", None)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if not (first and isinstance(last, nn.Conv2d)):
        return  # no network of these kinds, which identity_init refuses by name
    if (first.in_channels, last.out_channels) != (1, 1):
        raise ValueError(
            f"{type(model).__name__} has {first.in_channels} channels of input and "
            f"{last.out_channels} of output, and only one can be carried through; use in_ch=1 and "
            "out_ch=1, or another initialisation"
        )


@torch.no_grad()
def _silence(conv: nn.Conv2d, channel: int | slice) -> None:
    """Weights and bias of these output channels become zero."""
    for parameter in conv.parameters():
        parameter[channel] = 0


def _carriers(block: DoubleConv | ResidualDoubleConv) -> list[nn.Conv2d]:
    """The layers of a block that are to carry channel 0."""
    layers = list(block.block) if isinstance(block, DoubleConv) else [block.shortcut]
    if isinstance(block, ResidualDoubleConv):
        _silence(block.conv2, 0)  # the shortcut carries it, the others add nothing
    return [layer for layer in layers if isinstance(layer, nn.Conv2d)]
