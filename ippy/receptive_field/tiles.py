"""Large images in tiles: how far tiles must overlap, and networks applied tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ippy.receptive_field.axes import Axis
from ippy.receptive_field.exact import ReceptiveField, receptive_field

__all__ = ["Overlap", "TileOverlap", "apply_in_tiles", "tile_overlap"]

#: Sizes of the images, in pixels, on which the field is looked for.
SIZES = (256, 512, 1024, 2048)
#: From this number of tiles on there is a progress bar.
MANY_TILES = 9


class Overlap(NamedTuple):
    """How tiles overlap along one axis.

    ``pixels`` is the overlap of neighbouring tiles, a multiple of ``stride``, at whose multiples
    tiles must begin and end. The first ``before`` and the last ``after`` outputs of a tile see its
    edge and are not used. ``jump`` is the distance of neighbouring outputs, in pixels.
    """

    pixels: int
    stride: int
    before: int
    after: int
    jump: Fraction


class TileOverlap(NamedTuple):
    """Overlap of tiles along height and width."""

    height: Overlap
    width: Overlap


def tile_overlap(model: nn.Module, input_shape: Sequence[int] | None = None) -> TileOverlap:
    """Least overlap of tiles with which a network gives what it gives on the whole image.

    Tiles begin at multiples of the total stride, so that poolings meet the same pixels; they end
    at such multiples or at the image's own border, where padding is what it is for the whole
    image. Of a tile those outputs are used whose receptive field does not reach beyond it.

    Args:
        model: Network of convolutions from (N, C, H, W) to (N, C', H', W'), in evaluation mode.
        input_shape: Shape (N, C, H, W) of the image. Its size matters where a network resamples
            maps to the size of others; by default sizes that the total stride divides, and the
            channels of the first convolution.

    Raises:
        ValueError: If a layer sees the whole image or depends on the place in it, if the field is
            larger than 2048 pixels, or as :func:`receptive_field` does.
        NotImplementedError: If the network has an operation without a rule.

    >>> tile_overlap(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2))).height.pixels
    4
    """
    channels = input_shape[1] if input_shape else input_channels(model)
    stride, edges = (1, 1), []
    for least in SIZES:
        sizes = _multiples(least, stride)
        field = _local(model, (1, channels, *sizes))
        if _total_stride(field) != stride:
            stride = _total_stride(field)
            sizes = _multiples(least, stride)
            field = _local(model, (1, channels, *sizes))
        edges = [_overlap(*of_axis) for of_axis in zip(field.axes, sizes, stride, strict=True)]
        if all(edges):
            break
    height, width = edges
    if height is None or width is None:
        raise ValueError(
            f"outputs of {type(model).__name__} see more than an image of {sizes[0]} × {sizes[1]} "
            "pixels holds, so tiles cannot be cut; apply it to the whole image"
        )
    rests = [n % jump for n, jump in zip((input_shape or sizes)[-2:], stride, strict=True)]
    if any(rests):  # a factor between two maps may be whole for some sizes only
        _local(model, (1, channels, sizes[0] + rests[0], sizes[1] + rests[1]))
    return TileOverlap(height, width)


def input_channels(model: nn.Module) -> int:
    """Channels that the first convolution of a network takes; 1 if it has none."""
    return next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 1)


def _multiples(least: int, stride: tuple[int, int]) -> tuple[int, int]:
    """Height and width of at least so many pixels that the strides divide."""
    return -(-least // stride[0]) * stride[0], -(-least // stride[1]) * stride[1]


def _local(model: nn.Module, shape: Sequence[int]) -> ReceptiveField:
    """The field of a network that does the same everywhere in the image."""
    field = receptive_field(model, shape)
    reasons = {
        "sees the whole image": field.global_layers,
        "depends on the place in the image or on its size": field.positional_layers,
    }
    for reason, layers in reasons.items():
        if layers:
            raise ValueError(
                f"{type(model).__name__} cannot be applied in tiles, because its layer "
                f"{layers[0]!r} {reason}; apply it to the whole image"
            )
    return field


def _total_stride(field: ReceptiveField) -> tuple[int, int]:
    """Pixels after which all grids of a network repeat, along height and width."""
    jumps = [row["stride"] for row in field.rows] or [(Fraction(1), Fraction(1))]
    height, width = (
        math.lcm(*(jump.numerator for jump in axis)) for axis in zip(*jumps, strict=True)
    )
    return height, width


def _overlap(axis: Axis, size: int, stride: int) -> Overlap | None:
    """Overlap along an axis of ``size`` pixels; None if its middle is not free of the edges."""
    edge = axis.matrix[-1, 0] > 0  # sees what lies outside
    count, middle = len(edge), len(edge) // 2
    before = max(edge[:middle].nonzero().flatten().tolist(), default=-1) + 1
    first = min(edge[middle:].nonzero().flatten().tolist(), default=count - middle) + middle
    if (first - before) * axis.jump < stride:
        return None
    # tiles of valid convolutions give fewer outputs than they have places for
    after = int(size / axis.jump) - first
    pixels = math.ceil((before + after) * axis.jump / stride) * stride
    return Overlap(pixels, stride, before, after, axis.jump)


@torch.no_grad()
def apply_in_tiles(
    model: nn.Module,
    x: Tensor,
    tile: int = 1024,
    *,
    progress: bool | None = None,
) -> Tensor:
    """Apply a network to large images in memory that depends on the tile, not on the image.

    The result is that of the whole image but for rounding errors, as :func:`tile_overlap` says.
    Tiles are computed one at a time, on the device of the network.

    Args:
        model: Network as :func:`tile_overlap` takes it, in evaluation mode.
        x: Images (N, C, H, W).
        tile: Largest height and width of a tile, in pixels.
        progress: Whether to show a progress bar; by default from nine tiles on.

    Returns:
        The network's outputs (N, C', H', W'), on the device of ``x``.

    Raises:
        ValueError: If ``x`` has another rank, a tile is not larger than the overlap, or as
            :func:`tile_overlap` does.

    >>> net = nn.Conv2d(1, 1, 3, padding=1)
    >>> apply_in_tiles(net, torch.rand(1, 1, 50, 40), tile=16).shape
    torch.Size([1, 1, 50, 40])
    """
    if x.ndim != 4:
        raise ValueError(f"x has shape {tuple(x.shape)}, expected images (N, C, H, W)")
    if max(x.shape[2:]) <= tile:
        whole = _Cut(slice(None), slice(None))
        rows, columns = [whole], [whole]
    else:
        both = tile_overlap(model, tuple(x.shape))
        rows, columns = (_cuts(n, tile, how) for n, how in zip(x.shape[2:], both, strict=True))
    device = next((p.device for p in model.parameters()), x.device)
    number = len(x) * len(rows) * len(columns)
    few = number < MANY_TILES if progress is None else not progress
    images = []
    with tqdm(total=number, desc="tiles", unit="tile", leave=False, disable=few) as bar:
        for image in x.split(1):
            strips = []
            for row in rows:
                pieces = []
                for column in columns:
                    y = model(image[:, :, row.tile, column.tile].to(device))
                    pieces.append(y[:, :, row.used, column.used].to(x.device, copy=True))
                    bar.update()
                strips.append(torch.cat(pieces, 3))
            images.append(torch.cat(strips, 2))
    return torch.cat(images)


class _Cut(NamedTuple):
    """A tile along one axis: which pixels it holds, and which of its outputs are used."""

    tile: slice
    used: slice


def _cuts(size: int, tile: int, overlap: Overlap) -> list[_Cut]:
    """Tiles of at most ``tile`` pixels that cover ``size`` pixels."""
    stride = overlap.stride
    side = tile // stride * stride
    if size <= tile:
        return [_Cut(slice(None), slice(None))]
    if side <= overlap.pixels:
        least = overlap.pixels + stride
        raise ValueError(
            f"tile is {tile} pixels, but tiles of this network overlap by {overlap.pixels}; "
            f"expected at least {least}, and for speed several times as much"
        )
    # the last tile ends with the image, and begins at a multiple of the stride as all do
    starts, last = [0], -(-(size - side) // stride) * stride
    while starts[-1] < last:
        starts.append(min(starts[-1] + side - overlap.pixels, last))
    # where a tile's outputs begin in the result, and from which of them on they are used
    places = [int(start / overlap.jump) for start in starts]
    firsts = [0, *(place + overlap.before for place in places[1:])]
    cuts = []
    for start, place, first, end in zip(starts, places, firsts, [*firsts[1:], None], strict=True):
        used = slice(first - place, None if end is None else end - place)
        cuts.append(_Cut(slice(start, min(start + side, size)), used))
    return cuts
