"""The small networks that studies compare: chains of layers, and how they are trained."""

from typing import Any

import torch
from torch import nn

from ippy import datasets, training
from ippy.models import SimpleCNN, he_init, identity_init
from ippy.networks import Recipe
from ippy.seeds import seeded
from ippy.studies.shared import once
from ippy.tasks import SHAPE, task_operator

__all__ = [
    "SMALL",
    "Chain",
    "DeepChain",
    "carry_input",
    "correction",
    "fit",
    "images_of",
    "three_layers",
]


class Chain(nn.Module):
    """A network ``body`` that gives the image itself, or with ``skip`` the correction to add."""

    def __init__(self, body: nn.Module, skip: bool) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, H, W) to (N, 1, H, W)."""
        return x + self.body(x) if self.skip else self.body(x)


def correction(body: nn.Module, he: bool = True) -> Chain:
    """The input plus what ``body`` computes: the identity at the start.

    Args:
        body: A network whose last convolution gives its output; that one starts as zero.
        he: Initialise the other layers with :func:`ippy.models.he_init`. With PyTorch's own
            initialisation widely dilated chains had not moved after 400 steps.
    """
    if he:
        he_init(body)
    last = [module for module in body.modules() if isinstance(module, nn.Conv2d)][-1]
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    return Chain(body, skip=True)


#: Kind of a :class:`DeepChain` -> what a pair of its layers adds when it carries an image through.
_ADDED = {"plain": 1.0, "residual": 0.0, "scaled": 2**0.5 - 1}


class DeepChain(nn.Module):
    r"""Input layer, ``depth`` 3x3 layers in pairs, output layer; no normalisation (He et al. 2016).

    Kinds: ``"plain"``; ``"residual"`` adds each pair's input to its output; ``"scaled"`` also
    divides the sum by $\sqrt2$, which keeps the size of the signal at initialisation.

    Raises:
        ValueError: If there is no such kind.
    """

    def __init__(self, depth: int, kind: str, width: int = 16) -> None:
        super().__init__()
        if kind not in _ADDED:
            raise ValueError(f"kind {kind!r} is unknown; use {' or '.join(map(repr, _ADDED))}")
        self.kind = kind
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        he_init(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, H, W) to (N, 1, H, W)."""
        h = self.first(x)  # (N, width, H, W)
        for first, second in zip(self.layers[::2], self.layers[1::2], strict=True):
            update = second(torch.relu(first(torch.relu(h))))
            h = update if self.kind == "plain" else h + update
            h = h / 2**0.5 if self.kind == "scaled" else h
        return self.last(torch.relu(h))


@torch.no_grad()
def carry_input(model: DeepChain) -> None:
    """Make a chain of any kind the identity at its start, for images that are not negative.

    Channel 0 carries the image through every layer, and the last layer ignores the others. Where
    a pair's input is added, the pair adds what is missing: nothing, or with ``"scaled"`` so much
    that the division is undone.
    """
    added = _ADDED[model.kind]
    carriers = [model.first, *model.layers]
    for i, conv in enumerate(carriers):
        conv.weight[0], conv.bias[0] = 0, 0
        ends_a_pair = i > 0 and i % 2 == 0
        conv.weight[0, 0, 1, 1] = added if ends_a_pair else 1.0
    nn.init.zeros_(model.last.weight)
    model.last.weight[0, 0, 1, 1] = 1


@once
def images_of(kind: str, n_train: int = 400, n_val: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Training and validation images of one kind, uint8 (N, 1, 256, 256)."""
    return (
        datasets.materialise(datasets.SyntheticDataset(n_train, SHAPE, kind=kind, split="train")),
        datasets.materialise(datasets.SyntheticDataset(n_val, SHAPE, kind=kind, split="val")),
    )


SMALL = Recipe("SimpleCNN", steps=1000, batch_size=8, crop=64, schedule="constant", val_every=100)


def fit(
    model: nn.Module,
    images: tuple[torch.Tensor, torch.Tensor],
    recipe: Recipe,
    **options: Any,
) -> dict:
    """Train a network on the book's task; its validation error step by step.

    Args:
        model: Network from (N, 1, H, W) to the same, initialised.
        images: Training and validation images, uint8 (N, 1, 256, 256).
        recipe: How it is trained.
        options: Further arguments of :func:`ippy.training.train`.
    """
    train_images, val_images = images
    operator = task_operator()
    history = training.train(
        model,
        training.MeasuredCrops(train_images, operator, recipe),
        recipe,
        validation=training.validation_pairs(val_images, operator, recipe),
        progress=False,
        **options,
    )
    return {"val_step": history["val_step"], "val_mse": history["val_mse"]}


def three_layers(skip: bool, identity: bool, seed: int) -> Chain:
    """The book's CNN with or without a skip around it, initialised with ``seed``."""
    with seeded(seed):
        body = SimpleCNN(1, 1, 32)
        if identity:
            identity_init(body, residual=skip)
        return Chain(body, skip)
