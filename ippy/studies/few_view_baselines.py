"""Regularisation parameters for few-view tomography, chosen on training images."""

from functools import partial
from typing import Any

from ippy import datasets, evaluation, metrics
from ippy.studies import baselines
from ippy.studies.runner import Run, identity
from ippy.tasks import TASKS, few_view_projector

__all__ = ["LAMBDAS", "runs", "summarise"]

QUESTION = "Regularisation parameters for few-view tomography, chosen on training images"

#: The parameters that are tried, twelve in a decade. They weigh against the square of the
#: projector's norm, 86, and are thousands of times larger than those of a blur.
LAMBDAS = {
    "Tikhonov": [round(10 ** (k / 12), 3) for k in range(9, 34)],
    "TV": [round(10 ** (k / 12), 4) for k in range(-3, 14)],
}
TASK = TASKS["few_view"]
NOISE_LEVELS = (TASK.noise_level,)
#: Training images that the parameters are chosen on.
DATA: dict[str, Any] = {"n_images": 12, "version": 3, "split": "train"}


def _search(noise_level: float) -> dict:
    """Mean PSNR of each method with each parameter, and of the filtered backprojections."""
    pictures = datasets.FinePictures(datasets.SyntheticDataset(data_shape=TASK.shape, **DATA))
    K, psnr = few_view_projector(TASK.shape), {}
    y_delta, x = TASK.measured(datasets.materialise(pictures), K, noise_level)
    for method in LAMBDAS:
        psnr[method] = [
            metrics.psnr(evaluation.classical_method(method, K, lam)(y_delta), x).mean().item()
            for lam in LAMBDAS[method]
        ]
    windows = {f: metrics.psnr(K.fbp(y_delta, f), x).mean().item() for f in ("ramp", "hann")}
    return {"psnr": psnr, "fbp": windows}


def runs() -> list[Run]:
    """One run for each noise level."""
    depends = identity(LAMBDAS, TASK.probe(), DATA)
    return [Run({"noise_level": level}, partial(_search, level), depends) for level in NOISE_LEVELS]


#: The parameters that were tried, and the best of each method for each noise level.
summarise = partial(baselines.summarise, lambdas=LAMBDAS)
