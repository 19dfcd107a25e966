"""The small networks that the chapter on residual learning compares, and how they are trained."""

from typing import Any

import torch
from torch import nn

from ippy import datasets, training
from ippy.models import SimpleCNN, he_init, identity_init
from ippy.networks import Recipe
from ippy.tasks import SHAPE, task_operator

__all__ = ["SMALL", "Chain", "DeepChain", "fit", "images_of", "three_layers"]


class Chain(nn.Module):
    """A network ``body`` that gives the image itself, or with ``skip`` the correction to add."""

    def __init__(self, body: nn.Module, skip: bool) -> None:
        super().__init__()
        self.body, self.skip = body, skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, H, W) to (N, 1, H, W)."""
        return x + self.body(x) if self.skip else self.body(x)


class DeepChain(nn.Module):
    r"""Input layer, ``depth`` 3x3 layers in pairs, output layer; no normalisation (He et al. 2016).

    Kinds: ``"plain"``; ``"residual"`` adds each pair's input to its output; ``"scaled"`` also
    divides the sum by $\sqrt2$, which keeps the size of the signal at initialisation.
    """

    def __init__(self, depth: int, kind: str, width: int = 16) -> None:
        super().__init__()
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


def images_of(kind: str, n_train: int = 400, n_val: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Training and validation images of one kind, uint8 (N, 1, 256, 256)."""
    return (
        datasets.materialise(datasets.SyntheticDataset(n_train, SHAPE, kind=kind, split="train")),
        datasets.materialise(datasets.SyntheticDataset(n_val, SHAPE, kind=kind, split="val")),
    )


SMALL = Recipe("SimpleCNN", steps=1000, batch_size=8, crop=64, schedule="constant", val_every=100)


def fit(model: nn.Module, kind: str, recipe: Recipe, **options: Any) -> dict:
    """Train a network on images of one kind; its validation error step by step."""
    images, val_images = images_of(kind)
    operator = task_operator()
    history = training.train(
        model,
        training.MeasuredCrops(images, operator, recipe),
        recipe,
        validation=training.validation_pairs(val_images, operator, recipe),
        progress=False,
        **options,
    )
    return {"step": history["val_step"], "val_mse": history["val_mse"]}


def three_layers(skip: bool, identity: bool, seed: int) -> Chain:
    """The book's CNN with or without a skip around it, initialised with ``seed``."""
    torch.manual_seed(seed)
    body = SimpleCNN(1, 1, 32)
    if identity:
        identity_init(body, residual=skip)
    return Chain(body, skip)
