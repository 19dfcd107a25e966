"""Charts of paired differences and of curves along a knob: what is drawn where."""

import matplotlib
import numpy as np
import pytest

from ippy import charts
from ippy.studies.statistics import interval

matplotlib.use("Agg")


def test_every_difference_is_a_dot_and_every_row_has_its_mean():
    leaves = {"A": [1.0, 2.0, 3.0], "B": [-1.0, 0.0, 4.0]}
    thorax = {"A": [10.0, 11.0], "B": [0.0, 1.0]}
    figure = charts.plot_differences({"leaves": leaves, "thorax": thorax}, interval)
    assert [axis.get_title() for axis in figure.axes] == ["leaves", "thorax"]
    axis = figure.axes[0]
    dots = [line for line in axis.lines if line.get_marker() == "."]
    assert [list(line.get_xdata()) for line in dots] == list(leaves.values())
    assert all(abs(np.mean(line.get_ydata()) - row) < 1e-9 for row, line in enumerate(dots))
    means = [container.lines[0].get_xdata()[0] for container in axis.containers]
    assert means == [2.0, 1.0]
    ends = axis.containers[0].lines[2][0].get_segments()[0][:, 0]
    assert ends == pytest.approx([2 - 2.484, 2 + 2.484], abs=1e-3)
    assert axis.get_xlim() == figure.axes[1].get_xlim(), "panels share their axis"


def test_panels_need_the_same_rows():
    with pytest.raises(ValueError, match=r"'b' has the rows \['Y'\], expected \['X'\]"):
        charts.plot_differences({"a": {"X": [1.0, 2.0]}, "b": {"Y": [1.0, 2.0]}}, interval)


def test_seeds_are_a_band_and_the_measurement_is_dotted():
    settings = {"angle": (0, 20, 60), "noise": (0.0, 0.1)}
    curves = {
        "measurement": {"angle": [20.0, 21.0, 22.0], "noise": [23.0, 20.0]},
        "UNet": {"angle": [[30.0, 31.0, 18.0], [28.0, 33.0, 20.0]], "noise": [[33.0, 15.0]]},
    }
    figure = charts.plot_knobs(curves, settings, {"angle": 20, "noise": 0.01})
    angle, noise = figure.axes
    vertical, dotted, unet = angle.lines
    assert list(vertical.get_xdata()) == [20, 20] and dotted.get_linestyle() == ":"
    assert list(unet.get_ydata()) == [29.0, 32.0, 19.0]
    band = angle.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (18.0, 33.0)
    assert not noise.collections, "one seed has no band"
    assert [axis.get_xlabel() for axis in figure.axes] == list(settings)


def test_a_method_has_its_colour_whatever_else_is_drawn():
    curves = {name: {"x": [1.0, 2.0]} for name in ("measurement", "another", "ours")}
    figure = charts.plot_knobs(curves, {"x": (0, 1)}, {"x": 0}, colors={"ours": "C3"})
    colors = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    assert colors["ours"] == "C3" and colors["another"] == "C0"
