"""How the recipe was found: one change at a time, at equal cost.

Every run trains the plain UNet on the same number of pixels, half of what a UNet of the first
edition saw. It changes one thing of ``BASE`` and is measured on validation images. Seeds decide
initialisation, batches, crops and noise; runs of one seed see the same images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from math import exp
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ippy import datasets, evaluation, metrics, training
from ippy.images import SAMPLES, sample_image
from ippy.models import SimpleUNet
from ippy.networks import Recipe
from ippy.operators import Operator
from ippy.seeds import generator_for, seeded
from ippy.studies.runner import Run, identity
from ippy.tasks import NOISE_LEVEL, SHAPE, measure, task_operator

try:
    import pytorch_optimizer
except ImportError:  # needed for this study only
    pytorch_optimizer = None

__all__ = ["BASE", "CHANGES", "Change"]

SEEDS = (0, 1, 2)
#: What is changed: a batch of 16 squares of 64 x 64 pixels, 2,500 times.
BASE = Recipe(
    "SimpleUNet",
    steps=2500,
    batch_size=16,
    crop=64,
    init="he_identity",
    average=0.999,
    data={"n_images": 2000, "kind": "mixed", "version": 3},
    val_images=32,
    val_every=250,
)


_blur = cache(task_operator)


def _jittered(step: int) -> tuple[Operator, float]:
    """The book's blur, and a noise level between half and twice the usual."""
    u = torch.rand(1, generator=generator_for(2_000_000, step)).item()
    return _blur(), NOISE_LEVEL * exp(0.693 * (2 * u - 1))


def _pair(model: nn.Module) -> None:
    """Two channels carry the input, one its positive and one its negative part."""
    assert isinstance(model, SimpleUNet)
    blocks = [model.enc1.block, model.dec1.block.block]
    with torch.no_grad():
        for layer in (conv for block in blocks for conv in block if isinstance(conv, nn.Conv2d)):
            source = 1 if layer.in_channels > 1 else 0
            layer.weight[1], layer.bias[1] = 0, 0
            layer.weight[1, source, 1, 1] = 1 if source else -1
        model.out_conv.weight[0, 1] = -1


@dataclass(frozen=True)
class Change:
    """One change of the recipe.

    Args:
        settings: Fields of :class:`ippy.networks.Recipe` that differ.
        forward: Forward model and noise level of a step, if not the book's.
        start: Applied to the network after the recipe's own start.
        precision: ``"float32"``, or None for what the machine computes quickly.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    forward: Callable[[int], tuple[Operator, float]] | None = None
    start: Callable[[nn.Module], None] | None = None
    precision: str | None = None
    optimizer: Callable[[nn.Module, Recipe], Optimizer] = training.optimizer_for


def _soap(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SOAP (Vyas et al., ICLR 2025); sides of more than 400 are not preconditioned."""
    return pytorch_optimizer.SOAP(
        model.parameters(), lr=recipe.lr, weight_decay=0.0, max_precondition_dim=400
    )


