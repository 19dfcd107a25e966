r"""Which input pixels an output pixel can depend on: the receptive field of a network.

:func:`receptive_field` traces a network with ``torch.export`` and follows height and width apart,
each as a matrix of zeros and ones: which input position reaches which output position. A layer maps
the matrix by its own one-dimensional operation with positive weights, so nothing cancels; an extra
row marks what comes from outside the image, by padding. :func:`measured` finds the same by
differentiation, and :func:`effective` how much a trained network uses of it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["Box", "ReceptiveField", "effective", "measured", "receptive_field", "recursion"]


def recursion(layers: Sequence[Sequence[int]]) -> list[dict]:
    r"""Receptive field of a chain, layer by layer: $r_l = r_{l-1} + d_l\,(k_l-1)\,j_{l-1}$.

    The jump $j_l = s_l\,j_{l-1}$ is the distance, in input pixels, between neighbours of the map
    that layer $l$ gives; the field grows by the jump of the map that the layer *reads*. Source:
    Araujo, Norris and Sim, Distill 2019, Eq. (2).

    Args:
        layers: ``(kernel, stride)`` or ``(kernel, stride, padding, dilation)`` of each layer.

    Returns:
        One dictionary per layer: ``receptive_field`` and ``jump`` in pixels, and ``offset``, the
        middle of the first output's field (0 is the middle of the first input pixel).

    Raises:
        ValueError: If a layer has another length or a number out of range.

    >>> [layer["receptive_field"] for layer in recursion([(3, 1), (3, 2), (3, 1)])]
    [3, 5, 9]
    """
    size, jump, offset, found = 1, 1, 0.0, []
    for number, layer in enumerate(layers, 1):
        kernel, stride, padding, dilation = (
            (*layer, 0, 1)[:4] if len(layer) == 2 else (layer if len(layer) == 4 else (0, 0, 0, 0))
        )
        whole = all(value == int(value) for value in layer)
        if not whole or min(kernel, stride, dilation, padding + 1) < 1:
            raise ValueError(
                f"layer {number} is {tuple(layer)}; give integers (kernel, stride) or (kernel, "
                "stride, padding, dilation), at least 1 but for the padding"
            )
        size += dilation * (kernel - 1) * jump
        offset += (dilation * (kernel - 1) / 2 - padding) * jump
        jump *= stride
        found.append({"receptive_field": size, "jump": jump, "offset": offset})
    return found


# --- one axis: which input positions reach which output positions ---


@dataclass(frozen=True)
class _Axis:
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


def _window(axis: _Axis, size: int, kernel: int, stride: int, padding: int, dilation: int) -> _Axis:
    """Convolution or pooling that gives ``size`` positions."""
    needed = (size - 1) * stride + dilation * (kernel - 1) + 1
    padded = _outside(axis.matrix, padding, needed - axis.matrix.shape[2] - padding)
    found = F.conv1d(padded, torch.ones(1, 1, kernel), stride=stride, dilation=dilation)
    return _Axis((found > 0).float(), axis.jump * stride)


def _transposed(axis, size: int, kernel: int, stride: int, padding: int, dilation: int) -> _Axis:
    margin = (dilation * (kernel - 1) + padding) // stride + 2
    padded = _outside(axis.matrix, margin, margin + -(-size // stride))
    weight = torch.ones(1, 1, kernel)
    found = F.conv_transpose1d(padded, weight, stride=stride, dilation=dilation)
    start = margin * stride + padding
    return _Axis((found[:, :, start : start + size] > 0).float(), axis.jump / stride)


def _resized(
    axis: _Axis, size: int, scale: float | None, mode: str, align: bool | None = None
) -> _Axis:
    old = axis.matrix.shape[2]
    factor, rest = divmod(size, old)
    if mode == "linear" and not rest and not align:  # at the edge a pixel stands for its neighbour
        padded = F.pad(axis.matrix.double(), (1, 1), mode="replicate")
        padded[-1, 0, [0, -1]] = 1
        found = F.interpolate(padded, size=(old + 2) * factor, mode=mode, align_corners=False)
        found = found[:, :, factor:-factor]
    else:
        how = {"size": size} if scale is None else {"scale_factor": scale}
        found = F.interpolate(axis.matrix.double(), **how, mode=mode, align_corners=align)
    return _Axis((found > 1e-6).float(), axis.jump * Fraction(old, size))


def _blocks(axis: _Axis, size: int) -> _Axis:
    """Adaptive pooling to more than one position."""
    found = F.adaptive_avg_pool1d(axis.matrix, size)
    return _Axis((found > 0).float(), axis.jump * Fraction(axis.matrix.shape[2], size))


def _everything(axis: _Axis, size: int) -> _Axis:
    whole = axis.matrix.amax(2, keepdim=True)
    whole[-1] = 0
    return _Axis(whole.repeat(1, 1, size), axis.jump)


def _merge(axes: Sequence[_Axis]) -> _Axis:
    """Sum, product, channels side by side: a position depends on what any part depends on."""
    if len(axes) > 1 and any((axis.matrix.amax(0) == 0).any() for axis in axes):
        raise NotImplementedError(
            "a transposed convolution leaves positions empty, and its map is joined with another: "
            "height and width cannot be followed apart; use a kernel that covers the stride"
        )
    size = max(axis.matrix.shape[2] for axis in axes)
    matrix = torch.stack([axis.matrix.expand(-1, -1, size) for axis in axes]).amax(0)
    return _Axis(matrix, min(axis.jump for axis in axes))


# --- one node of the traced graph ---

# Pointwise operations that PyTorch does not tag as such, and views that share memory.
_POINTWISE = {"hardswish", "prelu", "log_sigmoid", "rsub", "where", "dropout", "feature_dropout"}
_POINTWISE |= {"contiguous", "detach", "to", "_to_copy", "alias"}
_VIEWS = {"slice", "getitem", "chunk", "split", "select", "alias", "view", "expand"}


def _pair(value) -> tuple:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value, value
    return tuple(value) * (1 if len(value) == 2 else 2)


def _label(node) -> str:
    """Path of the layer that a node belongs to, or its own name in a functional network."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return (stack[-1][0] if stack else "") or node.name


