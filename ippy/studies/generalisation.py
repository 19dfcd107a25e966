"""Networks with and without a skip, trained on one kind of images and tested on the other."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ippy import evaluation
from ippy.studies.chains import SMALL, fit, three_layers
from ippy.tasks import task_operator

FAMILIES = ("thorax", "dead_leaves")


def _generalise(family: str, skip: bool, seed: int) -> dict:
    model = three_layers(skip, False, seed)
    fit(model, family, replace(SMALL, val_every=1000))
    K, mse = task_operator(), {}
    for target in FAMILIES:
        table = evaluation.evaluate({"net": model}, evaluation.held_outimages_of(32, target), K)
        mse[target] = sum(table["net"]["mse"]) / 32
        mse[f"measurement {target}"] = sum(table["measurement"]["mse"]) / 32
    return {"mse": mse}


def generalisation() -> dict[str, Callable]:
    return {
        f"{family}, {'skip' if skip else 'no skip'}, {seed}": partial(
            _generalise, family, skip, seed
        )
        for seed in range(5)
        for family in FAMILIES
        for skip in (False, True)
    }
