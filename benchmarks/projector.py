"""Speed and accuracy of the CT projector, against scikit-image and against rotating the image."""

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from skimage.transform import radon
from torch import Tensor

from ippy.operators import CTProjector

SIZE, N_ANGLES, BATCH = 256, 180, 8


def rotate_and_sum(x: Tensor, angles: Tensor) -> Tensor:
    """The alternative: resample the image bilinearly for every angle, then sum the columns."""
    n, c, h, w = x.shape
    v, u = torch.meshgrid(torch.arange(h) - h // 2, torch.arange(w) - w // 2, indexing="ij")
    columns = []
    for angle in angles:
        rows = v * angle.cos() - u * angle.sin()
        across = v * angle.sin() + u * angle.cos()
        grid = torch.stack([(across + w // 2) / (w - 1), (rows + h // 2) / (h - 1)], -1) * 2 - 1
        grid = grid.float().expand(n, h, w, 2)
        columns.append(F.grid_sample(x, grid, align_corners=True).sum(2))
    return torch.stack(columns, 3)  # (N, C, W, angles)


def disc_error(project: Callable[[Tensor], Tensor], angles: Tensor) -> float:
    """Mean absolute error (pixels) of the projections of a disc, whose chords are known."""
    radius, row, column = 70.0, 15.0, -30.0
    fine = torch.arange(SIZE * 8).add(0.5).div(8).sub(0.5 + SIZE // 2)  # 8 x 8 points a pixel
    inside = (fine[:, None] - row) ** 2 + (fine - column) ** 2 <= radius**2
    disc = inside.float().reshape(SIZE, 8, SIZE, 8).mean((1, 3))[None, None]
    t = torch.arange(SIZE)[:, None] - SIZE // 2 - (column * angles.cos() - row * angles.sin())
    chords = 2 * (radius**2 - t**2).clamp(min=0).sqrt()
    return (project(disc)[0, 0] - chords).abs().mean().item()


def run(alternate: Callable) -> dict:
    """Seconds for a batch of 8 images, by turns; ``alternate`` is the benchmarks' stop-watch."""
    angles = torch.arange(N_ANGLES) * math.pi / N_ANGLES
    start = time.perf_counter()
    K = CTProjector((SIZE, SIZE), angles)
    built = time.perf_counter() - start
    x = torch.rand(BATCH, 1, SIZE, SIZE)
    x *= (
        (torch.arange(SIZE) - SIZE // 2) ** 2 + (torch.arange(SIZE)[:, None] - SIZE // 2) ** 2
    ) < (SIZE // 2 - 1) ** 2
    y, degrees = K(x), angles.rad2deg().numpy()

    def scikit(images: Tensor) -> Tensor:
        found = [radon(image[0].numpy(), degrees, circle=True) for image in images]
        return torch.stack([torch.from_numpy(one)[None] for one in found])

    def rotate(images: Tensor) -> Tensor:
        return rotate_and_sum(images, angles)

    seconds = alternate(
        {
            "scikit-image": lambda: scikit(x),
            "rotate and sum": lambda: rotate(x),
            "CTProjector": lambda: K(x),
            "adjoint": lambda: K.adjoint(y),
            "fbp": lambda: K.fbp(y),
        },
        3,
    )
    projectors = {"scikit-image": scikit, "rotate and sum": rotate, "CTProjector": K}
    errors = {name: disc_error(project, angles) for name, project in projectors.items()}
    return {"seconds": seconds, "disc error": errors, "built": built}
