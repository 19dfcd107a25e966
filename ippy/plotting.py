"""Figures: images side by side on one grey scale, and loss curves."""

from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "book_style",
    "plot_history",
    "plot_seeds",
    "show_errors",
    "show_images",
    "show_levels",
    "show_windows",
]

#: Colours of lines, in their order; they differ in lightness, too, for those who see few colours.
COLOURS = ("#1b5e93", "#c8651b", "#2e8b6f", "#7a3e9d", "#8f9aa6", "#b8962e", "#1d2430")
_STYLE: dict[str, Any] = {
    "figure.dpi": 144,  # lines and letters are sharp on screens of high resolution, too
    "font.family": ["Inter", "DejaVu Sans"],
    "font.size": 9.5,
    "text.hinting": "none",  # the letters keep their distances at small sizes
    "mathtext.fontset": "cm",
    "text.color": "#1d2430",
    "axes.titlesize": 10,
    "axes.labelcolor": "#1d2430",
    "axes.edgecolor": "#8f9aa6",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#55606e",
    "ytick.color": "#55606e",
    "grid.color": "#ddd8cd",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}

#: Resolution of figures of images: their pixels are larger than the screen's, and files stay small.
_IMAGE_DPI = 100


def _title_size(titles: Sequence[str], width: float, columns: int) -> float:
    """Size in points at which titles can be read on a page, and do not run into each other.

    Wider figures are scaled down more to fit the column of text, so their letters must be larger.

    Args:
        titles: Titles of the panels.
        width: Width of the figure in inches.
        columns: Panels in a row.
    """
    longest = max(map(len, titles), default=1)
    return min(1.25 * width, 115 * width / columns / max(longest, 1))


