"""Regularisation parameters of the classical methods, chosen on training images."""

from collections.abc import Callable
from functools import partial

from ippy import datasets, evaluation, metrics
from ippy.datasets.phantoms import GENERATORS
from ippy.studies.measures import FAMILIES, VERSION
from ippy.studies.runner import Run, identity
from ippy.studies.trained import training_device
from ippy.tasks import SHAPE, TASKS, measure, task_operator

__all__ = ["LAMBDAS", "NOISE_LEVELS", "N_IMAGES", "runs", "summarise"]

QUESTION = "Regularisation parameters of the classical methods, chosen on training images"

#: The parameters that are tried, twelve in a decade.
LAMBDAS = {
    "Tikhonov": [round(10 ** (k / 12), 7) for k in range(-48, 1)],
    "TV": [round(10 ** (k / 12), 7) for k in range(-48, -9)],
}
NOISE_LEVELS = (0.01, 0.05, 0.2)
#: Training images of each family.
N_IMAGES = 4


def _search(noise_level: float) -> dict:
    """Mean PSNR of each method with each parameter, for each family and for all images."""
    K = task_operator().to(training_device())
    families: dict[str, dict[str, list[float]]] = {}
    for kind in FAMILIES:
        dataset = datasets.SyntheticDataset(
            N_IMAGES, SHAPE, kind=kind, split="train", version=VERSION
        )
        images = datasets.materialise(dataset).float() / 255
        y_delta = measure(images, task_operator(), noise_level).to(training_device())
        families[kind] = {
            method: [
                metrics.psnr(evaluation.classical_method(method, K, lam)(y_delta).cpu(), images)
                .mean()
                .item()
                for lam in lambdas
            ]
            for method, lambdas in LAMBDAS.items()
        }
    found = {method: [families[kind][method] for kind in FAMILIES] for method in LAMBDAS}
    psnr = {
        method: [sum(values) / len(values) for values in zip(*lists, strict=True)]
        for method, lists in found.items()
    }
    return {"psnr": psnr, "psnr_by_family": families}


def runs() -> list[Run]:
    """One run for each noise level."""
    depends = identity(LAMBDAS, TASKS["deblurring"].probe(), VERSION, N_IMAGES)
    code: tuple[Callable, ...] = (_search, *GENERATORS[VERSION].values())
    return [
        Run({"noise_level": level}, partial(_search, level), depends, code)
        for level in NOISE_LEVELS
    ]


def _best(psnr: dict[str, list[float]], lambdas: dict[str, list[float]]) -> dict[str, float]:
    """The parameter of each method with the largest PSNR."""
    return {
        method: lambdas[method][max(range(len(values)), key=values.__getitem__)]
        for method, values in psnr.items()
    }


def summarise(runs: list[dict], lambdas: dict[str, list[float]] = LAMBDAS) -> dict:
    """The parameters that were tried, and the best of each method for each noise level."""
    chosen = {f"{run['noise_level']:g}": _best(run["psnr"], lambdas) for run in runs}
    by_family = {
        f"{run['noise_level']:g}": {
            kind: _best(psnr, lambdas) for kind, psnr in run["psnr_by_family"].items()
        }
        for run in runs
        if "psnr_by_family" in run
    }
    return {"lambdas": lambdas, "chosen": chosen, "chosen_by_family": by_family}
