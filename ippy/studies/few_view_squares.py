"""Whether a network against streaks should see whole slices in training.

The UNet of few-view tomography is trained for some minutes on squares of two sizes and on whole
slices of 256 pixels, at equal cost: a step on a slice takes twice as long as one on squares, so it
has half of them. It is measured on whole validation slices. Seeds decide initialisation, batches
and crops.
"""

from dataclasses import replace
from functools import partial

import torch

from ippy import evaluation, metrics, training
from ippy.networks import RECIPES, Recipe
from ippy.studies.few_views import test_pictures
from ippy.studies.measures import FAMILIES, rounded
from ippy.studies.runner import Run, identity
from ippy.tasks import TASKS

__all__ = ["SQUARES"]

QUESTION = "Whether a network against streaks should see whole slices in training"

SEEDS = (0, 1, 2, 3, 4)
#: Side (pixels) -> squares of a batch, steps.
SQUARES = {64: (4, 720), 128: (1, 720), 256: (1, 340)}
#: Validation images of each family.
N_FAMILY = 16


def _recipe(side: int, seed: int) -> Recipe:
    batch_size, steps = SQUARES[side]
    full = RECIPES["FewViewUNet"]
    crop = side if side < TASKS[full.task].shape[0] else None
    return replace(
        full, crop=crop, batch_size=batch_size, steps=steps, val_every=steps // 4, seed=seed
    )


def fit(side: int, seed: int) -> dict:
    """Train on squares of a side; PSNR of validation images, mixed and by family."""
    recipe = _recipe(side, seed)
    task = TASKS[recipe.task]
    model, history = training.train_recipe(recipe)
    operator, psnr = task.operator(), {}
    for kind in ("mixed", *FAMILIES):
        n_images = recipe.val_images if kind == "mixed" else N_FAMILY
        _, given, x = task.simulate(test_pictures(kind, "val")[:n_images], operator)
        x_hat = torch.cat([evaluation.reconstruct(model, part) for part in given.split(8)])
        psnr[kind] = rounded(metrics.psnr(x_hat, x))
    return {
        "psnr": psnr.pop("mixed"),
        "psnr_families": psnr,
        "val_step": history["val_step"],
        "val_mse": [float(f"{error:.5g}") for error in history["val_mse"]],
        "train_seconds": round(history["seconds"], 1),
    }


def runs() -> list[Run]:
    """Every side, each seed."""
    return [
        Run(
            {"side": side, "seed": seed},
            partial(fit, side, seed),
            identity(_recipe(side, seed), N_FAMILY, TASKS["few_view"].probe()),
        )
        for seed in SEEDS
        for side in SQUARES
    ]
