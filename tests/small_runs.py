"""A training run that takes a second, and what tests of training ask about its result."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ippy.networks import Recipe
from ippy.operators import Blurring
from ippy.training import MeasuredCrops, train, validation_pairs

RECIPE = Recipe(
    "ResCNN",
    {"in_ch": 1, "out_ch": 1, "n_filters": 4},
    steps=12,
    batch_size=4,
    crop=16,
    val_every=4,
    val_images=2,
    data={"n_images": 6, "kind": "dead_leaves"},
)
IMAGES = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
K = Blurring((32, 32), kernel_type="gaussian", kernel_size=3)
SLOW = {"precision": "float32", "channels_last": False}


class Stop(Exception):
    """Ends a run from within."""


def fit(
    recipe: Recipe = RECIPE, images: Tensor | list = IMAGES, forward=K, **options
) -> tuple[nn.Module, dict]:
    """Train the recipe's network on these images: the network and its history."""
    torch.manual_seed(recipe.seed)
    model, batch = recipe.build(), MeasuredCrops(images, forward, recipe)
    pairs = validation_pairs(IMAGES, forward, recipe)
    options = {"fast": SLOW, "validation": pairs, "progress": False, **options}
    return model, train(model, batch, recipe, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks have the same weights, bit by bit."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


def flip_a_bit(path: Path) -> None:
    """Damage a file where nobody looks."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
