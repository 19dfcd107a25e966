r"""Which input pixels an output pixel can depend on, from the layers of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ippy.receptive_field.axes import Axis
from ippy.receptive_field.rules import Node, label, operation

__all__ = ["Box", "ReceptiveField", "receptive_field", "recursion"]


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


class Box(NamedTuple):
    """First and last input row and column, inclusive, that an output pixel can depend on."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class ReceptiveField:
    """Receptive field of a network, as :func:`receptive_field` returns it.

    ``stride`` is the distance in input pixels between neighbouring outputs (height, width),
    ``global_layers`` names the layers that see the whole image, and ``positional_layers`` those
    whose result depends on the place in the image or on its size: resampling by a fraction or with
    aligned corners, adaptive pooling, circular padding, a fixed map that is added.
    """

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    stride: tuple[Fraction, Fraction]
    global_layers: tuple[str, ...]
    positional_layers: tuple[str, ...]
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
    given as its bounding box. Where a map that is padded with zeros is joined with another, the
    box of an output at the border may be larger than what it sees.

    Args:
        model: Network from (N, C, H, W) to (N, C', H', W'), or to (N, F) behind a global layer.
        input_shape: Shape of its input. The sizes (min, max) are over those outputs whose field
            lies inside, so the image must be larger than the field.

    Raises:
        NotImplementedError: If the network has an operation without a rule; it is named.
        ValueError: If the shape has not four positive numbers, the network cannot be traced,
            returns several outputs, or does not depend on its input.
        TypeError: If the network is no module.

    >>> receptive_field(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 1, 3))).height
    (5, 5)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is a {type(model).__name__}, expected a torch.nn.Module: write what it does "
            "into the forward of one"
        )
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
    reach, rows, global_layers, positional_layers = {}, [], [], []
    for node in exported.graph.nodes:
        if node.op == "placeholder" and node.name == signature.user_inputs[0]:
            sizes = zip(input_shape[2:], (-2, -1), strict=True)
            reach[node] = [Axis(torch.eye(n + 1, n)[:, None], dim=dim) for n, dim in sizes]
        inputs = [reach[source] for source in node.all_input_nodes if source in reach]
        if node.op != "call_function" or not inputs or "assert" in str(node.target):
            continue
        if not isinstance(node.meta["val"], Tensor | list | tuple):
            continue
        others = [
            source.meta["val"].shape
            for source in node.all_input_nodes
            if source not in reach and isinstance(source.meta.get("val"), Tensor)
        ]
        seen = Node(node, inputs, others)
        axes = seen.reach()
        if axes is None:
            raise NotImplementedError(
                f"receptive_field has no rule for {node.target} of layer {label(node)!r} with "
                f"output shape {seen.shape}; replace the layer or add a rule to "
                "ippy/receptive_field/rules.py"
            )
        reach[node] = axes
        if seen.is_global:
            global_layers.append(label(node))
        if seen.is_positional:
            positional_layers.append(label(node))
        extents = dict(zip(("height", "width"), (axis.extremes() for axis in axes), strict=True))
        jumps = tuple(axis.jump for axis in axes)
        facts = {"layer": label(node), "operation": operation(node), "size": seen.size}
        rows.append({**facts, **extents, "stride": jumps})
    axes = next((reach[node] for node in reach if node.name == signature.user_outputs[0]), None)
    if axes is None:
        raise ValueError(f"the output of {type(model).__name__} does not depend on its input")
    height, width = axes
    if any(not axis.flat and axis.dim != dim for axis, dim in zip(axes, (-2, -1), strict=True)):
        last = next(node for node in reach if node.name == signature.user_outputs[0])
        raise NotImplementedError(
            f"{last.target} of layer {label(last)!r} returns height and width in dimensions "
            f"{height.dim} and {width.dim}; let the network return (N, C, H, W)"
        )
    return ReceptiveField(
        (input_shape[2], input_shape[3]),
        (height.matrix.shape[2], width.matrix.shape[2]),
        (height.jump, width.jump),
        tuple(global_layers),
        tuple(positional_layers),
        tuple(rows),
        (height, width),
    )