def _muon(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Muon (Jordan et al. 2024) for the weights of layers, Adam for biases and both ends."""
    inner, ends = [], []
    for name, parameter in model.named_parameters():
        middle = parameter.ndim > 1 and not name.startswith(("enc1.block.0", "out_conv"))
        (inner if middle else ends).append(parameter)
    groups = [
        {"params": inner, "use_muon": True, "share": 1.0},
        {"params": ends, "use_muon": False, "share": 0.1},
    ]
    return pytorch_optimizer.Muon(groups, lr=recipe.lr)


def _schedule_free(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Schedule-free AdamW (Defazio et al., NeurIPS 2024)."""
    warm = recipe.steps // 10
    return pytorch_optimizer.ScheduleFreeAdamW(model.parameters(), lr=recipe.lr, warmup_steps=warm)


_SMALL = {"batch_size": 4, "steps": 10_000, "val_every": 1000}
_BORDERS: dict[str, Any] = {"borders": True}
#: Name -> change. Those that change the squares keep the number of pixels.
CHANGES: dict[str, Change] = {
    "the base": Change(),
    "first edition: identity start, batches of 4": Change(
        {"init": "identity", "average": 0.0, **_SMALL}
    ),
    "start: PyTorch's": Change({"init": "default"}),
    "start: identity, the first edition's": Change({"init": "identity"}),
    "start: a pair of carriers": Change(start=_pair),
    "batches of 64": Change({"batch_size": 64, "steps": 625, "val_every": 125}),
    "rate 2e-3": Change({"lr": 2e-3}),
    "rate by fan-in, 2e-3": Change({"lr": 2e-3, "rate_by_fan_in": True}),
    "rate by fan-in, 4e-3": Change({"lr": 4e-3, "rate_by_fan_in": True}),
    "no average of the weights": Change({"average": 0.0}),
    "AdamW, decay 0.1": Change({"optimizer": "AdamW", "optimizer_args": {"weight_decay": 0.1}}),
    "Adam, epsilon 1e-5": Change({"optimizer_args": {"eps": 1e-5}}),
    "Adam, epsilon 1e-7": Change({"optimizer_args": {"eps": 1e-7}}),
    "rate 2e-3, borders": Change({"lr": 2e-3, **_BORDERS}),
    "rate 2e-3, borders, epsilon 1e-7": Change(
        {"lr": 2e-3, "optimizer_args": {"eps": 1e-7}, **_BORDERS}
    ),
    "borders": Change(_BORDERS),
    "borders, margin 8": Change({**_BORDERS, "margin": 8}),
    "crops of 96": Change({"crop": 96, "batch_size": 7}),
    "crops of 96, borders, margin 16": Change(
        {**_BORDERS, "crop": 96, "batch_size": 7, "margin": 16}
    ),
    "crops of 128": Change({"crop": 128, "batch_size": 4}),
    "crops of 128 at the end": Change({"last_crop": 128}),
    "noise between half and twice": Change(forward=_jittered),
    "images of version 2": Change({"data": {"n_images": 2000, "kind": "mixed"}}),
    "SOAP, 1e-3": Change(optimizer=_soap),
    "SOAP, 3e-3": Change({"lr": 3e-3}, optimizer=_soap),
    "Muon, 5e-3": Change({"lr": 5e-3}, optimizer=_muon),
    "Muon, 2e-2": Change({"lr": 2e-2}, optimizer=_muon),
    "schedule-free AdamW, 2.5e-3": Change(
        {"lr": 2.5e-3, "schedule": "constant", "average": 0.0}, optimizer=_schedule_free
    ),
}


def _images(recipe: Recipe, split: str, n_images: int) -> Tensor:
    data = {**recipe.data, "n_images": n_images}
    return datasets.materialise(datasets.SyntheticDataset(data_shape=SHAPE, split=split, **data))


def active(model: SimpleUNet, y_delta: Tensor) -> float:
    """Share of the bottleneck's channels that are positive in more than 1 % of the pixels."""
    found: list[Tensor] = []
    hook = model.bottleneck.register_forward_hook(lambda *args: found.append(args[2].detach()))
    try:
        evaluation.reconstruct(model, y_delta)
    finally:
        hook.remove()
    positive = torch.cat([(out > 0).float().mean((2, 3)) for out in found])
    return (positive.mean(0) > 0.01).float().mean().item()


def fit(name: str, seed: int) -> dict:
    """Train with one change; what came of it on validation and sample images."""
    change = CHANGES[name]
    recipe, operator = replace(BASE, **change.settings, seed=seed), task_operator()
    with seeded(seed):
        model = recipe.build()
        if change.start:
            change.start(model)
    val = _images(BASE, "val", recipe.val_images)
    fast = change.precision and {"precision": change.precision, "channels_last": True}
    made: list[Optimizer] = []

    def optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
        made.append(change.optimizer(model, recipe))
        return made[0]

    history = training.train(
        model,
        training.MeasuredCrops(
            _images(recipe, "train", recipe.data["n_images"]), change.forward or operator, recipe
        ),
        recipe,
        validation=training.validation_pairs(val, operator, recipe),
        progress=False,
        fast=fast or None,
        optimizer=optimizer,
    )
    if change.optimizer is _schedule_free:  # whose weights are elsewhere while it trains
        made[0].eval()
    x = val.float() / 255
    y_delta = measure(x, operator)
    x_hat = evaluation.reconstruct(model, y_delta)
    inner = slice(8, -8)
    samples = torch.cat([sample_image(sample, SHAPE) for sample in SAMPLES])
    shown = evaluation.reconstruct(model, measure(samples, operator))
    return {
        "psnr": metrics.psnr(x_hat, x).mean().item(),
        "psnr without borders": metrics.psnr(x_hat[..., inner, inner], x[..., inner, inner])
        .mean()
        .item(),
        "psnr of the samples": metrics.psnr(shown, samples).mean().item(),
        "active": active(model, y_delta[:8]),
        "val_step": history["val_step"],
        "val_mse": [float(f"{error:.5g}") for error in history["val_mse"]],
        "train_seconds": round(history["seconds"], 1),
    }


def runs() -> list[Run]:
    """Every change, three seeds."""
    return [
        Run(
            {"change": name, "seed": seed},
            partial(fit, name, seed),
            identity(replace(BASE, **change.settings), datasets.GENERATOR_VERSION),
            missing=""
            if pytorch_optimizer or change.optimizer is training.optimizer_for
            else "it needs the package pytorch_optimizer",
        )
        for seed in SEEDS
        for name, change in CHANGES.items()
    ]
