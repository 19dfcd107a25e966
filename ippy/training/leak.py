"""ReLUs that let a little of what is negative through, while a network learns."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["Leak"]

_RELUS = (torch.relu, torch.Tensor.relu, F.relu)


class Leak(TorchFunctionMode):
    """Inside its ``with`` block every ReLU has a negative side of this slope.

    A ReLU whose input is negative everywhere passes no gradient, so that its channel stays silent
    for good. With a slope that falls to 0 while a network learns, silent channels go on learning,
    and the network that comes out has plain ReLUs.

    Args:
        slope: Of the negative side, in [0, 1); a tensor is read anew in every block, which a step
            that is recorded on a GPU needs.

    Example:
        >>> with Leak(0.1):
        ...     torch.relu(torch.tensor([-1.0, 1.0]))
        tensor([-0.1000,  1.0000])
    """

    def __init__(self, slope: float | Tensor) -> None:
        super().__init__()
        self.slope = slope

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Compute what PyTorch was asked for, or the leaky ReLU in its place."""
        if func not in _RELUS:
            return func(*args, **(kwargs or {}))
        x, slope = args[0], self.slope
        return torch.maximum(x, slope * x) if torch.is_tensor(slope) else F.leaky_relu(x, slope)
