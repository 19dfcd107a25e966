"""What a wide receptive field buys: the best linear filter of each width, and networks.

Three tasks from local to global, on images of 128 x 128 pixels that vanish outside the inscribed
circle: noise (after a blur of 3 pixels), the book's motion blur, and the streaks of a filtered
backprojection from 30 views. Networks of one task see the same images, noise and batches; the seed
decides their initialisation.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ippy import datasets, evaluation, metrics, training
from ippy.models import SimpleUNet
from ippy.networks import Recipe
from ippy.operators import Blurring, CTProjector
from ippy.receptive_field import receptive_field
from ippy.seeds import generator_for
from ippy.studies.runner import Run, identity
from ippy.tasks import measure, task_operator

__all__ = ["DILATIONS", "TASKS", "Corrector", "best_linear", "linear_psnr", "pairs"]

SHAPE = (128, 128)
RECIPE = Recipe("Corrector", steps=400, batch_size=4, crop=None, lr=1e-3)
N_TRAIN, N_VAL, N_VIEWS = 400, 32, 30
WIDTH = 32  # a multiple of 16: others crash the bfloat16 gradient of dilation in PyTorch 2.15
# Seven layers of 3 x 3, the same number of parameters; no layer leaps over what it does not cover.
DILATIONS = {
    15: (1, 1, 1, 1, 1, 1, 1),
    25: (1, 1, 2, 4, 2, 1, 1),
    41: (1, 2, 4, 6, 4, 2, 1),
    73: (1, 2, 4, 8, 12, 8, 1),
    127: (1, 2, 4, 8, 16, 31, 1),
}
DEPTHS, POOLINGS = (4, 12), (2, 3)


class Corrector(nn.Module):
    """The input plus what ``body`` computes; starts as the identity.

    The convolutions of the body are initialised after He et al. (ICCV 2015), its last one with
    zeros. With PyTorch's default, widely dilated chains had not moved after 400 steps.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        convolutions = [m for m in body.modules() if isinstance(m, nn.Conv2d)]
        for conv in convolutions:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(convolutions[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 1, H, W) to (N, 1, H, W)."""
        return x + self.body(x)


def chain(dilations: Sequence[int], width: int = WIDTH) -> Corrector:
    """3x3 convolutions with these dilations and ReLU between them, ``width`` channels inside."""
    channels = [1, *[width] * (len(dilations) - 1), 1]
    layers = []
    for i, d in enumerate(dilations):
        layers += [nn.Conv2d(channels[i], channels[i + 1], 3, padding=d, dilation=d), nn.ReLU()]
    return Corrector(nn.Sequential(*layers[:-1]))


def unet(poolings: int) -> Corrector:
    """A small UNet."""
    return Corrector(SimpleUNet(base_ch=8, levels=poolings))


#: By what a network reaches far, and its size: field of the dilated chain in pixels, number of
#: layers, number of poolings.
NETWORKS: dict[tuple[str, int], Callable[[], Corrector]] = {
    **{("dilation", field): partial(chain, d) for field, d in DILATIONS.items()},
    **{("depth", n): partial(chain, (1,) * n) for n in DEPTHS},
    **{("stride", n): partial(unet, n) for n in POOLINGS},
}


# --- the tasks ---


def _noise(x: Tensor, seed: int) -> Tensor:
    K = Blurring(SHAPE, kernel_type="gaussian", kernel_size=3, kernel_variance=0.3)
    return measure(x, K, 0.1, seed=seed)


def _motion(x: Tensor, seed: int) -> Tensor:
    return measure(x, task_operator(SHAPE), seed=seed)


def _streaks(x: Tensor, seed: int) -> Tensor:
    K = CTProjector(SHAPE, torch.arange(N_VIEWS) * torch.pi / N_VIEWS)
    return K.fbp(measure(x, K, seed=seed))


TASKS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "noise": _noise,
    "motion blur": _motion,
    "streaks": _streaks,
}


@cache
def pairs(task: str, split: str) -> tuple[Tensor, Tensor]:
    """Corrupted and clean images of a task, each (N, 1, 128, 128): ``"train"`` or ``"val"``."""
    n_images = {"train": N_TRAIN, "val": N_VAL}[split]
    images = datasets.SyntheticDataset(n_images, SHAPE, split=split)
    x = datasets.materialise(images).float() / 255
    i = torch.arange(SHAPE[0]) - SHAPE[0] // 2
    x = x * ((i[:, None] ** 2 + i**2) < (SHAPE[0] // 2 - 1) ** 2)
    return TASKS[task](x, datasets.SPLIT_SEEDS[split]), x


# --- the best linear filters ---


def best_linear(y_delta: Tensor, x: Tensor, widths: Sequence[int]) -> dict[int, Tensor]:
    r"""Filters $h$ of w x w pixels that minimise $\sum (h \star y^\delta - x)^2$, in closed form.

    The normal equations hold the correlations of $y^\delta$ with itself and with $x$, which are
    computed by Fourier transforms; the images are zero outside.

    Args:
        y_delta, x: Corrupted and clean images, (N, 1, H, W).
        widths: Odd widths w, smaller than the images.

    Returns:
        Width -> kernel (1, 1, w, w), float32, for ``torch.nn.functional.conv2d``.
    """
    size = [2 * n for n in x.shape[2:]]  # twice as large: no correlation around the edge
    Y, X = (torch.fft.rfft2(image.double(), s=size) for image in (y_delta, x))
    auto = torch.fft.irfft2((Y.abs() ** 2).sum((0, 1)), s=size)
    cross = torch.fft.irfft2((Y * X.conj()).sum((0, 1)), s=size)
    found = {}
    for w in widths:
        if w % 2 == 0 or not 0 < w < min(x.shape[2:]):
            raise ValueError(f"width {w} must be odd and smaller than the images")
        d = torch.cartesian_prod(*[torch.arange(w) - w // 2] * 2)  # (w w, 2)
        between = d[None] - d[:, None]
        gram = auto[between[..., 0] % size[0], between[..., 1] % size[1]]
        h = torch.linalg.solve(gram, cross[d[:, 0] % size[0], d[:, 1] % size[1]])
        found[w] = h.reshape(1, 1, w, w).float()
    return found


def linear_psnr(task: str, widths: Sequence[int]) -> dict[int, float]:
    """Mean PSNR (dB) on the validation images of a task of the best filter of each width."""
    filters = best_linear(*pairs(task, "train"), widths)
    y_delta, x = pairs(task, "val")
    return {
        w: metrics.psnr(F.conv2d(y_delta, h, padding=w // 2), x).mean().item()
        for w, h in filters.items()
    }


# --- the networks ---


def fit(task: str, network: str, size: int, seed: int) -> dict:
    """Train one network; its receptive field, parameters and validation error."""
    torch.manual_seed(seed)
    model = NETWORKS[network, size]()
    training.train(model, _Batches(task), RECIPE, progress=False)
    y_delta, x = pairs(task, "val")
    x_hat = evaluation.reconstruct(model, y_delta)
    return {
        "field": receptive_field(model.eval()).height[1],
        "parameters": sum(p.numel() for p in model.parameters()),
        "mse": metrics.mse(x_hat, x).mean().item(),
        "psnr": metrics.psnr(x_hat, x).mean().item(),
    }


class _Batches:
    """Whole images of a task, the same for every network; steps are asked for in order."""

    def __init__(self, task: str) -> None:
        self.y_delta, self.x = pairs(task, "train")

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(
            len(self.x), (RECIPE.batch_size,), generator=generator_for(RECIPE.seed, step)
        )
        return self.y_delta[chosen], self.x[chosen]


def runs() -> list[Run]:
    """Every network on every task, three seeds."""
    depends = identity(RECIPE, N_TRAIN, N_VAL, N_VIEWS, WIDTH, SHAPE, datasets.GENERATOR_VERSION)
    return [
        Run(
            {"task": task, "network": network, "size": size, "seed": seed},
            partial(fit, task, network, size, seed),
            depends,
        )
        for seed in range(3)
        for task in TASKS
        for network, size in NETWORKS
    ]
