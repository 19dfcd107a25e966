"""What a layer does to a receptive field: rules for one axis, and for nodes of a traced graph.

The field of a map is followed for height and width apart, each as a matrix of zeros and ones: which
input position reaches which position of the map. A layer maps the matrix by its own one-dimensional
operation with positive weights, so nothing cancels; an extra row marks what comes from outside the
image, by padding. A new layer gets its rule in :meth:`Node.reach`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

__all__ = ["Axis", "Node", "label", "operation", "pair"]

# --- one axis: which input positions reach which output positions ---


@dataclass(frozen=True)
class Axis:
    """``matrix`` (n_input + 1, 1, n) of zeros and ones; its last row is what lies outside."""

    matrix: Tensor
    jump: Fraction = Fraction(1)

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


def _outside(matrix: Tensor, before: int, after: int, mode: str = "constant") -> Tensor:
    """Pad (or crop) positions; what is added also counts as coming from outside."""
    size = matrix.shape[2]
    matrix = F.pad(matrix, (before, after), mode=mode)
    matrix[-1, 0, : max(before, 0)] = 1
    matrix[-1, 0, size + before :] = 1
    return matrix


def _window(axis: Axis, size: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Convolution or pooling that gives ``size`` positions."""
    needed = (size - 1) * stride + dilation * (kernel - 1) + 1
    padded = _outside(axis.matrix, padding, needed - axis.matrix.shape[2] - padding)
    found = F.conv1d(padded, torch.ones(1, 1, kernel), stride=stride, dilation=dilation)
    return Axis((found > 0).float(), axis.jump * stride)


