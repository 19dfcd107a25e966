"""Plain against residual chains of 8, 16 and 32 layers that all start as the identity.

A residual chain that starts after He et al. carries its input through, and a plain one has to learn
that first; then starts are compared, not gradients. Here one channel carries the image through
every layer of both.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from ippy.datasets.phantoms import GENERATORS
from ippy.networks import Recipe
from ippy.seeds import seeded
from ippy.studies import trained
from ippy.studies.chains import DeepChain, carry_input, fit
from ippy.studies.runner import Run, identity
from ippy.studies.settled import settled, validations
from ippy.tasks import measure, task_operator

__all__ = ["COMPARED", "DEPTHS", "KINDS", "RECIPE", "WIDTH", "gradient_norms", "runs", "summarise"]

QUESTION = "Plain against residual chains of 8, 16 and 32 layers that all start as the identity"

#: Numbers of layers, and kinds of :class:`ippy.studies.DeepChain`.
DEPTHS, KINDS = (8, 16, 32), ("plain", "residual", "scaled")
#: The kinds that are trained, and compared with the first of them.
COMPARED = KINDS
#: Channels of a layer.
WIDTH = 16
SEEDS = (0, 1, 2)
_STEPS = 1200
RECIPE = Recipe(
    "DeepChain",
    {"width": WIDTH},
    steps=_STEPS,
    batch_size=8,
    crop=48,
    lr=1e-3,
    schedule="one_cycle",
    data={"n_images": 2000, "kind": "mixed", "version": 3},
    val_images=16,
    val_every=validations(_STEPS),
)


def gradient_norms(model: DeepChain, images: torch.Tensor) -> list[float]:
    """Norm of the loss gradient of each layer's weights, first to last, on one batch.

    Args:
        model: The network.
        images: Clean images, uint8 (N, 1, 256, 256); the middle of the first eight is used.
    """
    K = task_operator()
    x = images[:8].float() / 255
    y_delta = measure(x, K)[..., 96:160, 96:160]
    loss = nn.functional.mse_loss(model(y_delta), x[..., 96:160, 96:160])
    convs = [model.first, *model.layers, model.last]
    return [g.norm().item() for g in torch.autograd.grad(loss, [c.weight for c in convs])]


def build(kind: str, depth: int, seed: int) -> DeepChain:
    """A chain that carries its input through, initialised with ``seed``."""
    with seeded(seed):
        model = DeepChain(depth, kind, WIDTH)
    carry_input(model)
    return model


def _fit(kind: str, depth: int, seed: int) -> dict:
    """Gradient norms at the start, and the validation error; none if training diverged."""
    train_images = trained.images("train", RECIPE.data["n_images"], RECIPE.data)
    val_images = trained.images("val", RECIPE.val_images, RECIPE.data)
    model = build(kind, depth, seed)
    norms = gradient_norms(model, train_images)
    try:
        fitted = fit(model.to(trained.training_device()), (train_images, val_images), RECIPE)
    except FloatingPointError:
        fitted = {"val_step": [], "val_mse": []}
    return {"gradient_norms": norms, **fitted}


def runs() -> list[Run]:
    """Every kind of chain in every depth, three seeds, which decide the initialisation."""
    depends = identity(RECIPE)
    code: tuple[Callable, ...] = (_fit, *GENERATORS[RECIPE.data["version"]].values())
    return [
        Run(
            {"network": kind, "depth": depth, "seed": seed},
            partial(_fit, kind, depth, seed),
            depends,
            code,
        )
        for seed in SEEDS
        for depth in DEPTHS
        for kind in COMPARED
    ]


def summarise(runs: list[dict]) -> dict:
    """Other chains minus plain ones of each depth, and whether that has settled."""
    table = []
    for depth in dict.fromkeys(run["depth"] for run in runs):
        groups = {
            kind: [run for run in runs if run["depth"] == depth and run["network"] == kind]
            for kind in COMPARED
        }
        table += [{"depth": depth, **entry} for entry in settled(groups, COMPARED[0])]
    return {"settled": table}
