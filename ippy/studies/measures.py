"""What several studies measure on a trained network: quality, and facts about its training.

All networks and classical methods are given the same test images and noise; values per image are
stored, so that pages can compare image by image.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from ippy import evaluation, metrics, weights
from ippy.studies import trained
from ippy.tasks import measure, task_operator

__all__ = [
    "CLASSICAL",
    "SEEDS",
    "Method",
    "apply",
    "facts",
    "inside",
    "method",
    "quality",
    "rounded",
    "test_pairs",
]

Method = Callable[[Tensor], Tensor]
#: Seeds of the short trainings.
SEEDS = (0, 1, 2)
CLASSICAL = ("measurement", "Tikhonov", "TV")


def method(name: str, seed: int | str, lr: float = 1e-3) -> Method | nn.Module:
    """The network or classical method of a run, from measurements to reconstructions."""
    if name == "measurement":
        return lambda y_delta: y_delta
    if name in CLASSICAL:
        return evaluation.baselines(task_operator())[name]
    return weights.load(name) if seed == "shipped" else trained.trained(name, seed, lr)[0]


def apply(f: Method | nn.Module, y_delta: Tensor) -> Tensor:
    return evaluation.reconstruct(f, y_delta) if isinstance(f, nn.Module) else f(y_delta)


def rounded(values: Tensor | Sequence[float], digits: int = 5) -> list[float]:
    return [float(f"{float(v):.{digits}g}") for v in values]


@cache
def test_pairs(n: int = 32, kind: str = "mixed") -> tuple[Tensor, Tensor]:
    x = evaluation.held_out_images(n, kind).float() / 255
    return measure(x, task_operator()), x


def inside(x: Tensor) -> Tensor:
    """Pixels that have brighter ones (> 0.2) on all four sides: the body, without the air around.

    Args:
        x: Clean images (N, 1, H, W) in [0, 1].

    Returns:
        Mask of the same shape.
    """
    bright = (x > 0.2).int()
    found = torch.ones_like(bright)
    for axis in (2, 3):
        found *= bright.cummax(axis)[0] * bright.flip(axis).cummax(axis)[0].flip(axis)
    return found.bool()


def quality(f: Method | nn.Module) -> dict:
    """Values of the 32 mixed test images, and PSNR inside the body for 32 thorax phantoms."""
    y_delta, x = test_pairs()
    x_hat = apply(f, y_delta)
    found = {m: rounded(getattr(metrics, m)(x_hat, x)) for m in ("mse", "psnr", "ssim")}
    y_delta, x = test_pairs(kind="thorax")
    x_hat = apply(f, y_delta)
    found["psnr_thorax"] = rounded(metrics.psnr(x_hat, x))
    found["psnr_inside"] = rounded(metrics.psnr(x_hat, x, mask=inside(x)))
    return found


def facts(name: str, seed: int | str, f: Method | nn.Module, lr: float = 1e-3) -> dict:
    if not isinstance(f, nn.Module):
        return {}
    n = sum(p.numel() for p in f.parameters())
    if seed == "shipped":
        return {"parameters": n}
    history = trained.trained(name, seed, lr)[1]
    val = {"val_step": history["val_step"], "val_mse": rounded(history["val_mse"])}
    return {"parameters": n, "train_seconds": round(history["seconds"]), **val}
