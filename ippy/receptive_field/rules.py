"""What a layer does to a receptive field: rules for the nodes of a traced graph.

A node has the :class:`~ippy.receptive_field.axes.Axis` of height and that of width. A new layer
gets its rule in one of the methods that :meth:`Node.reach` asks in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import fx

from ippy.receptive_field.axes import (
    Axis,
    blocks,
    everything,
    merge,
    outside,
    pair,
    resized,
    transposed,
    window,
)

__all__ = ["Axis", "Node", "label", "operation", "pair"]

# Pointwise operations that PyTorch does not tag as such, and views that share memory.
_POINTWISE = {"hardswish", "prelu", "log_sigmoid", "rsub", "where", "dropout", "feature_dropout"}
_POINTWISE |= {"contiguous", "detach", "to", "_to_copy", "alias", "clone", "type_as"}
_VIEWS = {"slice", "getitem", "chunk", "split", "select", "alias", "view", "expand"}
# Other shapes of the same numbers in the same order.
_SHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "_unsafe_view"}
_REDUCTIONS = {"mean", "sum", "amax", "amin", "var", "std", "norm", "linalg_vector_norm"}


def label(node: fx.Node) -> str:
    """Path of the layer that a node belongs to, or its own name in a functional network."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return (stack[-1][0] if stack else "") or node.name


def operation(node: fx.Node) -> str:
    """Name of what a node computes, such as ``conv2d``."""
    return getattr(node.target, "__name__", "").split(".")[0]


