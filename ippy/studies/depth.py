"""Plain against residual chains of 8, 16 and 32 layers."""

from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ippy import datasets
from ippy.studies.chains import SMALL, DeepChain, fit, images_of
from ippy.studies.runner import Run, identity
from ippy.tasks import measure, task_operator

__all__ = ["RECIPE", "gradient_norms", "runs"]

#: Numbers of layers, and kinds of :class:`ippy.studies.DeepChain`.
DEPTHS, KINDS = (8, 16, 32), ("plain", "residual", "scaled")
RECIPE = replace(SMALL, steps=400, lr=1e-3, schedule="one_cycle", val_images=8)


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


def _fit(kind: str, depth: int, seed: int) -> dict:
    """Gradient norms at the start, and the validation error; none if training diverged."""
    torch.manual_seed(seed)
    model = DeepChain(depth, kind)
    norms = gradient_norms(model, images_of("mixed")[0])
    try:
        fitted = fit(model, "mixed", RECIPE)
    except FloatingPointError:
        fitted = {"step": [], "val_mse": []}
    return {"gradient_norms": norms, **fitted}


def runs() -> list[Run]:
    """Every kind of chain in every depth, three seeds."""
    depends = identity(RECIPE, datasets.GENERATOR_VERSION)
    return [
        Run(
            {"network": kind, "depth": depth, "seed": seed},
            partial(_fit, kind, depth, seed),
            depends,
        )
        for seed in range(3)
        for depth in DEPTHS
        for kind in KINDS
    ]
