"""Filters of images: blurring, downscaling, differences.

The boundary says what lies outside the image: ``"zeros"``, ``"reflect"`` (mirror) or
``"circular"`` (opposite side).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from ippy.operators.base import Operator, check_choice, check_shape

__all__ = ["Blurring", "DownScaling", "Gradient", "course_motion_kernel", "gaussian_kernel"]
__all__ += ["motion_kernel"]

BOUNDARIES = ("zeros", "reflect", "circular")
KERNELS = ("gaussian", "motion", "course_motion")
#: Images that a processor blurs in the time of one; the widest registers hold 16 numbers.
LANES = 16
#: Pixels of a kernel from which on products of spectra cost less than sums: 21 x 21.
LARGE = 441


class Blurring(Operator):
    r"""Convolution with one kernel, :math:`y_{i,j} = \sum_{m,n} k_{m,n}\, x_{i-m,\,j-n}`.

    The indices of k count from its centre. A bright pixel becomes a copy of the kernel, not its
    mirror image as with ``conv2d`` of PyTorch.

    ``"motion"`` is centred and turns counter-clockwise. The library that earlier editions of the
    course came with draws another kernel for the same arguments: of single pixels, off the centre,
    turning the other way (:func:`course_motion_kernel`). Networks that were trained with it
    expect images that were blurred with it, ``kernel_type="course_motion"``.

    Args:
        img_shape: Height and width (H, W) of the images, in pixels.
        kernel: Own kernel, used as it is: a matrix with odd sides, rectangular or square.
        kernel_type: ``"gaussian"``, ``"motion"`` or ``"course_motion"``; leave it out with an own
            kernel.
        kernel_size: Side of the kernel in pixels, odd; for a motion also its length.
        kernel_variance: Variance of the Gaussian, in pixels squared.
        motion_angle: Direction of the motion in degrees, counter-clockwise from horizontal.
        boundary: ``"zeros"``, ``"reflect"`` (the edge pixel is not repeated) or ``"circular"``.

    Raises:
        ValueError: For an even, infinite or too large kernel, an unknown ``kernel_type`` or
            ``boundary``, and both or neither of ``kernel`` and ``kernel_type``.

    Example:
        >>> Blurring((1, 3), [[0.5, 0.3, 0.2]])(torch.tensor([[[[0.0, 1.0, 0.0]]]]))
        tensor([[[[0.5000, 0.3000, 0.2000]]]])
    """

    def __init__(
        self,
        img_shape: Sequence[int],
        kernel: Tensor | Sequence | None = None,
        kernel_type: str | None = None,
        kernel_size: int = 3,
        kernel_variance: float = 1.0,
        motion_angle: float = 0.0,
        *,
        boundary: str = "zeros",
    ) -> None:
        super().__init__(img_shape)
        self.boundary = check_choice("boundary", boundary, BOUNDARIES)
        if (kernel is None) == (kernel_type is None):
            raise ValueError("give one, either kernel or kernel_type ('gaussian' or 'motion')")
        if kernel is not None:
            kernel = _as_kernel(kernel)
        elif check_choice("kernel_type", kernel_type, KERNELS) == "gaussian":
            kernel = gaussian_kernel(kernel_size, kernel_variance)
        else:
            draw = motion_kernel if kernel_type == "motion" else course_motion_kernel
            kernel = draw(kernel_size, motion_angle)
        _check_kernel(kernel, self.img_shape)
        self._exact = kernel  # float64 and no buffer: some devices have no float64
        self.kernel: Tensor
        self.register_buffer("kernel", kernel.float(), persistent=False)
        self.margin = (kernel.shape[0] // 2, kernel.shape[1] // 2)
        self._empty = _empty_edges(kernel)

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:  # behind .to(), .double()
        super()._apply(fn, recurse)
        self.kernel = self._exact.to(self.kernel)  # .double() must not keep float32 rounding
        return self

    def _correlate(self, x: Tensor, flip: bool) -> Tensor:
        """Correlate where the kernel fits: ``(N, C, H, W)`` to ``(N, C, H - 2 ph, W - 2 pw)``."""
        n, c, h, w = x.shape
        if not n * c:  # a convolution of no image is refused by PyTorch
            ph, pw = self._reach
            return x[..., 2 * ph :, 2 * pw :]
        kernel = (self.kernel if self.kernel.dtype == x.dtype else self._exact).to(x)
        rows, columns = self._empty
        kernel = kernel[rows : len(kernel) - rows, columns : kernel.shape[1] - columns]
        kernel = kernel.flip(0, 1) if flip else kernel
        if self.kernel.numel() >= LARGE:
            return _correlate_by_fft(x, kernel)
        strips = LANES // (n * c) if x.device.type == "cpu" else 1
        if strips > 1:
            return _in_strips(x, kernel, strips)
        return _depthwise(x.reshape(1, n * c, h, w), kernel).unflatten(1, (n, c))[0]

    @property
    def _reach(self) -> tuple[int, int]:
        """How far pixels are mixed, up and down and to the sides: ``margin`` but for zeros."""
        return self.margin[0] - self._empty[0], self.margin[1] - self._empty[1]

    def _pad(self, x: Tensor, mode: str, times: int = 1) -> Tensor:
        """Add the kernel's reach around images; ``conv2d``'s own padding is many times slower."""
        ph, pw = (times * reach for reach in self._reach)
        return F.pad(x, (pw, pw, ph, ph), mode="constant" if mode == "zeros" else mode)

    def _forward(self, x: Tensor) -> Tensor:
        return self._correlate(self._pad(x, self.boundary), flip=True)

    def _adjoint(self, y: Tensor) -> Tensor:
        if self.boundary != "reflect":  # what leaves on one side is lost, or enters on the other
            return self._correlate(self._pad(y, self.boundary), flip=False)
        x = self._correlate(
            self._pad(y, "zeros", times=2), flip=False
        )  # (N, C, H + 2 ph, W + 2 pw)
        return _unreflect(_unreflect(x, self._reach[0], -2), self._reach[1], -1)

    def transfer_function(self, shape: Sequence[int] | None = None) -> Tensor:
        """Frequency response H ``shape`` (default: ``img_shape``), complex128 on the CPU.

        On the grid of ``torch.fft.fft2``: ``fft2(K(x)) == H * fft2(x)`` for a circular boundary.
        """
        shape = self.img_shape if shape is None else check_shape(shape)
        _check_kernel(self._exact, shape)
        padded = self._exact.new_zeros(shape)
        padded[: self._exact.shape[0], : self._exact.shape[1]] = self._exact
        return torch.fft.fft2(padded.roll([-m for m in self.margin], (0, 1)))  # centre to [0, 0]


def _empty_edges(kernel: Tensor) -> tuple[int, int]:
    """Rows and columns of zeros that can go on both sides; a motion has some above and below."""
    if kernel.numel() >= LARGE:  # products of spectra cost the same with and without them
        return 0, 0
    first = []
    for other in (1, 0):
        filled = kernel.ne(0).any(dim=other)
        filled = filled | filled.flip(0)  # the kernel keeps its centre
        filled[len(filled) // 2] = True  # and, if all are zero, one number
        first.append(int(filled.int().argmax()))
    return first[0], first[1]


def _depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """The same kernel on every channel of one image (1, channels, H, W), where it fits."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, -1, -1), groups=channels)


