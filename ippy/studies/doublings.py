"""What each doubling of the training brings the book's UNet.

The plain UNet is trained with the recipe of its weight file, for an eighth, a quarter, half and all
of its steps; the schedule stretches with them. It is measured on the validation images of the study
``recipe``. Seeds decide initialisation, batches, crops and noise.
"""

from dataclasses import replace
from functools import partial

from ippy import datasets
from ippy.networks import RECIPES, Recipe
from ippy.studies.recipe import BASE, CHANGES, train_long
from ippy.studies.runner import Run, identity

__all__ = ["SHARES"]

QUESTION = "What each doubling of the training brings the book's UNet"

SEEDS = (0, 1, 2)
#: Steps as a share of those of the weight file.
SHARES = (1 / 8, 1 / 4, 1 / 2, 1)


def _recipe(share: float, seed: int) -> Recipe:
    full = RECIPES["UNet"]
    steps = round(share * full.steps)
    every = max(1, steps // 20)
    return replace(full, steps=steps, val_every=every, val_images=BASE.val_images, seed=seed)


def fit(share: float, seed: int) -> dict:
    """Train for a share of the steps, from a checkpoint if one is left; what came of it."""
    return train_long("doublings", CHANGES["the base"], _recipe(share, seed))


def runs() -> list[Run]:
    """Every length, each seed."""
    return [
        Run(
            {"steps": _recipe(share, seed).steps, "seed": seed},
            partial(fit, share, seed),
            identity(_recipe(share, seed), datasets.GENERATOR_VERSION),
        )
        for seed in SEEDS
        for share in SHARES
    ]
