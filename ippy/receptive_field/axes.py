"""One axis of a map: which input positions reach which of its positions.

The field of a map is followed for height and width apart, each as a matrix of zeros and ones: which
input position reaches which position of the map. A layer maps the matrix by its own one-dimensional
operation with positive weights, so nothing cancels; an extra row marks what comes from outside the
image, by padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Axis", "blocks", "everything", "merge", "outside", "pair", "resized", "transposed", "window",
]  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """``matrix`` (n_input + 1, 1, n) of zeros and ones; its last row is what lies outside.

    ``jump`` is the distance of neighbours in input pixels, and ``dim`` the dimension of the map
    along which the axis lies, counted from the last one, which is -1.
    """

    matrix: Tensor
    jump: Fraction = Fraction(1)
    dim: int = -1

    @property
    def flat(self) -> bool:
        """Whether there is a single position, which is broadcast wherever it is joined."""
        return self.matrix.shape[2] == 1

    def interior(self) -> Tensor:
        """For every position whether it sees input pixels only, and at least one."""
        return (self.matrix[-1, 0] == 0) & (self.matrix[:, 0].amax(0) > 0)

    def extremes(self) -> tuple[int, int] | None:
        """Least and largest extent of the fields that lie inside the image."""
        inside = self.matrix[:-1, 0, self.interior()]  # (n_input, interior positions)
        if not inside.numel():
            return None
        rows = torch.arange(1, len(inside) + 1)[:, None]
        last = (inside * rows).amax(0)
        first = torch.where(inside > 0, rows, len(inside) + 1).amin(0)
        sizes = last - first + 1
        return int(sizes.min()), int(sizes.max())

    def ends(self, position: int) -> tuple[int, int]:
        """First and last input position that output ``position`` sees."""
        seen = self.matrix[:-1, 0, position].nonzero()
        if not len(seen):
            raise ValueError(f"output position {position} sees no input pixel")
        return int(seen.min()), int(seen.max())


def pair(value: Any) -> tuple:
    """A setting for height and width from one number, a list of one, or a pair."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value, value
    return tuple(value) * (1 if len(value) == 2 else 2)


def outside(matrix: Tensor, before: int, after: int, mode: str = "constant") -> Tensor:
    """Pad (or crop) positions; what is added also counts as coming from outside."""
    size = matrix.shape[2]
    matrix = F.pad(matrix, (before, after), mode=mode)
    matrix[-1, 0, : max(before, 0)] = 1
    matrix[-1, 0, size + before :] = 1
    return matrix


def window(axis: Axis, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Convolution or pooling that gives ``size`` positions."""
    needed = (size - 1) * stride + dilation * (kernel - 1) + 1
    padded = outside(axis.matrix, padding, needed - axis.matrix.shape[2] - padding)
    found = F.conv1d(padded, torch.ones(1, 1, kernel), stride=stride, dilation=dilation)
    return replace(axis, matrix=(found > 0).float(), jump=axis.jump * stride)


def transposed(
    axis: Axis, size: int, kernel: int, stride: int, padding: int, dilation: int
) -> Axis:
    """Transposed convolution that gives ``size`` positions."""
    margin = (dilation * (kernel - 1) + padding) // stride + 2
    padded = outside(axis.matrix, margin, margin + -(-size // stride))
    weight = torch.ones(1, 1, kernel)
    found = F.conv_transpose1d(padded, weight, stride=stride, dilation=dilation)
    start = margin * stride + padding
    found = found[:, :, start : start + size]
    return replace(axis, matrix=(found > 0).float(), jump=axis.jump / stride)


def resized(
    axis: Axis, size: int, scale: float | None, mode: str, align: bool | None = None
) -> Axis:
    """Interpolation to ``size`` positions."""
    if axis.flat:  # a single position is everywhere the same, and has no neighbours
        return replace(axis, matrix=axis.matrix.repeat(1, 1, size))
    old = axis.matrix.shape[2]
    factor, rest = divmod(size, old)
    if mode == "linear" and not rest and not align:  # at the edge a pixel stands for its neighbour
        padded = F.pad(axis.matrix.double(), (1, 1), mode="replicate")
        padded[-1, 0, [0, -1]] = 1
        found = F.interpolate(padded, size=(old + 2) * factor, mode=mode, align_corners=False)
        found = found[:, :, factor:-factor]
    else:
        how: dict[str, Any] = {"size": size} if scale is None else {"scale_factor": scale}
        found = F.interpolate(axis.matrix.double(), **how, mode=mode, align_corners=align)
    return replace(axis, matrix=(found > 1e-6).float(), jump=axis.jump * Fraction(old, size))


def blocks(axis: Axis, size: int) -> Axis:
    """Adaptive pooling to more than one position."""
    found = F.adaptive_avg_pool1d(axis.matrix, size)
    jump = axis.jump * Fraction(axis.matrix.shape[2], size)
    return replace(axis, matrix=(found > 0).float(), jump=jump)


def everything(axis: Axis, size: int) -> Axis:
    """``size`` positions, each of which sees all that any position sees."""
    whole = axis.matrix.amax(2, keepdim=True)
    whole[-1] = 0
    return replace(axis, matrix=whole.repeat(1, 1, size))


def merge(axes: Sequence[Axis]) -> Axis:
    """Sum, product, channels side by side: a position depends on what any part depends on."""
    if len(axes) > 1 and any((axis.matrix.amax(0) == 0).any() for axis in axes):
        raise NotImplementedError(
            "a transposed convolution leaves positions empty, and its map is joined with another: "
            "height and width cannot be followed apart; use a kernel that covers the stride"
        )
    longest = max(axes, key=lambda axis: axis.matrix.shape[2])
    size = longest.matrix.shape[2]
    matrix = torch.stack([axis.matrix.expand(-1, -1, size) for axis in axes]).amax(0)
    return Axis(matrix, min(axis.jump for axis in axes), longest.dim)