def _in_strips(x: Tensor, kernel: Tensor, strips: int) -> Tensor:
    """Few images, cut into strips of rows that overlap: processors compute several at a time."""
    n, c, h, w = x.shape
    more, rows = len(kernel) - 1, -(-(h - len(kernel) + 1) // strips)  # rows of result in a strip
    missing = rows * strips + more - h
    x = (F.pad(x, (0, 0, 0, missing)) if missing else x).reshape(n * c, -1, w)
    parts = x.unfold(1, rows + more, rows).transpose(2, 3)  # (n c, strips, rows + more, w)
    y = _depthwise(parts.reshape(1, n * c * strips, rows + more, w), kernel)
    return y.reshape(n, c, strips * rows, -1)[:, :, : h - more]


def _correlate_by_fft(x: Tensor, kernel: Tensor) -> Tensor:
    """What ``conv2d`` gives where the kernel fits: there no product of the two spectra wraps."""
    h, w = x.shape[-2:]
    kind = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    size = (_fast_length(h), _fast_length(w))
    spectrum = torch.fft.rfft2(x.to(kind), size) * torch.fft.rfft2(kernel.to(kind), size).conj()
    y = torch.fft.irfft2(spectrum, size)[..., : h - len(kernel) + 1, : w - kernel.shape[1] + 1]
    return y.to(x.dtype)


def _fast_length(n: int) -> int:
    """The next number, n or more, whose only factors are 2, 3 and 5."""
    rest = n
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    return n if rest == 1 else _fast_length(n + 1)


class DownScaling(Operator):
    """One pixel for every block of f x f; rows and columns that fill no block are dropped.

    Args:
        img_shape: Height and width (H, W) of the images; measurements have (H // f, W // f).
        downscale_factor: The integer f, from 1 to the shorter side; otherwise a ValueError.
        mode: ``"avg"`` (mean of the block) or ``"naive"`` (its top-left pixel).
    """

    def __init__(self, img_shape: Sequence[int], downscale_factor: int, mode: str = "avg"):
        h, w = check_shape(img_shape)
        f = downscale_factor
        if f != int(f) or not 1 <= f <= min(h, w):
            raise ValueError(f"downscale_factor must be an integer in [1, {min(h, w)}], got {f}")
        super().__init__((h, w), (h // int(f), w // int(f)))
        self.downscale_factor = int(f)
        self.mode = check_choice("mode", mode, ("avg", "naive"))

    def _forward(self, x: Tensor) -> Tensor:
        f, (h, w) = self.downscale_factor, self.out_shape
        return F.avg_pool2d(x, f) if self.mode == "avg" else x[..., : h * f : f, : w * f : f]

    def _adjoint(self, y: Tensor) -> Tensor:
        f, (h, w) = self.downscale_factor, self.out_shape
        x = y.new_zeros(*y.shape[:2], *self.img_shape)
        if self.mode == "avg":
            x[..., : h * f, : w * f] = F.interpolate(y / f**2, scale_factor=f)  # f x f copies
        else:
            x[..., : h * f : f, : w * f : f] = y
        return x


class Gradient(Operator):
    r"""Forward differences :math:`x_{i+1,j} - x_{i,j}` and :math:`x_{i,j+1} - x_{i,j}`.

    Maps ``(N, C, H, W)`` to ``(N, 2C, H, W)``: first all differences along H, then along W.

    Args:
        img_shape: Height and width (H, W) of the images, in pixels.
        boundary: The pixel after the last: ``"zeros"`` (0, the default as for every operator),
            ``"reflect"`` (the last again: difference 0, for total variation), ``"circular"``.
    """

    def __init__(self, img_shape: Sequence[int], *, boundary: str = "zeros") -> None:
        super().__init__(img_shape)
        self.boundary = check_choice("boundary", boundary, BOUNDARIES)

    def _forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        y = x.new_empty(n, 2 * c, h, w)  # written in parts: padding and joining cost twice the time
        for axis, d in ((2, y[:, :c]), (3, y[:, c:])):
            size = x.shape[axis]
            first, last = x.narrow(axis, 0, 1), x.narrow(axis, size - 1, 1)
            beyond = {"reflect": last, "circular": first}.get(self.boundary, 0)
            d.narrow(axis, size - 1, 1).copy_(beyond - last)
            inner = x.narrow(axis, 1, size - 1) - x.narrow(axis, 0, size - 1)
            d.narrow(axis, 0, size - 1).copy_(inner)
        return y

    def _adjoint(self, y: Tensor) -> Tensor:
        if y.shape[1] % 2:
            raise ValueError(f"a gradient has an even number of channels, got {y.shape[1]}")
        x = torch.zeros_like(y[:, ::2])  # (N, C, H, W)
        for axis, d in zip((2, 3), y.chunk(2, dim=1), strict=True):
            size = d.shape[axis]
            inner, last = d.narrow(axis, 0, size - 1), d.narrow(axis, size - 1, 1)
            x.narrow(axis, 0, size - 1).sub_(inner)
            x.narrow(axis, 1, size - 1).add_(inner)
            if self.boundary != "reflect":  # there the last difference is 0 whatever the image
                x.narrow(axis, size - 1, 1).sub_(last)
            if self.boundary == "circular":
                x.narrow(axis, 0, 1).add_(last)
        return x


def gaussian_kernel(size: int, variance: float) -> Tensor:
    r"""Gaussian :math:`k_{m,n} \propto e^{-(m^2+n^2)/(2\,\mathrm{variance})}` with sum 1.

    Takes an odd side and a positive variance (pixels squared); returns float64 (size, size).
    """
    _check_odd(size)
    if not variance > 0:
        raise ValueError(f"kernel_variance must be positive (pixels squared), got {variance}")
    m = torch.arange(size, dtype=torch.float64) - size // 2
    profile = torch.exp(-(m**2) / (2 * variance))
    return torch.outer(profile, profile) / profile.sum() ** 2


def motion_kernel(length: int, angle: float) -> Tensor:
    """Uniform straight motion: a pixel's weight is the length of the line inside it; sum 1.

    The line is centred, so the image does not shift; its length in pixels is odd, its angle in
    degrees counter-clockwise from horizontal as displayed. Returns float64 (length, length).
    """
    _check_odd(length)
    theta = torch.tensor(float(angle), dtype=torch.float64).deg2rad()
    middle = torch.arange(length, dtype=torch.float64) - length // 2
    sides = torch.stack([middle - 0.5, middle + 0.5])  # (2, length), of every row or column
    # The line is t (cos, -sin), |t| <= length / 2: rows point down. Clip it to every pixel.
    rows, columns = sides / -theta.sin(), sides / theta.cos()  # t at the sides
    enter = torch.maximum(rows.amin(0)[:, None], columns.amin(0)).clamp(min=-length / 2)
    leave = torch.minimum(rows.amax(0)[:, None], columns.amax(0)).clamp(max=length / 2)
    kernel = (leave - enter).clamp(min=0)
    return kernel / kernel.sum()


def course_motion_kernel(length: int, angle: float) -> Tensor:
    """Motion as the library draws it that earlier editions of the course came with.

    ``length`` steps of one pixel, each cut to the pixel towards the top left, all of equal weight.
    It is given for :class:`Blurring`, which convolves; the library correlates with its mirror
    image. Its length in pixels is odd, its angle in degrees. Returns float64 (length, length).
    """
    _check_odd(length)
    middle, theta = length // 2, math.radians(angle)
    kernel = torch.zeros(length, length, dtype=torch.float64)
    for step in range(-middle, middle + 1):
        row, column = int(middle + step * math.sin(theta)), int(middle + step * math.cos(theta))
        kernel[row, column] = 1
    return kernel.flip(0, 1) / kernel.sum()


def _unreflect(x: Tensor, pad: int, dim: int) -> Tensor:
    """Adjoint of mirror padding along dim: what lies in the margins returns to its origin."""
    n = x.shape[dim] - 2 * pad
    before, x, after = x.split([pad, n, pad], dim)
    x = x.clone()
    x.narrow(dim, 1, pad).add_(before.flip(dim))
    x.narrow(dim, n - 1 - pad, pad).add_(after.flip(dim))
    return x


def _check_odd(size: int) -> None:
    if size != int(size) or size < 1 or size % 2 == 0:
        raise ValueError(f"kernel_size must be an odd positive integer, got {size}; e.g. 3 or 9")


def _as_kernel(kernel: Tensor | Sequence) -> Tensor:
    """An own kernel as float64 on the CPU."""
    try:
        own = torch.as_tensor(kernel)
    except (TypeError, ValueError) as error:
        raise TypeError(f"kernel must be a matrix of real numbers ({error})") from None
    if own.is_complex():
        raise TypeError(f"kernel must be a matrix of real numbers, got {own.dtype}; take its .real")
    return torch.as_tensor(kernel, dtype=torch.float64).detach().cpu().clone()


def _check_kernel(kernel: Tensor, shape: tuple[int, int]) -> None:
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(
            f"kernel must be a matrix with odd sides, got {tuple(kernel.shape)}; pad it"
        )
    if not kernel.isfinite().all():
        raise ValueError("kernel has NaN or infinite values; check how it was computed")
    if kernel.shape[0] > shape[0] or kernel.shape[1] > shape[1]:
        raise ValueError(
            f"kernel {tuple(kernel.shape)} is larger than the image {shape}; use a smaller one"
        )
