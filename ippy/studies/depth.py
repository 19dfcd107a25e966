"""Experiments of the first chapters: classical baselines, skips, starts, families, depth."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from ippy import data, evaluation, metrics, training
from ippy.models import SimpleCNN
from ippy.recipes import SHAPE, Recipe, identity_init, task_operator

# --- baselines: regularisation parameters of the classical methods, chosen on training images ---

LAMBDAS = {
    "Tikhonov": [round(10 ** (k / 6), 6) for k in range(-18, 1)],
    "TV": [round(10 ** (k / 6), 6) for k in range(-24, -5)],
}


def _baseline(noise_level: float) -> dict:
    images = data.materialise(data.SyntheticDataset(8, SHAPE, split="train")).float() / 255
    K, psnr = task_operator(), {}
    y_delta = evaluation.measure(images, K, noise_level)
    for method in LAMBDAS:
        psnr[method] = [
            metrics.psnr(evaluation.classical_method(method, K, lam)(y_delta), images).mean().item()
            for lam in LAMBDAS[method]
        ]
    return {"psnr": psnr}


def baselines() -> dict[str, Callable]:
    return {f"{level:g}": partial(_baseline, level) for level in (0.01, 0.05, 0.2)}


def choose(done: dict) -> dict:
    best = {
        level: {m: LAMBDAS[m][max(range(len(v)), key=v.__getitem__)] for m, v in r["psnr"].items()}
        for level, r in done.items()
    }
    return {"lambdas": LAMBDAS, "chosen": best}


# --- networks that the residual-learning experiments compare ---


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
        for conv in (self.first, *self.layers, self.last):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 1, H, W) to (N, 1, H, W)."""
        h = self.first(x)  # (N, width, H, W)
        for first, second in zip(self.layers[::2], self.layers[1::2], strict=True):
            update = second(torch.relu(first(torch.relu(h))))
            h = update if self.kind == "plain" else h + update
            h = h / 2**0.5 if self.kind == "scaled" else h
        return self.last(torch.relu(h))


def _images(kind: str, n_train: int = 400, n_val: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        data.materialise(data.SyntheticDataset(n_train, SHAPE, kind=kind, split="train")),
        data.materialise(data.SyntheticDataset(n_val, SHAPE, kind=kind, split="val")),
    )


_SMALL = Recipe("SimpleCNN", steps=1000, batch_size=8, crop=64, schedule="constant", val_every=100)


def _fit(model: nn.Module, kind: str, recipe: Recipe, **options) -> dict:
    images, val_images = _images(kind)
    history = training.train(
        model, images, task_operator(), recipe, val_dataset=val_images, progress=False, **options
    )
    return {"step": history["val_step"], "val_mse": history["val_mse"]}


# --- skip_and_start: is it the skip, or that it starts as the identity? ---


def _chain(skip: bool, identity: bool, seed: int) -> Chain:
    torch.manual_seed(seed)
    body = SimpleCNN(1, 1, 32)
    if identity:
        identity_init(body, residual=skip)
    return Chain(body, skip)


def _skip_and_start_run(skip: bool, identity: bool, seed: int) -> dict:
    model = _chain(skip, identity, seed)
    val = _images("mixed")[1].float() / 255
    y_delta = evaluation.measure(val, task_operator())
    first = metrics.mse(evaluation.reconstruct(model, y_delta), val).mean().item()
    fitted = _fit(model, "mixed", _SMALL)
    return {"step": [0, *fitted["step"]], "val_mse": [first, *fitted["val_mse"]]}


def skip_and_start() -> dict[str, Callable]:
    return {
        f"{'skip' if skip else 'no skip'}, {'identity' if start else 'default'}, {seed}": partial(
            _skip_and_start_run, skip, start, seed
        )
        for seed in range(5)
        for skip in (False, True)
        for start in (False, True)
    }


# --- generalisation: trained on one family of images, tested on the other ---

FAMILIES = ("thorax", "dead_leaves")


def _generalise(family: str, skip: bool, seed: int) -> dict:
    model = _chain(skip, False, seed)
    _fit(model, family, replace(_SMALL, val_every=1000))
    K, mse = task_operator(), {}
    for target in FAMILIES:
        table = evaluation.evaluate({"net": model}, evaluation.held_out_images(32, target), K)
        mse[target] = sum(table["net"]["mse"]) / 32
        mse[f"measurement {target}"] = sum(table["measurement"]["mse"]) / 32
    return {"mse": mse}


def generalisation() -> dict[str, Callable]:
    return {
        f"{family}, {'skip' if skip else 'no skip'}, {seed}": partial(
            _generalise, family, skip, seed
        )
        for seed in range(5)
        for family in FAMILIES
        for skip in (False, True)
    }


# --- depth: plain against residual chains of 8, 16 and 32 layers ---

DEPTHS, KINDS = (8, 16, 32), ("plain", "residual", "scaled")


def gradient_norms(model: DeepChain, images: torch.Tensor) -> list[float]:
    """Norm of the loss gradient of each layer's weights, first to last, on one batch.

    Args:
        model: The network.
        images: Clean images, uint8 (N, 1, 256, 256); the middle of the first eight is used.
    """
    K = task_operator()
    x = images[:8].float() / 255
    y_delta = evaluation.measure(x, K)[..., 96:160, 96:160]
    loss = nn.functional.mse_loss(model(y_delta), x[..., 96:160, 96:160])
    convs = [model.first, *model.layers, model.last]
    return [g.norm().item() for g in torch.autograd.grad(loss, [c.weight for c in convs])]


def _depth_run(depth: int, kind: str, seed: int) -> dict:
    torch.manual_seed(seed)
    model = DeepChain(depth, kind)
    norms = gradient_norms(model, _images("mixed")[0])
    recipe = replace(_SMALL, steps=400, lr=1e-3, schedule="one_cycle", val_images=8)
    try:
        fitted = _fit(model, "mixed", recipe)
    except FloatingPointError:
        fitted = {"step": [], "val_mse": []}
    return {"gradient_norms": norms, **fitted}


def depth() -> dict[str, Callable]:
    return {
        f"{kind}, {depth}, {seed}": partial(_depth_run, depth, kind, seed)
        for seed in range(3)
        for depth in DEPTHS
        for kind in KINDS
    }
