"""Networks and classical methods away from the task that they were made for."""

import torch
from torch import Tensor, nn

from ippy import metrics
from ippy.images import sample_image
from ippy.networks import taught
from ippy.operators import Operator
from ippy.studies import trained
from ippy.studies.measures import (
    CLASSICAL,
    FAMILIES,
    SEEDS,
    Method,
    Subject,
    apply,
    classical,
    shipped,
    short,
    test_images,
    test_pairs,
)
from ippy.studies.runner import Run
from ippy.tasks import NOISE_LEVEL, SHAPE, measure, task_operator

__all__ = ["ANGLES", "LENGTHS", "NOISE_LEVELS", "WORLDS"]

#: Noise levels, angles in degrees and lengths in pixels of the blurs, and kinds of images.
NOISE_LEVELS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)
ANGLES = (0, 10, 15, 18, 20, 22, 25, 30, 45, 60, 90)
LENGTHS = trained.LENGTHS
WORLDS = (*FAMILIES, "photographs and MR")


def _world(name: str) -> Tensor:
    if name in FAMILIES:
        return test_images(16, name)
    return torch.cat([sample_image(n, SHAPE) for n in ("camera", "cat", "abdomen_mr")])


def _mean_psnr(f: Method | nn.Module, x: Tensor, K: Operator, level: float = NOISE_LEVEL) -> float:
    x_hat = apply(f, measure(x, K, level))
    return round(metrics.psnr(x_hat, x).mean().item(), 3)


def _measure(subject: Subject) -> dict:
    """Mean PSNR along each knob."""
    (f, _), K, x = subject.load(), task_operator(), test_pairs(16)[1]
    return {
        "noise": [_mean_psnr(f, x, K, level) for level in NOISE_LEVELS],
        "angle": [_mean_psnr(f, x, task_operator(motion_angle=float(a))) for a in ANGLES],
        "length": [_mean_psnr(f, x, task_operator(kernel_size=n)) for n in LENGTHS],
        "world": [_mean_psnr(f, _world(world), K) for world in WORLDS],
    }


def runs() -> list[Run]:
    """The UNet trained on one task or on ranges, every shipped network, the classical methods."""
    subjects = [short(name, seed, "brief") for seed in SEEDS for name in ("UNet", "UNet, ranges")]
    subjects += [shipped(name) for name in taught()]
    subjects += [classical(name) for name in CLASSICAL]
    knobs = (NOISE_LEVELS, ANGLES, LENGTHS, WORLDS)  # a curve has one value for each
    return [subject.run(_measure, *knobs) for subject in subjects]
