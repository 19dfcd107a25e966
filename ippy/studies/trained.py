"""The networks of the UNet chapters, trained with a share of their budget and many seeds.

A network is trained once and kept in the user's cache directory; several studies evaluate it. The
seed decides initialisation, batches, crops and noise.
"""

import io
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ippy import datasets, models, paths, training
from ippy.datasets.phantoms import GENERATOR_VERSION, GENERATORS
from ippy.files import atomic_write
from ippy.models.unet import pad_to
from ippy.networks import NETWORKS, Recipe, find
from ippy.operators import Blurring
from ippy.seeds import generator_for, seeded
from ippy.studies import sources
from ippy.studies.chains import correction
from ippy.studies.channels import active_channels
from ippy.studies.runner import identity
from ippy.studies.settled import validations
from ippy.studies.shared import once
from ippy.tasks import SHAPE, task_operator

__all__ = [
    "BUDGETS",
    "VARIANTS",
    "UpBlockWithoutSkip",
    "Variant",
    "build",
    "code",
    "depends",
    "described",
    "images",
    "ranges",
    "recipe_of",
    "trained",
    "training_device",
    "variant",
    "version_of",
]

#: How the networks of a study are trained, whatever their full recipe is. ``short`` is Adam, since
#: its steps can be recorded on a GPU, where 3,000 of them take a minute (and on one core of a CPU,
#: an hour); ``brief`` is the recipe of the UNets for some four minutes of one core, in which
#: networks of half their width come further. ``model_args`` are added to those of the network.
BUDGETS: dict[str, dict[str, Any]] = {
    "short": {
        "steps": 3000, "batch_size": 16, "crop": 64, "borders": True,
        "optimizer": "Adam", "optimizer_args": {"eps": 1e-7}, "lr": 4e-3, "rate_by_fan_in": True,
    },
    "brief": {
        "model_args": {"base_ch": 16}, "steps": 1600, "batch_size": 4, "crop": 64, "borders": True,
        "optimizer": "SOAP", "lr": 4e-3, "rate_by_fan_in": True, "val_images": 16,
        "optimizer_args": {
            "weight_decay": 0.1, "max_precondition_dim": 256, "precondition_frequency": 20,
        },
    },
}  # fmt: skip
NOISE_RANGE, ANGLE_RANGE, LENGTHS = (0.0, 0.1), (0.0, 90.0), (5, 7, 9, 11, 13)
#: Validation images on which the channels are watched.
_WATCHED = 8


