"""The networks of the UNet chapters, trained briefly: same images, steps and batches, many seeds.

A network is trained once and kept in the user's cache directory; several studies evaluate it. The
seed decides initialisation, batches, crops and noise.
"""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn

from ippy import datasets, models, paths, training
from ippy.datasets.phantoms import GENERATOR_VERSION, GENERATORS
from ippy.files import atomic_write
from ippy.models.unet import pad_to
from ippy.networks import NETWORKS, Recipe, find
from ippy.operators import Blurring
from ippy.seeds import generator_for
from ippy.studies import sources
from ippy.studies.chains import Chain
from ippy.studies.runner import identity
from ippy.tasks import SHAPE, task_operator

__all__ = [
    "LR",
    "STEPS",
    "VARIANTS",
    "UpBlockWithoutSkip",
    "Variant",
    "build",
    "ranges",
    "trained",
    "variant",
]

#: Steps of a short training.
STEPS = 1500
#: Largest learning rate of a short training.
LR = 1e-3
NOISE_RANGE, ANGLE_RANGE, LENGTHS = (0.0, 0.1), (0.0, 90.0), (5, 7, 9, 11, 13)


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


def _global(body: nn.Module) -> Chain:
    """The image plus what ``body`` computes, which is zero at the start."""
    for parameter in body.get_submodule("out_conv").parameters():
        nn.init.zeros_(parameter)
    return Chain(body, skip=True)


@dataclass(frozen=True)
class Variant:
    """A network of the studies, by what it changes of an entry of the book's networks.

    Args:
        base: Key of :data:`ippy.networks.NETWORKS`.
        start: ``"default"`` (PyTorch's), ``"identity"`` or ``"He"``; None: as the recipe says.
        skips: Whether the decoder looks at its skips.
        global_skip: Whether the network gives a correction that is added to the image; it is zero
            at the start.
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

    def build(self) -> nn.Module:
        """A fresh network."""
        recipe = NETWORKS[self.base].recipe
        args = {**recipe.model_args, **self.model_args}
        if not self.skips:
            args["up_cls"] = UpBlockWithoutSkip
        he = self.start == "He"
        start = "default" if he else self.start or recipe.init
        model = replace(recipe, model_args=args, init=start).build()
        if he:
            models.he_init(model)
        return _global(model) if self.global_skip else model


#: Name -> network, besides those of :data:`ippy.networks.NETWORKS`.
VARIANTS: dict[str, Variant] = {
    "UNet, default start": Variant(start="default"),
    "UNet without skips, default start": Variant(start="default", skips=False),
    "UNet + global skip": Variant(start="default", global_skip=True),
    "UNet without skips + global skip": Variant(start="default", skips=False, global_skip=True),
    "UNet + global skip, He start": Variant(start="He", global_skip=True),
    "UNet without skips + global skip, He start": Variant(
        start="He", skips=False, global_skip=True
    ),
    "ResidualUNet + global skip": Variant("ResidualUNet", start="default", global_skip=True),
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


def build(name: str, seed: int) -> nn.Module:
    """A fresh network of this name, initialised with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return variant(name).build()


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


def recipe_of(name: str, seed: int, lr: float = LR) -> Recipe:
    """How a network of this name is trained briefly."""
    base = NETWORKS[variant(name).base].recipe
    return replace(base, steps=STEPS, val_every=125, seed=seed, lr=lr)


def depends(name: str, seed: int, lr: float = LR) -> str:
    """Hash of what is trained, how, and on what."""
    task = [NOISE_RANGE, ANGLE_RANGE, LENGTHS] if variant(name).ranges else []
    settings = variant(name).settings()
    return identity(recipe_of(name, seed, lr), settings, task, GENERATOR_VERSION)


def code(name: str) -> tuple[Callable | str, ...]:
    """The code that decides what a network of this name is after its training."""
    recipe = NETWORKS[variant(name).base].recipe
    images = GENERATORS[recipe.data.get("version", GENERATOR_VERSION)].values()
    return _fit, f"ippy.models.{recipe.model}", *images


def _fit(name: str, seed: int, lr: float) -> tuple[nn.Module, dict]:
    model, recipe = build(name, seed), recipe_of(name, seed, lr)
    images = datasets.materialise(
        datasets.SyntheticDataset(data_shape=SHAPE, split="train", **recipe.data)
    )
    val = datasets.SyntheticDataset(recipe.val_images, SHAPE, split="val")
    task = ranges(seed) if variant(name).ranges else task_operator()
    history = training.train(
        model,
        training.MeasuredCrops(images, task, recipe),
        recipe,
        validation=training.validation_pairs(val, task, recipe),
        progress=False,
    )
    return model.to(memory_format=torch.contiguous_format), history


def trained(name: str, seed: int, lr: float = LR) -> tuple[nn.Module, dict]:
    """Network ``name`` after a short training, from the cache directory if it is there.

    What is kept there is used only while everything that decided it is as it was: recipe, task,
    the code of network and training (comments apart), and the precision of this machine.

    Args:
        name: Key of :data:`VARIANTS` or of :data:`ippy.networks.NETWORKS`.
        seed: Seed of everything random.
        lr: Largest learning rate of Adam.

    Returns:
        The network in evaluation mode, and its history.
    """
    precision = training.fast_path()["precision"]
    tag = identity(depends(name, seed, lr), sources.digest(*code(name)), precision)
    path = paths.cache_dir() / "studies" / "networks" / f"{tag}.pt"
    if path.is_file():
        saved, model = torch.load(path, weights_only=True), build(name, seed)
        model.load_state_dict(saved["state"])
        return model.eval(), saved["history"]
    model, history = _fit(name, seed, lr)
    file = io.BytesIO()
    torch.save({"state": model.state_dict(), "history": history}, file)
    atomic_write({path: file.getvalue()})
    return model.eval(), history
