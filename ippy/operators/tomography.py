"""Tomography: line integrals through an image, their adjoint, and filtered backprojection."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

import torch
from torch import Tensor

from ippy.operators.base import Operator, check_choice, check_input, check_shape

__all__ = ["CTProjector"]

_DENSE_TYPES = (torch.float32, torch.float64)


class CTProjector(Operator):
    r"""Parallel-beam projection: :math:`y_{t,a}`, the integral along a strip of one pixel's width.

    The strip of detector pixel t runs at distance :math:`t - t_0` from the middle of the image,
    :math:`u\cos\theta_a - v\sin\theta_a = t - t_0` for a pixel u columns and v rows away from the
    middle; pixels are squares, and their overlap with the strip is exact. Geometry and layout are
    those of ``skimage.transform.radon``: the middle is pixel ``n // 2``, angle 0 sums the columns,
    and a sinogram has one column per angle. What falls beside the detector is lost. The matrix and
    its transpose are kept, which needs about 35 bytes for each pixel and angle.

    Args:
        img_shape: Height and width (H, W) of the images, in pixels.
        angles: Angles in radians; half a turn, evenly divided, for :meth:`fbp`.
        det_size: Number of detector pixels, as wide as image pixels; the longer side of the image
            if None, which holds all that lies in the inscribed circle.
        oversampling: Image pixels along the side of a detector pixel. With 2, images are on a grid
            of half the spacing, and an image whose pixels are all doubled has the sinogram of the
            image itself with 1: see :meth:`refined`.

    Raises:
        ValueError: For no or infinite angles, angles beyond two turns, which look like degrees, a
            detector without pixels, and an oversampling that does not divide the image.

    Example:
        >>> CTProjector((2, 2), [0.0])(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0, :, 0]
        tensor([4., 6.])
    """

    def __init__(
        self,
        img_shape: Sequence[int],
        angles: Tensor | Sequence[float],
        det_size: int | None = None,
        *,
        oversampling: int = 1,
    ) -> None:
        img_shape = check_shape(img_shape)
        angles = torch.as_tensor(angles, dtype=torch.float64).flatten().cpu()
        if not len(angles) or not angles.isfinite().all():
            raise ValueError(f"angles must be finite numbers, at least one, got {angles.tolist()}")
        if angles.abs().max() > 4 * math.pi:
            raise ValueError(
                f"angles are in radians, and {angles.abs().max():g} is more than two turns: these "
                "look like degrees; convert them with torch.deg2rad(angles), or take them modulo "
                "2 * math.pi"
            )
        if oversampling < 1 or any(n % oversampling for n in img_shape):
            raise ValueError(
                f"oversampling is {oversampling}, expected a positive number that divides the "
                f"image's sides {tuple(img_shape)}, such as 1 or 2"
            )
        size = max(img_shape) // oversampling if det_size is None else det_size
        if size != int(size) or size < 1:
            raise ValueError(f"det_size must be a positive number of pixels, got {det_size}")
        super().__init__(img_shape, (int(size), len(angles)))
        self.angles, self.oversampling = angles, oversampling
        for name, tensor in _matrices(self.img_shape, angles, int(size), oversampling).items():
            self.register_buffer(name, tensor, persistent=False)

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:  # behind .to(), .half()
        kept = {name: getattr(self, name) for name in ("A_values", "AT_values")}
        super()._apply(fn, recurse)
        for name, exact in kept.items():  # of numbers below float32 nobody computes: see _multiply
            if (new := getattr(self, name)).dtype not in _DENSE_TYPES:
                setattr(self, name, exact.to(new.device))
        return self

    def refined(self) -> CTProjector:
        """The same scanner for images of twice the resolution, (2H, 2W), on the CPU.

        A measurement that is simulated with it does not share the grid of the reconstruction. A
        detector pixel is the mean of two of half its width, since areas add; lengths stay those of
        the coarser pixels. The last one is kept, because it takes seconds to make.
        """
        shape = (2 * self.img_shape[0], 2 * self.img_shape[1])
        return _kept(shape, tuple(self.angles.tolist()), self.out_shape[0], 2 * self.oversampling)

    def _multiply(self, x: Tensor, transposed: bool) -> Tensor:
        """Matrix times the columns of x ``(n, columns)``."""
        name, size = "A", (math.prod(self.out_shape), math.prod(self.img_shape))
        if transposed:
            name, size = "AT", size[::-1]
        parts = (getattr(self, f"{name}_{part}") for part in ("rows", "columns", "values"))
        rows, columns, values = parts
        kind = x.dtype if x.dtype in _DENSE_TYPES else torch.float32
        with warnings.catch_warnings():  # "in beta state", which a reader need not know
            warnings.simplefilter("ignore", UserWarning)
            matrix = torch.sparse_csr_tensor(
                rows, columns, values.to(kind), size=size, check_invariants=False
            )
        return (matrix @ x.to(kind)).to(x.dtype)

    def _forward(self, x: Tensor) -> Tensor:
        y = _Product.apply(x.flatten(2).flatten(0, 1).T, self, False)  # (angles * det, N C)
        y = y.T.reshape(*x.shape[:2], *self.out_shape[::-1])  # (N, C, angles, det)
        return y.transpose(2, 3).contiguous()

    def _adjoint(self, y: Tensor) -> Tensor:
        flat = y.transpose(2, 3).flatten(2).flatten(0, 1).T  # (angles * det, N C)
        return _Product.apply(flat, self, True).T.reshape(*y.shape[:2], *self.img_shape)

    def fbp(self, sinogram: Tensor, filter: str = "ramp") -> Tensor:
        r"""Filtered backprojection: the inverse for many angles, evenly spaced over half a turn.

        Each column is filtered with :math:`|\omega|`, from its samples in space, so that the
        mean comes out right (Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988,
        Eq. 3.61), and projected back.

        Args:
            sinogram: ``(N, C, det_size, n_angles)``.
            filter: ``"ramp"``, or ``"hann"`` to damp high frequencies and noise with them.

        Returns:
            Images ``(N, C, H, W)``.
        """
        check_choice("filter", filter, ("ramp", "hann"))
        check_input(sinogram, self.out_shape)
        size, n_angles = self.out_shape
        length = max(64, 2 ** (2 * size - 1).bit_length())  # no overlap of the periods
        n = torch.fft.fftfreq(length, 1 / length, dtype=torch.float64)
        ramp = torch.where(n % 2 == 1, -1 / (torch.pi * n).square().clamp(min=1), 0.0)
        ramp[0] = 0.25
        response = torch.fft.rfft(ramp).real
        if filter == "hann":
            response = (
                response * (1 + torch.cos(torch.pi * torch.linspace(0, 1, len(response)))) / 2
            )
        kind = sinogram.dtype if sinogram.dtype in _DENSE_TYPES else torch.float32
        spectrum = torch.fft.rfft(sinogram.to(kind), length, dim=2)
        filtered = spectrum * response.to(sinogram.device, kind)[:, None]
        filtered = torch.fft.irfft(filtered, length, dim=2)[:, :, :size]
        scale = self.oversampling**2 * torch.pi / n_angles  # a finer pixel has a part of the area
        return self.adjoint(filtered.to(sinogram.dtype)) * scale


@lru_cache(maxsize=1)
def _kept(
    shape: tuple[int, int], angles: tuple[float, ...], size: int, oversampling: int
) -> CTProjector:
    return CTProjector(shape, angles, size, oversampling=oversampling)


class _Product(torch.autograd.Function):
    """Product with a constant matrix, whose gradient is the product with the transpose."""

    @staticmethod
    def forward(x: Tensor, K: CTProjector, transposed: bool) -> Tensor:
        return K._multiply(x, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, ctx.K, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return _Product.apply(grad, ctx.K, not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _Product.apply(tangent, ctx.K, ctx.transposed)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple, x: Tensor, K: CTProjector, transposed: bool
    ) -> tuple[Tensor, int]:
        columns = x.movedim(in_dims[0], -1)  # (n, columns, batch): columns like the others
        y = _Product.apply(columns.flatten(1), K, transposed)
        return y.unflatten(1, columns.shape[1:]), 2


def _matrices(
    shape: tuple[int, int], angles: Tensor, size: int, oversampling: int
) -> dict[str, Tensor]:
    """Overlap of pixels and strips, rows (angle, detector), and the transpose; both as CSR."""
    h, w = shape
    side = 1 / oversampling  # of a pixel; the strips have width 1
    n_bins = 2 if math.sqrt(2) * side <= 1 else 3  # that a pixel's shadow can reach
    v, u = torch.meshgrid(_places(h, oversampling), _places(w, oversampling), indexing="ij")
    u, v = u.flatten(), v.flatten()
    pixel = torch.arange(h * w, dtype=torch.int32).repeat(n_bins)
    bins = torch.arange(n_bins)[:, None]
    counts, columns, values = [], [], []
    # of every pixel, angle and strip: area, and number of the strip among all angles
    areas = torch.empty(h * w, len(angles), n_bins)
    places = torch.empty(h * w, len(angles), n_bins, dtype=torch.int32)
    for i, angle in enumerate(angles):
        t = u * angle.cos() - v * angle.sin() + size // 2  # where the pixel's middle falls
        half = (angle.cos().abs() + angle.sin().abs()) * side / 2  # of its shadow
        first = (t - half + 0.5).floor()
        edges = (first - 0.5 - t) + bins[1:]  # between strips; the outer ones lie off the shadow
        parts = [torch.full((1, h * w), -0.5).double(), _shadow(edges / side, angle)]
        area = torch.cat([*parts, -parts[0]]).diff(dim=0) * side**2  # (n_bins, H W)
        where = (first + bins).int()
        area[(where < 0) | (where >= size)] = 0
        area = area.float()
        areas[:, i], places[:, i] = area.T, where.T + i * size
        lit = area.flatten().nonzero()[:, 0]
        where, order = where.take(lit).sort(stable=True)
        lit = lit[order]
        counts.append(torch.bincount(where, minlength=size))
        columns.append(pixel.take(lit))
        values.append(area.take(lit))
    kept = areas.flatten().nonzero()[:, 0]
    return {
        "A_rows": _offsets(torch.cat(counts)),
        "A_columns": torch.cat(columns),
        "A_values": torch.cat(values),
        "AT_rows": _offsets((areas != 0).sum((1, 2))),
        "AT_columns": places.take(kept),
        "AT_values": areas.take(kept),
    }


def _offsets(counts: Tensor) -> Tensor:
    """Where each row of a CSR matrix begins, and the end, from the rows' numbers of entries."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()


def _places(n: int, oversampling: int) -> Tensor:
    """Where the middles of n pixels are, from the middle of detector-sized pixel ``n // 2``."""
    coarse = n // oversampling
    return (torch.arange(n).double() + 0.5) / oversampling - 0.5 - coarse // 2


def _shadow(s: Tensor, angle: Tensor) -> Tensor:
    """Area of a unit square, seen under ``angle``, on one side of a line at distance s."""
    c, d = angle.cos().abs(), angle.sin().abs()
    outer, inner = (c + d) / 2, (c - d).abs() / 2  # the shadow is a trapezium with these half sides
    distance = s.abs().clamp(max=outer)
    slope = (outer - distance).square() / (2 * c * d).clamp(min=1e-30)
    height = 1 / torch.maximum(c, d)
    return s.sign() * torch.where(distance <= inner, distance * height, 0.5 - slope)
