"""Procedural images: no download, and as many as wanted."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ippy.datasets import phantoms
from ippy.images import as_shape

__all__ = ["KINDS", "SPLIT_SEEDS", "SyntheticDataset"]

#: First entry of the random seed of every synthetic image, so that no two splits share an image.
SPLIT_SEEDS = {"train": 1, "val": 2, "test": 3}
#: Kinds of synthetic images.
KINDS = ("mixed", "dead_leaves", "thorax")


class SyntheticDataset(Dataset):
    """Procedural images that need no download: dead leaves and thorax phantoms.

    Image ``index`` is a function of (split, seed, index, kind, shape) alone, whatever the order
    and the number of workers. In ``mixed``, a coin tossed for each index chooses its kind.

    Args:
        n_images: Number of images.
        data_shape: Image size in pixels, an int for a square or ``(H, W)``, at least 16.
        kind: ``'mixed'``, ``'dead_leaves'`` or ``'thorax'``.
        split: ``'train'``, ``'val'`` or ``'test'``; no two splits share an image.
        seed: Number of the collection, 0 to 2**32 - 1.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> SyntheticDataset(4, 64, kind="thorax", split="test")[3].shape
        torch.Size([1, 64, 64])
    """

    def __init__(
        self,
        n_images: int,
        data_shape: int | Sequence[int] = 256,
        *,
        kind: str = "mixed",
        split: str = "train",
        seed: int = 0,
    ) -> None:
        self.n_images, self.data_shape = n_images, as_shape(data_shape)
        self.kind, self.split, self.seed = kind, split, seed
        for name, value, valid in (("kind", kind, KINDS), ("split", split, SPLIT_SEEDS)):
            if value not in valid:
                raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(valid)}")
        if min(self.data_shape) < 16:
            raise ValueError(f"data_shape is {data_shape}; expected at least 16 pixels a side")
        if n_images < 1 or not 0 <= seed < 2**32:  # a longer seed could repeat another's images
            raise ValueError(
                f"n_images is {n_images} and seed {seed}; expected at least 1, and 0 to 2**32 - 1"
            )

    def __len__(self) -> int:
        return self.n_images

    def __getitem__(self, index: int) -> Tensor:
        """Return image ``index``, float32 ``(1, H, W)`` in [0, 1]."""
        if not -self.n_images <= index < self.n_images:
            raise IndexError(f"image {index} of a data set of {self.n_images}")
        rng = np.random.default_rng([SPLIT_SEEDS[self.split], self.seed, index % self.n_images])
        kind = ("dead_leaves", "thorax")[rng.integers(2)]  # drawn always: kinds share the images
        draw = getattr(phantoms, kind if self.kind == "mixed" else self.kind)
        return torch.from_numpy(draw(rng, self.data_shape))[None]

    def cache_key(self) -> list:
        """Return everything the images depend on, as JSON data."""
        split = SPLIT_SEEDS[self.split]
        kind = [self.kind, phantoms.GENERATOR_VERSION]
        return ["synthetic", kind, split, self.seed, self.n_images, self.data_shape]
