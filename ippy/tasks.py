"""The tasks of the book as data: what is measured, with how much noise, what a network is given.

A task is one entry of :data:`TASKS`. Everything that trains, evaluates or shows networks asks the
task of a network how its measurements are made.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ippy.operators import Blurring, Operator
from ippy.operators.noise import gaussian_noise
from ippy.seeds import generator_for

__all__ = ["KERNEL", "NOISE_LEVEL", "SHAPE", "TASKS", "Task", "measure", "task_operator"]

#: Height and width of the images, in pixels.
SHAPE = (256, 256)
#: The motion blur, as arguments of :class:`ippy.operators.Blurring`.
KERNEL = {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20.0}
#: Relative noise level.
NOISE_LEVEL = 0.01


def task_operator(shape: tuple[int, int] = SHAPE, **kernel: Any) -> Blurring:
    """The book's motion blur for images of ``shape``; keywords replace parts of :data:`KERNEL`."""
    return Blurring(shape, **{**KERNEL, **kernel})


def measure(
    x: Tensor,
    operator: Operator,
    noise_level: float = NOISE_LEVEL,
    *,
    seed: int = 0,
    first: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Noisy measurements $y^\delta = Kx + e$.

    Without a generator the noise of each image is a function of (``seed``, index) alone, so that
    batch size and order do not matter.

    Args:
        x: Clean images (N, C, H, W) in [0, 1].
        operator: Forward model $K$.
        noise_level: Relative noise level of each image.
        seed: Seed of the noise.
        first: Index of the first image of the batch.
        generator: Draws the noise of the whole batch instead.

    Returns:
        Measurements, of the operator's output shape.
    """
    y = operator(x)
    if generator is not None:
        return y + gaussian_noise(y, noise_level, generator=generator)
    noise = [
        gaussian_noise(
            y[i : i + 1],
            noise_level,
            generator=generator_for(seed, first + i),
        )
        for i in range(len(y))
    ]
    return y + torch.cat(noise)


def _measurement(operator: Operator, y_delta: Tensor) -> Tensor:
    """What a network is given where measurements are images: the measurement itself."""
    return y_delta


@dataclass(frozen=True)
class Task:
    """A forward model, its noise, and what a network starts from.

    Args:
        title: As tables and pages name it.
        make_operator: Builds the forward model from the shape (H, W) of the images; keywords
            change parts of it.
        noise_level: Relative noise level of the measurements.
        shape: Height and width of the images, in pixels.
        given: What a network is given, from the operator and measurements: the measurements
            themselves, or images (N, C, H, W) that are cheaply reconstructed from them.
    """

    title: str
    make_operator: Callable[..., Operator]
    noise_level: float = NOISE_LEVEL
    shape: tuple[int, int] = SHAPE
    given: Callable[[Operator, Tensor], Tensor] = _measurement

    def operator(self, shape: tuple[int, int] | None = None, **changes: Any) -> Operator:
        """The forward model for images of ``shape``, by default the task's."""
        return self.make_operator(shape or self.shape, **changes)

    @torch.no_grad()
    def probe(self) -> str:
        """Twelve hex digits that change with the forward model, the noise or what is given."""
        operator, x = self.operator(), torch.zeros(1, 1, *self.shape)
        x[..., self.shape[0] // 2, self.shape[1] // 3] = 1
        y = measure(x, operator, self.noise_level)
        digest = hashlib.sha256(f"{self.noise_level} {self.shape}".encode())
        for image in (operator(x), self.given(operator, y)):
            digest.update(image.mul(1e5).round().to(torch.int32).numpy().tobytes())
        return digest.hexdigest()[:12]


#: Key -> task.
TASKS = {
    "deblurring": Task("Motion blur of 9 pixels, one percent of noise", task_operator),
}
