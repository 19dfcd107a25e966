"""The tasks of the book as data: what is measured, with how much noise, what a network is given.

A task is one entry of :data:`TASKS`. Everything that trains, evaluates or shows networks asks the
task of a network how its measurements are made.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ippy.classical import tikhonov
from ippy.operators import Blurring, CTProjector, Gradient, Operator
from ippy.operators.noise import gaussian_noise
from ippy.seeds import generator_for

__all__ = [
    "KERNEL", "NOISE_LEVEL", "SHAPE", "TASKS", "VIEWS", "Sample", "Task", "data_step",
    "few_view_projector", "measure", "task_operator",
]  # fmt: skip

#: Height and width of the images, in pixels.
SHAPE = (256, 256)
#: The motion blur, as arguments of :class:`ippy.operators.Blurring`.
KERNEL = {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20.0}
#: Relative noise level.
NOISE_LEVEL = 0.01
#: Number of views of few-view tomography, evenly over half a turn.
VIEWS = 30
#: Weight of the gradient in the Tikhonov reconstruction that a network is given: what the study
#: ``baselines`` chose on training images. A number of its own, because a trained network goes on
#: to need what it was trained with when the study is run again.
GIVEN_LAMBDA = 0.001468
#: Weight of the distance from a network's answer in the step towards the data. Tried on eight
#: training images with the answers of the UNet of the first edition: 0.01 gains 0.1 dB, 0.03 gains
#: 0.7, 0.1 gains 0.6 and 1 gains 0.2; a better answer wants a larger weight.
STEP_WEIGHT = 0.05


def task_operator(shape: tuple[int, int] = SHAPE, **kernel: Any) -> Blurring:
    """The book's motion blur for images of ``shape``; keywords replace parts of :data:`KERNEL`."""
    return Blurring(shape, **{**KERNEL, **kernel})


