"""The UNets beside each other: residual blocks and global skips, gates, nested skips."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from ippy import evaluation, metrics, models
from ippy.studies.measures import SEEDS, facts, method, quality, rounded, test_pairs

__all__ = ["variants", "with_mean_attention"]


def with_mean_attention(model: models.AttentionUNet, y_delta: Tensor) -> Tensor:
    """Reconstruct with each gate's weights replaced by their mean over the image."""
    gates = [block.attn for block in (model.dec1, model.dec2, model.dec3)]
    for gate in gates:
        gate.alpha = lambda g, s, gate=gate: models.AttentionGate.alpha(gate, g, s).mean(
            (2, 3), keepdim=True
        )
    try:
        return evaluation.reconstruct(model, y_delta)
    finally:
        for gate in gates:
            del gate.alpha


def _variants(name: str, seed: int | str) -> dict:
    f = method(name, seed)
    found = facts(name, seed, f) | quality(f)
    if name == "AttentionUNet":
        y_delta, x = test_pairs()
        found["psnr mean attention"] = rounded(metrics.psnr(with_mean_attention(f, y_delta), x))
    return found


def variants() -> dict[str, Callable]:
    names = ["UNet", "UNet + global skip", "ResidualUNet", "ResidualUNet + global skip"]
    names += ["AttentionUNet", "UNetPP", "UNet, two poolings", "UNet, 16 channels"]
    found = {f"{name}, {s}": partial(_variants, name, s) for s in SEEDS for name in names}
    shipped = ("UNet", "ResidualUNet", "AttentionUNet", "UNetPP")
    return found | {f"{name}, shipped": partial(_variants, name, "shipped") for name in shipped}
