"""A whole data set in memory, made once and kept in the user's cache folder."""

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping, Sized
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from ippy.datasets.workers import in_workers, number_of_workers
from ippy.files import atomic_write
from ippy.images import quantise
from ippy.paths import cache_dir

__all__ = ["keep_arrays", "key_of", "kept_arrays", "materialise"]


def _collate(items: list[Tensor]) -> Tensor:
    return quantise(torch.stack(items))  # (batch, 1, H, W)


def _size(dataset: Dataset) -> int:
    return len(cast(Sized, dataset))  # torch promises no length of a data set, but it needs one


def key_of(dataset: object) -> list | None:
    """What the images of a data set depend on, as JSON data, or None if it does not say.

    A class says it by a method ``cache_key()`` of its own: one that is inherited does not know what
    the heir does otherwise, and would give it the images of another.
    """
    return dataset.cache_key() if "cache_key" in vars(type(dataset)) else None  # type: ignore[attr-defined]


def _render(dataset: Dataset, workers: int) -> Tensor:
    loader = DataLoader(dataset, 16, num_workers=workers, collate_fn=_collate)
    few = _size(dataset) < 512  # takes seconds: no bar
    return torch.cat(list(tqdm(loader, desc="images", unit="batch", leave=False, disable=few)))


def kept_arrays(file: Path, *names: str) -> list[np.ndarray] | None:
    """Arrays of these names from a file, or None if it is absent or damaged."""
    try:
        with np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def keep_arrays(file: Path, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """Write arrays to a file; where that fails, warn: it costs time later, not the result now."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    try:
        atomic_write({file: stream.getvalue()})
    except OSError as error:
        warnings.warn(f"cannot cache the {what}: {error}", stacklevel=4)


def _read_cache(file: Path, n_images: int) -> Tensor | None:
    if (found := kept_arrays(file, "images")) is None:
        return None
    (images,) = found
    good = images.dtype == np.uint8 and images.ndim == 4 and len(images) == n_images
    return torch.from_numpy(images) if good else None


def _write_cache(file: Path, images: Tensor) -> None:
    keep_arrays(file, {"images": images.numpy()}, "images")


def materialise(dataset: Dataset, *, cache: bool = True, workers: int | None = None) -> Tensor:
    """Hold a whole data set in memory, made once and kept on disk.

    The file in :func:`ippy.paths.cache_dir` is named after everything the images depend on, and
    carries a checksum; when it is damaged, it is made again.

    Args:
        dataset: Data set of float32 images ``(1, H, W)`` in [0, 1]; cached when its class has
            a method ``cache_key()`` of its own, as those of :mod:`ippy.datasets` do.
        cache: Whether to read and write the cache file.
        workers: Number of worker processes; by default one per core, at most 8, and none for
            fewer than 128 images. If they cannot be started, the images are made here; on Windows
            and macOS, a script that wants them needs ``if __name__ == "__main__":``.

    Returns:
        uint8 tensor ``(N, 1, H, W)``; divide by 255 for images in [0, 1].

    Raises:
        OSError: If an image of the data set cannot be read.
        ValueError: If an image is not finite or has grey values outside [0, 1].
    """
    file = None
    if cache and (depends := key_of(dataset)) is not None:
        key = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:24]
        file = cache_dir() / f"images-{key}.npz"
        if (images := _read_cache(file, _size(dataset))) is not None:
            return images
    if workers is None:
        workers = number_of_workers(_size(dataset), least=128, most=8)
    images = in_workers(partial(_render, dataset), workers)
    if file is not None:
        _write_cache(file, images)
    return images
