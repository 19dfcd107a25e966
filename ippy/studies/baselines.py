"""Regularisation parameters of the classical methods, chosen on training images."""

from functools import partial

from ippy import datasets, evaluation, metrics
from ippy.studies.runner import Run, identity
from ippy.tasks import SHAPE, TASKS, measure, task_operator

__all__ = ["LAMBDAS", "NOISE_LEVELS", "runs", "summarise"]

LAMBDAS = {
    "Tikhonov": [round(10 ** (k / 6), 6) for k in range(-18, 1)],
    "TV": [round(10 ** (k / 6), 6) for k in range(-24, -5)],
}
NOISE_LEVELS = (0.01, 0.05, 0.2)


def _search(noise_level: float) -> dict:
    """Mean PSNR of each method with each parameter."""
    images = datasets.materialise(datasets.SyntheticDataset(8, SHAPE, split="train")).float() / 255
    K, psnr = task_operator(), {}
    y_delta = measure(images, K, noise_level)
    for method in LAMBDAS:
        psnr[method] = [
            metrics.psnr(evaluation.classical_method(method, K, lam)(y_delta), images).mean().item()
            for lam in LAMBDAS[method]
        ]
    return {"psnr": psnr}


def runs() -> list[Run]:
    """One run for each noise level."""
    depends = identity(LAMBDAS, TASKS["deblurring"].probe(), datasets.GENERATOR_VERSION)
    return [Run({"noise_level": level}, partial(_search, level), depends) for level in NOISE_LEVELS]


def summarise(runs: list[dict], lambdas: dict[str, list[float]] = LAMBDAS) -> dict:
    """The parameters that were tried, and the best of each method for each noise level."""
    chosen = {
        f"{run['noise_level']:g}": {
            method: lambdas[method][max(range(len(psnr)), key=psnr.__getitem__)]
            for method, psnr in run["psnr"].items()
        }
        for run in runs
    }
    return {"lambdas": lambdas, "chosen": chosen}