def _operation(node) -> str:
    return getattr(node.target, "__name__", "").split(".")[0]


class _Node:
    """Axes, sizes and settings of one operation."""

    def __init__(self, node, inputs: list[list[_Axis]]) -> None:
        self.node, self.inputs, self.axes = node, inputs, inputs[0]
        value = node.meta["val"]
        self.shape = tuple((value[0] if isinstance(value, list | tuple) else value).shape)
        self.size = self.shape[2:] if len(self.shape) == 4 else (1, 1)
        self.args = [getattr(a, "meta", {}).get("val", a) for a in node.args]
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        self.named = dict(zip(names, self.args, strict=False)) | dict(node.kwargs)
        first = self.args[0] if torch.is_tensor(self.args[0]) else None
        self.before = None if first is None else tuple(first.shape)
        self.is_global = False

    def option(self, name: str, default):
        found = self.named.get(name)
        return default if found is None or found == [] else found

    def each(self, function, *settings) -> list[_Axis]:
        columns = [_pair(setting) for setting in settings]
        rows = zip(self.axes, self.size, *columns, strict=True)
        return [function(*row) for row in rows]

    def everything(self) -> list[_Axis]:
        self.is_global = True
        return self.each(_everything)

    def union(self) -> list[_Axis]:
        return [_merge(parts) for parts in zip(*self.inputs, strict=True)]

    def window(self) -> list[_Axis]:
        kernel = self.option("kernel_size", None) or tuple(self.named["weight"].shape[2:])
        stride = self.option("stride", kernel if "kernel_size" in self.named else 1)
        padding, dilation = self.option("padding", 0), self.option("dilation", 1)
        if padding == "same":  # of an odd padding the larger half is at the end
            pairs = zip(_pair(dilation), kernel, strict=True)
            padding = [d * (k - 1) // 2 for d, k in pairs]
        padding = 0 if padding == "valid" else padding
        rule = _transposed if _operation(self.node) == "conv_transpose2d" else _window
        return self.each(rule, kernel, stride, padding, dilation)

    def padded(self) -> list[_Axis]:
        left, right, top, bottom = (*self.args[1], 0, 0)[:4]
        sides, mode = ((top, bottom), (left, right)), self.option("mode", "constant")
        pairs = zip(self.axes, sides, strict=True)
        return [_Axis(_outside(axis.matrix, *side, mode), axis.jump) for axis, side in pairs]

    def sliced(self) -> list[_Axis]:
        axes, dim, step = list(self.axes), self.option("dim", 0) % 4, self.option("step", 1)
        if dim >= 2:
            axis, cut = axes[dim - 2], slice(self.named.get("start"), self.named.get("end"), step)
            axes[dim - 2] = _Axis(axis.matrix[:, :, cut], axis.jump * step)
        return axes

    def reach(self) -> list[_Axis] | None:
        """Axes of the output; None if the operation is not known."""
        name, spatial = _operation(self.node).removesuffix("_"), len(self.shape) == 4
        dims = self.option("dim", 0) if spatial else 0
        dims = {dim % 4 for dim in (dims if isinstance(dims, Sequence) else [dims])}
        flat = all(axis.matrix.shape[2] == 1 for axis in self.axes)
        pointwise = torch.Tag.pointwise in getattr(self.node.target, "tags", ())
        pointwise = pointwise or name in _POINTWISE
        written = self.node.args[0]
        in_place = name != _operation(self.node)
        if in_place and _operation(written) in _VIEWS and len(written.args[0].users) > 1:
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
        if name in ("mean", "sum", "amax", "amin") and len(self.before) == 4:
            over = self.named.get("dim") or (0, 1, 2, 3)
            return self.everything() if {d % 4 for d in over} >= {2, 3} else None
        if name in ("flatten", "view", "reshape", "squeeze", "unsqueeze") and flat:
            return self.axes
        if name == "flatten" and len(self.shape) == 2:  # the linear layer behind it mixes all
            return self.everything()
        return None


# --- the network ---


class Box(NamedTuple):
    """First and last input row and column, inclusive, that an output pixel can depend on."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of a network, as :func:`receptive_field` returns it.

    ``stride`` is the distance in input pixels between neighbouring outputs (height, width), and
    ``global_layers`` names the layers that see the whole image.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    global_layers: tuple[str, ...]
    rows: tuple[dict, ...]
    axes: tuple[_Axis, _Axis]

    def _extremes(self, axis: int) -> tuple[int, int]:
        found = self.axes[axis].extremes()
        if found is None:
            raise ValueError(
                f"every field touches the border of an input of {self.input_size} pixels, so its "
                "size is not known; give receptive_field a larger input_shape"
            )
        return found

    @property
    def height(self) -> tuple[int, int]:
        """Least and largest height (pixels) over the outputs whose field lies in the image."""
        return self._extremes(0)

    @property
    def width(self) -> tuple[int, int]:
        """Least and largest width (pixels) over the outputs whose field lies in the image."""
        return self._extremes(1)

    def box(self, output_index: Sequence[int]) -> Box:
        """Input rows and columns that the output pixel (row, column) sees; padding is cut off."""
        row, column = output_index
        for position, size in zip((row, column), self.output_size, strict=True):
            if not 0 <= position < size:
                raise IndexError(f"output pixel {(row, column)} is not in {self.output_size}")
        return Box(*self.axes[0].ends(row), *self.axes[1].ends(column))

    def is_interior(self, output_index: Sequence[int]) -> bool:
        """Whether the field of output pixel (row, column) lies in the image, without padding."""
        pairs = zip(self.axes, output_index, strict=True)
        return all(bool(axis.interior()[position]) for axis, position in pairs)

    def table(self) -> list[dict]:
        """One row per layer: ``layer``, ``operation``, ``size``, ``height``, ``width``, ``stride``.

        Height and width are (least, largest), and None where every field touches the border.
        """
        return [dict(row) for row in self.rows]


def receptive_field(
    model: nn.Module, input_shape: Sequence[int] = (1, 1, 256, 256)
) -> ReceptiveField:
    """Exact receptive field of a network of convolutions, poolings, resampling, skips and gates.

    Exact means: what an output can depend on for some positive weights. Layers over the whole
    plane (global pooling, normalisation over space, a linear layer on the flattened map) are named
    in ``global_layers``, and everything behind them sees the whole image. Batch normalisation is
    one of them only in training mode, ``model.train()``. The field of a union of branches is
    given as its bounding box.

    Args:
        model: Network from (N, C, H, W) to (N, C', H', W'), or to (N, F) behind a global layer.
        input_shape: Shape of its input. The sizes (min, max) are over those outputs whose field
            lies inside, so the image must be larger than the field.

    Raises:
        NotImplementedError: If the network has an operation without a rule; it is named.
        ValueError: If the shape has not four positive numbers or the network cannot be traced.

    >>> receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 3))).height
    (5, 5)
    """
    if len(input_shape) != 4 or min(input_shape) < 1:
        raise ValueError(f"input_shape must be positive (N, C, H, W), got {tuple(input_shape)}")
    parameter = next(model.parameters(), torch.zeros(()))
    example = torch.zeros(*input_shape, dtype=parameter.dtype, device=parameter.device)
    try:
        exported = torch.export.export(model, (example,))
    except Exception as error:
        raise ValueError(
            f"torch.export cannot trace {type(model).__name__} on {tuple(input_shape)}: {error}; "
            "its forward must take one image batch and not depend on pixel values"
        ) from error
    wanted = exported.graph_signature.user_inputs[0]
    reach, rows, global_layers = {}, [], []
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == wanted:
            reach[node] = [_Axis(torch.eye(n + 1, n)[:, None]) for n in input_shape[2:]]
        inputs = [reach[source] for source in node.all_input_nodes if source in reach]
        if node.op == "output" and inputs:
            axes = reach[node.args[0][-1]]
        if node.op != "call_function" or not inputs or "assert" in str(node.target):
            continue
        if not isinstance(node.meta["val"], Tensor | list | tuple):
            continue
        seen = _Node(node, inputs)
        axes = seen.reach()
        if axes is None:
            raise NotImplementedError(
                f"receptive_field has no rule for {node.target} of layer {_label(node)!r} with "
                f"output shape {seen.shape}; replace the layer or add a rule in _Node.reach"
            )
        reach[node] = axes
        if seen.is_global:
            global_layers.append(_label(node))
        sizes = dict(zip(("height", "width"), (axis.extremes() for axis in axes), strict=True))
        jumps = tuple(axis.jump for axis in axes)
        facts = {"layer": _label(node), "operation": _operation(node), "size": seen.size}
        rows.append({**facts, **sizes, "stride": jumps})
    return ReceptiveField(
        tuple(input_shape[2:]),
        tuple(axis.matrix.shape[2] for axis in axes),
        tuple(axis.jump for axis in axes),
        tuple(global_layers),
        tuple(rows),
        tuple(axes),
    )


# --- the same by differentiation ---


class _Linearised(TorchFunctionMode):
    """Activations and dropout become the identity, maxima over windows become means."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name, kwargs = getattr(func, "__name__", "").rstrip("_"), kwargs or {}
        if name in ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax"):
            return args[0]
        if name in ("dropout", "dropout2d", "hardtanh", "relu6", "softplus", "prelu"):
            return args[0]
        if name in ("max_pool2d", "_max_pool2d"):
            return _mean_pool(*args, **kwargs)
        return func(*args, **kwargs)


