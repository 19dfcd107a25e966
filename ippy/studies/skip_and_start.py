"""Is it the skip that helps, or that the network starts as the identity?"""

from collections.abc import Callable
from functools import partial

from ippy import evaluation, metrics
from ippy.studies.chains import SMALL, fit, images_of, three_layers
from ippy.tasks import measure, task_operator


def _skip_and_start_run(skip: bool, identity: bool, seed: int) -> dict:
    model = three_layers(skip, identity, seed)
    val = images_of("mixed")[1].float() / 255
    y_delta = measure(val, task_operator())
    first = metrics.mse(evaluation.reconstruct(model, y_delta), val).mean().item()
    fitted = fit(model, "mixed", SMALL)
    return {"step": [0, *fitted["step"]], "val_mse": [first, *fitted["val_mse"]]}


def skip_and_start() -> dict[str, Callable]:
    return {
        f"{'skip' if skip else 'no skip'}, {'identity' if start else 'default'}, {seed}": partial(
            _skip_and_start_run, skip, start, seed
        )
        for seed in range(5)
        for skip in (False, True)
        for start in (False, True)
    }
