"""Networks and classical methods away from the task that they were made for."""

from dataclasses import replace

from torch import Tensor, nn

from ippy import evaluation, metrics, results
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
    compared,
    foreign_images,
    shipped,
    short,
    test_images,
    test_pairs,
)
from ippy.studies.runner import Run
from ippy.tasks import NOISE_LEVEL, measure, task_operator

__all__ = ["ANGLES", "BUDGET", "LENGTHS", "NOISE_LEVELS", "TOLD", "WORLDS"]

QUESTION = "Networks and classical methods away from the task that they were made for"

#: How the UNets are trained, key of :data:`ippy.studies.trained.BUDGETS`.
BUDGET = "brief"
#: Noise levels, angles in degrees and lengths in pixels of the blurs, and kinds of images.
NOISE_LEVELS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)
ANGLES = (0, 10, 15, 18, 20, 22, 25, 30, 45, 60, 90)
LENGTHS = trained.LENGTHS
WORLDS = (*FAMILIES, "photographs and MR")
#: Methods that can be told the blur of a measurement.
TOLD = ("Tikhonov", "TV", "TikhonovUNet")


def _world(name: str) -> Tensor:
    if name in FAMILIES:
        return test_images(16, name)
    return foreign_images()


def _told(name: str, K: Operator, level: float) -> Method | nn.Module:
    """A method that knows the blur of this measurement and, if it is classical, the noise level."""
    if name in CLASSICAL:
        return evaluation.baselines(K, level)[name]
    return shipped(name, K).load()[0]


def _measure(subject: Subject) -> dict:
    """Mean PSNR along each knob; a method is told the setting if the field ``told`` says so."""
    name, told = subject.fields["network"], subject.fields.get("told", False)
    nominal, K, x = subject.load()[0], task_operator(), test_pairs(16)[1]

    def mean_psnr(images: Tensor, K: Operator, level: float = NOISE_LEVEL) -> float:
        f = _told(name, K, level) if told else nominal
        x_hat = apply(f, measure(images, K, level))
        return round(metrics.psnr(x_hat, images).mean().item(), 3)

    found = {
        "noise": [mean_psnr(x, K, level) for level in NOISE_LEVELS],
        "angle": [mean_psnr(x, task_operator(motion_angle=float(a))) for a in ANGLES],
        "length": [mean_psnr(x, task_operator(kernel_size=n)) for n in LENGTHS],
    }
    if not told:  # the kind of images cannot be told
        found["world"] = [mean_psnr(_world(world), K) for world in WORLDS]
    return found


def runs() -> list[Run]:
    """The UNet trained on one task or on ranges, every shipped network, the classical methods.

    Methods that can be told the blur come twice, the second time told.
    """
    subjects = [short(name, seed, BUDGET) for seed in SEEDS for name in ("UNet", "UNet, ranges")]
    subjects += [shipped(name) for name in compared()]
    subjects += [classical(name) for name in CLASSICAL]
    knobs = (NOISE_LEVELS, ANGLES, LENGTHS, WORLDS)  # a curve has one value for each
    runs = [subject.run(_measure, *knobs) for subject in subjects]
    chosen = results.load("baselines")["chosen"]  # at all noise levels
    for name in TOLD:
        subject = classical(name) if name in CLASSICAL else shipped(name)
        told = replace(subject, fields={**subject.fields, "told": True})
        runs.append(told.run(_measure, *knobs, chosen))
    return runs
