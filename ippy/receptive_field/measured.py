"""The receptive field by differentiation: a referee for the rules."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ippy.receptive_field.axes import pair
from ippy.receptive_field.exact import Box

__all__ = ["measured"]


# What is replaced by the identity; of all of it an output depends on the pixel itself only.
_POINTWISE = {"relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softmax", "mish"}
_POINTWISE |= {"dropout", "dropout2d", "hardtanh", "relu6", "softplus", "prelu", "hardswish"}
_POINTWISE |= {"hardsigmoid", "selu", "celu"}


class _Linearised(TorchFunctionMode):
    """Activations are the identity, maxima are means, and normalisation adds a mean."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", "").rstrip("_"), kwargs or {}
        if name in _POINTWISE:
            return args[0]
        if name == "layer_norm":
            return args[0] + args[0].mean(tuple(range(-len(args[1]), 0)), keepdim=True)
        if name in ("group_norm", "instance_norm"):
            return args[0] + args[0].mean((2, 3), keepdim=True)
        if name in ("max_pool2d", "_max_pool2d"):
            return _mean_pool(*args, **kwargs)
        return func(*args, **kwargs)


def _mean_pool(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    if return_indices or ceil_mode and pair(dilation) != (1, 1):
        raise NotImplementedError("measured has no linear twin for this max-pooling")
    channels, kernel = x.shape[1], pair(kernel_size)
    if ceil_mode:
        return F.avg_pool2d(x, kernel, stride or kernel, padding, ceil_mode=True)
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
        NotImplementedError: If a max-pooling returns its indices, or is dilated and rounds up.
    """
    linear = copy.deepcopy(model).double().cpu()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in [*linear.named_parameters(), *linear.named_buffers()]:
            if tensor.ndim > 1:  # about a weighted mean of what it reads
                tensor.uniform_(0.5, 1, generator=generator).div_(tensor[0].numel())
            elif tensor.is_floating_point():
                tensor.fill_(float(not name.endswith(("bias", "running_mean"))))
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