def book_style() -> None:
    """Draw all figures from now on as those of the book: its font, its colours, few lines.

    Matplotlib's ``rcdefaults()`` undoes it.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> book_style()
        >>> plt.rcParams["axes.spines.top"]
        False
        >>> plt.rcdefaults()
    """
    import matplotlib.pyplot as plt
    from cycler import cycler
    from matplotlib import font_manager

    with as_file(files("ippy") / "fonts" / "Inter.ttf") as font:
        font_manager.fontManager.addfont(font)
    plt.style.use(_STYLE | {"axes.prop_cycle": cycler(color=COLOURS)})


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
        images: Dictionary title -> image, or a sequence of images, tensors or arrays; an image is
            (H, W) or has leading axes of size 1; a batch (N, 1, H, W) is taken as N images.
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
        ValueError: If there is no image, one is not (H, W), or there are not as many titles.
    """
    import matplotlib.pyplot as plt

    if isinstance(images, Mapping):
        titles, images = list(images), list(images.values())
    if not len(images):
        raise ValueError("images is empty; give at least one to show")
    pictures = [np.asarray(torch.as_tensor(p).detach().float().cpu().squeeze()) for p in images]
    for picture in pictures:
        if picture.ndim != 2:
            raise ValueError(f"an image must be (H, W) after squeezing, got {picture.shape}")
    number = len(pictures)
    if titles is not None and len(titles) != number:
        raise ValueError(f"there are {len(titles)} titles for {number} images; give one for each")
    low = vmin if isinstance(vmin, Sequence) else [vmin] * number
    high = vmax if isinstance(vmax, Sequence) else [vmax] * number
    columns = columns or number
    repeat = 2 if zoom else 1
    rows = -(-number // columns) * repeat
    tile = width / columns
    aspect = pictures[0].shape[0] / pictures[0].shape[1]
    points = _title_size(titles or [], width, columns)
    height = rows * tile * aspect + (0.03 * points * rows / repeat if titles else 0)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        squeeze=False,
        layout="constrained",
        dpi=_IMAGE_DPI,
    )
    for axis in axes.flat:
        axis.axis("off")
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        style = dict(cmap=cmap, vmin=low[i], vmax=high[i], interpolation="antialiased")
        axis = axes[row * repeat, column]
        axis.imshow(picture, **style)
        if titles is not None:
            axis.set_title(titles[i], fontsize=points)
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


def show_levels(
    encoder: Mapping[str, Tensor],
    bottleneck: Mapping[str, Tensor],
    decoder: Mapping[str, Tensor],
    *,
    width: float = 9.0,
) -> "Figure":
    """Show maps of a UNet where they are computed: down the left side, up the right side.

    Every map has a grey scale of its own, from 0 (or its least value) to its largest one.

    Args:
        encoder: Title -> map, from the finest level down; a map is (H, W) or has leading axes of
            size 1.
        bottleneck: Title and map of the deepest level.
        decoder: Title -> map, from the finest level down: as many as ``encoder`` has.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the sides differ in their number of levels, or there is no bottleneck.
    """
    import matplotlib.pyplot as plt

    if len(encoder) != len(decoder) or len(bottleneck) != 1:
        raise ValueError(
            f"{len(encoder)} maps go down, {len(bottleneck)} stand below and {len(decoder)} go up; "
            "expected as many on both sides, and one below"
        )
    # sides and places in parts of the width; maps of one side overlap in none of their rows
    side, depth = 0.2, len(encoder)
    step = (0.5 - side / 2) / depth
    places = {title: (g, g * step) for g, title in enumerate(encoder)}
    places |= {title: (g, 1 - side - g * step) for g, title in enumerate(decoder)}
    places |= {title: (depth, 0.5 - side / 2) for title in bottleneck}
    row = side + 0.035  # a map and its title
    height = row * (depth + 1)
    points = 1.25 * width
    figure = plt.figure(figsize=(width, width * height), dpi=_IMAGE_DPI)
    for title, image in {**encoder, **bottleneck, **decoder}.items():
        picture = np.asarray(image.detach().float().cpu().squeeze())
        low, high = min(0.0, picture.min()), max(np.quantile(picture, 0.995), 1e-6)
        level, left = places[title]
        bottom = 1 - ((level + 1) * row) / height
        axis = figure.add_axes((left, bottom, side, side / height))
        axis.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=points)
        axis.axis("off")
    return figure


def plot_seeds(
    values: Mapping[str, Sequence[float]],
    *,
    label: str = "mean PSNR (dB)",
    line: float | None = None,
    width: float = 7.0,
) -> "Figure":
    """Plot one dot for each seed of each network, and a bar at their mean.

    Args:
        values: Name -> one number for each seed, from above.
        label: What the numbers are.
        line: A number to compare with, drawn dotted.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.
    """
    import matplotlib.pyplot as plt

    size = (width, 0.9 + 0.34 * len(values))
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    for row, dots in enumerate(values.values()):
        axis.plot(dots, [row] * len(dots), "o", color="C0", alpha=0.6)
        axis.plot(sum(dots) / len(dots), row, "|", color="C0", markersize=18, markeredgewidth=2)
    if line is not None:
        axis.axvline(line, color="k", linestyle=":", linewidth=1)
    axis.set(yticks=range(len(values)), yticklabels=list(values), xlabel=label)
    axis.set_ylim(len(values) - 0.5, -0.5)
    axis.grid(axis="x", alpha=0.3)
    return figure


def show_errors(
    answers: Mapping[str, Tensor],
    truth: Tensor,
    *,
    piece: tuple[int, int, int] | None = None,
    limit: float = 0.3,
    width: float = 10.0,
) -> "Figure":
    """Show reconstructions of one image beside the truth, and below each its signed error.

    All images have one grey scale, black 0 and white 1, and all errors another one: white is too
    bright, black too dark, mid-grey right.

    Args:
        answers: Title -> reconstruction, (1, 1, H, W).
        truth: The clean image, of the same shape.
        piece: (top, left, side) of the square that is shown, in pixels; None: the whole image.
        limit: Grey levels at which errors are white or black.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If a reconstruction has another shape than the truth.
    """
    for title, answer in answers.items():
        if answer.shape != truth.shape:
            raise ValueError(
                f"{title} has shape {tuple(answer.shape)}, expected that of the truth, "
                f"{tuple(truth.shape)}; reconstruct the same image"
            )
    top, left, side = piece or (0, 0, max(truth.shape[-2:]))
    part = (..., slice(top, top + side), slice(left, left + side))
    pictures = [answer[part] for answer in (*answers.values(), truth)]
    errors = [(answer - truth)[part] for answer in answers.values()]
    n = len(answers)
    return show_images(
        pictures + errors,
        titles=[*answers, "clean", *["error"] * n],
        vmin=[0.0] * (n + 1) + [-limit] * n,
        vmax=[1.0] * (n + 1) + [limit] * n,
        columns=n + 1,
        width=width,
    )


def show_windows(
    images: Mapping[str, Tensor],
    centres: Mapping[str, tuple[int, int]],
    sides: Sequence[int] = (7, 25, 60, 100),
    *,
    width: float = 11.0,
) -> "Figure":
    """Show what networks with receptive fields of these sizes see around one pixel of each image.

    Args:
        images: Title -> image in [0, 1], (H, W) or with leading axes of size 1; one row for each.
        centres: Title -> row and column of the pixel.
        sides: Sides of the square windows, in pixels.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure: in each row the image with its nested windows, then every window
        alone, enlarged, with a ring around the pixel.

    Raises:
        ValueError: If a window reaches over the edge of its image.
    """
    import matplotlib.pyplot as plt

    tile = width / (len(sides) + 1)
    points = _title_size([*images, "100 pixels"], width, len(sides) + 1)
    size = (width, len(images) * (tile + 0.03 * points))
    shape: dict[str, Any] = {"squeeze": False, "layout": "constrained", "dpi": _IMAGE_DPI}
    figure, axes = plt.subplots(len(images), len(sides) + 1, figsize=size, **shape)
    for line, (title, image) in zip(axes, images.items(), strict=True):
        picture = np.asarray(image.detach().float().cpu().squeeze())
        row, column = centres[title]
        style = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        line[0].imshow(picture, **style)
        line[0].set_title(title, fontsize=points)
        for axis, side in zip(line[1:], sides, strict=True):
            top, left = row - side // 2, column - side // 2
            window = picture[max(top, 0) : top + side, max(left, 0) : left + side]
            if window.shape != (side, side):
                raise ValueError(
                    f"a window of {side} pixels around {(row, column)} reaches over the edge of an "
                    f"image of {picture.shape}; choose a pixel further inside, or smaller windows"
                )
            corner = (left - 0.5, top - 0.5)
            frame = plt.Rectangle(corner, side, side, fill=False, edgecolor="C1", linewidth=1.2)
            line[0].add_patch(frame)
            axis.imshow(window, **style)
            ring = {"markerfacecolor": "none", "markeredgecolor": "C1", "markersize": 9}
            axis.plot(side // 2, side // 2, "o", **ring)
            axis.set_title(f"{side} pixels", fontsize=points)
    for axis in axes.flat:
        axis.axis("off")
    return figure
