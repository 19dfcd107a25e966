"""Plain against residual chains of 8, 16 and 32 layers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ippy.studies.chains import SMALL, DeepChain, fit, images_of
from ippy.tasks import measure, task_operator

DEPTHS, KINDS = (8, 16, 32), ("plain", "residual", "scaled")


def gradient_norms(model: DeepChain, images: torch.Tensor) -> list[float]:
    """Norm of the loss gradient of each layer's weights, first to last, on one batch.

    Args:
        model: The network.
        images: Clean images, uint8 (N, 1, 256, 256); the middle of the first eight is used.
    """
    K = task_operator()
    x = images[:8].float() / 255
    y_delta = measure(x, K)[..., 96:160, 96:160]
    loss = nn.functional.mse_loss(model(y_delta), x[..., 96:160, 96:160])
    convs = [model.first, *model.layers, model.last]
    return [g.norm().item() for g in torch.autograd.grad(loss, [c.weight for c in convs])]


def _depth_run(depth: int, kind: str, seed: int) -> dict:
    torch.manual_seed(seed)
    model = DeepChain(depth, kind)
    norms = gradient_norms(model, images_of("mixed")[0])
    recipe = replace(SMALL, steps=400, lr=1e-3, schedule="one_cycle", val_images=8)
    try:
        fitted = fit(model, "mixed", recipe)
    except FloatingPointError:
        fitted = {"step": [], "val_mse": []}
    return {"gradient_norms": norms, **fitted}


def depth() -> dict[str, Callable]:
    return {
        f"{kind}, {depth}, {seed}": partial(_depth_run, depth, kind, seed)
        for seed in range(3)
        for depth in DEPTHS
        for kind in KINDS
    }
