"""What several studies measure, networks and classical methods, and measures they share.

All networks and classical methods are given the same test images and noise; values per image are
stored, so that pages can compare image by image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor, nn

from ippy import datasets, evaluation, metrics, results, weights
from ippy.networks import NETWORKS
from ippy.studies import trained
from ippy.studies.runner import Run, identity
from ippy.tasks import NOISE_LEVEL, TASKS, measure, task_operator

__all__ = [
    "CLASSICAL",
    "SEEDS",
    "Method",
    "Subject",
    "apply",
    "classical",
    "facts",
    "inside",
    "quality",
    "rounded",
    "shipped",
    "short",
    "test_pairs",
]

#: What gives images (N, 1, H, W) for measurements.
Method = Callable[[Tensor], Tensor]
#: Seeds of the short trainings.
SEEDS = (0, 1, 2)
#: Methods that are not trained.
CLASSICAL = ("measurement", "Tikhonov", "TV")


@dataclass(frozen=True)
class Subject:
    """What a study measures: a network or a classical method.

    Args:
        fields: What tells it from others, for :class:`ippy.studies.Run`.
        load: Gives the network or method, and the history of its training or None.
        depends: What it depends on, as a hash.
        code: Functions and names whose code decides what it is.
        missing: Why it cannot be measured here.
    """

    fields: dict
    load: Callable[[], tuple[Method | nn.Module, dict | None]]
    depends: str
    code: tuple[Callable | str, ...]
    missing: str = ""

    def run(self, measure: Callable[["Subject"], dict], *settings: object) -> Run:
        """The run that measures it; ``settings`` are plain data that the result depends on."""
        depends = identity(self.depends, *settings) if settings else self.depends
        code = (measure, *self.code)
        return Run(self.fields, partial(measure, self), depends, code, self.missing)


def short(name: str, seed: int, lr: float | None = None) -> Subject:
    """A network after a short training; with the usual learning rate if ``lr`` is None."""
    variant, rate = trained.variant(name), lr or trained.LR
    base = None if variant.base == name else variant.base
    fields = {"network": name, "base": base, **variant.settings(), "seed": seed, "lr": lr}
    return Subject(
        {field: value for field, value in fields.items() if value is not None},
        partial(trained.trained, name, seed, rate),
        trained.depends(name, seed, rate),
        trained.code(name),
    )


def shipped(key: str) -> Subject:
    """A network with the weights that come with the book."""
    fields, found = {"network": key, "weights": "shipped"}, weights.WEIGHTS_DIR / f"{key}.pth"
    code = (f"ippy.models.{NETWORKS[key].recipe.model}",)
    if not found.is_file():
        missing = f"it has no weights; train them with 'python -m ippy train {key}'"
        return Subject(fields, lambda: (weights.load(key), None), "", code, missing)
    sha256 = weights.read_card(key)["sha256"][:12]
    return Subject(fields, lambda: (weights.load(key), None), sha256, code)


def classical(name: str) -> Subject:
    """A classical method with its chosen parameter; ``"measurement"`` does nothing."""
    chosen = results.load("baselines")["chosen"][f"{NOISE_LEVEL:g}"]
    depends = identity(chosen.get(name), TASKS["deblurring"].probe(), datasets.GENERATOR_VERSION)

    def load() -> tuple[Method, None]:
        if name == "measurement":
            return (lambda y_delta: y_delta), None
        return evaluation.baselines(task_operator())[name], None

    return Subject({"network": name}, load, depends, (evaluation.baselines, task_operator))


def apply(f: Method | nn.Module, y_delta: Tensor) -> Tensor:
    """Reconstructions (N, 1, H, W) of a network or a classical method."""
    return evaluation.reconstruct(f, y_delta) if isinstance(f, nn.Module) else f(y_delta)


def rounded(values: Tensor | Sequence[float], digits: int = 5) -> list[float]:
    """Numbers with as many significant digits as a stored result keeps."""
    return [float(f"{float(v):.{digits}g}") for v in values]


@cache
def test_pairs(n: int = 32, kind: str = "mixed") -> tuple[Tensor, Tensor]:
    """Measurements and truth of the first ``n`` test images, each (n, 1, 256, 256)."""
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


def facts(f: Method | nn.Module, history: dict | None) -> dict:
    """The size of a network, and how its short training went."""
    found: dict = {}
    if isinstance(f, nn.Module):
        found["parameters"] = sum(p.numel() for p in f.parameters())
    if history:
        found["train_seconds"] = round(history["seconds"])
        found |= {"val_step": history["val_step"], "val_mse": rounded(history["val_mse"])}
    return found
