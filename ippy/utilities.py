"""Small things every chapter needs: device, seeds, noise, loading and showing images."""

import glob
import os
import platform
import random
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

__all__ = [
    "atomic_write", "gaussian_noise", "generator_for", "get_device", "load_image", "plot_history",
    "set_seed", "show_images",
]  # fmt: skip


_HOST = re.sub(r"\W", "", platform.node())  # temporary files tell whose they are


def get_device() -> str:
    """Name of the best device at hand: ``"cuda"``, ``"mps"`` or ``"cpu"``."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def set_seed(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return a CPU generator of its own with the same seed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - seeds code of readers that uses the global generator
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def generator_for(seed: int, index: int = 0) -> torch.Generator:
    """A CPU generator that is a function of (``seed``, ``index``): of a run and its step, say.

    PyTorch seeds its CPU generator with the lower 32 bits alone, hence the arithmetic.
    """
    return torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**32)


def atomic_write(files: Mapping[Path, bytes]) -> None:
    """Write files so that each is old or new, never torn: all temporary files first, then renames.

    Raises:
        OSError: If a folder cannot be written or the disk is full; the old files are unchanged.
    """
    temporary = {}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(path)
            mine = f".{path.name}.{_HOST}-{os.getpid()}-"
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=mine, suffix=".tmp", delete=False
            ) as file:
                temporary[path] = Path(file.name)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary[path].chmod(0o644)
        for path, new in temporary.items():
            os.replace(new, path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"could not write {' and '.join(p.name for p in files)} ({error.strerror}); what was "
            "there is unchanged: free some disk space or choose a folder that can be written",
        ) from error
    finally:
        for new in temporary.values():
            new.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of ``path`` whose process was killed on this machine."""
    for old in path.parent.glob(f".{glob.escape(path.name)}.{_HOST}-*.tmp"):
        pid = old.name.removeprefix(f".{path.name}.{_HOST}-").split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            old.unlink(missing_ok=True)


def gaussian_noise(
    y: Tensor, noise_level: float, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""White Gaussian noise $e$ with $\|e\|_2 = \mathrm{noise\_level}\cdot\|y\|_2$ for each image.

    The noise is returned, not added: ``y_delta = y + gaussian_noise(y, 0.01)``. Every image is
    scaled by its own norm, so its noise does not depend on its batch mates' grey values.

    Args:
        y: Clean measurements, shape (N, ...), floating point; a 2-D or 3-D tensor is one image.
        noise_level: Relative noise level, at least 0; 0.01 means one percent of the norm.
        generator: Source of randomness; torch's global generator if None.

    Returns:
        The noise, of the shape, dtype and device of ``y``.

    Raises:
        ValueError: If ``noise_level`` is negative or not finite.
        TypeError: If ``y`` is not a floating point tensor.

    >>> y = torch.ones(2, 1, 8, 8)
    >>> e = gaussian_noise(y, 0.1, generator=torch.Generator().manual_seed(0))
    >>> (e.flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)).round(decimals=4)
    tensor([0.1000, 0.1000])
    """
    if not (np.isfinite(noise_level) and noise_level >= 0):
        raise ValueError(
            f"noise_level is {noise_level}, expected a finite number >= 0 such as 0.01, "
            "the norm of the noise relative to the norm of the measurement"
        )
    if not torch.is_tensor(y) or not y.is_floating_point():
        raise TypeError("y must be a floating point tensor; convert it with y.float() / 255")
    device = generator.device if generator is not None else y.device
    e = torch.randn(y.shape, generator=generator, device=device, dtype=y.dtype).to(y.device)
    axes = tuple(range(1 if y.ndim > 3 else 0, y.ndim))
    e_norm = torch.linalg.vector_norm(e, dim=axes, keepdim=True)
    y_norm = torch.linalg.vector_norm(y, dim=axes, keepdim=True)
    return e * (noise_level * y_norm / e_norm)


def load_image(path: str | os.PathLike, size: int | tuple[int, int] | None = None) -> Tensor:
    """Load an image file as a grey float32 batch of one, shape (1, 1, H, W), values in [0, 1].

    Args:
        path: Any format Pillow reads; colour becomes luminance.
        size: Side length or (H, W) to resize to with antialiasing; None keeps the file's size.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If the file is not an image or is truncated.
    """
    from ippy.data import read_grey

    return read_grey(Path(path), size)[None]


def show_images(
    images: Mapping[str, Tensor] | Sequence[Tensor] | Tensor,
    *,
    titles: Sequence[str] | None = None,
    vmin: float | Sequence[float] | None = 0.0,
    vmax: float | Sequence[float] | None = 1.0,
    cmap: str = "gray",
    columns: int | None = None,
    zoom: tuple[int, int, int] | None = None,
    width: float = 9.0,
):
    """Show images side by side on one grey scale, so that they can be compared.

    Args:
        images: Dictionary title -> image, or a sequence of images; an image is (H, W) or has
            leading axes of size 1; a batch (N, 1, H, W) is taken as N images.
        titles: Titles where ``images`` is not a dictionary.
        vmin: Grey value shown black, one for all or one per image; None: from the image.
        vmax: Grey value shown white, likewise.
        cmap: A matplotlib colour map.
        columns: Images per row; all in one row if None.
        zoom: (top, left, side) of a square that is enlarged below each image.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.
    """
    import matplotlib.pyplot as plt

    if isinstance(images, Mapping):
        titles, images = list(images), list(images.values())
    pictures = [np.asarray(p.detach().float().cpu().squeeze()) for p in images]
    for picture in pictures:
        if picture.ndim != 2:
            raise ValueError(f"an image must be (H, W) after squeezing, got {picture.shape}")
    number = len(pictures)
    low = vmin if isinstance(vmin, Sequence) else [vmin] * number
    high = vmax if isinstance(vmax, Sequence) else [vmax] * number
    columns = columns or number
    repeat = 2 if zoom else 1
    rows = -(-number // columns) * repeat
    tile = width / columns
    aspect = pictures[0].shape[0] / pictures[0].shape[1]
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, rows * tile * aspect + (0.3 * rows / repeat if titles else 0)),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        style = dict(cmap=cmap, vmin=low[i], vmax=high[i], interpolation="antialiased")
        axis = axes[row * repeat, column]
        axis.imshow(picture, **style)
        if titles is not None:
            axis.set_title(titles[i], fontsize=10)
        if zoom:
            top, left, side = zoom
            axes[row * repeat + 1, column].imshow(
                picture[top : top + side, left : left + side], **style
            )
            axis.add_patch(plt.Rectangle((left, top), side, side, fill=False, edgecolor="white"))
    return figure


def plot_history(histories: Mapping[str, Mapping[str, Sequence]], *, width: float = 7.0):
    """Plot training and validation loss of one or several runs on a logarithmic axis.

    Args:
        histories: Name -> history as :func:`ippy.training.train` returns it, with the lists
            ``step``, ``train_mse``, ``val_step`` and ``val_mse``.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(width, width * 0.5), layout="constrained")
    for name, history in histories.items():
        (line,) = axis.plot(history["step"], history["train_mse"], alpha=0.4)
        axis.plot(
            history["val_step"],
            history["val_mse"],
            color=line.get_color(),
            marker="o",
            markersize=3,
            label=name,
        )
    axis.set(xlabel="step", ylabel="mean squared error", yscale="log")
    axis.grid(alpha=0.3)
    axis.legend(title="validation (training pale)")
    return figure
