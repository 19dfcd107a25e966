"""Figures of the chapters on UNets: maps where they are computed, dots of seeds."""

import matplotlib
import pytest
import torch

from ippy import plotting

matplotlib.use("Agg")


def maps(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.rand(1, 1, 64 >> i, 64 >> i) for i, name in enumerate(names)}


def test_maps_stand_where_a_unet_computes_them():
    sides = maps("enc1", "enc2"), maps("bottom"), maps("dec1", "dec2")
    figure = plotting.show_levels(*sides)
    place = {axis.get_title(): axis.get_position() for axis in figure.axes}
    assert place["enc1"].x0 < place["enc2"].x0 < place["bottom"].x0 < place["dec2"].x0
    assert place["dec2"].x0 < place["dec1"].x0 and place["dec1"].x1 == pytest.approx(1)
    assert place["enc1"].y0 == place["dec1"].y0 > place["enc2"].y1 > place["bottom"].y1
    assert all(box.y0 >= -1e-9 and box.y1 <= 1 for box in place.values())
    for one, other in (("enc2", "dec2"), ("enc1", "dec1")):
        assert place[one].x1 < place[other].x0, "maps of one level overlap"
    assert {axis.images[0].get_array().shape for axis in figure.axes} == {(64, 64), (32, 32)}


def test_maps_need_two_equal_sides_and_a_bottom():
    with pytest.raises(ValueError, match="2 maps go down, 1 stand below and 1 go up"):
        plotting.show_levels(maps("enc1", "enc2"), maps("bottom"), maps("dec1"))


def test_every_seed_is_a_dot_and_every_network_has_its_mean():
    figure = plotting.plot_seeds({"A": [30.0, 31.0, 32.0], "B": [29.0]}, line=31.0)
    axis = figure.axes[0]
    dots = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
    means = [line.get_xdata()[0] for line in axis.lines if line.get_marker() == "|"]
    assert [list(d) for d in dots] == [[30.0, 31.0, 32.0], [29.0]] and means == [31.0, 29.0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["A", "B"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the first network stands above"
    assert sum(line.get_linestyle() == ":" for line in axis.lines) == 1
