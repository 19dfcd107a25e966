"""Images to train and test on: a folder of CT slices, procedural images, a few samples.

Every data set item is a float32 tensor ``(1, H, W)`` in [0, 1]; blur and noise are added later.
"""

import hashlib
import io
import json
import os
import sys
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from . import phantoms
from .utilities import atomic_write

__all__ = [
    "KINDS", "SAMPLE_IMAGES", "SPLIT_SEEDS", "MayoDataset", "SyntheticDataset", "cache_dir",
    "materialise", "read_grey", "sample_image",
]  # fmt: skip

#: First entry of the random seed of every synthetic image, so that no two splits share an image.
SPLIT_SEEDS = {"train": 1, "val": 2, "test": 3}
#: Kinds of synthetic images of the default version; ``'mixed'`` is all of them in equal shares.
KINDS = ("mixed", *phantoms.GENERATORS[phantoms.GENERATOR_VERSION])

_IMGS = Path(__file__).resolve().parents[1] / "imgs"
#: Names that :func:`sample_image` knows; origin and licence of each in ``imgs/README.md``.
SAMPLE_IMAGES = ("thorax", "camera", "cat", "abdomen_mr")


def _as_shape(shape: int | Sequence[int]) -> tuple[int, int]:
    pair = tuple(shape) if isinstance(shape, Sequence) else (shape, shape)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"shape is {shape!r}; expected a positive int or a pair (height, width)")
    return pair


