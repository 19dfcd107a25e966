"""How well networks and classical methods do: on a tensor of images, reproducibly."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ippy import classical, datasets, metrics, results
from ippy.operators import Gradient, Operator
from ippy.tasks import NOISE_LEVEL, SHAPE, measure, task_operator

__all__ = [
    "baselines",
    "classical_method",
    "evaluate",
    "held_out_images",
    "held_out_metrics",
    "reconstruct",
]


@torch.no_grad()
def reconstruct(model: nn.Module, y_delta: Tensor, batch_size: int = 4) -> Tensor:
    """Apply a network in evaluation mode, float32, in small batches: (N, C, H, W) to the same."""
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return torch.cat([model(part.to(device)).cpu() for part in y_delta.split(batch_size)])


def baselines(operator: Operator, noise_level: float = NOISE_LEVEL) -> dict[str, Callable]:
    """The classical reconstructions with the parameters that the study ``baselines`` chose.

    Of the noise levels studied the nearest on a logarithmic scale is used; parameters were
    chosen on training images, never on those that are evaluated.

    Returns:
        ``"Tikhonov"`` and ``"TV"``, each a function from measurements to reconstructions.
    """
    chosen = results.load("baselines")["chosen"]
    nearest = min(chosen, key=lambda level: abs(math.log(float(level) / max(noise_level, 1e-6))))
    return {name: classical_method(name, operator, lam) for name, lam in chosen[nearest].items()}


def classical_method(name: str, operator: Operator, lam: float) -> Callable[[Tensor], Tensor]:
    """``"Tikhonov"`` (penalty on the gradient) or ``"TV"`` as a function of the measurements."""
    if name == "TV":
        return lambda y: classical.total_variation(operator, y, lam)
    gradient = Gradient(operator.img_shape, boundary="reflect")
    return lambda y: classical.tikhonov(operator, y, lam, regulariser=gradient)


def evaluate(
    methods: dict[str, Callable[[Tensor], Tensor] | nn.Module],
    images: Tensor,
    operator: Operator,
    noise_level: float = NOISE_LEVEL,
    *,
    seed: int = 0,
    batch_size: int = 8,
) -> dict[str, dict[str, list[float]]]:
    """Per-image MSE, PSNR and SSIM of the measurement and of every method.

    Args:
        methods: Name -> network or function from measurements to reconstructions.
        images: Clean images (N, 1, H, W), uint8 or float in [0, 1].
        operator: Forward model for the images' size.
        noise_level: Relative noise level.
        seed: Seed of the noise.
        batch_size: Images handled at a time.

    Returns:
        ``{"measurement": {"mse": […], "psnr": […], "ssim": […]}, name: …}``, N values each.
    """
    table: dict[str, dict[str, list[float]]]
    table = {name: {"mse": [], "psnr": [], "ssim": []} for name in ("measurement", *methods)}
    for first in range(0, len(images), batch_size):
        x = images[first : first + batch_size]
        x = x if x.is_floating_point() else x.float() / 255
        y_delta = measure(x, operator, noise_level, seed=seed, first=first)
        for name in table:
            method = methods.get(name, lambda y: y)
            if isinstance(method, nn.Module):
                x_hat = reconstruct(method, y_delta)
            else:
                x_hat = method(y_delta)
            for metric in ("mse", "psnr", "ssim"):
                table[name][metric] += getattr(metrics, metric)(x_hat, x).tolist()
    return table


def held_out_images(n_images: int = 32, kind: str = "mixed", shape: tuple = SHAPE) -> Tensor:
    """Procedural test images as uint8 (N, 1, H, W): never trained on, never tuned on."""
    return datasets.materialise(datasets.SyntheticDataset(n_images, shape, kind=kind, split="test"))


def held_out_metrics(model: nn.Module, n_images: int = 32) -> dict:
    """Mean and standard deviation over the procedural test images, for a weight file's card."""
    table = evaluate({"network": model}, held_out_images(n_images), task_operator())
    return {
        name: {
            metric: [torch.tensor(values).mean().item(), torch.tensor(values).std().item()]
            for metric, values in table[name].items()
        }
        for name in table
    }
