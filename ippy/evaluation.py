"""How well networks and classical methods do: on a tensor of images, reproducibly."""

import math
import os
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ippy import classical, datasets, metrics, results
from ippy.operators import CTProjector, Gradient, Operator
from ippy.operators.noise import check_noise_level
from ippy.receptive_field import apply_in_tiles
from ippy.tasks import NOISE_LEVEL, SHAPE, TASKS, Task
from ippy.tasks import measure as measure  # where readers of the first edition find it

__all__ = [
    "baselines",
    "classical_method",
    "evaluate",
    "held_out_images",
    "held_out_metrics",
    "images_of",
    "network_method",
    "reconstruct",
]

_DEBLURRING = TASKS["deblurring"]


@torch.no_grad()
def reconstruct(
    model: nn.Module, y_delta: Tensor, batch_size: int = 4, *, tile: int | None = 1024
) -> Tensor:
    """Apply a network in evaluation mode, in small batches or in tiles.

    Args:
        model: Network from (N, C, H, W) to the same size.
        y_delta: What it is given, (N, C, H, W); floating point numbers of another type than those
            of the network, such as float64, are brought to its own.
        batch_size: Images handled at a time.
        tile: Larger images, in height or width (pixels), are handled in tiles of this side, one
            at a time, by :func:`~ippy.receptive_field.apply_in_tiles`: memory is bounded, and the
            result differs by rounding errors only. None: images are handled whole.

    Returns:
        Reconstructions (N, C, H, W) on the CPU, of the network's type.

    Raises:
        ValueError: If an image is larger than a tile, and the network cannot be applied in tiles.
    """
    model.eval()
    kinds = (p.dtype for p in model.parameters() if p.is_floating_point())
    if y_delta.is_floating_point():
        y_delta = y_delta.to(next(kinds, y_delta.dtype))
    if tile is not None and max(y_delta.shape[-2:]) > tile:
        try:
            return apply_in_tiles(model, y_delta.cpu(), tile)
        except NotImplementedError as error:
            raise ValueError(f"{error}; or reconstruct whole images, with tile=None") from error
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return torch.cat([model(part.to(device)).cpu() for part in y_delta.split(batch_size)])


def network_method(
    model: nn.Module, operator: Operator, task: Task = _DEBLURRING
) -> Callable[[Tensor], Tensor]:
    """A network as a function from measurements to reconstructions, as its task says.

    What it is given is made from the measurements, and its answer is finished; answers are of the
    measurements' floating point type.

    Args:
        model: The network.
        operator: Forward model of the measurements.
        task: The task that it is trained for.
    """

    def method(y_delta: Tensor) -> Tensor:
        x_hat = reconstruct(model, task.given(operator, y_delta)).to(y_delta.dtype)
        return task.finish(operator, y_delta, x_hat)

    return method


def baselines(
    operator: Operator, noise_level: float = NOISE_LEVEL, task: Task = _DEBLURRING
) -> dict[str, Callable]:
    """The classical reconstructions with the parameters that a study of the task chose.

    Of the noise levels studied the nearest on a logarithmic scale is used; parameters were
    chosen on training images, never on those that are evaluated.

    Returns:
        ``"Tikhonov"`` and ``"TV"``, and for a projector before them ``"FBP"`` and
        ``"FBP (Hann)"``, each a function from measurements to reconstructions.

    Raises:
        ValueError: If the noise level is negative or not finite.
    """
    check_noise_level(noise_level)
    chosen = results.load(task.parameters)["chosen"]
    nearest = min(chosen, key=lambda level: abs(math.log(float(level) / max(noise_level, 1e-6))))
    methods: dict[str, Callable] = {}
    if isinstance(operator, CTProjector):
        methods = {"FBP": operator.fbp, "FBP (Hann)": partial(operator.fbp, filter="hann")}
    for name, lam in chosen[nearest].items():
        methods[name] = classical_method(name, operator, lam)
    return methods


