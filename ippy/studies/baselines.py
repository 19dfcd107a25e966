"""Regularisation parameters of the classical methods, chosen on training images."""

from collections.abc import Callable
from functools import partial

from ippy import datasets, evaluation, metrics
from ippy.tasks import SHAPE, measure, task_operator

LAMBDAS = {
    "Tikhonov": [round(10 ** (k / 6), 6) for k in range(-18, 1)],
    "TV": [round(10 ** (k / 6), 6) for k in range(-24, -5)],
}


def _baseline(noise_level: float) -> dict:
    images = datasets.materialise(datasets.SyntheticDataset(8, SHAPE, split="train")).float() / 255
    K, psnr = task_operator(), {}
    y_delta = measure(images, K, noise_level)
    for method in LAMBDAS:
        psnr[method] = [
            metrics.psnr(evaluation.classical_method(method, K, lam)(y_delta), images).mean().item()
            for lam in LAMBDAS[method]
        ]
    return {"psnr": psnr}


def baselines() -> dict[str, Callable]:
    return {f"{level:g}": partial(_baseline, level) for level in (0.01, 0.05, 0.2)}


def choose(done: dict) -> dict:
    best = {
        level: {m: LAMBDAS[m][max(range(len(v)), key=v.__getitem__)] for m, v in r["psnr"].items()}
        for level, r in done.items()
    }
    return {"lambdas": LAMBDAS, "chosen": best}
