"""The networks of the UNet chapters, trained briefly: same images, steps and batches, many seeds.

A network is trained once and kept in the user's cache directory; several studies evaluate it. The
seed decides initialisation, batches, crops and noise.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ippy import datasets, models, paths, training
from ippy.files import atomic_write
from ippy.models.unet import pad_to
from ippy.networks import NETWORKS, Recipe
from ippy.operators import Blurring
from ippy.seeds import generator_for
from ippy.studies.chains import Chain
from ippy.tasks import SHAPE, task_operator

__all__ = ["BUILDERS", "RATES", "STEPS", "UpBlockWithoutSkip", "build", "ranges", "trained"]

#: Steps of a short training.
STEPS = 1500
#: Learning rates of the sweep.
RATES = (3e-4, 1e-3, 3e-3)
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


def _identity(model: nn.Module) -> nn.Module:
    models.identity_init(model)
    return model


def _global(body: nn.Module, he: bool = False) -> Chain:
    """The image plus what ``body`` computes, which is zero at the start."""
    for module in body.modules() if he else ():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.zeros_(body.out_conv.weight)
    nn.init.zeros_(body.out_conv.bias)
    return Chain(body, skip=True)


def _without_skips() -> models.SimpleUNet:
    return models.SimpleUNet(up_cls=UpBlockWithoutSkip)


#: Name -> builder. The UNets start with :func:`ippy.models.identity_init` if their name does not
#: say otherwise.
BUILDERS: dict[str, Callable[[], nn.Module]] = {
    **{key: network.recipe.build for key, network in NETWORKS.items()},
    "UNet, default start": models.SimpleUNet,
    "UNet without skips, default start": _without_skips,
    "UNet + global skip": lambda: _global(models.SimpleUNet()),
    "UNet without skips + global skip": lambda: _global(_without_skips()),
    "UNet + global skip, He start": lambda: _global(models.SimpleUNet(), he=True),
    "UNet without skips + global skip, He start": lambda: _global(_without_skips(), he=True),
    "ResidualUNet + global skip": lambda: _global(models.ResidualUNet()),
    "UNet, two poolings": lambda: _identity(models.SimpleUNet(levels=2)),
    "UNet, 16 channels": lambda: _identity(models.SimpleUNet(base_ch=16)),
    "UNet, ranges": NETWORKS["UNet"].recipe.build,
}


def build(name: str, seed: int) -> nn.Module:
    """A fresh network of :data:`BUILDERS`, initialised with ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BUILDERS[name]()


def ranges(seed: int) -> Callable[[int], tuple[Blurring, float]]:
    """Blur and noise level of each step, drawn from ranges: angle, length and level."""

    def draw(step: int) -> tuple[Blurring, float]:
        generator = generator_for(seed + 1_000_000, step)
        angle, level = torch.rand(2, generator=generator).tolist()
        length = LENGTHS[torch.randint(len(LENGTHS), (1,), generator=generator).item()]
        low, high = ANGLE_RANGE
        operator = task_operator(kernel_size=length, motion_angle=low + angle * (high - low))
        return operator, NOISE_RANGE[0] + level * (NOISE_RANGE[1] - NOISE_RANGE[0])

    return draw


def _recipe(name: str, seed: int, lr: float) -> Recipe:
    base = NETWORKS.get(name, NETWORKS["UNet"]).recipe
    return replace(base, steps=STEPS, val_every=125, seed=seed, lr=lr)


def trained(name: str, seed: int, lr: float = 1e-3) -> tuple[nn.Module, dict]:
    """Network ``name`` after a short training, from the cache directory if it is there.

    Args:
        name: Key of :data:`BUILDERS`.
        seed: Seed of everything random.
        lr: Largest learning rate of Adam.

    Returns:
        The network in evaluation mode, and its history.
    """
    model, recipe = build(name, seed), _recipe(name, seed, lr)
    code = Path(__file__).read_bytes() + repr((name, recipe, datasets.GENERATOR_VERSION)).encode()
    tag = hashlib.sha256(code).hexdigest()[:12]
    path = paths.cache_dir() / "studies" / "networks" / f"{tag}.pt"
    if path.is_file():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["state"])
        return model.eval(), saved["history"]
    images = datasets.materialise(
        datasets.SyntheticDataset(data_shape=SHAPE, split="train", **recipe.data)
    )
    val = datasets.SyntheticDataset(recipe.val_images, SHAPE, split="val")
    task = ranges(seed) if name == "UNet, ranges" else task_operator()
    history = training.train(
        model,
        training.MeasuredCrops(images, task, recipe),
        recipe,
        validation=training.validation_pairs(val, task, recipe),
        progress=False,
    )
    file = io.BytesIO()
    model = model.to(memory_format=torch.contiguous_format)
    torch.save({"state": model.state_dict(), "history": history}, file)
    atomic_write({path: file.getvalue()})
    return model.eval(), history
