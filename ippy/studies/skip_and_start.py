"""Is it the skip that helps, or that the network starts as the identity?"""

from functools import partial

from ippy import datasets, evaluation, metrics
from ippy.studies.chains import SMALL, fit, images_of, three_layers
from ippy.studies.runner import Run, identity
from ippy.tasks import measure, task_operator

__all__ = ["STARTS", "runs"]

QUESTION = "Is it the skip that helps, or that the network starts as the identity?"

STARTS = ("default", "identity")


def _fit(skip: bool, start: str, seed: int) -> dict:
    """Validation error from the first step on."""
    model = three_layers(skip, start == "identity", seed)
    val = images_of("mixed")[1].float() / 255
    y_delta = measure(val, task_operator())
    first = metrics.mse(evaluation.reconstruct(model, y_delta), val).mean().item()
    fitted = fit(model, images_of("mixed"), SMALL)
    return {"step": [0, *fitted["val_step"]], "val_mse": [first, *fitted["val_mse"]]}


def runs() -> list[Run]:
    """With and without a skip, from each start, five seeds."""
    depends = identity(SMALL, datasets.GENERATOR_VERSION)
    return [
        Run({"skip": skip, "start": start, "seed": seed}, partial(_fit, skip, start, seed), depends)
        for seed in range(5)
        for skip in (False, True)
        for start in STARTS
    ]
