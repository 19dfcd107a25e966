"""Figures are compared: what passes for the same figure, what does not, and how it is shown."""

import base64
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tools import figures

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 240, 480
COLOURS = {"blue": (31, 119, 180), "orange": (255, 127, 14)}


def panel(seed: int = 0) -> np.ndarray:
    """A grey picture (160, 160) of a disc, a ramp and noise, in [0, 1]."""
    row, column = np.mgrid[:160, :160] / 160
    disc = np.hypot(row - 0.4, column - 0.3 - 0.3 * seed) < 0.2
    noise = np.random.default_rng(seed).normal(0, 0.1, disc.shape)
    return np.clip(0.2 + 0.3 * column + 0.4 * disc + noise, 0, 1)


def grey(values: np.ndarray) -> np.ndarray:
    """The grey scale."""
    return np.repeat(values[..., None], 3, axis=-1)


def fire(values: np.ndarray) -> np.ndarray:
    """A colour map of the same ends: black, red, yellow, white."""
    return np.clip(3 * values[..., None] - np.arange(3), 0, 1)


def draw(
    *,
    left: np.ndarray | None = None,
    colour_map: Callable = grey,
    curves: tuple[str, ...] = ("blue", "orange"),
    shift: int = 0,
    label: str = "steps",
    down: int = 0,
    quarters: int = 0,
) -> Image.Image:
    """A figure: a panel of pixels, and axes with smooth curves, all ``down`` pixels lower.

    The curves are ``quarters`` of a pixel lower still.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    values = panel() if left is None else left
    picture.paste(Image.fromarray(np.uint8(255 * colour_map(values))), (20, 30 + down))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((220, 30 + down, 460, 190 + down), outline="black")
    for place, name in enumerate(curves):
        x = np.arange(222, 458)
        y = 60 + 50 * (name == "orange") + 25 * np.sin((x - shift) / 20) + down
        fine = Image.new("L", (4 * WIDTH, 4 * HEIGHT))
        points = np.stack([4 * x, 4 * y + quarters], axis=-1)
        ImageDraw.Draw(fine).line(points.ravel().tolist(), fill=255, width=8)
        picture.paste(COLOURS[name], mask=fine.reduce(4))
        pen.text((400, 160 + 12 * place + down), name, fill="black")
    pen.text((320, 200 + down), label, fill="black")
    return picture


def distance(one: Image.Image, other: Image.Image) -> float:
    """Distance of two figures as notebooks store them."""
    pair = [figures.decode(encode(picture)) for picture in (one, other)]
    return float(figures.excess(*pair).max())


def encode(picture: Image.Image) -> str:
    """A picture as notebooks store it."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def dithered(picture: Image.Image) -> Image.Image:
    """Rounding differs everywhere."""
    noise = np.random.default_rng(0).integers(-2, 3, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.uint8(np.clip(np.asarray(picture, int) + noise, 0, 255)))


SAME = {
    "itself": draw(),
    "other antialiasing": draw(quarters=2),
    "other rounding": dithered(draw()),
    "moved by pixels": draw(down=3),
    "other letters": draw(label="stops"),
}
OTHER = {
    "another colour map": draw(colour_map=fire),
    "an inverted panel": draw(left=1 - panel()),
    "another panel": draw(left=panel(1)),
    "a missing curve": draw(curves=("blue",)),
    "shifted limits": draw(shift=24),  # a tenth of the axis
    "nothing": Image.new("RGB", (WIDTH, HEIGHT), "white"),
}


@pytest.mark.parametrize("what", SAME)
def test_other_machines_draw_the_same_figure(what: str) -> None:
    assert distance(draw(), SAME[what]) < figures.LIMIT / 2


@pytest.mark.parametrize("what", OTHER)
def test_another_figure_is_found_either_way(what: str) -> None:
    assert distance(draw(), OTHER[what]) > 1.5 * figures.LIMIT
    assert distance(OTHER[what], draw()) == pytest.approx(distance(draw(), OTHER[what]))


def test_distance_goes_from_equal_to_black_for_white() -> None:
    white, black = (Image.new("RGB", (WIDTH, HEIGHT), name) for name in ("white", "black"))
    assert distance(white, white) == 0 and distance(white, black) == pytest.approx(1)


def test_colours_of_equal_luminance_are_told_apart() -> None:
    red, green = (Image.new("RGB", (40, 40), colour) for colour in ((128, 0, 0), (0, 65, 0)))
    assert distance(red, green) > 0.25


def test_opacity_counts() -> None:
    opaque = Image.new("RGBA", (40, 40), (255, 255, 255, 255))
    clear = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    assert distance(opaque, clear) == pytest.approx(1)


def test_pictures_of_high_density_are_compared_as_they_are_shown() -> None:
    fine = draw().resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.NEAREST)
    retina = {"data": {"image/png": encode(fine)}, "metadata": {"image/png": {"width": WIDTH}}}
    plain = {"data": {"image/png": encode(draw())}}
    stored, new = figures.figures([plain]), figures.figures([{"text": "printed"}, retina])
    wrong, distances = figures.compare(stored, new)
    assert not wrong and distances == [0]
    del retina["metadata"]
    wrong, distances = figures.compare(stored, figures.figures([retina]))
    assert wrong == {1: "figure 1 has 960 × 480 pixels, the stored one 480 × 240"}
    assert not distances


