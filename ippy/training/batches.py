"""Batches of training: what a network is given and what is wanted, as functions of the step."""

import hashlib
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from ippy.datasets import materialise
from ippy.images import quantise
from ippy.networks import Recipe
from ippy.operators import Blurring, CTProjector, Operator
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
        ValueError: If measurements are no images: have another size, or are sinograms.
    """

    def __init__(self, dataset: Dataset | Tensor, forward: Forward, recipe: Recipe) -> None:
        self.images, self.forward, self.recipe = as_images(dataset), forward, recipe
        operator = _at(forward, 0, recipe.noise_level)[0]
        # a sinogram may have an image's size, and its pixels are still no places of the image
        if operator.out_shape != operator.img_shape or isinstance(operator, CTProjector):
            raise ValueError(
                f"{type(operator).__name__} maps images of {operator.img_shape} pixels to "
                f"{operator.out_shape}, so crops of both do not belong together; write a function "
                "batch(step) that gives a network images, such as K.adjoint(y_delta)"
            )

    def to(self, device: torch.device | str) -> "MeasuredCrops | CropsOnGPU":
        """The same batches, made on this device if it is a CUDA GPU."""
        if torch.device(device).type != "cuda":
            return self
        return CropsOnGPU(self, torch.device(device))

    def _draw(self, step: int) -> "_Draw":
        """What is random about a step, but its noise, which the generator draws next."""
        recipe, generator = self.recipe, generator_for(self.recipe.seed, step)
        side, n = recipe.squares(step)
        # which images, mirrored how
        index = torch.randint(len(self.images), (n,), generator=generator)
        flips = torch.rand(2, generator=generator) < 0.5
        axes = [axis for axis, flip in zip((2, 3), flips.tolist(), strict=True) if flip]
        axes = axes if recipe.flips else []
        # one square of each image, at a place of its own
        height, width = self.images.shape[2:]
        if side is None or side >= min(height, width):
            return _Draw(index, axes, None, generator)
        beyond = side - 1 - recipe.margin if recipe.borders else 0
        corners = [_places(length, side, beyond, n, generator) for length in (height, width)]
        return _Draw(index, axes, (side, torch.stack(corners)), generator)

    def _where(self, corners: Tensor, side: int) -> tuple[Tensor, ...]:
        """Where the loss is taken, (n, 1, side, side); nothing if everywhere."""
        if not self.recipe.margin:
            return ()
        rows, columns = (
            _counted(corner, length, side, self.recipe.margin)
            for corner, length in zip(corners, self.images.shape[2:], strict=True)
        )
        return ((rows[:, None, :, None] & columns[:, None, None, :]).float(),)

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """Measurements and truth of one step, each (batch_size, C, crop, crop).

        With a margin also where the loss is taken, (batch_size, 1, crop, crop).
        """
        drawn = self._draw(step)
        x = self.images.index_select(0, drawn.images).flip(drawn.axes) / 255
        operator, noise_level = _at(self.forward, step, self.recipe.noise_level)
        y_delta = measure(x, operator, noise_level, generator=drawn.generator)
        if drawn.square is None:
            return y_delta, x
        side, corners = drawn.square
        return _cut(y_delta, corners, side), _cut(x, corners, side), *self._where(corners, side)

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


class _Draw(NamedTuple):
    """What is random about a step: images, mirrored axes, side and corners (2, n) of squares."""

    images: Tensor
    axes: list[int]
    square: tuple[int, Tensor] | None
    generator: torch.Generator


class CropsOnGPU:
    """:class:`MeasuredCrops` on a GPU: many steps at once, so that Python is asked rarely.

    Under a blur only the surroundings of the squares are measured, with noise of the strength that
    the whole image would have.
    """

    AT_ONCE = 32

    def __init__(self, crops: MeasuredCrops, device: torch.device) -> None:
        self.crops, self.device, self.images = crops, device, crops.images.to(device)
        self.made: dict[int, tuple[Tensor, ...]] = {}
        self.padded: dict[int, Tensor] = {}  # margin of a blur -> the images with it around
        self.sizes: tuple[Operator, Tensor] | None = None  # of the measurements of the last one

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """As :meth:`MeasuredCrops.__call__`."""
        if step not in self.made:
            self.made = self._make(self._company(step))
        return self.made[step]

    def _company(self, step: int) -> list[int]:
        """Steps that are made with this one: a fixed group, of one forward model and square."""
        recipe, forward = self.crops.recipe, self.crops.forward
        first = step - step % self.AT_ONCE
        end = min(first + self.AT_ONCE, max(recipe.steps, step + 1))  # none after the run's last
        operator = _at(forward, step, 0.0)[0]
        return [
            other
            for other in range(first, end)
            if other == step  # an operator that is made anew for each step has no company
            or (
                recipe.squares(other) == recipe.squares(step)
                and _at(forward, other, 0.0)[0] is operator
            )
        ]

    def _make(self, steps: list[int]) -> dict[int, tuple[Tensor, ...]]:
        crops, level = self.crops, self.crops.recipe.noise_level
        own = _at(crops.forward, steps[0], level)[0]
        operator = deepcopy(own).to(self.device)
        draws = [crops._draw(step) for step in steps]
        n, squares = len(draws[0].images), [drawn.square for drawn in draws if drawn.square]
        index = torch.cat([drawn.images for drawn in draws]).to(self.device)
        flips = torch.tensor([[axis in drawn.axes for axis in (2, 3)] for drawn in draws])
        flips = flips.repeat_interleave(n, 0).to(self.device)  # (steps * n, 2)
        where: tuple[Tensor, ...] = ()
        if not squares:
            x = _mirrored(self.images[index], flips) / 255
            y = operator(x)
            size = _size(y)
        else:
            side = squares[0][0]
            at = torch.cat([corners for _, corners in squares], 1).to(self.device)
            x, y = self._squares(operator, index, flips, at, side)
            where = crops._where(at, side)
            if len(steps) > 1:  # so many that all images are worth measuring once
                size = self._sizes(own, operator)[flips[:, 0].int(), flips[:, 1].int(), index]
            else:
                size = _size(operator(_mirrored(self.images[index], flips) / 255))
        # noise of the level of each step, relative to the whole measurement
        levels = torch.tensor([_at(crops.forward, step, level)[1] for step in steps])
        sigma = levels.repeat_interleave(n).to(self.device) * size
        generator = torch.Generator(self.device)
        generator.manual_seed((crops.recipe.seed * 1_000_003 + steps[0]) % 2**32)
        e = torch.randn(y.shape, generator=generator, device=self.device)
        parts = (tensor.split(n) for tensor in (y + sigma[:, None, None, None] * e, x, *where))
        return dict(zip(steps, zip(*parts, strict=True), strict=True))

    def _squares(
        self, operator: Operator, index: Tensor, flips: Tensor, at: Tensor, side: int
    ) -> tuple[Tensor, Tensor]:
        """Squares of the images and of their measurements; under a blur, only their surroundings
        are measured.
        """
        # a class that is made from Blurring may measure otherwise
        if type(operator) is not Blurring or operator.boundary != "zeros":
            x = _mirrored(self.images[index], flips) / 255
            return _cut(x, at, side), _cut(operator(x), at, side)
        reach = max(operator.margin)
        if reach not in self.padded:
            self.padded[reach] = F.pad(self.images, (reach,) * 4)
        padded = self.padded[reach]
        inside = torch.arange(side + 2 * reach, device=self.device)
        places = []
        for corner, flip, length in zip(at, flips.T, padded.shape[2:], strict=True):
            place = corner[:, None] + inside
            places.append(torch.where(flip[:, None], length - 1 - place, place))
        rows, columns = places
        around = padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        around = around.permute(0, 3, 1, 2) / 255  # (n, C, side + 2 reach, side + 2 reach)
        kernel = operator.kernel.to(around).flip(0, 1)
        y = F.conv2d(around.flatten(0, 1)[:, None], kernel[None, None])
        y = y.reshape(*around.shape[:2], *y.shape[-2:])
        above, beside = (reach - margin for margin in operator.margin)
        y = y[..., above : above + side, beside : beside + side].contiguous()
        return around[..., reach : reach + side, reach : reach + side].contiguous(), y

    def _sizes(self, own: Operator, operator: Operator) -> Tensor:
        """Root mean square of the measurements of all images, mirrored or not: (2, 2, N)."""
        if self.sizes is None or self.sizes[0] is not own:
            found = []
            for axes in ([], [3], [2], [2, 3]):
                parts = (operator(part.flip(axes) / 255) for part in self.images.split(64))
                found.append(torch.cat([_size(y) for y in parts]))
            self.sizes = own, torch.stack(found).reshape(2, 2, -1)
        return self.sizes[1]


def _size(y: Tensor) -> Tensor:
    """Root mean square of every image."""
    return y.square().mean((1, 2, 3)).sqrt()


def _mirrored(images: Tensor, flips: Tensor) -> Tensor:
    """Images, each mirrored along rows and columns where ``flips`` (n, 2) says so."""
    for axis, flip in zip((2, 3), flips.T, strict=True):
        images = torch.where(flip[:, None, None, None], images.flip(axis), images)
    return images


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


def _cut(images: Tensor, corners: Tensor, side: int) -> Tensor:
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
