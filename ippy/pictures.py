"""Picture files whose grey values are replaced and whose colours, depth and transparency stay."""

import io
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ippy.images import refuse_special

__all__ = ["Picture", "read_picture"]

#: Parts of red, green and blue in the luminance (ITU-R BT.601, as in :func:`ippy.images.read_grey`)
LUMINANCE = (0.299, 0.587, 0.114)
#: Modes of Pillow that are read, and what they are read as.
MODES = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "P": "RGB", "PA": "RGBA"}


@dataclass(frozen=True)
class Picture:
    """A picture as :func:`read_picture` returns it.

    Args:
        luminance: Grey values (1, 1, H, W) in [0, 1].
        chroma: Red, green and blue without the luminance, (3, H, W); None in a grey picture.
        alpha: Transparency (H, W), uint8; None in an opaque picture.
        depth: Bits of a grey value, 8 or 16.
        format: ``"PNG"`` or ``"TIFF"``.
        info: What else is written: resolution and colour profile, where the file has them.
    """

    luminance: Tensor
    chroma: Tensor | None
    alpha: np.ndarray | None
    depth: int
    format: str
    info: dict[str, Any]

    def with_luminance(self, luminance: Tensor) -> "Picture":
        """The same picture with other grey values: the differences of the colours from it are kept.

        Args:
            luminance: Grey values (1, 1, H, W); what lies outside [0, 1] is cut in the file.

        Raises:
            ValueError: For another shape.
        """
        if luminance.shape != self.luminance.shape:
            raise ValueError(
                f"luminance has shape {tuple(luminance.shape)}, expected that of the picture, "
                f"{tuple(self.luminance.shape)}"
            )
        return replace(self, luminance=luminance)

    def encoded(self) -> bytes:
        """The file, in its format and depth, lossless."""
        grey = self.luminance[0]  # (1, H, W)
        values = (grey if self.chroma is None else grey + self.chroma).clamp(0, 1)
        largest, kind = (65535, np.uint16) if self.depth == 16 else (255, np.uint8)
        numbers = (values.double() * largest).round().numpy().astype(kind)  # (1 or 3, H, W)
        if self.alpha is not None:
            numbers = np.concatenate([numbers, self.alpha[None]])
        array = numbers[0] if len(numbers) == 1 else np.moveaxis(numbers, 0, 2)
        file, how = io.BytesIO(), {"compression": "tiff_lzw"} if self.format == "TIFF" else {}
        Image.fromarray(np.ascontiguousarray(array)).save(file, self.format, **how, **self.info)
        return file.getvalue()


def read_picture(path: str | os.PathLike) -> Picture:
    """Read a PNG or TIFF file: grey with 8 or 16 bits, or colours with 8.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is no PNG or TIFF, is truncated, holds several pictures, floating point
            numbers, colours with 16 bits (which Pillow would cut to 8), or another colour space.
    """
    try:
        refuse_special(path)
        with Image.open(path) as opened:
            _check(opened)
            kind = str(opened.format)
            image = ImageOps.exif_transpose(opened)
            info = {k: opened.info[k] for k in ("dpi", "icc_profile") if opened.info.get(k)}
            if image.mode.startswith("I"):
                numbers = np.asarray(image).astype(np.int64)
                if numbers.min() < 0 or numbers.max() > 65535:
                    raise ValueError(
                        f"its values run from {numbers.min()} to {numbers.max()}; store them as "
                        "16 bit, from 0 to 65535"
                    )
                grey = torch.from_numpy(numbers.astype(np.float32) / 65535)[None, None]
                return Picture(grey, None, None, 16, kind, info)
            mode = MODES[image.mode]
            if "transparency" in image.info:
                mode = {"L": "LA", "RGB": "RGBA"}.get(mode, mode)
            array = np.asarray(image.convert(mode))
    except FileNotFoundError:
        raise FileNotFoundError(f"no picture file {str(path)!r}; check the path") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(
            f"cannot read the picture {str(path)!r} ({error}); expected a complete PNG or TIFF, "
            "grey with 8 or 16 bits or colours with 8"
        ) from error
    channels = array[..., None] if array.ndim == 2 else array  # (H, W, 1 to 4)
    alpha = np.array(channels[..., -1]) if channels.shape[2] in (2, 4) else None
    values = torch.from_numpy(np.moveaxis(channels, 2, 0).astype(np.float32) / 255)  # (C, H, W)
    if channels.shape[2] < 3:
        return Picture(values[None, :1], None, alpha, 8, kind, info)
    parts = torch.tensor(LUMINANCE)[:, None, None]
    luminance = (values[:3] * parts).sum(0, keepdim=True)  # (1, H, W)
    return Picture(luminance[None], values[:3] - luminance, alpha, 8, kind, info)


def _check(image: Image.Image) -> None:
    """Refuse what would come back as something else."""
    if image.format not in ("PNG", "TIFF"):
        raise ValueError(f"it is a {image.format} file")
    count = getattr(image, "n_frames", 1)
    if count > 1:
        raise ValueError(f"it holds {count} pictures; store them one by one")
    if image.mode not in MODES and not image.mode.startswith("I"):
        raise ValueError(f"its mode is {image.mode!r}")
    if not image.mode.startswith("I") and any(
        ";16" in str(tile[3]) for tile in getattr(image, "tile", [])
    ):
        raise ValueError("it holds colours with 16 bits; convert it to 8 bits, or to grey")
