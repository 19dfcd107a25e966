"""Whether the recipe that was found in minutes holds at the cost of the first edition.

The first edition trained its UNet with 20,000 steps of Adam, 39 minutes of one core. Here the same
network is trained so once more, and for the same time as the book does today: a step of SOAP costs
about two and a half of Adam where the processor computes in bfloat16. Both see the same images, and
are measured on the validation images of the study ``recipe``.
"""

import time
from dataclasses import replace
from functools import partial

from ippy import datasets, training
from ippy.networks import RECIPES, Recipe
from ippy.studies.recipe import BASE, CHANGES, train_long
from ippy.studies.runner import Run, identity
from ippy.tasks import task_operator

__all__ = ["STEPS"]

QUESTION = "Whether the recipe of minutes holds at the first edition's cost"

#: A training takes half an hour of a core; a seed that is added here is computed beside the others.
SEEDS = (0, 1, 2)
#: Change of the study ``recipe`` -> steps of the full network.
STEPS = {"the base": 8_000, "the first edition's": 20_000}
#: Steps whose time is taken, after a tenth as many.
_TIMED = 40


def _recipe(name: str, seed: int) -> Recipe:
    steps, settings = STEPS[name], {**CHANGES[name].settings}
    full = RECIPES["UNet"].model_args
    settings |= {"model_args": full, "steps": steps, "val_every": steps // 20}
    return replace(BASE, **settings, seed=seed)


def _step_seconds(name: str) -> float:
    """What a step costs, in seconds of the processor, whatever else the machine does."""
    before = max(1, _TIMED // 10)
    recipe = replace(_recipe(name, 0), steps=_TIMED + before, val_every=before)
    data = datasets.SyntheticDataset(**{**recipe.data, "n_images": 16})
    batch = training.MeasuredCrops(datasets.materialise(data), task_operator(), recipe)
    clock: list[float] = []
    training.train(
        recipe.build(),
        batch,
        recipe,
        validation=(batch(0)[0][:1], batch(0)[1][:1]),
        progress=False,
        optimizer=CHANGES[name].optimizer,
        callback=lambda *_: clock.append(time.process_time()),
    )
    return (clock[-1] - clock[0]) / _TIMED


def fit(name: str, seed: int) -> dict:
    """Train with a recipe, from a checkpoint if one is left; what came of it, and its cost."""
    cost = _step_seconds(name)
    found = train_long("recipe_long", CHANGES[name], _recipe(name, seed))
    return {**found, "step_seconds": round(cost, 4)}


def runs() -> list[Run]:
    """Both recipes, each seed."""
    return [
        Run(
            {"change": name, "seed": seed},
            partial(fit, name, seed),
            identity(_recipe(name, seed), datasets.GENERATOR_VERSION),
        )
        for seed in SEEDS
        for name in STEPS
    ]
