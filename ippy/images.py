"""Reading images, and the few that come with the book.

An image is a float32 tensor ``(1, H, W)`` in [0, 1]. Wherever a size is asked for, it is called
``shape``: an int for a square, or ``(H, W)``.
"""

import operator
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn.functional import interpolate

from ippy import paths

__all__ = ["SAMPLES", "as_shape", "load_image", "quantise", "read_grey", "sample_image"]

#: Name of each sample image -> its title; origin and licence of each stand in
#: ``ippy/samples/README.md``.
SAMPLES = {
    "thorax": "Thorax phantom",
    "camera": "Photograph",
    "cat": "Cat",
    "abdomen_mr": "Abdomen (MR)",
}


def as_shape(shape: int | Sequence[int]) -> tuple[int, int]:
    """Height and width in pixels from an int, for a square, or from a pair (H, W).

    Raises:
        ValueError: If it is neither, or not positive.
    """
    pair = tuple(shape) if isinstance(shape, Sequence) else (shape, shape)
    try:
        height, width = (operator.index(n) for n in pair)  # NumPy's integers are as good
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(f"shape is {shape!r}; expected a positive int or a pair (height, width)")
    return height, width


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
        OSError: If the file is no image, is truncated, or holds floating point numbers or values
            outside [0, 65535], such as Hounsfield units.
    """
    size = None if shape is None else as_shape(shape)
    try:
        refuse_special(path)
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode == "F":  # Pillow would cut [0, 1] to black and white
                raise ValueError("it holds floating point numbers of no stated range; store 16 bit")
            deep = image.mode.startswith("I")
            grey = np.asarray(image if deep else image.convert("RGB").convert("L"), np.float32)
            if deep and not (grey.min() >= 0 and grey.max() <= 65535):
                raise ValueError(
                    f"its values run from {grey.min():.0f} to {grey.max():.0f}; store them as 16 "
                    "bit, from 0 to 65535"
                )
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


def refuse_special(path: str | os.PathLike) -> None:
    """Raise ValueError for a pipe or a device, at which reading would wait for ever."""
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError("it is a folder, a pipe or a device")


def quantise(images: Tensor) -> Tensor:
    """Images with 256 grey levels, as data sets are kept in memory.

    Args:
        images: Floating point in [0, 1], of any shape, or uint8, which is returned as it is.

    Returns:
        uint8 tensor of the same shape; divide by 255 for images in [0, 1].

    Raises:
        ValueError: For another dtype, NaN or infinity, and values outside [0, 1].

    >>> quantise(torch.tensor([0.0, 0.5, 1.0]))
    tensor([  0, 128, 255], dtype=torch.uint8)
    """
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise ValueError(f"images must be uint8 or float in [0, 1], not {images.dtype}")
    if not torch.isfinite(images).all():
        raise ValueError("the images contain NaN or infinity; check how they are read")
    if images.numel() and (images.min() < -1e-3 or images.max() > 1 + 1e-3):
        raise ValueError(
            f"the images have grey values from {images.min():.4g} to {images.max():.4g}, expected "
            "[0, 1]; divide 8-bit values by 255, or subtract the least and divide by the range"
        )
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def load_image(path: str | os.PathLike, shape: int | Sequence[int] | None = None) -> Tensor:
    """Load an image file as a batch of one; arguments and errors are those of :func:`read_grey`.

    Returns:
        float32 tensor ``(1, 1, H, W)`` in [0, 1].
    """
    return read_grey(path, shape)[None]


def sample_image(name: str, shape: int | Sequence[int] = 256) -> Tensor:
    """Load one of the images that come with the book, by name.

    Args:
        name: Key of :data:`SAMPLES`.
        shape: Image size in pixels, an int for a square or ``(H, W)``.

    Returns:
        float32 tensor ``(1, 1, H, W)`` in [0, 1].

    Raises:
        ValueError: If there is no image of that name.

    Example:
        >>> sample_image("camera", 64).shape
        torch.Size([1, 1, 64, 64])
    """
    if name not in SAMPLES:
        raise ValueError(f"unknown sample image {name!r}; choose one of {', '.join(SAMPLES)}")
    return read_grey(paths.SAMPLES / f"{name}.png", shape)[None]
