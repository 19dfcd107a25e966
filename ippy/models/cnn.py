"""Three-layer convolutional networks, without and with a residual connection."""

import torch
from torch import Tensor, nn

__all__ = ["ResCNN", "SimpleCNN"]


def check_input(x: Tensor, in_ch: int, min_size: int = 1) -> None:
    """Raise ValueError unless ``x`` is ``(N, in_ch, H, W)`` with ``H, W >= min_size``."""
    wanted = f"expected images of shape (N, {in_ch}, H, W), got {tuple(x.shape)}"
    if x.ndim != 4:
        fix = "add an axis with x[None] or drop one with x.squeeze(0)"
        raise ValueError(f"{wanted}: {x.ndim} dimensions, not 4; {fix}")
    if x.shape[1] != in_ch:
        fix = f"convert the images or build the network with in_ch={x.shape[1]}"
        raise ValueError(f"{wanted}: {x.shape[1]} input channels, not {in_ch}; {fix}")
    if x.shape[2] < min_size or x.shape[3] < min_size:
        raise ValueError(f"{wanted}: H and W must be at least {min_size} pixels; pad the images")


def check_channels(**channels: int) -> None:
    """Raise ValueError unless every number of channels, given by its argument's name, is >= 1."""
    for name, number in channels.items():
        if number < 1:
            raise ValueError(f"{name} is {number}, expected at least one channel, for instance 1")


class SimpleCNN(nn.Module):
    r"""A plain CNN: three 'same' convolutions with ReLU between them.

    .. math:: f_\Theta(x) = W_3 * \mathrm{ReLU}(W_2 * \mathrm{ReLU}(W_1 * x + b_1) + b_2) + b_3

    Args:
        in_ch, out_ch: Channels of the input and of the output.
        n_filters: Filters of each of the two hidden layers.
        kernel_size: Side of the square kernels in pixels; odd, so that 'same' padding is symmetric.

    Raises:
        ValueError: If ``kernel_size`` is even or not positive, or there is no channel.

    Example:
        >>> SimpleCNN(in_ch=1, out_ch=1, n_filters=32)(torch.zeros(2, 1, 20, 31)).shape
        torch.Size([2, 1, 20, 31])
    """

    def __init__(self, in_ch: int, out_ch: int, n_filters: int, kernel_size: int = 3) -> None:
        super().__init__()
        check_channels(in_ch=in_ch, out_ch=out_ch, n_filters=n_filters)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                "kernel_size must be odd and positive, for symmetric 'same' padding, "
                f"got {kernel_size}; use for instance {max(kernel_size + 1, 3)}"
            )
        self.in_ch = in_ch
        same = kernel_size // 2
        self.conv1 = nn.Conv2d(in_ch, n_filters, kernel_size, padding=same)
        self.conv2 = nn.Conv2d(n_filters, n_filters, kernel_size, padding=same)
        self.conv3 = nn.Conv2d(n_filters, out_ch, kernel_size, padding=same)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H, W)``; the output is not bounded."""
        check_input(x, self.in_ch)
        h = torch.relu(self.conv1(x))  # (N, n_filters, H, W)
        h = torch.relu(self.conv2(h))
        return self.conv3(h)  # (N, out_ch, H, W)


class ResCNN(SimpleCNN):
    r"""``SimpleCNN`` that predicts a correction, which is added to its input.

    .. math:: f_\Theta(x) = x + \tanh(\mathrm{SimpleCNN}_\Theta(x))

    Corrections between images in [0, 1] lie in [-1, 1], the range of tanh. The correction is minus
    the artifact; DnCNN (Zhang et al., IEEE TIP 26(7), 2017, Sec. III) predicts the artifact itself
    and subtracts it. Arguments are those of ``SimpleCNN``.

    Raises:
        ValueError: If ``in_ch != out_ch``, or ``kernel_size`` is even or not positive.

    Example:
        >>> sum(p.numel() for p in ResCNN(1, 1, 32).parameters())
        9857
    """

    def __init__(self, in_ch: int, out_ch: int, n_filters: int, kernel_size: int = 3) -> None:
        if in_ch != out_ch:
            raise ValueError(
                "ResCNN adds its input to its output, so in_ch must equal out_ch, got "
                f"in_ch={in_ch} and out_ch={out_ch}; make them equal or use SimpleCNN"
            )
        super().__init__(in_ch, out_ch, n_filters, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to the corrected images, of the same shape."""
        return x + torch.tanh(super().forward(x))