def test_sizes_may_differ_by_what_may_move() -> None:
    one = figures.decode(encode(draw()))
    wider = np.pad(one, ((0, 0), (0, figures.SLACK), (0, 0)), constant_values=1)
    assert figures.compare([one], [one[:-1, 1:]])[0] == {}
    for pair in ([one], [wider]), ([wider], [one]):
        assert figures.compare(*pair) == ({}, [0])
    much = np.pad(wider, ((0, 0), (0, 1), (0, 0)), constant_values=1)
    assert figures.compare([one], [much])[0] == {
        1: "figure 1 has 489 × 240 pixels, the stored one 480 × 240"
    }
    other = figures.decode(encode(OTHER["a missing curve"]))
    assert list(figures.compare([one], [other[:-1, 1:]])[0]) == [1]


def test_figures_of_a_cell_are_counted_and_keep_their_order() -> None:
    one, two = (figures.decode(encode(draw(left=panel(seed)))) for seed in (0, 1))
    assert figures.compare([one, two], [one, two])[0] == {}
    assert list(figures.compare([one, two], [two, one])[0]) == [1, 2]
    assert figures.compare([one, two], [one])[0] == {2: "figure 2 is missing"}
    assert list(figures.compare([], [one])[0]) == [1]


def test_what_is_no_picture_is_named() -> None:
    with pytest.raises(ValueError, match="expected a base64 picture, got 'aGVsbG8='.*run the"):
        figures.decode(base64.b64encode(b"hello").decode())


def cell(stored: list[Image.Image], new: list[Image.Image], tag: str = "") -> dict:
    """A cell that once showed some pictures and shows others now."""
    source = ["import base64", "from IPython.display import Image, display"]
    source += [f"display(Image(base64.b64decode('{encode(picture)}')))" for picture in new]
    text = "<IPython.core.display.Image object>"
    outputs = [
        nbformat.v4.new_output(
            "display_data", data={"image/png": encode(picture), "text/plain": text}
        )
        for picture in stored
    ]
    made = nbformat.v4.new_code_cell("\n".join(source), outputs=outputs, execution_count=1)
    made.metadata["tags"] = [tag] if tag else []
    return made


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A notebook and what pytest says of it, from a process of its own, as in the whole suite."""
    folder = tmp_path_factory.mktemp("project")
    good, bad = draw(), draw(curves=("blue",))
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        cell([good], [SAME["other rounding"]]),
        cell([good, good], [good, bad]),
        cell([good], [bad], "nbval-ignore-output"),
        cell([good], [bad], "nbval-skip"),
    ]
    (folder / "pages").mkdir()
    nbformat.write(notebook, folder / "pages" / "chapter.ipynb")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    stale = folder / "shown" / "pages" / "chapter" / "cell-0-figure-1.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = [sys.executable, "-m", "pytest", "-p", "tools.figures", "--nbval", "-n", "1"]
    command += ["--nbval-current-env", "--nbval-figures=shown", "--color=no", "pages"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    return folder, done.stdout + done.stderr


def test_pytest_fails_only_where_a_compared_figure_differs(tested: tuple[Path, str]) -> None:
    said = tested[1]
    assert "1 failed, 2 passed, 1 skipped" in said
    assert re.findall(r"^FAILED (\S+)", said, re.M) == ["pages/chapter.ipynb::Cell"]
    assert re.search(r"figure 2 is at distance 0\.\d\d from the stored one", said)


def test_summary_counts_figures_and_exempt_cells(tested: tuple[Path, str]) -> None:
    line = r"figures: 3 compared, the farthest at 0\.\d+ of 0\.06 \(.*::Cell 1\); 2 cells exempt"
    assert re.search(line, tested[1])


def test_failure_shows_stored_new_and_difference(tested: tuple[Path, str]) -> None:
    folder, said = tested
    shown = folder / "shown" / "pages" / "chapter"
    assert str(shown) in said
    assert [path.name for path in shown.iterdir()] == ["cell-1-figure-2.png"]  # none of old runs
    sheet = Image.open(shown / "cell-1-figure-2.png")
    assert sheet.size == (3 * WIDTH + 8, HEIGHT)
    pixels = np.asarray(sheet, int)
    assert (pixels[:, :WIDTH] == np.asarray(draw())).all()
    assert (pixels[:, WIDTH + 4 : 2 * WIDTH + 4] == np.asarray(OTHER["a missing curve"])).all()
    red = pixels[:, 2 * WIDTH + 8 :]
    red = red[..., 0] - red[..., 1] > 100
    assert red[80:140, 230:450].any() and not red[:, :200].any()


def test_sheet_shows_figures_of_different_size_and_missing_ones() -> None:
    one = figures.decode(encode(draw()))
    for pair in ((one, one[:100, :200]), (one, None), (None, one)):
        assert figures.sheet(*pair).size == (3 * WIDTH + 8, HEIGHT)
