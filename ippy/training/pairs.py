"""Batches of tasks in which a network is given an image that was reconstructed before training."""

import hashlib
import json
import multiprocessing
from functools import partial
from operator import index as whole
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ippy.datasets.cache import keep_arrays, kept_arrays, key_of
from ippy.datasets.workers import in_workers, number_of_workers
from ippy.images import quantise
from ippy.networks import Recipe
from ippy.operators import Operator
from ippy.paths import cache_dir
from ippy.seeds import generator_for
from ippy.tasks import Task

__all__ = ["PairedCrops", "given_pairs"]

#: Images that a worker process reconstructs together.
_TOGETHER = 8


class PairedCrops:
    """Squares cut at the same places of what a network is given and of the truth.

    A batch is a function of (``recipe.seed``, step). Each image is mirrored on its own. Where what
    is given belongs to a blur, its mirror image belongs to the mirrored blur: the network learns
    the blur at both angles, which does no harm, since what it is given has been told the angle.

    Args:
        given: What a network is given, (N, C, H, W), float16 or float32.
        truth: What is wanted, of the same shape, uint8.
        recipe: Batch size, crop, flips and seed.

    Raises:
        ValueError: If the two have different shapes, or are no images.
    """

    def __init__(self, given: Tensor, truth: Tensor, recipe: Recipe) -> None:
        if given.shape != truth.shape or given.ndim != 4 or len(given) == 0:
            raise ValueError(
                f"given and truth have the shapes {tuple(given.shape)} and {tuple(truth.shape)}, "
                "expected (N, C, H, W) twice; given_pairs(task, images) makes both"
            )
        if truth.dtype != torch.uint8 or not given.is_floating_point():
            raise ValueError(
                f"given is {given.dtype} and truth {truth.dtype}, expected a floating point dtype "
                "and uint8; ippy.images.quantise makes grey levels of images in [0, 1]"
            )
        if recipe.margin or recipe.borders or recipe.last_crop:
            raise ValueError(
                "margin, borders and last_crop are settings of MeasuredCrops; leave them out of a "
                "recipe whose squares are cut from pairs"
            )
        self.given, self.truth, self.recipe = given.contiguous(), truth.contiguous(), recipe

    def to(self, device: torch.device | str) -> "PairedCrops":
        """The same batches, cut on a device where all images lie."""
        return PairedCrops(self.given.to(device), self.truth.to(device), self.recipe)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """What is given and the truth, float32 (batch_size, C, crop, crop), on their device."""
        recipe, generator = self.recipe, generator_for(self.recipe.seed, step)
        number, _, height, width = self.truth.shape
        rows = min(recipe.crop or height, height)
        columns = min(recipe.crop or width, width)
        # for each image its index, the place of its crop and how it is mirrored
        n = recipe.batch_size
        drawn = torch.stack(
            [
                torch.randint(number, (n,), generator=generator),
                torch.randint(height - rows + 1, (n,), generator=generator),
                torch.randint(width - columns + 1, (n,), generator=generator),
                *torch.randint(2, (2, n), generator=generator) * recipe.flips,
            ]
        )
        # one transfer to the device; there all squares are cut together, and some mirrored
        index, top, left, upside_down, mirrored = drawn.to(self.truth.device)
        squares = []
        for images in (self.given, self.truth):
            windows = images.unfold(2, rows, 1).unfold(3, columns, 1)  # (N, C, ·, ·, rows, columns)
            square = windows[index, :, top, left]  # (n, C, rows, columns)
            for axis, flips in ((2, upside_down), (3, mirrored)):
                square = torch.where(flips.bool().view(-1, 1, 1, 1), square.flip(axis), square)
            squares.append(square.float())
        given, truth = squares
        return given, truth.div_(255)

    def identity(self) -> dict[str, str]:
        """Hashes of both sets of images: runs that differ in them are different runs."""
        truth = hashlib.sha256(str(tuple(self.truth.shape)).encode())
        truth.update(self.truth.cpu().numpy().tobytes())
        # every image in four digits: another processor, which rounds otherwise, gives the same
        sizes = self.given[..., ::8, ::8].cpu().double().flatten(1).norm(dim=1)
        given = hashlib.sha256(" ".join(f"{size:.3e}" for size in sizes.tolist()).encode())
        return {"set of images": truth.hexdigest(), "forward model": given.hexdigest()}


