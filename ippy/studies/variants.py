"""The UNets beside each other: residual blocks and global skips, gates, nested skips."""

from typing import Any

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

__all__ = ["with_mean_attention"]

#: Trained briefly beside the UNets of the book.
OTHERS = (
    "UNet + global skip",
    "ResidualUNet + global skip",
    "UNet, two poolings",
    "UNet, 16 channels",
)


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
    """Short trainings with every seed, then the shipped networks."""
    unets = taught("unet")
    subjects = [short(name, seed) for seed in SEEDS for name in (*unets, *OTHERS)]
    subjects += [shipped(name) for name in unets]
    return [subject.run(_measure) for subject in subjects]
