"""Charts of what studies found: differences image by image, curves along a knob."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_differences", "plot_knobs"]


def plot_differences(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    interval: Callable[[Sequence[float]], tuple[float, float]],
    *,
    label: str = "PSNR difference (dB)",
    width: float = 9.0,
) -> "Figure":
    """Plot paired differences: a dot for each image, mean and interval of each method beside them.

    Args:
        panels: Title -> name -> one difference for each image; all panels have the same names, one
            row for each, from above.
        interval: Gives the mean of numbers and half the width of its interval, as
            ``ippy.studies.statistics.interval`` does.
        label: What the differences are.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.

    Raises:
        ValueError: If the panels have other names than the first.
    """
    import matplotlib.pyplot as plt

    names = list(next(iter(panels.values())))
    for title, rows in panels.items():
        if list(rows) != names:
            raise ValueError(f"panel {title!r} has the rows {list(rows)}, expected {names}")
    size = (width, 1.1 + 0.38 * len(names))
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (title, rows) in zip(axes[0], panels.items(), strict=True):
        for row, dots in enumerate(rows.values()):
            places = row + np.linspace(-0.22, 0.22, len(dots))
            axis.plot(dots, places, ".", color="C0", alpha=0.5)  # the row has its name
            mean, half = interval(dots)
            axis.errorbar(mean, row, xerr=half, fmt="|", color="k", capsize=4, markersize=14)
        axis.axvline(0, color="k", linewidth=0.8)
        axis.set(title=title, xlabel=label, yticks=range(len(names)), yticklabels=names)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.grid(axis="x", alpha=0.3)
    return figure


def plot_knobs(
    curves: Mapping[str, Mapping[str, Sequence]],
    settings: Mapping[str, Sequence[float]],
    nominal: Mapping[str, float],
    *,
    colors: Mapping[str, str] | None = None,
    label: str = "mean PSNR (dB)",
    width: float = 10.0,
) -> "Figure":
    """Plot what methods give as one knob at a time is turned.

    Args:
        curves: Name -> knob -> one number for each setting, or such a row for each seed, of which
            the mean is drawn, and a band from the least to the largest. What is called
            ``"measurement"`` is drawn dotted.
        settings: Knob -> its settings, in the order of the panels.
        nominal: Knob -> the setting of the training, drawn as a vertical line.
        colors: Name -> colour, so that a method has one colour in all figures; the others, or all
            if None, take the colours of the style in turn.
        label: What the numbers are.
        width: Width of the figure in inches.

    Returns:
        The matplotlib figure.
    """
    import matplotlib.pyplot as plt

    size = (width, 0.38 * width)
    figure, axes = plt.subplots(
        1, len(settings), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (knob, places) in zip(axes[0], settings.items(), strict=True):
        axis.axvline(nominal[knob], color="k", linewidth=0.6)
        turn = iter(range(len(curves)))
        for name, found in curves.items():
            rows = np.atleast_2d(np.asarray(found[knob], dtype=float))  # (seeds, settings)
            if name == "measurement":
                axis.plot(places, rows.mean(0), "k:", label=name)
                continue
            colour = (colors or {}).get(name) or f"C{next(turn)}"
            axis.plot(places, rows.mean(0), "o-", color=colour, markersize=3, label=name)
            if len(rows) > 1:
                axis.fill_between(places, rows.min(0), rows.max(0), color=colour, alpha=0.3)
        axis.set_xlabel(knob)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(label)
    lines, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=6, fontsize=8)
    return figure
