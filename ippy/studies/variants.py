"""The UNets beside each other: residual blocks, gates, nested skips, fewer levels or channels."""

from typing import Any

import torch
from torch import Tensor

from ippy import evaluation, metrics, models
from ippy.networks import taught
from ippy.studies.measures import (
    SEEDS,
    Subject,
    facts,
    quality,
    rounded,
    shipped,
    short,
    test_pairs,
)
from ippy.studies.runner import Run
from ippy.studies.settled import settled
from ippy.studies.statistics import pooled_std, student_t

__all__ = ["BUDGET", "OTHERS", "runs", "summarise", "with_mean_attention"]

QUESTION = (
    "The UNets beside each other: residual blocks, gates, nested skips, fewer levels or channels"
)

#: Key of :data:`ippy.studies.trained.BUDGETS`.
BUDGET = "short"
#: Trained beside the UNets of the book.
OTHERS = ("UNet, two poolings", "UNet, 16 channels")


def with_mean_attention(model: models.AttentionUNet, y_delta: Tensor) -> Tensor:
    """Reconstruct with each gate's weights replaced by their mean over the image."""
    gates: list[Any] = [block.attn for block in (model.dec1, model.dec2, model.dec3)]
    for gate in gates:
        gate.alpha = lambda g, s, gate=gate: models.AttentionGate.alpha(gate, g, s).mean(
            (2, 3), keepdim=True
        )
    try:
        return evaluation.reconstruct(model, y_delta)
    finally:
        for gate in gates:
            del gate.alpha


def _measure(subject: Subject) -> dict:
    f, history = subject.load()
    found = facts(f, history) | quality(f)
    if isinstance(f, models.AttentionUNet):
        y_delta, x = test_pairs()
        found["psnr mean attention"] = rounded(metrics.psnr(with_mean_attention(f, y_delta), x))
    return found


def runs() -> list[Run]:
    """The UNets of the book and the others with every seed, then the shipped ones."""
    unets = taught("unet")
    subjects = [short(name, seed, BUDGET) for seed in SEEDS for name in (*unets, *OTHERS)]
    subjects += [shipped(name) for name in unets]
    return [subject.run(_measure) for subject in subjects]


def summarise(runs: list[dict]) -> dict:
    r"""PSNR minus the UNet's, seed by seed; the spread over seeds is pooled over networks.

    Three seeds of one network hardly say how much seeds matter, those of all networks do. All
    differences share the UNet, so that they do not spread independently: the spread is that of
    the PSNR inside each network, and a difference of two means over seeds has the interval
    $t s \sqrt{1/n + 1/m}$ of Student.
    """
    groups: dict[str, list[dict]] = {}
    for run in runs:
        if run.get("weights") is None:
            groups.setdefault(run["network"], []).append(run)
    psnr = {
        name: {run["seed"]: _mean(run["psnr"]) for run in found} for name, found in groups.items()
    }
    gains = {
        name: [value - psnr["UNet"][seed] for seed, value in values.items() if seed in psnr["UNet"]]
        for name, values in psnr.items()
        if name != "UNet"
    }
    gains = {name: values for name, values in gains.items() if values}
    spread, df = pooled_std([list(values.values()) for values in psnr.values()])

    def half(values: list[float]) -> float:
        return student_t(df) * spread * (1 / len(values) + 1 / len(psnr["UNet"])) ** 0.5

    table = {
        name: {"gain": round(sum(values) / len(values), 3), "interval": round(half(values), 3)}
        for name, values in gains.items()
    }
    found = {"table": table, "seed_spread": round(spread, 3), "degrees_of_freedom": df}
    return found | {"settled": settled(groups, "UNet")}


def _mean(values: list[float]) -> float:
    return torch.tensor(values, dtype=torch.float64).mean().item()
