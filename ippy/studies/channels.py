"""Which channels of a UNet carry something, level by level."""

import torch
from torch import Tensor, nn

from ippy.studies.chains import Chain

__all__ = ["ACTIVE", "LEVELS", "active_channels", "live_channels"]

#: The levels of a UNet with three poolings, from above.
LEVELS = ("enc1", "enc2", "enc3", "bottleneck")
#: Those of a UNet++.
_NESTED = ("x0_0", "x1_0", "x2_0")
#: A channel is active if it is positive in more than this share of the pixels.
ACTIVE = 0.01


@torch.no_grad()
def live_channels(
    model: nn.Module, y_delta: Tensor, share: float = 0.0
) -> dict[str, tuple[int, int]]:
    """How many channels of each level are not zero everywhere: level -> (live, all).

    A ReLU whose input is negative for every pixel of every image gives zero, has no gradient, and
    stays so: it has died.

    Args:
        model: A UNet, or a network around one in its attribute ``body``.
        y_delta: What it is given (N, 1, H, W), brought to its device.
        share: Count only channels that are positive in more than this share of the pixels.
    """
    unet, handles = model.body if isinstance(model, Chain) else model, []
    found: dict[str, tuple[int, int]] = {}
    for level in (*LEVELS, *_NESTED):

        def count(_: nn.Module, __: tuple, out: Tensor, level: str = level) -> None:
            positive = (out > 0).float().mean((0, 2, 3))  # (channels,)
            found[level] = (int((positive > share).sum()), out.shape[1])

        if hasattr(unet, level):
            handles.append(getattr(unet, level).register_forward_hook(count))
    try:
        model(y_delta.to(next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def active_channels(model: nn.Module, y_delta: Tensor) -> dict[str, float]:
    """Share of the channels of each level that are active, positive in > 1 % of the pixels."""
    counted = live_channels(model, y_delta, ACTIVE)
    return {level: round(live / total, 4) for level, (live, total) in counted.items()}
