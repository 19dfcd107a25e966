"""Batches of training: what a network is given and what is wanted, as functions of the step."""

import hashlib
from collections.abc import Callable, Sequence
from copy import copy, deepcopy

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ippy.datasets import materialise
from ippy.images import quantise
from ippy.networks import Recipe
from ippy.operators import Operator
from ippy.seeds import generator_for
from ippy.tasks import measure

__all__ = ["Batch", "Forward", "MeasuredCrops", "as_images", "validation_pairs"]

#: The batch of a step, 0, 1, …: what the network is given and the truth, both (N, C, H, W), and
#: where the loss is taken, if not everywhere: ones and zeros (N, 1, H, W).
Batch = Callable[[int], tuple[Tensor, ...]]
#: A forward model, or for varying ones a function of the step: forward model and noise level.
Forward = Operator | Callable[[int], tuple[Operator, float]]


def _at(forward: Forward, step: int, noise_level: float) -> tuple[Operator, float]:
    return (forward, noise_level) if isinstance(forward, Operator) else forward(step)


def as_images(dataset: Dataset | Tensor) -> Tensor:
    """The whole of a data set as a uint8 tensor (N, C, H, W).

    Raises:
        ValueError: If a tensor has another rank, no image, or other values than
            :func:`ippy.images.quantise` takes.
    """
    if not torch.is_tensor(dataset):
        return materialise(dataset)
    if dataset.ndim != 4 or len(dataset) == 0:
        raise ValueError(f"training images must be (N, C, H, W), got {tuple(dataset.shape)}")
    return quantise(dataset)


class MeasuredCrops:
    """Squares cut from measured images: the batches of the book's deblurring task.

    The whole image is measured and both are cut at the same place, so a crop contains light from
    beyond its edge, and noise of the level of the whole image. A batch is a function of
    (``recipe.seed``, step); on a GPU the noise is another draw than on the CPU.

    With ``recipe.borders`` the squares are drawn from places that reach beyond the image and are
    pushed back inside, so that the image's own border is seen as often as its interior. With
    ``recipe.margin`` the loss leaves out so many pixels along the edges of a square, where the
    network lacks what lies beyond, except where the edge is the image's own.

    Args:
        dataset: Clean images: a data set of (C, H, W) tensors in [0, 1], or a tensor
            (N, C, H, W), uint8 or float in [0, 1].
        forward: Forward model whose measurements have the images' size; or a function of the step
            that gives a forward model and a noise level, for training on ranges.
        recipe: Batch size, crop, flips, noise level and seed.

    Raises:
        ValueError: If measurements have another size than images.
    """

    def __init__(self, dataset: Dataset | Tensor, forward: Forward, recipe: Recipe) -> None:
        self.images, self.forward, self.recipe = as_images(dataset), forward, recipe
        operator = _at(forward, 0, recipe.noise_level)[0]
        if operator.out_shape != operator.img_shape:
            raise ValueError(
                f"{type(operator).__name__} maps images of {operator.img_shape} pixels to "
                f"{operator.out_shape}, so crops of both do not belong together; write a function "
                "batch(step) that gives a network images, such as K.adjoint(y_delta)"
            )

    def to(self, device: torch.device | str) -> "MeasuredCrops":
        """The same batches, made on this device."""
        moved = copy(self)
        moved.images = self.images.to(device)
        if isinstance(self.forward, Operator):
            moved.forward = deepcopy(self.forward).to(device)
        return moved

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """Measurements and truth of one step, each (batch_size, C, crop, crop).

        With a margin also where the loss is taken, (batch_size, 1, crop, crop).
        """
        recipe, generator = self.recipe, generator_for(self.recipe.seed, step)
        device, (side, n) = self.images.device, recipe.squares(step)
        # which images, mirrored how
        index = torch.randint(len(self.images), (n,), generator=generator)
        x = self.images.index_select(0, index.to(device))
        flips = torch.rand(2, generator=generator) < 0.5
        if recipe.flips:
            x = x.flip([axis for axis, flip in zip((2, 3), flips.tolist(), strict=True) if flip])
        x = x / 255
        operator, noise_level = _at(self.forward, step, recipe.noise_level)
        noise = generator
        if device.type != "cpu":  # drawn where it is needed
            noise = torch.Generator(device).manual_seed(generator.initial_seed())
        y_delta = measure(x, operator.to(device), noise_level, generator=noise)
        # one square of each image, at a place of its own
        (height, width) = x.shape[2:]
        if side is None or side >= min(height, width):
            return y_delta, x
        beyond = side - 1 - recipe.margin if recipe.borders else 0
        corners = [
            _places(length, side, beyond, n, generator).to(device) for length in (height, width)
        ]
        squares = _cut(y_delta, corners, side), _cut(x, corners, side)
        if not recipe.margin:
            return squares
        rows, columns = (
            _counted(corner, length, side, recipe.margin)
            for corner, length in zip(corners, (height, width), strict=True)
        )
        return *squares, (rows[:, None, :, None] & columns[:, None, None, :]).to(x.dtype)

    @torch.no_grad()
    def identity(self) -> dict[str, str]:
        """Hashes of images and forward models: runs that differ in them are different runs."""
        images = hashlib.sha256(str(tuple(self.images.shape)).encode())
        images.update(self.images.numpy().tobytes())
        # every pixel of a probe is lit, the edges too; float64, so that rounding is the same
        shape, forward = (1, *self.images.shape[1:]), hashlib.sha256()
        probe = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        for step in (0, 1):
            operator, level = _at(self.forward, step, self.recipe.noise_level)
            response = (operator(probe) * 1e6).round().to(torch.int64)
            forward.update(response.numpy().tobytes() + str(level).encode())
        return {"set of images": images.hexdigest(), "forward model": forward.hexdigest()}


def _places(length: int, side: int, beyond: int, n: int, generator: torch.Generator) -> Tensor:
    """First row or column of n squares, drawn from places up to ``beyond`` outside."""
    places = torch.randint(length - side + 1 + 2 * beyond, (n,), generator=generator)
    return (places - beyond).clamp(0, length - side)


def _counted(first: Tensor, length: int, side: int, margin: int) -> Tensor:
    """Rows or columns (n, side) of squares, true where the loss is taken."""
    at = torch.arange(side, device=first.device)
    low = torch.where(first == 0, 0, margin)[:, None]
    high = torch.where(first == length - side, side, side - margin)[:, None]
    return (at >= low) & (at < high)


def _cut(images: Tensor, corners: Sequence[Tensor], side: int) -> Tensor:
    """From each image the square of this side whose top left pixel is (row, column)."""
    inside = torch.arange(side, device=images.device)
    rows, columns = (corner[:, None] + inside for corner in corners)  # (N, side)
    image = torch.arange(len(images), device=images.device)[:, None, None]
    squares = images[image, :, rows[:, :, None], columns[:, None, :]]  # (N, side, side, C)
    return squares.permute(0, 3, 1, 2).contiguous()


def validation_pairs(
    dataset: Dataset | Tensor, forward: Forward, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Measurements and truth of the first ``recipe.val_images`` images, whole, (N, C, H, W).

    They are measured once, as at step 0: the noise of an image is that of its index.
    """
    x = as_images(dataset)[: recipe.val_images].float() / 255
    return measure(x, *_at(forward, 0, recipe.noise_level), seed=recipe.seed), x
