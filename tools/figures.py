"""Figures of notebooks are compared: a pytest plugin that goes with nbval (``-p tools.figures``).

nbval executes each cell again and compares its texts with the stored ones; pictures it leaves out,
since no two versions of matplotlib draw the same pixels. Here every stored PNG or JPEG is compared
with the new one: as many of them in a cell, of sizes that differ by no more than :data:`SLACK`
pixels, and nowhere farther from each other than :data:`LIMIT`. Cells whose output nbval does not
check are left out, and counted. (An SVG is text to nbval, and compared as such.)

The distance asks whether each has what the other shows *about there*. A pixel counts by how far its
colour lies outside the colours that the other picture has within :data:`SLACK` pixels, so that
antialiasing, hinted letters, and an axis or a legend moved by the height of a letter cost nothing;
this excess is averaged over a patch (:data:`PATCH`), so that no single pixel decides. The largest
patch is the distance: 0 for equal structure, 1 for black where white was.
"""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from nbval.plugin import IPyNbCell
from PIL import Image

FORMATS = ("image/png", "image/jpeg")  # what nbval leaves out
SLACK = 8  # pixels around a pixel, and
PATCH = 3  # around the middle of a patch: squares of 17 and of 7 pixels a side
# Of the range of a colour channel. Measured on figures of the book (CONTRIBUTING.md).
LIMIT = 0.06
FOLDER = "_build/figures"  # relative to pytest's root


# -- Distance -------------------------------------------------------------------------------------


def around(picture: np.ndarray, radius: int, what: Callable) -> np.ndarray:
    """Reduce the square around each pixel, as by ``np.maximum``; (H, W, ...) stays (H, W, ...)."""
    for _ in range(2):  # down the rows, then, transposed, along them
        margins = [(radius, radius)] + [(0, 0)] * (picture.ndim - 1)
        padded = np.pad(picture, margins, mode="edge")
        shifted = [padded[i : i + len(picture)] for i in range(2 * radius + 1)]
        picture = functools.reduce(what, shifted).swapaxes(0, 1)
    return picture


def excess(stored: np.ndarray, new: np.ndarray) -> np.ndarray:
    """How far two pictures are from each other at each place.

    Args:
        stored: A picture (H, W, C) in [0, 1].
        new: Another one of the same size.

    Returns:
        (H, W), 0 where each has the colours of the other nearby; its maximum is the distance.
    """
    if np.array_equal(stored, new):  # on the machine that stored them nearly all are
        return np.zeros(stored.shape[:2], np.float32)
    outside = np.zeros_like(stored)
    for one, other in ((stored, new), (new, stored)):
        above = one - around(other, SLACK, np.maximum)
        below = around(other, SLACK, np.minimum) - one
        outside = np.maximum(outside, np.maximum(above, below))
    return around(outside.max(axis=-1), PATCH, np.add) / (2 * PATCH + 1) ** 2


# -- Figures of a cell ----------------------------------------------------------------------------


def decode(data: str, width: int | None = None) -> np.ndarray:
    """Pixels of a base64 picture, (H, W, 4) in [0, 1]: colours on white, and the opacity.

    Args:
        data: A picture of an output of a cell.
        width: Width at which it is shown, for pictures of high density ("retina"): these are
            compared as they are seen.

    Raises:
        ValueError: If the text is no picture.
    """
    try:
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"expected a base64 picture, got {data[:20]!r} … ({error}); run the notebook again "
            "and store it"
        ) from error
    if width and width < image.width:
        image = image.resize(
            (width, round(image.height * width / image.width)), Image.Resampling.BOX
        )
    pixels = np.asarray(image, np.float32) / 255
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    return np.concatenate([colours * opacity + (1 - opacity), opacity], axis=-1)


def figures(outputs: Sequence) -> list[np.ndarray]:
    """The pictures of a cell's outputs, in their order, as :func:`decode` reads them."""
    found = []
    for output in outputs:
        for kind in FORMATS:
            if kind in output.get("data", {}):
                about = output.get("metadata", {}).get(kind, {})
                found.append(decode(output["data"][kind], about.get("width")))
    return found


def sheet(stored: np.ndarray | None, new: np.ndarray | None) -> Image.Image:
    """Stored picture, new one and their difference (red; black edge between) beside each other."""
    nothing = np.ones((1, 1, 4), np.float32)
    panels = alike(*(nothing if picture is None else picture for picture in (stored, new)))
    height = len(panels[0])
    pale = 0.8 + 0.2 * panels[0].mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    pale[..., 1:] *= 1 - np.clip(excess(*panels) / LIMIT, 0, 1)[..., None]
    edge = np.zeros((height, 4, 3), np.float32)
    row = np.hstack([panels[0][..., :3], edge, panels[1][..., :3], edge, pale])
    return Image.fromarray(np.uint8(255 * row))


