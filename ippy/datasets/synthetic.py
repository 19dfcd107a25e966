"""Procedural images: no download, and as many as wanted."""

import operator
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
#: Kinds of synthetic images of the default version; ``'mixed'`` is all of them in equal shares.
KINDS = ("mixed", *phantoms.GENERATORS[phantoms.GENERATOR_VERSION])


class SyntheticDataset(Dataset):
    """Procedural images that need no download: dead leaves, thorax phantoms and landscapes.

    Image ``index`` is a function of (version, split, seed, index, kind, shape) alone, whatever the
    order and the number of workers. In ``mixed``, each index draws its kind, all equally often.

    Args:
        n_images: Number of images.
        data_shape: Image size in pixels, an int for a square or ``(H, W)``, at least 16.
        kind: ``'mixed'``, ``'dead_leaves'``, ``'thorax'`` or, from version 3 on, ``'landscape'``.
        split: ``'train'``, ``'val'`` or ``'test'``; no two splits share an image.
        seed: Number of the collection, 0 to 2**32 - 1.
        version: Generation of the drawings, 2 or 3; 3 has textures.
        noise: Whether the thorax has the noise of its scanner. The same images without noise exist
            from version 3 on.

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
        version: int = phantoms.GENERATOR_VERSION,
        noise: bool = True,
    ) -> None:
        n_images, seed = operator.index(n_images), operator.index(seed)  # also of NumPy
        self.n_images, self.data_shape = n_images, as_shape(data_shape)
        self.kind, self.split, self.seed = kind, split, seed
        self.version, self.noise = version, noise
        kinds = ("mixed", *phantoms.GENERATORS.get(version, ()))
        for name, value, valid, where in (
            ("version", version, phantoms.GENERATORS, ""),
            ("kind", kind, kinds, f" in version {version}"),
            ("split", split, SPLIT_SEEDS, ""),
        ):
            if value not in valid:
                known = ", ".join(map(str, valid))
                raise ValueError(f"unknown {name} {value!r}; choose one of {known}{where}")
        if not noise and version < 3:
            raise ValueError(f"noise=False needs version=3; version {version} has noise drawn in")
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
        drawn = self._draw(index)
        if isinstance(drawn, phantoms.Picture):
            drawn = drawn.image(noise=self.noise)
        return torch.from_numpy(drawn)[None]

    def fine(self, index: int) -> Tensor:
        """Return the picture behind image ``index`` on a grid of half the spacing, without noise.

        Its 2 × 2 average is exactly the image that the same data set has with ``noise=False``.
        A measurement simulated on this grid does not share the grid of the reconstruction.

        Returns:
            float32 tensor ``(1, 2H, 2W)`` in [0, 1].

        Raises:
            IndexError: If there is no such image.
            ValueError: If the version is 2, which keeps no finer grid.

        Example:
            >>> SyntheticDataset(4, 64, version=3).fine(3).shape
            torch.Size([1, 128, 128])
        """
        drawn = self._draw(index)
        if not isinstance(drawn, phantoms.Picture):
            raise ValueError(
                f"images of version {self.version} have no finer grid; make the data set with "
                "SyntheticDataset(..., version=3)"
            )
        return torch.from_numpy(drawn.fine)[None]

    def _draw(self, index: int) -> np.ndarray | phantoms.Picture:
        if not -self.n_images <= index < self.n_images:
            raise IndexError(f"image {index} of a data set of {self.n_images}")
        generators = phantoms.GENERATORS[self.version]
        rng = np.random.default_rng([SPLIT_SEEDS[self.split], self.seed, index % self.n_images])
        kind = tuple(generators)[rng.integers(len(generators))]  # always: kinds share the images
        draw = generators[kind if self.kind == "mixed" else self.kind]
        return draw(rng, self.data_shape)

    def cache_key(self) -> list:
        """Return everything the images depend on, as JSON data."""
        split = SPLIT_SEEDS[self.split]
        kind = [self.kind, self.version]
        if self.version > 2:
            kind.append(self.noise)
        return ["synthetic", kind, split, self.seed, self.n_images, self.data_shape]
