r"""Which input pixels an output pixel can depend on: the receptive field of a network.

:func:`receptive_field` traces a network with ``torch.export`` and follows, by the rules of
:mod:`ippy.reach`, which input positions reach which positions of every map. :func:`measured` finds
the same by differentiation, and :func:`effective` how much a trained network uses of it.
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

from ippy.reach import Axis, Node, label, operation, pair

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
    axes: tuple[Axis, Axis]

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
        ValueError: If the shape has not four positive numbers, the network cannot be traced,
            returns several outputs, or does not depend on its input.

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
    signature = exported.graph_signature
    if len(signature.user_outputs) != 1:
        raise ValueError(
            f"{type(model).__name__} returns {len(signature.user_outputs)} outputs, and each has a "
            "receptive field of its own; wrap the network so that it returns one of them"
        )
    reach, rows, global_layers = {}, [], []
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == signature.user_inputs[0]:
            reach[node] = [Axis(torch.eye(n + 1, n)[:, None]) for n in input_shape[2:]]
        inputs = [reach[source] for source in node.all_input_nodes if source in reach]
        if node.op != "call_function" or not inputs or "assert" in str(node.target):
            continue
        if not isinstance(node.meta["val"], Tensor | list | tuple):
            continue
        seen = Node(node, inputs)
        axes = seen.reach()
        if axes is None:
            raise NotImplementedError(
                f"receptive_field has no rule for {node.target} of layer {label(node)!r} with "
                f"output shape {seen.shape}; replace the layer or add a rule to ippy/reach.py"
            )
        reach[node] = axes
        if seen.is_global:
            global_layers.append(label(node))
        sizes = dict(zip(("height", "width"), (axis.extremes() for axis in axes), strict=True))
        jumps = tuple(axis.jump for axis in axes)
        facts = {"layer": label(node), "operation": operation(node), "size": seen.size}
        rows.append({**facts, **sizes, "stride": jumps})
    axes = next((reach[node] for node in reach if node.name == signature.user_outputs[0]), None)
    if axes is None:
        raise ValueError(f"the output of {type(model).__name__} does not depend on its input")
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
    channels, kernel = x.shape[1], pair(kernel_size)
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

    Raises:
        NotImplementedError: If a max-pooling returns its indices or rounds sizes up.
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