def alike(stored: np.ndarray, new: np.ndarray) -> list[np.ndarray]:
    """Both pictures in the larger height and width, what is missing below and on the right white.

    The inline backend crops a figure to what was drawn, letters included, and letters are a pixel
    wider or narrower elsewhere.
    """
    height, width = np.maximum(stored.shape[:2], new.shape[:2])
    found = []
    for picture in (stored, new):
        page = np.ones((height, width, 4), np.float32)
        page[: picture.shape[0], : picture.shape[1]] = picture
        found.append(page)
    return found


def compare(stored: list[np.ndarray], new: list[np.ndarray]) -> tuple[dict[int, str], list[float]]:
    """Compare the figures of a cell.

    Returns:
        What is wrong, by the number of the figure (from 1), and the distances of those whose sizes
        are near enough.
    """
    wrong, distances = {}, []
    for number, (old, now) in enumerate(zip(stored, new, strict=False), start=1):
        if np.abs(np.subtract(old.shape, now.shape)).max() > SLACK:
            sizes = [f"{picture.shape[1]} × {picture.shape[0]}" for picture in (old, now)]
            wrong[number] = f"figure {number} has {sizes[1]} pixels, the stored one {sizes[0]}"
            continue
        outside = excess(*alike(old, now))
        distances.append(float(outside.max()))
        if distances[-1] > LIMIT:
            row, column = np.unravel_index(outside.argmax(), outside.shape)
            wrong[number] = (
                f"figure {number} is at distance {distances[-1]:.2f} from the stored one, most in "
                f"row {row}, column {column}; up to {LIMIT} counts as equal"
            )
    for number in range(min(len(stored), len(new)) + 1, max(len(stored), len(new)) + 1):
        wrong[number] = (
            f"figure {number} is missing"
            if number <= len(stored)
            else (f"figure {number} is new: the stored cell has {len(stored)}")
        )
    return wrong, distances


# -- pytest ---------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where failures are shown."""
    parser.getgroup("nbval").addoption(
        "--nbval-figures",
        default=FOLDER,
        metavar="FOLDER",
        help=f"folder that shows figures that differ from the stored ones (default: {FOLDER})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Count, where notebooks are tested."""
    if config.option.nbval or config.option.nbval_lax:
        config.pluginmanager.register(Tally(), "figures-tally")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """After nbval has found a cell's texts right, compare its figures."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    if item.options["skip"] or not item.options["check"]:
        item.user_properties.append(("figures", None))
        return (yield)
    result = yield
    if item.cell.execution_count is None:  # stored without having been run, as nbval lets pass
        return result
    stored, new = figures(item.cell.outputs), figures(item.test_outputs)
    wrong, distances = compare(stored, new)
    item.user_properties.append(("figures", distances))
    folder = place(item)
    for old in folder.glob(f"cell-{item.cell_num}-figure-*.png"):
        old.unlink()
    if wrong:
        folder.mkdir(parents=True, exist_ok=True)
        for number in wrong:
            pair = [some[number - 1] if number <= len(some) else None for some in (stored, new)]
            sheet(*pair).save(folder / f"cell-{item.cell_num}-figure-{number}.png")
        item.raise_cell_error(
            "Cell figures differ",
            "\n".join(wrong.values())
            + f"\nThe stored figure, the new one and their difference stand in\n{folder}\n"
            "If the new one is right, run the notebook and store it.",
        )
    return result


def place(item: IPyNbCell) -> Path:
    """Folder of a notebook's figures: named as the notebook, where it stands below the root."""
    root, notebook = item.config.rootpath, item.path.with_suffix("")
    below = notebook.relative_to(root) if notebook.is_relative_to(root) else notebook.name
    return root / item.config.getoption("--nbval-figures") / below


class Tally:
    """Counts what was compared, from the reports, which other processes send too (xdist)."""

    def __init__(self) -> None:
        self.compared, self.exempt, self.farthest, self.where = 0, 0, 0.0, ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = dict(report.user_properties)
        if report.when != "call" or "figures" not in found:
            return
        if found["figures"] is None:
            self.exempt += 1
            return
        self.compared += len(found["figures"])
        for distance in found["figures"]:
            if distance > self.farthest:
                self.farthest, self.where = distance, report.nodeid

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        where = f" ({self.where})" if self.where else ""
        terminalreporter.write_line(
            f"figures: {self.compared} compared, the farthest at {self.farthest:.3f} of {LIMIT}"
            f"{where}; {self.exempt} cells exempt"
        )