def read_grey(path: str | os.PathLike, shape: int | Sequence[int] | None = None) -> Tensor:
    """Read one image file as a grey image.

    Colours become luma (ITU-R 601), 16-bit files keep their precision and are divided by 65535,
    and transparency is ignored: the CT slices are opaque, and nothing says what lies behind.

    Args:
        path: Image file, PNG or any other format that Pillow reads.
        shape: Size of the result, an int for a square or ``(H, W)``; bilinear with antialiasing.
            By default the size of the file.

    Returns:
        float32 tensor ``(1, H, W)`` in [0, 1].

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If the file is no image, is truncated, or holds floating point numbers.
    """
    size = None if shape is None else _as_shape(shape)
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode == "F":  # Pillow would cut [0, 1] to black and white
                raise ValueError("it holds floating point numbers of no stated range; store 16 bit")
            deep = image.mode.startswith("I")
            grey = np.asarray(image if deep else image.convert("RGB").convert("L"), np.float32)
    except FileNotFoundError:
        raise FileNotFoundError(f"no image file {str(path)!r}; check the path") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(
            f"cannot read the image {str(path)!r} ({error}); expected a complete PNG or another "
            "format known to Pillow: copy or download the file again, or remove it"
        ) from error
    x = torch.from_numpy(grey / (65535.0 if deep else 255.0))[None]  # (1, H, W)
    if size is not None and tuple(x.shape[1:]) != size:
        x = interpolate(x[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    return x.clamp(0, 1)


class MayoDataset(Dataset):
    """A folder of PNG slices, one subfolder per patient, such as the Mayo chest CT data.

    The files are those that match ``data_path/*/*.png``, in sorted order, read by
    :func:`read_grey`. Source: McCollough et al., Low Dose CT Image and Projection Data, TCIA 2020.

    Args:
        data_path: Folder that holds the patients' folders, for instance ``Mayo/train``.
        data_shape: Image size in pixels, an int for a square or ``(H, W)``.

    Raises:
        FileNotFoundError: If the folder is missing or holds no ``*/*.png``.
    """

    def __init__(self, data_path: str | os.PathLike, data_shape: int | Sequence[int]) -> None:
        self.data_path, self.data_shape = Path(data_path), _as_shape(data_shape)
        self.files = sorted(self.data_path.glob("*/*.png"))
        if not self.files:
            problem = "holds no file */*.png" if self.data_path.is_dir() else "does not exist"
            raise FileNotFoundError(
                f"the data folder {str(data_path)!r} {problem}; expected <data_path>/<patient>/"
                "<slice>.png, so give the folder one level above those of the patients, such as "
                "Mayo/train, or use SyntheticDataset, which needs no files"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return slice ``index``, float32 ``(1, H, W)`` in [0, 1]."""
        return read_grey(self.files[index], self.data_shape)

    def cache_key(self) -> list:
        """Return everything the images depend on, as JSON data."""
        files = [(f.parts[-2:], f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return ["mayo", str(self.data_path.resolve()), self.data_shape, files]


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
        self.n_images, self.data_shape = n_images, _as_shape(data_shape)
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


def cache_dir() -> Path:
    """Return the user's cache folder: ``IPPY_CACHE``, else ``ippy`` in the system's own place.

    Returns:
        Path of the folder, which need not exist yet.
    """
    if os.environ.get("IPPY_CACHE"):
        return Path(os.environ["IPPY_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ippy"


def _collate(items: list[Tensor]) -> Tensor:
    batch = torch.stack(items)  # (batch, 1, H, W)
    if not torch.isfinite(batch).all():
        raise ValueError("an image of the data set contains NaN or infinity; check how it is read")
    return (batch.clamp(0, 1) * 255).round().to(torch.uint8)


def _render(dataset: Dataset, workers: int) -> Tensor:
    loader = DataLoader(dataset, 16, num_workers=workers, collate_fn=_collate)
    few = len(dataset) < 512  # takes seconds: no bar
    return torch.cat(list(tqdm(loader, desc="images", unit="batch", leave=False, disable=few)))


def _read_cache(file: Path, n_images: int) -> Tensor | None:
    try:
        with np.load(file, allow_pickle=False) as archive:
            images = archive["images"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None  # absent or damaged: made again
    good = images.dtype == np.uint8 and images.ndim == 4 and len(images) == n_images
    return torch.from_numpy(images) if good else None


def _write_cache(file: Path, images: Tensor) -> None:
    stream = io.BytesIO()
    np.savez(stream, images=images.numpy())
    try:
        atomic_write({file: stream.getvalue()})
    except OSError as error:  # a full or read-only disk costs time later, not the result now
        warnings.warn(f"cannot cache the images: {error}", stacklevel=3)


def materialise(dataset: Dataset, *, cache: bool = True, workers: int | None = None) -> Tensor:
    """Hold a whole data set in memory, made once and kept on disk.

    The file in :func:`cache_dir` is named after everything the images depend on, and carries a
    checksum; when it is damaged, it is made again.

    Args:
        dataset: Data set of float32 images ``(1, H, W)`` in [0, 1]; cached when it has a method
            ``cache_key()``, as those of this module do.
        cache: Whether to read and write the cache file.
        workers: Number of worker processes; by default one per core, at most 8, and none for
            fewer than 128 images. If they cannot be started, the images are made here; on Windows
            and macOS, a script that wants them needs ``if __name__ == "__main__":``.

    Returns:
        uint8 tensor ``(N, 1, H, W)``; divide by 255 for images in [0, 1].
    """
    file = None
    if cache and hasattr(dataset, "cache_key"):
        key = hashlib.sha256(json.dumps(dataset.cache_key()).encode()).hexdigest()[:24]
        file = cache_dir() / f"images-{key}.npz"
        if (images := _read_cache(file, len(dataset))) is not None:
            return images
    if workers is None:
        mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
        workers = min(8, len(mine)) if len(dataset) >= 128 else 0
    try:
        images = _render(dataset, workers)
    except RuntimeError as error:
        # a worker that runs a script once more, for want of its __main__ guard, has to end
        if workers == 0 or "bootstrapping" in str(error):
            raise
        warnings.warn(f"worker processes failed ({error}); continuing in one", stacklevel=2)
        images = _render(dataset, 0)
    if file is not None:
        _write_cache(file, images)
    return images


def sample_image(name: str, shape: int | Sequence[int] = 256) -> Tensor:
    """Load one of the images that come with the book, by name.

    Args:
        name: One of :data:`SAMPLE_IMAGES`.
        shape: Image size in pixels, an int for a square or ``(H, W)``.

    Returns:
        float32 tensor ``(1, 1, H, W)`` in [0, 1].

    Raises:
        ValueError: If there is no image of that name.

    Example:
        >>> sample_image("camera", 64).shape
        torch.Size([1, 1, 64, 64])
    """
    if name not in SAMPLE_IMAGES:
        raise ValueError(f"unknown sample image {name!r}; choose one of {', '.join(SAMPLE_IMAGES)}")
    return read_grey(_IMGS / f"sample_{name}.png", shape)[None]