def few_view_projector(shape: tuple[int, int] = SHAPE, views: int = VIEWS) -> CTProjector:
    """Parallel beam over half a turn, for images of ``shape``; nothing falls beside the detector.

    Args:
        shape: Height and width (H, W) of the images, in pixels.
        views: Number of angles, 0 included.

    Raises:
        ValueError: If there is no view.
    """
    if views < 1:
        raise ValueError(f"views is {views}, expected a number of angles such as {VIEWS}")
    angles = torch.arange(views, dtype=torch.float64) * math.pi / views
    # the farthest corner from the middle pixel n // 2, and as far on the other side
    corner = math.hypot(shape[0] // 2 + 0.5, shape[1] // 2 + 0.5)
    return CTProjector(shape, angles, 2 * math.ceil(corner - 0.5) + 1)


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
    if operator.out_shape != operator.img_shape:
        raise ValueError(
            f"{type(operator).__name__} measures {operator.out_shape} numbers of images of "
            f"{operator.img_shape} pixels, which a network of images cannot be given; choose a "
            "network of another task, or another operator"
        )
    return y_delta


def _backprojection(operator: Operator, y_delta: Tensor) -> Tensor:
    """Filtered backprojection, the window being the ramp alone."""
    if not isinstance(operator, CTProjector):
        raise ValueError(
            f"{type(operator).__name__} has no filtered backprojection, which this network is "
            "given; choose a network of another task, or a CTProjector"
        )
    return operator.fbp(y_delta)


def _tikhonov(operator: Operator, y_delta: Tensor) -> Tensor:
    """Tikhonov reconstruction with a penalty on the gradient, for the operator that is told."""
    gradient = Gradient(operator.img_shape, boundary="reflect")
    return tikhonov(operator, y_delta, GIVEN_LAMBDA, regulariser=gradient)


def _as_it_is(operator: Operator, y_delta: Tensor, x_hat: Tensor) -> Tensor:
    """An answer that nothing is done to."""
    return x_hat


def data_step(
    operator: Operator, y_delta: Tensor, x_hat: Tensor, mu: float = STEP_WEIGHT
) -> Tensor:
    r"""One step towards the data: :math:`x + \arg\min_d \|Kd-(y-Kx)\|^2 + \mu\|d\|^2`.

    Args:
        operator: The forward model K.
        y_delta: Measurements (N, C, rows, columns), as the operator gives them.
        x_hat: Answers (N, C, H, W).
        mu: Weight of the distance from the answer, beside the square of the operator's norm: a blur
            has about 1, the projector of 30 views about 7,000.
    """
    return x_hat + tikhonov(operator, y_delta - operator(x_hat), mu)


def _check_range(images: Tensor) -> None:
    """Refuse what :func:`ippy.images.quantise` refuses: NaN, and grey values outside [0, 1]."""
    if not images.numel():
        return
    low, high = images.min(), images.max()
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # nor is NaN
        raise ValueError(
            f"the images have grey values from {low:.4g} to {high:.4g}, expected [0, 1]; divide "
            "8-bit values by 255, or subtract the least and divide by the range"
        )


class Sample(NamedTuple):
    """What is known of some images in a task."""

    #: Measurements, (N, C, rows, columns) as the operator gives them.
    y_delta: Tensor
    #: What a network is given, images (N, C, H, W).
    given: Tensor
    #: What is wanted, images (N, C, H, W).
    truth: Tensor


@dataclass(frozen=True)
class Task:
    """A forward model, its noise, what a network starts from, and how its answer is finished.

    Args:
        title: As tables and pages name it.
        make_operator: Builds the forward model from the shape (H, W) of the images; keywords
            change parts of it.
        noise_level: Relative noise level of the measurements.
        shape: Height and width of the images, in pixels.
        given: What a network is given, from the operator and measurements: the measurements
            themselves, or images (N, C, H, W) that are cheaply reconstructed from them.
        finish: What is done to a network's answer, from the operator, the measurements and it.
        finer: Whether measurements are simulated on a grid of half the spacing, by the operator's
            ``refined()``. Images are then given on that grid, (2H, 2W), and what is wanted is
            their 2 × 2 mean.
        parameters: The study that chose the classical methods' parameters.
    """

    title: str
    make_operator: Callable[..., Operator]
    noise_level: float = NOISE_LEVEL
    shape: tuple[int, int] = SHAPE
    given: Callable[[Operator, Tensor], Tensor] = _measurement
    finish: Callable[[Operator, Tensor, Tensor], Tensor] = _as_it_is
    finer: bool = False
    parameters: str = "baselines"

    def operator(self, shape: tuple[int, int] | None = None, **changes: Any) -> Operator:
        """The forward model for images of ``shape``, by default the task's."""
        return self.make_operator(shape or self.shape, **changes)

    def forward(self, operator: Operator) -> Operator:
        """The forward model that measurements are simulated with.

        Raises:
            ValueError: If it needs a finer grid than the operator can have.
        """
        if not self.finer:
            return operator
        if not isinstance(operator, CTProjector):
            raise ValueError(
                f"{type(operator).__name__} has no finer grid, on which the task {self.title!r} is "
                "measured; use a CTProjector, such as few_view_projector(shape, views)"
            )
        return operator.refined()

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width at which images are read or drawn, in pixels."""
        factor = 2 if self.finer else 1
        return factor * self.shape[0], factor * self.shape[1]

    @property
    def gives_measurement(self) -> bool:
        """Whether a network is given the measurement itself."""
        return self.given is _measurement

    def measures_like(self, other: "Task") -> bool:
        """Whether both tasks have the same measurements, whatever a network is given of them."""
        names = ("make_operator", "noise_level", "shape", "finer")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def simulate(
        self,
        images: Tensor,
        operator: Operator | None = None,
        noise_level: float | None = None,
        *,
        seed: int = 0,
        first: int = 0,
    ) -> Sample:
        """Measurement, what a network is given, and what is wanted, of clean images.

        Args:
            images: Clean images, uint8 or floating point in [0, 1], (N, C, H, W); in a task that is
                measured on a finer grid (N, C, 2H, 2W).
            operator: Forward model for images (H, W); the task's if None.
            noise_level: Relative noise level; the task's if None.
            seed: Seed of the noise, which is that of :func:`measure`.
            first: Index of the first image.

        Raises:
            ValueError: If the images have another size than the operator needs, or grey values
                outside [0, 1].
        """
        operator = operator or self.operator()
        y_delta, truth = self.measured(images, operator, noise_level, seed=seed, first=first)
        return Sample(y_delta, self.given(operator, y_delta), truth)

    def measured(
        self,
        images: Tensor,
        operator: Operator | None = None,
        noise_level: float | None = None,
        *,
        seed: int = 0,
        first: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """Measurement and truth of clean images, as :meth:`simulate` takes them."""
        operator = operator or self.operator()
        factor = 2 if self.finer else 1
        wanted = [factor * n for n in operator.img_shape]
        if list(images.shape[-2:]) != wanted:
            grid = ", twice those of the operator" if self.finer else ""
            raise ValueError(
                f"images of {tuple(images.shape[-2:])} pixels, expected {tuple(wanted)}{grid}: "
                "read or draw them with this shape"
            )
        if images.is_floating_point():
            _check_range(images)
        x = images if images.is_floating_point() else images.float() / 255
        level = self.noise_level if noise_level is None else noise_level
        y_delta = measure(x, self.forward(operator), level, seed=seed, first=first)
        return y_delta, avg_pool2d(x, 2) if self.finer else x

    @torch.no_grad()
    def probe(self) -> str:
        """Twelve hex digits that change with the forward model, the noise or what is given."""
        shape, kind = self.shape, torch.float32
        if not self.gives_measurement:
            # rounding errors of a reconstruction show in a hash of its digits, those of a small one
            # in float64 do not
            shape, kind = (min(64, shape[0]), min(64, shape[1])), torch.float64
        operator, x = self.operator(shape), torch.zeros(1, 1, *shape, dtype=kind)
        x[..., shape[0] // 2, shape[1] // 3] = 1
        y = measure(x, operator, self.noise_level)
        digest = hashlib.sha256(f"{self.noise_level} {self.shape}".encode())
        given = self.given(operator, y)
        seen = [operator(x), given]
        if self.finish is not _as_it_is:
            seen.append(self.finish(operator, y, given))
        for image in seen:
            digest.update(image.mul(1e5).round().to(torch.int32).numpy().tobytes())
        if self.finer:
            digest.update(b"measured on the finer grid")
        return digest.hexdigest()[:12]


#: Key -> task.
TASKS = {
    "deblurring": Task("Motion blur of 9 pixels, one percent of noise", task_operator),
    "told_deblurring": Task(
        "The same blur, told to the method, which is given the Tikhonov reconstruction",
        task_operator,
        given=_tikhonov,
        finish=data_step,
    ),
    "few_view": Task(
        f"Tomography from {VIEWS} views, one percent of noise",
        few_view_projector,
        given=_backprojection,
        finer=True,
        parameters="few_view_baselines",
    ),
}
