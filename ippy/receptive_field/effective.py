r"""How much of its receptive field a trained network uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["effective"]


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
        images: What it is given, (N, C, H, W); brought to the network's device.
        correction: Look at the correction; if False, at the output itself.
        shares: Shares of the energy in (0, 1).

    Returns:
        The map (H, W) of root-mean-square gradients, and for each share the radius, in pixels,
        of the circle around the middle pixel that holds this share of the squares' sum.

    Raises:
        ValueError: If the output has another shape, or the gradient is zero.
    """
    device = next((p.device for p in model.parameters()), images.device)
    x = images.detach().to(device, copy=True).requires_grad_()
    y = model(x)
    if y.shape != x.shape:
        raise ValueError(f"the network maps {tuple(x.shape)} to {tuple(y.shape)}; same size needed")
    row, column = x.shape[2] // 2, x.shape[3] // 2
    middle = (y - x if correction else y)[:, :, row, column].sum()
    energy = torch.autograd.grad(middle, x)[0].square().sum(1).mean(0)
    energy = energy.cpu().double()  # (H, W)
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