def classical_method(name: str, operator: Operator, lam: float) -> Callable[[Tensor], Tensor]:
    """``"Tikhonov"`` (penalty on the gradient) or ``"TV"`` as a function of the measurements.

    Raises:
        ValueError: If the method has another name.
    """
    if name not in ("Tikhonov", "TV"):
        raise ValueError(f"unknown method {name!r}; choose 'Tikhonov' or 'TV'")
    if name == "TV":
        # few views leave more undecided than a blur: 1,000 iterations end 0.001 dB from 2,000
        n_iter = 1000 if isinstance(operator, CTProjector) else 200
        return lambda y: classical.total_variation(operator, y, lam, n_iter=n_iter)
    gradient = Gradient(operator.img_shape, boundary="reflect")
    return lambda y: classical.tikhonov(operator, y, lam, regulariser=gradient)


def evaluate(
    methods: dict[str, Callable[[Tensor], Tensor] | nn.Module],
    images: Tensor,
    operator: Operator,
    noise_level: float = NOISE_LEVEL,
    *,
    task: Task = _DEBLURRING,
    seed: int = 0,
    batch_size: int = 8,
) -> dict[str, dict[str, list[float]]]:
    """Per-image MSE, PSNR and SSIM of every method, and of the measurement where it is an image.

    Args:
        methods: Name -> function from measurements to reconstructions, or network of the task.
        images: Clean images (N, 1, H, W), uint8 or float in [0, 1]; (N, 1, 2H, 2W) for a task that
            is measured on a finer grid, as :func:`images_of` gives them.
        operator: Forward model for the images' size.
        noise_level: Relative noise level.
        task: How images are measured, and what networks are given. For a network of another task
            with the same measurements, pass :func:`network_method`.
        seed: Seed of the noise.
        batch_size: Images handled at a time.

    Returns:
        ``{"measurement": {"mse": […], "psnr": […], "ssim": […]}, name: …}``, N values each.

    Raises:
        ValueError: If the operator or the images are of another task, or grey values are outside
            [0, 1].
    """
    solvers: dict[str, Callable[[Tensor], Tensor]] = {}
    if operator.out_shape == operator.img_shape:
        solvers["measurement"] = lambda y: y
    for name, method in methods.items():
        if isinstance(method, nn.Module):
            method = network_method(method, operator, task)
        solvers[name] = method
    table: dict[str, dict[str, list[float]]]
    table = {name: {"mse": [], "psnr": [], "ssim": []} for name in solvers}
    for first in range(0, len(images), batch_size):
        part = images[first : first + batch_size]
        y_delta, x = task.measured(part, operator, noise_level, seed=seed, first=first)
        for name, solve in solvers.items():
            x_hat = solve(y_delta)
            for metric in ("mse", "psnr", "ssim"):
                table[name][metric] += getattr(metrics, metric)(x_hat, x).tolist()
    return table


def held_out_images(n_images: int = 32, kind: str = "mixed", shape: tuple = SHAPE) -> Tensor:
    """Procedural test images as uint8 (N, 1, H, W): never trained on, never tuned on."""
    return datasets.materialise(datasets.SyntheticDataset(n_images, shape, kind=kind, split="test"))


def images_of(
    task: Task,
    data: str | os.PathLike | None = None,
    *,
    n_images: int = 32,
    kind: str = "mixed",
) -> Tensor:
    """Images to evaluate a task on, of the size at which it takes them.

    Args:
        task: The task; one that is measured on a finer grid takes images of twice its size.
        data: Folder of PNGs (``<folder>/<patient>/*.png``); if None, the procedural test images.
        n_images: Number of procedural images.
        kind: Kind of procedural images.

    Returns:
        uint8 tensor (N, 1, H, W), (H, W) being ``task.image_shape``.
    """
    if data:
        return datasets.materialise(datasets.MayoDataset(data, task.image_shape))
    if not task.finer:
        return held_out_images(n_images, kind, task.shape)
    # version 3 is the first that keeps its pictures on a finer grid
    pictures = datasets.SyntheticDataset(n_images, task.shape, kind=kind, split="test", version=3)
    return datasets.materialise(datasets.FinePictures(pictures))


def held_out_metrics(model: nn.Module, n_images: int = 32, task: Task = _DEBLURRING) -> dict:
    """Mean and standard deviation over the procedural test images, for a weight file's card."""
    images, operator = images_of(task, n_images=n_images), task.operator()
    table = evaluate({"network": model}, images, operator, task.noise_level, task=task)
    return {
        name: {
            metric: [torch.tensor(values).mean().item(), torch.tensor(values).std().item()]
            for metric, values in table[name].items()
        }
        for name in table
    }
