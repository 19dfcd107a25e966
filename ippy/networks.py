"""The networks of the book as data: one entry each, which everything else reads.

To add a network, write its class in :mod:`ippy.models` and its entry in :data:`NETWORKS`, then
``python -m ippy train KEY``. Tables, the laboratory in the pages and the tests list what stands
here, in this order; pages compare the networks that a chapter explains.
"""

from dataclasses import asdict, dataclass, field, replace
from math import cos, pi
from typing import Any

import numpy as np
from torch import nn

from ippy import models
from ippy.tasks import NOISE_LEVEL, TASKS, Task

__all__ = ["GROUPS", "NETWORKS", "RECIPES", "Network", "Recipe", "find", "taught"]

#: Where a network belongs in the laboratory and in comparisons.
GROUPS = ("cnn", "unet")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run produces, machine and library apart.

    Args:
        model: Name of a class in :mod:`ippy.models`.
        model_args: Its constructor arguments.
        task: Key of :data:`ippy.tasks.TASKS`: what the network is trained for.
        steps: Number of optimiser steps.
        batch_size: Images per step over all processes together.
        crop: Side of the square cut from each measured image (pixels); None: the whole image.
        last_crop: Side of the squares in the last fifth of the steps, of which a batch then has
            fewer, so that the number of pixels stays; None: that of the others.
        margin: Pixels along the edges of a square that the loss leaves out, except at the image's
            own border.
        borders: Whether the image's own border is drawn as often as its interior.
        flips: Whether half of the batches are mirrored, in each direction.
        init: ``"default"`` (PyTorch's), ``"identity"`` (:func:`ippy.models.identity_init`),
            ``"he_identity"`` (:func:`ippy.models.he_identity_init`) or ``"he_zero"``
            (:func:`ippy.models.zero_output_init`).
        optimizer: Class of :mod:`torch.optim`, or of the package ``pytorch_optimizer``.
        optimizer_args: Its arguments besides the learning rate.
        lr: Largest learning rate.
        rate_by_fan_in: Whether layers with more than 288 inputs per output learn more slowly, in
            proportion; 288 is what a 3 x 3 layer of 32 channels has.
        warm_up: Part of the steps over which the learning rate rises.
        schedule: ``"one_cycle"`` (linear warm-up, cosine decay) or ``"constant"``.
        noise_level: Relative noise level of the measurements.
        data: Arguments of :class:`ippy.datasets.SyntheticDataset`, its size included.
        average: Decay of a running average of the weights, which then takes the place of the last
            weights; 0: none.
        seed: Decides initialisation, batches, crops and noise.
        val_images: Number of validation images.
        val_every: Steps between validations.
        quick_steps: Steps of a live run in a lecture (``IPPY_TRAIN=quick``).
    """

    model: str
    model_args: dict = field(default_factory=dict)
    task: str = "deblurring"
    steps: int = 1000
    batch_size: int = 8
    crop: int | None = 96
    last_crop: int | None = None
    margin: int = 0
    borders: bool = False
    flips: bool = True
    init: str = "default"
    optimizer: str = "Adam"
    optimizer_args: dict = field(default_factory=dict)
    lr: float = 1e-3
    rate_by_fan_in: bool = False
    warm_up: float = 0.1
    schedule: str = "one_cycle"
    noise_level: float = NOISE_LEVEL
    data: dict = field(default_factory=lambda: {"n_images": 2000, "kind": "mixed"})
    average: float = 0.0
    seed: int = 0
    val_images: int = 16
    val_every: int = 250
    quick_steps: int = 150

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, np.generic):  # a card holds plain numbers
                object.__setattr__(self, name, value.item())
        known: dict[str, tuple[str, ...]]
        known = {"schedule": ("one_cycle", "constant"), "task": tuple(TASKS)}
        known |= {"init": ("default", "identity", "he_identity", "he_zero")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                choice = " or ".join(map(repr, values))
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; use {choice}")
        for name in ("crop", "last_crop"):
            if (side := getattr(self, name)) is not None and side < 1:
                raise ValueError(f"{name} is {side}, expected a side in pixels, or None: no crop")
        if self.margin < 0 or 2 * self.margin >= min(self.crop or 10**6, self.last_crop or 10**6):
            raise ValueError(f"margin is {self.margin}, expected less than half of a square's side")
        if min(self.steps, self.batch_size, self.val_every, self.val_images) < 1:
            raise ValueError("steps, batch_size, val_every and val_images must be at least 1")
        if not 0 < self.lr < 1:
            raise ValueError(f"lr is {self.lr}, expected a learning rate in (0, 1) such as 1e-3")
        if not 0 <= self.average < 1:
            raise ValueError(
                f"average is {self.average}, expected a decay such as 0.999, or 0: none"
            )

    def build(self) -> nn.Module:
        """A fresh network with the constructor arguments and the initialisation of this recipe.

        Raises:
            ValueError: If ``model`` is no network of :mod:`ippy.models`.
        """
        if self.model not in models.__all__:
            names = ", ".join(name for name in models.__all__ if "Net" in name or "CNN" in name)
            raise ValueError(f"there is no network {self.model!r} in ippy.models; it has {names}")
        model = getattr(models, self.model)(**self.model_args)
        if self.init == "identity":
            models.identity_init(model)
        elif self.init == "he_identity":
            models.he_identity_init(model)
        elif self.init == "he_zero":
            models.zero_output_init(model)
        return model

    def quick(self) -> "Recipe":
        """The short version that trains live in a lecture, on fewer images and smaller crops."""
        data = {**self.data, "n_images": 200}
        return replace(
            self,
            crop=64,
            last_crop=None,
            margin=min(self.margin, 31),
            batch_size=min(4, self.batch_size) if self.crop else 4,
            steps=self.quick_steps,
            val_every=25,
            val_images=4,
            data=data,
        )

    def squares(self, step: int) -> tuple[int | None, int]:
        """Side of the squares of a step, and their number."""
        if self.last_crop is None or self.crop is None or step < 0.8 * self.steps:
            return self.crop, self.batch_size
        return self.last_crop, max(1, round(self.batch_size * (self.crop / self.last_crop) ** 2))

    def learning_rate(self, step: int) -> float:
        """Learning rate of step 0 … ``steps`` − 1."""
        if self.schedule == "constant":
            return self.lr
        warm = max(1, int(self.warm_up * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        return self.lr * 0.5 * (1 + cos(pi * (step - warm) / max(1, self.steps - warm)))

    def as_dict(self) -> dict:
        """The recipe as plain data, for cards and checkpoints."""
        return asdict(self)


@dataclass(frozen=True)
class Network:
    """One network of the book.

    Args:
        title: As laboratory and tables name it.
        recipe: How its weights are made; class, constructor arguments and task stand there.
        group: One of :data:`GROUPS`.
        chapter: The page that explains it, without ending, if there is one.
        in_laboratory: Whether readers can run it in the pages.
    """

    title: str
    recipe: Recipe
    group: str
    chapter: str | None = None
    in_laboratory: bool = True

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            choice = " or ".join(map(repr, GROUPS))
            raise ValueError(f"group {self.group!r} of {self.title} is unknown; use {choice}")

    @property
    def task(self) -> Task:
        """The task that the network is trained for."""
        return TASKS[self.recipe.task]


_CNN = {"in_ch": 1, "out_ch": 1, "n_filters": 32}
_UNET = {"in_ch": 1, "out_ch": 1, "base_ch": 32}

# How the recipes were found is in the study ``recipe``. The UNets have one budget; they start as
# the identity, with a signal at all levels. What a unit is given is never negative, so that all its
# inputs share a direction, in which an optimiser that scales each weight alone leaps; SOAP with
# sides up to those of the deepest level, and shorter steps for layers with many inputs, are meant
# to keep its units from being pushed into silence. The decay keeps weights from growing in long
# training.
_IMAGES = {"n_images": 2000, "kind": "mixed", "version": 3}
_COMMON: dict[str, Any]
_COMMON = {"data": _IMAGES, "val_images": 32, "quick_steps": 300}
_SOAP = {"weight_decay": 0.1, "max_precondition_dim": 256, "precondition_frequency": 20}
_DEEP: dict[str, Any]
_DEEP = {
    **_COMMON,
    "val_every": 500,
    "optimizer": "SOAP",
    "optimizer_args": _SOAP,
    "lr": 4e-3,
    "rate_by_fan_in": True,
}


def _cnn(name: str) -> Recipe:
    """The two CNNs start as PyTorch has it, since a chapter compares starts."""
    return Recipe(
        name, _CNN, **_COMMON, steps=10_000, batch_size=16, crop=64, borders=True, lr=2e-3
    )


_SQUARES: dict[str, Any] = {"steps": 9_000, "batch_size": 4, "crop": 64}
# A streak crosses the whole slice; in a square cut from it, neither its ends nor what cast it are
# to be seen. A step on a slice has four times the pixels of one on squares and takes twice as long.
_WHOLE: dict[str, Any] = {"steps": 12_000, "batch_size": 1, "crop": None}


def _unet(name: str) -> Recipe:
    return Recipe(name, _UNET, **_DEEP, **_SQUARES, borders=True, init="he_identity")


def _correction_unet(task: str, **cut: Any) -> Recipe:
    """A network that is given a reconstruction, computed once for every training image."""
    return Recipe("CorrectionUNet", _UNET, task, **_DEEP, **cut, init="he_zero")


#: Key of a weight file -> the network.
NETWORKS: dict[str, Network] = {
    "SimpleCNN": Network("SimpleCNN", _cnn("SimpleCNN"), "cnn", "cnn"),
    "ResCNN": Network("ResCNN", _cnn("ResCNN"), "cnn", "residual_learning"),
    "UNet": Network("UNet", _unet("SimpleUNet"), "unet", "unet"),
    "ResidualUNet": Network("Residual UNet", _unet("ResidualUNet"), "unet", "unet_variants"),
    "AttentionUNet": Network("Attention UNet", _unet("AttentionUNet"), "unet", "unet_variants"),
    "UNetPP": Network("UNet++", _unet("UNetPP"), "unet", "unet_variants"),
    "TikhonovUNet": Network(
        "Tikhonov UNet (told the blur)",
        _correction_unet("told_deblurring", **_SQUARES),
        "unet",
        in_laboratory=False,
    ),
    "FewViewUNet": Network(
        "UNet on the FBP", _correction_unet("few_view", **_WHOLE), "unet", in_laboratory=False
    ),
    "FewViewCNN": Network(
        "ResCNN on the FBP",
        Recipe("ResCNN", _CNN, "few_view", **_COMMON, steps=10_000, batch_size=4, crop=128),
        "cnn",
        in_laboratory=False,
    ),
}
#: Key of a weight file -> how it is made.
RECIPES: dict[str, Recipe] = {key: network.recipe for key, network in NETWORKS.items()}


def find(key: str) -> Network:
    """The entry of a key.

    Raises:
        KeyError: If there is none; the message names those that there are.
    """
    if key not in NETWORKS:
        raise KeyError(f"there is no network {key!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[key]


def taught(group: str | None = None, task: str = "deblurring") -> list[str]:
    """Keys of the networks that a chapter explains, as studies and pages compare them.

    Another network has its weights, its place in the laboratory and in the tables, and changes no
    page.

    Args:
        group: One of :data:`GROUPS`; None: all.
        task: Key of :data:`ippy.tasks.TASKS`.

    Raises:
        ValueError: If there is no such group or task.

    >>> taught("cnn")
    ['SimpleCNN', 'ResCNN']
    """
    if group not in (None, *GROUPS):
        raise ValueError(f"group {group!r} is unknown; use {' or '.join(map(repr, GROUPS))}")
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; use {' or '.join(map(repr, TASKS))}")
    return [
        key
        for key, network in NETWORKS.items()
        if network.chapter and network.recipe.task == task and group in (None, network.group)
    ]
