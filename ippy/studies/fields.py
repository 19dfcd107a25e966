"""What a wide receptive field buys, for artifacts from local to global.

Three tasks on images of 128 x 128 pixels that vanish outside the inscribed circle: noise, the
book's motion blur, and the streaks of a filtered backprojection from 30 views. Networks of one task
see the same images and batches; the seed decides their initialisation. Beside each stands the best
linear filter of its field.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ippy import datasets, evaluation, metrics, training
from ippy.datasets.phantoms import GENERATORS
from ippy.models import SimpleUNet
from ippy.networks import Recipe
from ippy.operators import Blurring, CTProjector
from ippy.receptive_field import receptive_field
from ippy.seeds import generator_for, seeded
from ippy.studies.chains import Chain, correction
from ippy.studies.linear import best_linear
from ippy.studies.runner import Run, identity
from ippy.studies.settled import settled, validations
from ippy.studies.shared import once
from ippy.studies.trained import training_device
from ippy.tasks import measure, task_operator

__all__ = [
    "CHAINS",
    "LINEAR",
    "RECIPE",
    "TASKS",
    "dilated",
    "filtered",
    "pairs",
    "runs",
    "summarise",
]

QUESTION = "What a wide receptive field buys, for artifacts from local to global"

SHAPE = (128, 128)
VERSION = 3  # of the procedural images
N_TRAIN, N_VAL, N_VIEWS = 2000, 32, 30
#: Seeds of each network. A training takes half a minute of a GPU, and of a CPU up to half an hour.
SEEDS = (0, 1, 2)
_STEPS = 3000
RECIPE = Recipe(
    "Chain", steps=_STEPS, batch_size=8, crop=None, flips=False, lr=1e-3, schedule="one_cycle",
    data={"n_images": N_TRAIN, "kind": "mixed", "version": VERSION}, val_images=N_VAL,
    val_every=validations(_STEPS),
)  # fmt: skip

#: Field in pixels -> dilation of each of the seven layers, and channels between them. A dilation of
#: 0 is a layer of 1 x 1: seven layers of 3 x 3 see 15 pixels at least. Such a chain is wider, so
#: that all have the same number of parameters to half a percent. No layer leaps over what the ones
#: before it do not cover. Channels are multiples of 8, which a GPU computes quickly; where layers
#: are dilated of 16, since others crash the bfloat16 gradient of dilation in PyTorch 2.15.
CHAINS: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    7: ((1, 0, 0, 1, 0, 0, 1), (64, 72, 56, 56, 72, 64)),
    15: ((1, 1, 1, 1, 1, 1, 1), (32,) * 6),
    31: ((1, 1, 2, 4, 4, 2, 1), (32,) * 6),
    63: ((1, 2, 4, 8, 8, 6, 2), (32,) * 6),
}
#: Channels of the UNet's finest level.
UNET_CH = 32
#: Widths of the linear filters, those of the chains.
LINEAR = tuple(CHAINS)


def dilated(field: int) -> Chain:
    """A chain of :data:`CHAINS`, with ReLU between its layers, that computes a correction."""
    dilations, inner = CHAINS[field]
    channels, layers = [1, *inner, 1], []
    for i, d in enumerate(dilations):
        side = 3 if d else 1
        conv = nn.Conv2d(channels[i], channels[i + 1], side, padding=d, dilation=max(d, 1))
        layers += [conv, nn.ReLU()]
    return correction(nn.Sequential(*layers[:-1]))


def unet() -> Chain:
    """The book's UNet, as a correction."""
    return correction(SimpleUNet(base_ch=UNET_CH))


# --- the tasks ---


def _noise(x: Tensor, seed: int) -> Tensor:
    return measure(x, Blurring(SHAPE, kernel=[[1.0]]), 0.1, seed=seed)


def _motion(x: Tensor, seed: int) -> Tensor:
    return measure(x, task_operator(SHAPE), seed=seed)


def _streaks(x: Tensor, seed: int) -> Tensor:
    K = CTProjector(SHAPE, torch.arange(N_VIEWS) * torch.pi / N_VIEWS)
    parts = x.split(100)  # a sinogram and its filtered columns are larger than images
    return torch.cat(
        [K.fbp(measure(part, K, seed=seed, first=100 * i)) for i, part in enumerate(parts)]
    )


#: Name -> what a network is given, from clean images (N, 1, 128, 128) and the seed of the noise.
TASKS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "noise": _noise,
    "motion blur": _motion,
    "streaks": _streaks,
}


