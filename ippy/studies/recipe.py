"""How the recipe was found: one change at a time, at equal cost.

Every run trains the plain UNet for about a minute of one core of an AMD EPYC (AVX2). It
changes one thing of ``BASE``, the recipe of the UNets in short, and is measured on validation
images. What costs more for each step has fewer of them. Seeds decide initialisation, batches, crops
and noise; runs of one seed see the same images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ippy import datasets, evaluation, metrics, paths, training
from ippy.images import SAMPLES, sample_image
from ippy.models import SimpleUNet
from ippy.networks import RECIPES, Recipe
from ippy.seeds import seeded
from ippy.studies.runner import Run, identity
from ippy.tasks import SHAPE, measure, task_operator

__all__ = ["BASE", "CHANGES", "Change", "train", "train_long"]

QUESTION = "How the recipe was found: one change at a time, at equal cost"

SEEDS = (0, 1, 2)
#: Steps of the base, and of Adam, whose step costs less, in the same time.
STEPS, STEPS_ADAM = 480, 786
#: The recipe of the UNets, for a network of half the width, which comes further in the same time.
BASE = replace(
    RECIPES["UNet"],
    model_args={**RECIPES["UNet"].model_args, "base_ch": 16},
    steps=STEPS,
    val_every=120,
    val_images=16,
)


def _pair(model: nn.Module) -> None:
    """Two channels carry the input, one its positive and one its negative part."""
    assert isinstance(model, SimpleUNet)
    blocks = [model.get_submodule(name) for name in ("enc1.block", "dec1.block.block")]
    with torch.no_grad():
        for layer in (conv for block in blocks for conv in block.children()):
            if not isinstance(layer, nn.Conv2d):
                continue
            assert layer.bias is not None
            source = 1 if layer.in_channels > 1 else 0
            layer.weight[1], layer.bias[1] = 0, 0
            layer.weight[1, source, 1, 1] = 1 if source else -1
        model.out_conv.weight[0, 1] = -1


@dataclass(frozen=True)
class Change:
    """One change of the recipe.

    Args:
        settings: Fields of :class:`ippy.networks.Recipe` that differ.
        start: Applied to the network after the recipe's own start.
        optimizer: Makes the optimiser, if the recipe does not say which.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    start: Callable[[nn.Module], None] | None = None
    optimizer: Callable[[nn.Module, Recipe], Optimizer] = training.optimizer_for


