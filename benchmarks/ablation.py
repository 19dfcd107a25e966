"""What each part of the UNet's recipe is worth, at equal cost: ``python3 run.py bench ablation``.

Every run changes one thing of ``BASE``, a short recipe, and processes the same number of
pixels: with smaller crops there are more steps. Each is measured on the validation images with its
last weights and with their running average (decay 0.99). Seeds decide initialisation, batches,
crops and noise.
"""

from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ippy import datasets, evaluation, metrics, training
from ippy.networks import Recipe
from ippy.studies.runner import Run, identity
from ippy.tasks import SHAPE, measure, task_operator

# The reference, called "the recipe" below: that of the first edition's networks. Today's was found
# by the study ``recipe``.
BASE = Recipe("SimpleUNet", steps=1125, crop=64, batch_size=8, init="identity", lr=1e-3)
CHANGES = {
    "the recipe": {},
    "learning rate 2e-3": {"lr": 2e-3},
    "batches of 4": {"batch_size": 4, "steps": 2250},
    "crops of 48": {"crop": 48, "steps": 2000},
    "crops of 96": {"crop": 96, "steps": 500},
    "whole images": {"crop": None, "steps": 70},
    "constant learning rate": {"schedule": "constant"},
    "no flips": {"flips": False},
    "crops without margin": {"crop": None},  # with `tiles` below
    "learning rate 4e-3": {"lr": 4e-3},
    "default initialisation": {"init": "default"},
    "absolute error": {},
    "logarithm of the squared error": {},
}
LOSSES = {
    "absolute error": F.l1_loss,
    "logarithm of the squared error": lambda x_hat, x: (
        (x_hat - x).square().mean((1, 2, 3)).add(1e-6).log().mean()
    ),
}


def tiles(images: torch.Tensor, side: int) -> torch.Tensor:
    """Cut images (N, 1, H, W) into squares that are then blurred as if nothing lay outside."""
    return torch.cat([strip for rows in images.split(side, 2) for strip in rows.split(side, 3)])


def fit(change: str, seed: int) -> dict:
    """Train one variant; errors on the 16 validation images."""
    recipe = replace(BASE, **CHANGES[change], seed=seed, val_every=10_000)
    operator = task_operator()
    images = datasets.materialise(datasets.SyntheticDataset(data_shape=SHAPE, **recipe.data))
    val = datasets.materialise(datasets.SyntheticDataset(16, SHAPE, split="val"))
    torch.manual_seed(seed)
    model = recipe.build()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    hook = register_optimizer_step_post_hook(lambda *_: averaged.update_parameters(model))
    alone = change == "crops without margin"
    try:
        pieces = tiles(images, BASE.crop) if alone else images
        blur = task_operator((BASE.crop, BASE.crop)) if alone else operator
        batch = training.MeasuredCrops(pieces, blur, recipe)
        loss = LOSSES.get(change, F.mse_loss)
        training.train(model, batch, recipe, progress=False, loss=loss)
    finally:
        hook.remove()
    x = val.float() / 255
    y_delta = measure(x, operator)
    found = {}
    for name, network in (("last", model), ("averaged", averaged.module)):
        x_hat = evaluation.reconstruct(network, y_delta)
        found[name] = {
            "mse": F.mse_loss(x_hat, x).item(),
            "psnr": metrics.psnr(x_hat, x).mean().item(),
        }
    return found


def runs() -> list[Run]:
    """All runs; three seeds of the recipe itself show what is noise."""
    pairs = [(change, 0) for change in CHANGES] + [("the recipe", 1), ("the recipe", 2)]
    return [
        Run(
            {"change": change, "seed": seed},
            partial(fit, change, seed),
            identity(replace(BASE, **CHANGES[change]), change),
        )
        for change, seed in pairs
    ]
