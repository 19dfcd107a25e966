"""How each shipped weight file was made, as data: one recipe per network."""

from dataclasses import asdict, dataclass, field, replace
from math import cos, pi

import torch
from torch import nn

from ippy import models, operators

__all__ = ["KERNEL", "NOISE_LEVEL", "RECIPES", "SHAPE", "Recipe", "identity_init", "task_operator"]

# The task of the whole book: motion blur of 9 pixels at 20 degrees, one percent of noise.
#: Height and width of the images, in pixels.
SHAPE = (256, 256)
#: The motion blur, as arguments of :class:`ippy.operators.Blurring`.
KERNEL = {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20.0}
#: Relative noise level.
NOISE_LEVEL = 0.01


def task_operator(shape: tuple[int, int] = SHAPE, **kernel) -> operators.Blurring:
    """The book's motion blur for images of ``shape``; keywords replace parts of :data:`KERNEL`."""
    return operators.Blurring(shape, **{**KERNEL, **kernel})


def identity_init(model: nn.Module, residual: bool = False) -> None:
    """Make a network carry its input through from the start (for non-negative images).

    Channel 0 is carried by Dirac kernels through all layers of a :class:`~ippy.models.SimpleCNN`,
    and its last layer ignores the others; inside a skip (``residual``) its last layer is zero
    instead. In the UNet family it is carried through the first encoder block, the uppermost skip
    and the last decoder block; an attention gate on the way starts at one half. Everything else
    keeps its initialisation, so that a UNet's first output is its input plus what the other
    channels of the last layer add.

    Raises:
        TypeError: For any other network.
    """
    last_scale = 1.0
    if type(model) is models.SimpleCNN:
        chain = [model.conv1, model.conv2, model.conv3]
        nn.init.zeros_(model.conv3.weight)
        nn.init.zeros_(model.conv3.bias)
    elif isinstance(model, models.ResidualUNet):
        blocks = [model.enc1, model.dec1.block]
        for block in blocks:  # the shortcut carries channel 0, the convolutions add nothing to it
            nn.init.zeros_(block.conv2.weight[0])
            nn.init.zeros_(block.conv2.bias[:1])
        chain = [*(block.shortcut for block in blocks), model.out_conv]
    elif isinstance(model, models.SimpleUNet | models.UNetPP):
        nested = isinstance(model, models.UNetPP)
        first, last = (model.x0_0, model.x0_2) if nested else (model.enc1, model.dec1.block)
        chain = [first.block[0], first.block[2], last.block[0], last.block[2], model.out_conv]
        if isinstance(model, models.AttentionUNet):
            nn.init.zeros_(model.dec1.attn.psi.weight)
            nn.init.zeros_(model.dec1.attn.psi.bias)
            last_scale = 2.0
    else:
        raise TypeError(f"no identity initialisation for {type(model).__name__}; see its docstring")
    if residual:
        return
    with torch.no_grad():
        for conv in chain[:-1]:
            conv.weight[0], conv.bias[0] = 0, 0
        for conv in chain:
            middle = conv.kernel_size[0] // 2
            conv.weight[0, 0, middle, middle] = last_scale if conv is chain[-1] else 1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a training run produces, machine and library apart.

    Args:
        model: Name of a class in :mod:`ippy.models`.
        model_args: Its constructor arguments.
        steps: Number of optimiser steps.
        batch_size: Images per step over all processes together.
        crop: Side of the square cut from each measured image (pixels); None: the whole image.
        flips: Whether half of the batches are mirrored, in each direction.
        init: ``"default"`` (PyTorch's) or ``"identity"`` (:func:`identity_init`).
        lr: Largest learning rate of Adam.
        schedule: ``"one_cycle"`` (linear warm-up over 10 %, cosine decay) or ``"constant"``.
        noise_level: Relative noise level of the measurements.
        data: Arguments of :class:`ippy.data.SyntheticDataset`, its size included.
        seed: Decides initialisation, batches, crops and noise.
        val_images: Number of validation images.
        val_every: Steps between validations.
        quick_steps: Steps of a live run in a lecture (``IPPY_TRAIN=quick``).
    """

    model: str
    model_args: dict = field(default_factory=dict)
    steps: int = 1000
    batch_size: int = 8
    crop: int | None = 96
    flips: bool = True
    init: str = "default"
    lr: float = 1e-3
    schedule: str = "one_cycle"
    noise_level: float = NOISE_LEVEL
    data: dict = field(default_factory=lambda: {"n_images": 2000, "kind": "mixed"})
    seed: int = 0
    val_images: int = 16
    val_every: int = 250
    quick_steps: int = 150

    def __post_init__(self) -> None:
        known = {"schedule": ("one_cycle", "constant"), "init": ("default", "identity")}
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is unknown; use {values[0]!r} or {values[1]!r}"
                )
        if min(self.steps, self.batch_size, self.val_every, self.val_images) < 1:
            raise ValueError("steps, batch_size, val_every and val_images must be at least 1")
        if not 0 < self.lr < 1:
            raise ValueError(f"lr is {self.lr}, expected a learning rate in (0, 1) such as 1e-3")

    def build(self):
        """A fresh network with the constructor arguments and the initialisation of this recipe."""
        model = getattr(models, self.model)(**self.model_args)
        if self.init == "identity":
            identity_init(model)
        return model

    def quick(self) -> "Recipe":
        """The short version that trains live in a lecture, on fewer images and smaller crops."""
        data = {**self.data, "n_images": 200}
        return replace(self, steps=self.quick_steps, crop=64, data=data, val_every=25, val_images=4)

    def learning_rate(self, step: int) -> float:
        """Learning rate of step 0 … ``steps`` − 1."""
        if self.schedule == "constant":
            return self.lr
        warm = max(1, self.steps // 10)
        if step < warm:
            return self.lr * (step + 1) / warm
        return self.lr * 0.5 * (1 + cos(pi * (step - warm) / max(1, self.steps - warm)))

    def as_dict(self) -> dict:
        """The recipe as plain data, for cards and checkpoints."""
        return asdict(self)


_CNN = {"in_ch": 1, "out_ch": 1, "n_filters": 32}
_UNET = {"in_ch": 1, "out_ch": 1, "base_ch": 32}

# One budget for all: 20,000 steps of four crops of 64 x 64 pixels. The UNets start close to the
# identity (see benchmarks/ablation.py); the two CNNs do not, since a chapter compares starts.
_BUDGET = {"steps": 20_000, "batch_size": 4, "crop": 64, "val_every": 500, "quick_steps": 300}

#: Key of a weight file -> how it was made.
RECIPES: dict[str, Recipe] = {
    "SimpleCNN": Recipe("SimpleCNN", _CNN, **_BUDGET),
    "ResCNN": Recipe("ResCNN", _CNN, **_BUDGET),
    "UNet": Recipe("SimpleUNet", _UNET, **_BUDGET, init="identity"),
    "ResidualUNet": Recipe("ResidualUNet", _UNET, **_BUDGET, init="identity"),
    "AttentionUNet": Recipe("AttentionUNet", _UNET, **_BUDGET, init="identity"),
    "UNetPP": Recipe("UNetPP", _UNET, **_BUDGET, init="identity"),
}