def given_pairs(
    task: Task,
    images: Dataset | Tensor,
    noise_level: float | None = None,
    *,
    seed: int = 1,
    cache: bool = True,
    workers: int | None = None,
) -> tuple[Tensor, Tensor]:
    """What a network is given and the truth, of all images of a set, computed once and kept.

    The file in :func:`ippy.paths.cache_dir` is named after everything the two depend on, and
    carries a checksum; when it is damaged, it is made again. Each image is measured once.

    Args:
        task: The task, which says how images are measured and what a network is given.
        images: A data set of clean images (C, H, W) in [0, 1] or a tensor of such, of the size
            ``task.image_shape``. Kept are a tensor and a data set whose class has a
            method ``cache_key()`` of its own.
        noise_level: Relative noise level; the task's if None.
        seed: Seed of the noise. Sets of images need seeds of their own, lest two images share
            their noise.
        cache: Whether to read and write the cache file.
        workers: Number of worker processes; by default one per core, at most 16, and none for
            fewer than 64 images or where each would have to make a large operator for itself.

    Returns:
        float16 and uint8 tensors (N, C, H, W), H × W being ``task.shape``. Rounding to float16
        adds an error of less than 0.0005 to grey levels in [-1, 1].

    Raises:
        OSError: If an image of the data set cannot be read.
        ValueError: If an image has another size.
    """
    level = float(task.noise_level if noise_level is None else noise_level)
    seed = whole(seed)  # an integer of NumPy is as good
    size = len(images)  # type: ignore[arg-type]
    file = None
    if cache and (isinstance(images, Tensor) or key_of(images) is not None):
        file = cache_dir() / f"pairs-{_key(task, images, level, seed)}.npz"
        if (found := _read(file, size)) is not None:
            return found
    if workers is None:
        workers = number_of_workers(size, least=64, most=16)
        if task.finer and multiprocessing.get_start_method() != "fork":
            workers = 0  # one process computes with all cores
    operator = task.operator()
    task.forward(operator)  # made here, it is shared with workers that are forked
    compute = partial(_compute, task, operator, level, seed)
    given, truth = in_workers(partial(_render, images, compute), workers)
    if file is not None:
        arrays = {"given": given.numpy(), "truth": truth.numpy()}
        keep_arrays(file, arrays, "reconstructions")
    return given, truth


def _key(task: Task, images: Dataset | Tensor, level: float, seed: int) -> str:
    """Twenty-four hex digits that change with everything the pairs depend on."""
    if isinstance(images, Tensor):
        content = hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
        of_images: list | None = [list(images.shape), str(images.dtype), content]
    else:
        of_images = key_of(images)
    parts = [task.probe(), task.shape, level, seed, of_images]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


class _Numbered(Dataset):
    """Images with their index, from which their noise is drawn."""

    def __init__(self, images: Dataset | Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        return index, self.images[index]


def _compute(
    task: Task, operator: Operator, level: float, seed: int, items: list[tuple[int, Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """What is given and the truth of consecutive images, as arrays.

    Arrays go through a pipe. Tensors would go through shared memory, which containers are short of.
    """
    images = torch.stack([image for _, image in items])
    _, given, truth = task.simulate(images, operator, level, seed=seed, first=items[0][0])
    return given.half().numpy(), quantise(truth).numpy()


def _render(images: Dataset | Tensor, compute: partial, workers: int) -> tuple[Tensor, Tensor]:
    numbered = _Numbered(images)
    loader = DataLoader(numbered, _TOGETHER, num_workers=workers, collate_fn=compute)
    few = len(numbered) < 64  # takes seconds: no bar
    parts = list(tqdm(loader, desc="reconstructions", unit="batch", leave=False, disable=few))
    given, truth = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return torch.from_numpy(given), torch.from_numpy(truth)


def _read(file: Path, size: int) -> tuple[Tensor, Tensor] | None:
    if (found := kept_arrays(file, "given", "truth")) is None:
        return None
    given, truth = found
    good = given.dtype == np.float16 and truth.dtype == np.uint8 and len(given) == size
    return (torch.from_numpy(given), torch.from_numpy(truth)) if good else None