class Node:
    """Axes, sizes and settings of one operation.

    Args:
        node: Of a graph that ``torch.export`` has made.
        inputs: Height and width of each of its inputs that depend on the image.
        others: Shapes of its other inputs: parameters, constants.
    """

    def __init__(
        self, node: fx.Node, inputs: list[list[Axis]], others: Iterable[Sequence[int]] = ()
    ) -> None:
        self.node, self.inputs, self.axes, self.others = node, inputs, inputs[0], others
        value = node.meta["val"]
        self.shape = tuple((value[0] if isinstance(value, list | tuple) else value).shape)
        self.size = self.shape[2:] if len(self.shape) == 4 else (1, 1)
        self.args: list[Any] = [getattr(a, "meta", {}).get("val", a) for a in node.args]
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        self.named = dict(zip(names, self.args, strict=False)) | dict(node.kwargs)
        first = self.args[0] if torch.is_tensor(self.args[0]) else None
        self.before = None if first is None else tuple(first.shape)
        #: Whether it sees the whole image.
        self.is_global = False
        #: Whether its result depends on where in the image, or in how large a one, something lies.
        self.is_positional = False

    def option(self, name: str, default: Any) -> Any:
        found = self.named.get(name)
        return default if found is None or found == [] else found

    def dims(self, default: Any, name: str = "dim") -> set[int]:
        """The dimensions that an option names, counted from the last one as -1."""
        found = self.option(name, default)
        rank = len(self.before or self.shape)
        return {d % rank - rank for d in (found if isinstance(found, Sequence) else [found])}

    def along(self, dims: set[int]) -> list[bool]:
        """For height and width whether one of these dimensions is theirs."""
        return [not axis.flat and axis.dim in dims for axis in self.axes]

    def each(self, function: Callable[..., Axis], *settings: Any) -> list[Axis]:
        """Apply a function of one axis to height and width of a map (N, C, H, W)."""
        columns = [pair(setting) for setting in settings]
        rows = zip(self.axes, self.size, *columns, strict=True)
        return [replace(function(*row), dim=dim) for row, dim in zip(rows, (-2, -1), strict=True)]

    def everything(self) -> list[Axis]:
        self.is_global = True
        return self.each(everything)

    def union(self) -> list[Axis] | None:
        """What any input sees; None where height and width lie in different dimensions."""
        parts = list(zip(*self.inputs, strict=True))
        for axes in parts:
            dims = {axis.dim for axis in axes if not axis.flat}
            if len(dims) > 1:
                return None
            for shape in self.others:  # a map that is the same whatever the image is
                self.is_positional |= any(len(shape) >= -d and shape[d] > 1 for d in dims)
        return [merge(axes) for axes in parts]

    def window(self) -> list[Axis]:
        kernel = self.option("kernel_size", None) or tuple(self.named["weight"].shape[2:])
        stride = self.option("stride", kernel if "kernel_size" in self.named else 1)
        padding, dilation = self.option("padding", 0), self.option("dilation", 1)
        if padding == "same":  # of an odd padding the larger half is at the end
            pairs = zip(pair(dilation), kernel, strict=True)
            padding = [d * (k - 1) // 2 for d, k in pairs]
        padding = 0 if padding == "valid" else padding
        rule = transposed if operation(self.node) == "conv_transpose2d" else window
        return self.each(rule, kernel, stride, padding, dilation)

    def resampled(self, mode: str, align: bool | None = None) -> list[Axis]:
        """Interpolation; positions stay on a grid that repeats if the factor is a whole number."""
        for axis, size in zip(self.axes, self.size, strict=True):
            old = axis.matrix.shape[2]
            self.is_positional |= bool(align) or (size % old > 0 and old % size > 0)
        return self.each(resized, self.option("scale_factors", None), mode, align)

    def padded(self) -> list[Axis]:
        sides, mode, axes = list(self.args[1]), self.option("mode", "constant"), []
        self.is_positional = mode == "circular"
        for axis in self.axes:
            before, after = (*sides[-2 * axis.dim - 2 : -2 * axis.dim], 0, 0)[:2]
            axes.append(replace(axis, matrix=outside(axis.matrix, before, after, mode)))
        return axes

    def sliced(self) -> list[Axis]:
        step, axes = self.option("step", 1), []
        cut = slice(self.named.get("start"), self.named.get("end"), step)
        for axis, hit in zip(self.axes, self.along(self.dims(0)), strict=True):
            part = replace(axis, matrix=axis.matrix[:, :, cut], jump=axis.jump * step)
            axes.append(part if hit else axis)
        return axes

    def without(self, dims: set[int]) -> list[Axis] | None:
        """Some dimensions are left out; None if the image's are among them."""
        if any(self.along(dims)):
            return None
        axes = self.union()
        return axes and [replace(a, dim=a.dim + sum(d > a.dim for d in dims)) for a in axes]

    def stacked(self) -> list[Axis] | None:
        """One more dimension, along which maps are stacked."""
        rank, axes = len(self.shape), self.union()
        new = self.option("dim", 0) % rank
        return axes and [replace(a, dim=a.dim - (a.dim + rank - 1 < new)) for a in axes]

    def permuted(self, name: str) -> list[Axis]:
        order = list(range(-len(self.shape), 0))
        if name == "transpose":
            a, b = self.named["dim0"], self.named["dim1"]
            order[a], order[b] = order[b], order[a]
        else:
            order = [order[d] for d in self.named["dims"]]
        return [replace(axis, dim=order.index(axis.dim) - len(order)) for axis in self.axes]

    def reshaped(self) -> list[Axis] | None:
        """A view that leaves height and width whole; flattened to (N, F) all is mixed behind it."""
        before, axes = self.before or (), []
        for axis in self.axes:
            found, after = axis.dim, prod(before[len(before) + axis.dim + 1 :])
            if not axis.flat:  # it lies where as many numbers follow each of its own
                length = axis.matrix.shape[2]
                places = [
                    d - len(self.shape)
                    for d, size in enumerate(self.shape)
                    if size == length and prod(self.shape[d + 1 :]) == after
                ]
                if not places:
                    mixed = len(self.shape) == 2 and self.shape[0] == before[0]
                    return self.everything() if mixed else None
                found = places[0]
            axes.append(replace(axis, dim=found))
        return axes

    # --- the rules: axes of the output, or None if the operation is not among them ---

    def _of_maps(self, name: str) -> list[Axis] | None:
        """Operations on maps (N, C, H, W) that look at neighbours."""
        if name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"):
            return self.window()
        if name == "pixel_unshuffle":
            factor = self.named["downscale_factor"]
            return self.each(window, factor, factor, 0, 1)
        if name in ("upsample_nearest2d", "pixel_shuffle"):
            return self.resampled("nearest")
        if name == "_upsample_nearest_exact2d":
            return self.resampled("nearest-exact")
        if name == "upsample_bilinear2d":
            return self.resampled("linear", bool(self.named["align_corners"]))
        if name in ("instance_norm", "group_norm") or name == "batch_norm":
            whole = name != "batch_norm" or self.named["training"]
            return self.everything() if whole else self.axes
        if name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            self.is_positional = self.size != (1, 1)
            return self.each(blocks) if self.is_positional else self.everything()
        return None

    def _of_layout(self, name: str) -> list[Axis] | None:
        """Operations that move, cut or join dimensions."""
        if name in ("pad", "constant_pad_nd"):
            return self.padded()
        if name == "slice":
            return self.sliced()
        if name in ("permute", "transpose"):
            return self.permuted(name)
        if name in _SHAPES:
            return self.reshaped()
        if name == "stack":
            return self.stacked()
        if name in ("select", "unbind"):
            return self.without(self.dims(0))
        if name == "getitem":
            return self.axes
        if name in ("cat", "chunk", "split", "split_with_sizes"):
            return None if any(self.along(self.dims(0))) else self.union()
        if name == "channel_shuffle":
            return self.axes
        if name == "repeat":
            repeats = self.named["repeats"]
            return self.axes if all(repeats[axis.dim] == 1 for axis in self.axes) else None
        if name == "expand":
            sizes = [self.shape[axis.dim] for axis in self.axes]
            pairs = zip(self.axes, sizes, strict=True)
            return [replace(a, matrix=a.matrix.expand(-1, -1, n).clone()) for a, n in pairs]
        return None

    def _of_channels(self, name: str) -> list[Axis] | None:
        """Operations over some dimensions: over channels alone they leave the field as it is."""
        if name == "linear":
            return None if any(self.along({-1})) else self.union()
        if name in ("softmax", "log_softmax", "glu"):
            return None if any(self.along(self.dims(-1))) else self.union()
        if name in ("layer_norm", "rms_norm"):
            dims = set(range(-len(self.named["normalized_shape"]), 0))
            return self.everything() if any(self.along(dims)) else self.union()
        if name in _REDUCTIONS:
            dims = self.dims(range(len(self.before or ())))
            if all(self.along(dims)):
                return self.everything()
            kept = len(self.shape) == len(self.before or ())
            return self.union() if kept and not any(self.along(dims)) else self.without(dims)
        return None

    def reach(self) -> list[Axis] | None:
        """Axes of the output; None if the operation is not known."""
        name = operation(self.node).removesuffix("_")
        written: Any = self.node.args[0]
        in_place = name != operation(self.node)
        if in_place and operation(written) in _VIEWS and len(written.args[0].users) > 1:
            return None  # a part is changed of a map that others read
        if name in _POINTWISE or torch.Tag.pointwise in getattr(self.node.target, "tags", ()):
            return self.union()
        usual = zip(self.axes, (-2, -1), strict=True)
        if len(self.shape) == 4 and all(axis.flat or axis.dim == dim for axis, dim in usual):
            axes = self._of_maps(name)
            if axes is not None:
                return axes
        if all(axis.flat for axes in self.inputs for axis in axes) and name != "expand":
            # one position: whatever is made of it sees the same, also a map of several positions
            becomes_map = name in _SHAPES and len(self.before or ()) == 2 and min(self.size) > 1
            return self.each(everything) if becomes_map else self.union()
        return self._of_layout(name) or self._of_channels(name)