class UpBlockWithoutSkip(nn.Module):
    """An ``UpBlock`` that does not look at its skip.

    The transposed convolution gives as many channels as the concatenation would have, so that the
    convolution block is the same and the network has no fewer parameters.

    Args:
        in_ch, skip_ch, out_ch: Channels as in :class:`ippy.models.UpBlock`.
    """

    def __init__(self, in_ch: int, skip_ch: int, out_ch: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_ch, skip_ch + out_ch, 2, stride=2)
        self.block = models.DoubleConv(skip_ch + out_ch, out_ch)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``(N, in_ch, H//2, W//2)`` to ``(N, out_ch, H, W)``; ``skip`` gives the size."""
        return self.block(pad_to(self.up(x), skip))


@dataclass(frozen=True)
class Variant:
    """A network of the studies, by what it changes of an entry of the book's networks.

    Args:
        base: Key of :data:`ippy.networks.NETWORKS`.
        start: ``"default"`` (PyTorch's), ``"He"`` (He's in every layer), ``"identity"`` (the first
            edition's: one channel carries the image, the others as PyTorch has them); None: the
            new one, as the recipe says.
        skips: Whether the decoder looks at its skips.
        global_skip: Whether the network gives a correction that is added to the image. It is zero
            at the start, and so is all that the last layer gives; the other layers start after He,
            or as PyTorch has them if ``start`` is ``"default"``.
        model_args: Constructor arguments that differ.
        ranges: Whether blur and noise level of the training are drawn from ranges.
    """

    base: str = "UNet"
    start: str | None = None
    skips: bool = True
    global_skip: bool = False
    model_args: dict = field(default_factory=dict)
    ranges: bool = False

    def settings(self) -> dict:
        """What differs from the entry, as plain data."""
        plain = Variant(self.base)
        found = {n: v for n, v in asdict(self).items() if v != getattr(plain, n)}
        return {**found.pop("model_args", {}), **found}

    def build(self, recipe: Recipe | None = None) -> nn.Module:
        """A fresh network, with the constructor arguments of a recipe (None: the base's own)."""
        recipe = recipe or NETWORKS[self.base].recipe
        args = {**recipe.model_args, **self.model_args}
        if not self.skips:
            args["up_cls"] = UpBlockWithoutSkip
        start = self.start or recipe.init
        own = self.global_skip or start == "He"
        model = replace(recipe, model_args=args, init="default" if own else start).build()
        if self.global_skip:
            return correction(model, he=start != "default")
        if start == "He":
            models.he_init(model)
        return model


#: Name -> network, besides those of :data:`ippy.networks.NETWORKS`.
VARIANTS: dict[str, Variant] = {
    "UNet, default start": Variant(start="default"),
    "UNet, He start": Variant(start="He"),
    "UNet, old start": Variant(start="identity"),
    "UNet without skips": Variant(skips=False),
    "UNet without skips, default start": Variant(start="default", skips=False),
    "UNet + global skip": Variant(global_skip=True),
    "UNet + global skip, default start": Variant(start="default", global_skip=True),
    "UNet without skips + global skip": Variant(skips=False, global_skip=True),
    "UNet without skips + global skip, default start": Variant(
        start="default", skips=False, global_skip=True
    ),
    "UNet, two poolings": Variant(model_args={"levels": 2}),
    "UNet, 16 channels": Variant(model_args={"base_ch": 16}),
    "UNet, ranges": Variant(ranges=True),
}


def variant(name: str) -> Variant:
    """The network of a name: one of :data:`VARIANTS`, or a key of the book's networks.

    Raises:
        KeyError: If there is none.
    """
    if name in VARIANTS:
        return VARIANTS[name]
    find(name)
    return Variant(name)


def build(name: str, seed: int, budget: str = "short") -> nn.Module:
    """A fresh network of this name, as a budget wants it, initialised with ``seed``."""
    with seeded(seed):
        return variant(name).build(recipe_of(name, seed, budget))


def ranges(seed: int) -> Callable[[int], tuple[Blurring, float]]:
    """Blur and noise level of each step, drawn from ranges: angle, length and level."""

    def draw(step: int) -> tuple[Blurring, float]:
        generator = generator_for(seed + 1_000_000, step)
        angle, level = torch.rand(2, generator=generator).tolist()
        length = LENGTHS[int(torch.randint(len(LENGTHS), (1,), generator=generator))]
        low, high = ANGLE_RANGE
        operator = task_operator(kernel_size=length, motion_angle=low + angle * (high - low))
        return operator, NOISE_RANGE[0] + level * (NOISE_RANGE[1] - NOISE_RANGE[0])

    return draw


def recipe_of(name: str, seed: int, budget: str = "short") -> Recipe:
    """How a network of this name is trained: on the book's images, as :data:`BUDGETS` says."""
    base, settings = NETWORKS[variant(name).base].recipe, {**BUDGETS[budget]}
    settings["model_args"] = {**base.model_args, **settings.get("model_args", {})}
    return replace(base, **settings, val_every=validations(settings["steps"]), seed=seed)


def described(budget: str) -> str:
    """A budget in words, for pages.

    Args:
        budget: Key of :data:`BUDGETS`.

    >>> described("short")
    '3,000 steps of 16 squares of 64 × 64 pixels with Adam'
    """
    settings = BUDGETS[budget]
    squares = f"{settings['batch_size']} squares of {settings['crop']} × {settings['crop']} pixels"
    words = f"{settings['steps']:,} steps of {squares} with {settings['optimizer']}"
    width = settings.get("model_args", {}).get("base_ch")
    return words + (f", networks of {width} base channels" if width else "")


def depends(name: str, seed: int, budget: str = "short") -> str:
    """Hash of what is trained, how, and on what."""
    task = [NOISE_RANGE, ANGLE_RANGE, LENGTHS] if variant(name).ranges else []
    settings = variant(name).settings()
    return identity(recipe_of(name, seed, budget), settings, task, version_of(name))


def version_of(name: str) -> int:
    """The version of the images that a network of this name is trained on."""
    return NETWORKS[variant(name).base].recipe.data.get("version", GENERATOR_VERSION)


def code(name: str) -> tuple[Callable | str, ...]:
    """The code that decides what a network of this name is after its training."""
    recipe = NETWORKS[variant(name).base].recipe
    return _fit, f"ippy.models.{recipe.model}", *GENERATORS[version_of(name)].values()


@once
def training_device() -> torch.device:
    """Where :func:`ippy.training.train` puts a network; threads ask for it one after the other."""
    return training.devices.accelerator().device


def images(split: str, n_images: int, data: dict) -> Tensor:
    """Images of a recipe, uint8 (N, 1, 256, 256), held once for all runs.

    Args:
        split: ``"train"`` or ``"val"``.
        n_images: Number of images.
        data: Other arguments of :class:`ippy.datasets.SyntheticDataset`.
    """
    return _images(split, tuple(sorted({**data, "n_images": n_images}.items())))


@once
def _images(split: str, arguments: tuple) -> Tensor:
    dataset = datasets.SyntheticDataset(data_shape=SHAPE, split=split, **dict(arguments))
    return datasets.materialise(dataset)


def _fit(name: str, seed: int, budget: str) -> tuple[nn.Module, dict]:
    """Train a network; its history says, too, which channels were active at each validation."""
    recipe = recipe_of(name, seed, budget)
    if recipe.task != "deblurring":
        raise ValueError(
            f"{name} is for the task {recipe.task!r}; studies train for the book's blur"
        )
    clean = images("train", recipe.data["n_images"], recipe.data)
    val = images("val", recipe.val_images, recipe.data)
    task = ranges(seed) if variant(name).ranges else task_operator()
    validation = training.validation_pairs(val, task, recipe)
    watched = validation[0][:_WATCHED]
    model = build(name, seed, budget).to(training_device())
    active = [{"step": 0, **active_channels(model, watched)}]

    def watch(step: int, network: nn.Module, history: dict) -> None:
        active.append({"step": step, **active_channels(network, watched)})

    history = training.train(
        model,
        training.MeasuredCrops(clean, task, recipe),
        recipe,
        validation=validation,
        progress=False,
        callback=watch,
    )
    return model.to(memory_format=torch.contiguous_format), {**history, "active": active}


_BUSY: dict[str, threading.Lock] = {}


def trained(name: str, seed: int, budget: str = "short") -> tuple[nn.Module, dict]:
    """Network ``name`` after a share of its training, from the cache directory if it is there.

    What is kept there is used only while everything that decided it is as it was: recipe, task,
    the code of network and training (comments apart), and the precision of this machine. A thread
    that wants what another one trains waits for it.

    Args:
        name: Key of :data:`VARIANTS` or of :data:`ippy.networks.NETWORKS`.
        seed: Seed of everything random.
        budget: Key of :data:`BUDGETS`.

    Returns:
        The network in evaluation mode, where training puts networks, and its history, with the
        active channels of each level (``active``).
    """
    device = training_device()
    precision = training.fast_path(device)["precision"]
    tag = identity(depends(name, seed, budget), sources.digest(*code(name)), precision)
    path = paths.cache_dir() / "studies" / "networks" / f"{tag}.pt"
    with _BUSY.setdefault(tag, threading.Lock()):
        if not path.is_file():
            model, history = _fit(name, seed, budget)
            state = {key: value.cpu() for key, value in model.state_dict().items()}
            file = io.BytesIO()
            torch.save({"state": state, "history": history}, file)
            atomic_write({path: file.getvalue()})
    saved, model = torch.load(path, weights_only=True), build(name, seed, budget)
    model.load_state_dict(saved["state"])
    return model.to(device).eval(), saved["history"]