@once
def _clean(split: str) -> Tensor:
    """Images (N, 1, 128, 128) that vanish outside the inscribed circle, where a projector sees."""
    data = {**RECIPE.data, "n_images": {"train": N_TRAIN, "val": N_VAL}[split]}
    x = datasets.materialise(datasets.SyntheticDataset(data_shape=SHAPE, split=split, **data))
    i = torch.arange(SHAPE[0]) - SHAPE[0] // 2
    return (x / 255) * ((i[:, None] ** 2 + i**2) < (SHAPE[0] // 2 - 1) ** 2)


@once
def pairs(task: str, split: str) -> tuple[Tensor, Tensor]:
    """Corrupted and clean images of a task, each (N, 1, 128, 128): ``"train"`` or ``"val"``."""
    x = _clean(split)
    return TASKS[task](x, datasets.SPLIT_SEEDS[split]), x


class _Batches:
    """Whole images of a task, the same for every network, on the device of training.

    All indices are drawn beforehand, so that a step neither computes nor copies anything on the
    CPU.
    """

    def __init__(self, task: str) -> None:
        self.y_delta, self.x = _on_device(task)
        shape, generator = (RECIPE.steps, RECIPE.batch_size), generator_for(RECIPE.seed)
        chosen = torch.randint(len(self.x), shape, generator=generator)
        self.chosen = chosen.to(self.x.device)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """Corrupted and clean images of one step, each (batch_size, 1, 128, 128)."""
        chosen = self.chosen[step]
        return self.y_delta[chosen], self.x[chosen]


@once
def _on_device(task: str) -> tuple[Tensor, Tensor]:
    y_delta, x = pairs(task, "train")
    return y_delta.to(training_device()), x.to(training_device())


# --- the runs ---


def _psnr(x_hat: Tensor, x: Tensor) -> list[float]:
    return [round(value, 4) for value in metrics.psnr(x_hat, x).tolist()]


def filtered(task: str, width: int) -> list[float]:
    """PSNR of each validation image after the best linear filter of this width (pixels, odd)."""
    h = best_linear(*pairs(task, "train"), (width,))[width]
    y_delta, x = pairs(task, "val")
    return _psnr(F.conv2d(y_delta, h, padding=width // 2), x)


def _filter(task: str, width: int) -> dict:
    return {"psnr": filtered(task, width), "parameters": width**2}


_TRACING = threading.Lock()  # a network is traced by one thread at a time


@once
def _reach(field: int | None) -> int:
    """Receptive field in pixels of a chain, or of the UNet."""
    with _TRACING:
        return receptive_field((dilated(field) if field else unet()).eval()).height[1]


def _fit(task: str, field: int | None, seed: int) -> dict:
    """Train one network, the UNet if ``field`` is None; its curve, and PSNR of every image."""
    batch, (y_delta, x) = _Batches(task), pairs(task, "val")
    with seeded(seed):
        model = dilated(field) if field else unet()
    parameters = sum(p.numel() for p in model.parameters())
    reach = _reach(field)
    history = training.train(model, batch, RECIPE, validation=(y_delta, x), progress=False)
    return {
        "reach": reach,
        "parameters": parameters,
        "psnr": _psnr(evaluation.reconstruct(model, y_delta), x),
        "val_step": history["val_step"],
        "val_mse": history["val_mse"],
        "train_seconds": round(history["seconds"], 1),
    }


def runs() -> list[Run]:
    """Every chain and the UNet on every task, for each of its seeds, then the linear filters."""
    images = tuple(GENERATORS[VERSION].values())
    data = identity(N_TRAIN, N_VAL, N_VIEWS, SHAPE, VERSION)
    depends = identity(RECIPE, data)
    found = []
    for task in TASKS:
        for seed in SEEDS:
            for field in (*CHAINS, None):
                kind = {"network": "chain", "field": field} if field else {"network": "UNet"}
                run = Run(
                    {"task": task, **kind, "seed": seed},
                    partial(_fit, task, field, seed),
                    identity(depends, CHAINS[field] if field else UNET_CH),
                    (_fit, *TASKS.values(), *images),
                )
                found.append(run)
    for task in TASKS:
        for width in LINEAR:
            fields = {"task": task, "network": "linear", "field": width}
            code: tuple[Callable, ...] = (_filter, *TASKS.values(), *images)
            found.append(Run(fields, partial(_filter, task, width), data, code))
    return found


def summarise(runs: list[dict]) -> dict:
    """For each task: every network beside linear filters, and whether differences have settled."""
    table, still = [], []
    for task in dict.fromkeys(run["task"] for run in runs):
        of_task = [run for run in runs if run["task"] == task]
        linear = {r["field"]: _mean(r["psnr"]) for r in of_task if r["network"] == "linear"}
        groups: dict[str, list[dict]] = {}
        for run in of_task:
            if run["network"] != "linear":
                name = f"field {run['field']}" if run.get("field") else "UNet"
                groups.setdefault(name, []).append(run)
        for name, found in groups.items():
            own = linear.get(found[0].get("field"), linear[LINEAR[-1]])
            psnr = _mean([_mean(run["psnr"]) for run in found])
            entry = {"task": task, "group": name, "psnr": psnr, "linear": own}
            entry |= {f"linear_{width}": linear[width] for width in LINEAR[2:]}
            table.append(entry | {"above_linear": round(psnr - own, 4)})
        still += [{"task": task, **entry} for entry in settled(groups, f"field {LINEAR[0]}")]
    return {"table": table, "settled": still}


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)