def _mean_pool(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    if ceil_mode or return_indices:
        raise NotImplementedError("measured has no linear twin for this max-pooling")
    channels, kernel = x.shape[1], _pair(kernel_size)
    weight = x.new_full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
    return F.conv2d(x, weight, None, stride or kernel, padding, dilation, channels)


def measured(
    model: nn.Module,
    input_shape: Sequence[int] = (1, 1, 256, 256),
    positions: Sequence[tuple[int, int]] | None = None,
) -> list[Box]:
    """Boxes of input pixels on which outputs depend, found by automatic differentiation.

    A linearised copy is differentiated in float64: positive weights, activations replaced by the
    identity and max-pooling by averages, so that no part of the gradient can vanish by chance.

    Args:
        model: Network; it is not changed.
        input_shape: Shape (N, C, H, W) of its input; N is ignored.
        positions: Output pixels (row, column); by default sixteen on the diagonal, around the
            middle.

    Returns:
        One :class:`Box` per position.
    """
    linear = copy.deepcopy(model).double().cpu()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*linear.named_parameters(), *linear.named_buffers()]:
            if tensor.ndim > 1:  # about a weighted mean of what it reads
                tensor.uniform_(0.5, 1, generator=generator).div_(tensor[0].numel())
            elif tensor.is_floating_point():
                tensor.fill_(float(name.endswith(("weight", "running_var"))))
        with _Linearised():
            size = linear(torch.zeros(1, *input_shape[1:]).double()).shape[2:]
    if positions is None:
        middle, count = min(size) // 2, min(16, *size)
        positions = [(p, p) for p in range(middle - count // 2, middle - count // 2 + count)]
    boxes = []
    for some in (positions[i : i + 8] for i in range(0, len(positions), 8)):
        x = torch.rand(len(some), *input_shape[1:], generator=generator).double() + 0.5
        with _Linearised():
            y = linear(x.requires_grad_())
        chosen = sum(y[n, :, row, column].sum() for n, (row, column) in enumerate(some))
        seen = torch.autograd.grad(chosen, x)[0].abs().amax(1) > 0  # (n, H, W)
        for one in seen:
            rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
            ends = rows.min(), rows.max(), columns.min(), columns.max()
            boxes.append(Box(*(int(end) for end in ends)))
    return boxes


def effective(
    model: nn.Module,
    images: Tensor,
    *,
    correction: bool = True,
    shares: Sequence[float] = (0.5, 0.95),
) -> tuple[Tensor, dict[float, float]]:
    r"""Effective receptive field: how much each pixel around the middle one counts.

    The gradient of the middle output of the *correction* $f_\Theta(y^\delta) - y^\delta$, squared,
    and averaged over the images; a network that adds its input again would show little but that
    input's pixel. Source: Luo, Li, Urtasun and Zemel, NIPS 2016, Sec. 2.

    Args:
        model: Network from (N, C, H, W) to the same shape, in evaluation mode.
        images: What it is given, (N, C, H, W).
        correction: Look at the correction; if False, at the output itself.
        shares: Shares of the energy in (0, 1).

    Returns:
        The map (H, W) of root-mean-square gradients, and for each share the radius, in pixels,
        of the circle around the middle pixel that holds this share of the squares' sum.

    Raises:
        ValueError: If the output has another shape, or the gradient is zero.
    """
    x = images.detach().clone().requires_grad_()
    y = model(x)
    if y.shape != x.shape:
        raise ValueError(f"the network maps {tuple(x.shape)} to {tuple(y.shape)}; same size needed")
    row, column = x.shape[2] // 2, x.shape[3] // 2
    middle = (y - x if correction else y)[:, :, row, column].sum()
    energy = torch.autograd.grad(middle, x)[0].square().sum(1).mean(0).double()  # (H, W)
    if not energy.sum() > 0:
        raise ValueError("the gradient is zero or not a number: is the network trained?")
    rows = torch.arange(x.shape[2])[:, None] - row
    distance = (rows**2 + (torch.arange(x.shape[3]) - column) ** 2).double().sqrt().flatten()
    order = distance.argsort()
    inside = energy.flatten()[order].cumsum(0) / energy.sum()
    radii = {
        share: distance[order[int((inside < share).sum().clamp(max=len(order) - 1))]].item()
        for share in shares
    }
    return energy.sqrt().float(), radii