def _transposed(
    axis: Axis, size: int, kernel: int, stride: int, padding: int, dilation: int
) -> Axis:
    margin = (dilation * (kernel - 1) + padding) // stride + 2
    padded = _outside(axis.matrix, margin, margin + -(-size // stride))
    weight = torch.ones(1, 1, kernel)
    found = F.conv_transpose1d(padded, weight, stride=stride, dilation=dilation)
    start = margin * stride + padding
    return Axis((found[:, :, start : start + size] > 0).float(), axis.jump / stride)


def _resized(
    axis: Axis, size: int, scale: float | None, mode: str, align: bool | None = None
) -> Axis:
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
    return Axis((found > 1e-6).float(), axis.jump * Fraction(old, size))


def _blocks(axis: Axis, size: int) -> Axis:
    """Adaptive pooling to more than one position."""
    found = F.adaptive_avg_pool1d(axis.matrix, size)
    return Axis((found > 0).float(), axis.jump * Fraction(axis.matrix.shape[2], size))


def _everything(axis: Axis, size: int) -> Axis:
    whole = axis.matrix.amax(2, keepdim=True)
    whole[-1] = 0
    return Axis(whole.repeat(1, 1, size), axis.jump)


def _merge(axes: Sequence[Axis]) -> Axis:
    """Sum, product, channels side by side: a position depends on what any part depends on."""
    if len(axes) > 1 and any((axis.matrix.amax(0) == 0).any() for axis in axes):
        raise NotImplementedError(
            "a transposed convolution leaves positions empty, and its map is joined with another: "
            "height and width cannot be followed apart; use a kernel that covers the stride"
        )
    size = max(axis.matrix.shape[2] for axis in axes)
    matrix = torch.stack([axis.matrix.expand(-1, -1, size) for axis in axes]).amax(0)
    return Axis(matrix, min(axis.jump for axis in axes))


# --- one node of the traced graph ---

# Pointwise operations that PyTorch does not tag as such, and views that share memory.
_POINTWISE = {"hardswish", "prelu", "log_sigmoid", "rsub", "where", "dropout", "feature_dropout"}
_POINTWISE |= {"contiguous", "detach", "to", "_to_copy", "alias"}
_VIEWS = {"slice", "getitem", "chunk", "split", "select", "alias", "view", "expand"}


def pair(value: Any) -> tuple:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value, value
    return tuple(value) * (1 if len(value) == 2 else 2)


def label(node: fx.Node) -> str:
    """Path of the layer that a node belongs to, or its own name in a functional network."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return (stack[-1][0] if stack else "") or node.name


def operation(node: fx.Node) -> str:
    return getattr(node.target, "__name__", "").split(".")[0]


class Node:
    """Axes, sizes and settings of one operation."""

    def __init__(self, node: fx.Node, inputs: list[list[Axis]]) -> None:
        self.node, self.inputs, self.axes = node, inputs, inputs[0]
        value = node.meta["val"]
        self.shape = tuple((value[0] if isinstance(value, list | tuple) else value).shape)
        self.size = self.shape[2:] if len(self.shape) == 4 else (1, 1)
        self.args: list[Any] = [getattr(a, "meta", {}).get("val", a) for a in node.args]
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        self.named = dict(zip(names, self.args, strict=False)) | dict(node.kwargs)
        first = self.args[0] if torch.is_tensor(self.args[0]) else None
        self.before = None if first is None else tuple(first.shape)
        self.is_global = False

    def option(self, name: str, default: Any) -> Any:
        found = self.named.get(name)
        return default if found is None or found == [] else found

    def each(self, function: Callable[..., Axis], *settings: Any) -> list[Axis]:
        columns = [pair(setting) for setting in settings]
        rows = zip(self.axes, self.size, *columns, strict=True)
        return [function(*row) for row in rows]

    def everything(self) -> list[Axis]:
        self.is_global = True
        return self.each(_everything)

    def union(self) -> list[Axis]:
        return [_merge(parts) for parts in zip(*self.inputs, strict=True)]

    def window(self) -> list[Axis]:
        kernel = self.option("kernel_size", None) or tuple(self.named["weight"].shape[2:])
        stride = self.option("stride", kernel if "kernel_size" in self.named else 1)
        padding, dilation = self.option("padding", 0), self.option("dilation", 1)
        if padding == "same":  # of an odd padding the larger half is at the end
            pairs = zip(pair(dilation), kernel, strict=True)
            padding = [d * (k - 1) // 2 for d, k in pairs]
        padding = 0 if padding == "valid" else padding
        rule = _transposed if operation(self.node) == "conv_transpose2d" else _window
        return self.each(rule, kernel, stride, padding, dilation)

    def padded(self) -> list[Axis]:
        left, right, top, bottom = (*self.args[1], 0, 0)[:4]
        sides, mode = ((top, bottom), (left, right)), self.option("mode", "constant")
        pairs = zip(self.axes, sides, strict=True)
        return [Axis(_outside(axis.matrix, *side, mode), axis.jump) for axis, side in pairs]

    def sliced(self) -> list[Axis]:
        axes, dim, step = list(self.axes), self.option("dim", 0) % 4, self.option("step", 1)
        if dim >= 2:
            axis, cut = axes[dim - 2], slice(self.named.get("start"), self.named.get("end"), step)
            axes[dim - 2] = Axis(axis.matrix[:, :, cut], axis.jump * step)
        return axes

    def reach(self) -> list[Axis] | None:
        """Axes of the output; None if the operation is not known."""
        name, spatial = operation(self.node).removesuffix("_"), len(self.shape) == 4
        dims = self.option("dim", 0) if spatial else 0
        dims = {dim % 4 for dim in (dims if isinstance(dims, Sequence) else [dims])}
        flat = all(axis.matrix.shape[2] == 1 for axis in self.axes)
        pointwise = torch.Tag.pointwise in getattr(self.node.target, "tags", ())
        pointwise = pointwise or name in _POINTWISE
        written: Any = self.node.args[0]
        in_place = name != operation(self.node)
        if in_place and operation(written) in _VIEWS and len(written.args[0].users) > 1:
            return None  # a part is changed of a map that others read
        if pointwise and spatial or (pointwise or name == "linear") and flat:
            return self.union()
        if name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d") and spatial:
            return self.window()
        scale = self.option("scale_factors", None)
        if name in ("upsample_nearest2d", "pixel_shuffle"):
            return self.each(_resized, scale, "nearest")
        if name == "upsample_bilinear2d":
            return self.each(_resized, scale, "linear", bool(self.named["align_corners"]))
        if name in ("pad", "constant_pad_nd") and len(self.args[1]) <= 4:
            return self.padded()
        if name == "slice" and spatial:
            return self.sliced()
        if name in ("cat", "softmax") and dims == {1} or name in ("mean", "sum") and dims == {1}:
            return self.union()
        if name in ("chunk", "split", "split_with_sizes", "getitem", "unbind"):
            return self.axes if self.before is None or self.size == self.before[2:] else None
        if name == "batch_norm" and not self.named["training"]:
            return self.axes
        if name in ("batch_norm", "instance_norm", "group_norm", "layer_norm") and spatial:
            return self.everything()
        if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d") and self.size != (1, 1):
            return self.each(_blocks)
        if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            return self.everything()
        if name in ("mean", "sum", "amax", "amin") and len(self.before or ()) == 4:
            over = self.named.get("dim") or (0, 1, 2, 3)
            return self.everything() if {d % 4 for d in over} >= {2, 3} else None
        if name in ("flatten", "view", "reshape", "squeeze", "unsqueeze") and flat:
            return self.axes
        if name == "flatten" and len(self.shape) == 2:  # the linear layer behind it mixes all
            return self.everything()
        return None