def _muon(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Muon (Jordan et al. 2024) for the weights of layers, Adam for biases and both ends."""
    from pytorch_optimizer import Muon  # takes most of a second, and all studies import this module

    inner: list[nn.Parameter] = []
    ends: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        middle = parameter.ndim > 1 and not name.startswith(("enc1.block.0", "out_conv"))
        (inner if middle else ends).append(parameter)
    groups = [
        {"params": inner, "use_muon": True, "share": 1.0},
        {"params": ends, "use_muon": False, "share": 0.1},
    ]
    return Muon(groups, lr=recipe.lr)


def _soap(**changed: object) -> dict[str, Any]:
    """Arguments of the base's optimiser, some of them changed."""
    return {"optimizer_args": {**BASE.optimizer_args, **changed}}


_ADAM: dict[str, Any] = {"optimizer": "Adam", "optimizer_args": {}, "steps": STEPS_ADAM}
_ALIKE: dict[str, Any] = {"rate_by_fan_in": False}
#: Name -> change.
CHANGES: dict[str, Change] = {
    "the base": Change(),
    "the first edition's": Change(
        {**_ADAM, **_ALIKE, "lr": 1e-3, "init": "identity", "borders": False}
    ),
    "Adam, 2e-3, one rate": Change({**_ADAM, **_ALIKE, "lr": 2e-3}),
    "Adam, 4e-3": Change({**_ADAM, "lr": 4e-3}),
    "AdamW, 2e-3, one rate, decay 0.1": Change(
        {
            **_ADAM,
            **_ALIKE,
            "lr": 2e-3,
            "optimizer": "AdamW",
            "optimizer_args": {"weight_decay": 0.1},
        }
    ),  # fmt: skip
    "Muon, 2e-2": Change({**_ADAM, **_ALIKE, "lr": 2e-2, "steps": 165}, optimizer=_muon),
    "SOAP, one rate": Change({**_ALIKE, "lr": 3e-3}),
    "SOAP, sides up to 64": Change(_soap(max_precondition_dim=64)),
    "SOAP, no decay": Change(_soap(weight_decay=0.0)),
    "SOAP, 8e-3": Change({"lr": 8e-3}),
    "start: PyTorch's": Change({"init": "default"}),
    "start: one carrier, the others PyTorch's": Change({"init": "identity"}),
    "start: a pair of carriers": Change(start=_pair),
    "batches of 8": Change({"batch_size": 8, "steps": 282}),
    "crops of 96": Change({"crop": 96, "batch_size": 2, "steps": 468}),
    "no borders": Change({"borders": False}),
    "margin 8": Change({"margin": 8}),
    "averaged weights": Change({"average": 0.999}),
    "32 base channels": Change({"model_args": RECIPES["UNet"].model_args, "steps": 128}),
    "images of version 2": Change({"data": {"n_images": 2000, "kind": "mixed", "version": 2}}),
}


def _recipe(change: Change, seed: int) -> Recipe:
    """The base with a change; four validations, however many steps it has."""
    steps = change.settings.get("steps", STEPS)
    return replace(BASE, **{"val_every": -(-steps // 4), **change.settings}, seed=seed)


def _images(recipe: Recipe, split: str, n_images: int) -> Tensor:
    data = {**recipe.data, "n_images": n_images}
    return datasets.materialise(datasets.SyntheticDataset(data_shape=SHAPE, split=split, **data))


def active(model: nn.Module, y_delta: Tensor) -> float:
    """Share of the bottleneck's channels that are positive in more than 1 % of the pixels."""
    found: list[Tensor] = []
    hook = model.get_submodule("bottleneck").register_forward_hook(
        lambda *args: found.append(args[2].detach())
    )
    try:
        evaluation.reconstruct(model, y_delta)
    finally:
        hook.remove()
    positive = torch.cat([(out > 0).float().mean((2, 3)) for out in found])
    return (positive.mean(0) > 0.01).float().mean().item()


def fit(name: str, seed: int) -> dict:
    """Train with one change; what came of it on validation and sample images."""
    return train(CHANGES[name], _recipe(CHANGES[name], seed))


def train(change: Change, recipe: Recipe, **options: Any) -> dict:
    """Train with one change of :data:`BASE`; what came of it on validation and sample images.

    Args:
        change: How the network starts and what optimises it.
        recipe: All else, the change's settings included.
        options: As of :func:`ippy.training.train`.
    """
    operator = task_operator()
    with seeded(recipe.seed):
        model = recipe.build()
        if change.start:
            change.start(model)
    val = _images(BASE, "val", recipe.val_images)
    images = _images(recipe, "train", recipe.data["n_images"])
    history = training.train(
        model,
        training.MeasuredCrops(images, operator, recipe),
        recipe,
        validation=training.validation_pairs(val, operator, recipe),
        progress=False,
        optimizer=change.optimizer,
        **options,
    )
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


def train_long(study: str, change: Change, recipe: Recipe) -> dict:
    """As :func:`train`, and from the checkpoint that an interrupted run of the study has left."""
    folder = paths.cache_dir() / "studies" / study
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / f"{identity(recipe)}.pt"
    found = train(change, recipe, checkpoint=checkpoint, resume=True)
    checkpoint.unlink(missing_ok=True)
    return found


def runs() -> list[Run]:
    """Every change, three seeds."""
    return [
        Run(
            {"change": name, "seed": seed},
            partial(fit, name, seed),
            identity(_recipe(change, seed), datasets.GENERATOR_VERSION),
        )
        for seed in SEEDS
        for name, change in CHANGES.items()
    ]
