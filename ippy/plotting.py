"""Figures: images side by side on one grey scale, and loss curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_history", "show_images"]


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
) -> "Figure":
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

    Raises:
        ValueError: If there is no image, or one is not (H, W).
    """
    import matplotlib.pyplot as plt

    if isinstance(images, Mapping):
        titles, images = list(images), list(images.values())
    if not len(images):
        raise ValueError("images is empty; give at least one to show")
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


def plot_history(
    histories: Mapping[str, Mapping[str, Sequence]], *, width: float = 7.0
) -> "Figure":
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
