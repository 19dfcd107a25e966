"""Networks with and without a skip, trained on one kind of images and tested on the other."""

from dataclasses import replace
from functools import partial

from ippy import datasets, evaluation
from ippy.studies.chains import SMALL, fit, images_of, three_layers
from ippy.studies.runner import Run, identity
from ippy.tasks import task_operator

__all__ = ["KINDS", "N_TEST", "RECIPE", "runs"]

QUESTION = "Networks with and without a skip, trained on one kind of images and tested on the other"

#: Kinds of images.
KINDS = ("thorax", "dead_leaves")
RECIPE = replace(SMALL, val_every=1000)
N_TEST = 32


def _generalise(kind: str, skip: bool, seed: int) -> dict:
    """Error on test images of each kind of a network, and of the measurement."""
    model = three_layers(skip, False, seed)
    fit(model, images_of(kind), RECIPE)
    K = task_operator()
    found: dict[str, dict[str, float]] = {"mse": {}, "measurement_mse": {}}
    for target in KINDS:
        images = evaluation.held_out_images(N_TEST, target)
        table = evaluation.evaluate({"net": model}, images, K)
        found["mse"][target] = sum(table["net"]["mse"]) / N_TEST
        found["measurement_mse"][target] = sum(table["measurement"]["mse"]) / N_TEST
    return found


def runs() -> list[Run]:
    """Trained on each kind of images, with and without a skip, five seeds."""
    depends = identity(RECIPE, KINDS, N_TEST, datasets.GENERATOR_VERSION)
    return [
        Run(
            {"kind": kind, "skip": skip, "seed": seed},
            partial(_generalise, kind, skip, seed),
            depends,
        )
        for seed in range(5)
        for kind in KINDS
        for skip in (False, True)
    ]
