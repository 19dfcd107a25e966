"""Figures that chapters share."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ippy.plotting import show_images, show_windows


def test_show_windows_cuts_squares_around_the_pixel():
    image = torch.rand(1, 1, 40, 50)
    figure = show_windows({"a": image}, {"a": (20, 30)}, sides=(3, 8))
    whole, odd, even = figure.axes
    assert odd.images[0].get_array().tolist() == image[0, 0, 19:22, 29:32].tolist()
    assert even.images[0].get_array().tolist() == image[0, 0, 16:24, 26:34].tolist()
    corners = [patch.get_xy() for patch in whole.patches]
    assert corners == [(28.5, 18.5), (25.5, 15.5)]


@pytest.mark.parametrize("centre", [(3, 20), (38, 20), (20, 2), (20, 48)])
def test_show_windows_stay_inside_the_image(centre):
    with pytest.raises(ValueError, match=r"window of 9 pixels around .* image of \(40, 50\)"):
        show_windows({"a": torch.rand(40, 50)}, {"a": centre}, sides=(9,))


@pytest.mark.parametrize("width", [6.0, 9.0, 13.0])
@pytest.mark.parametrize("columns", [2, 5, 7])
def test_titles_can_be_read_in_a_column_of_text(width, columns):
    """Scaled to the 740 pixels of a page, titles are 11 pixels high or fill their places."""
    titles = ["clean", "Attention UNet", *["TV"] * (columns - 2)]
    figure = show_images([torch.rand(8, 8)] * columns, titles=titles, width=width)
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    boxes = [axis.title.get_window_extent(renderer) for axis in figure.axes]
    for left, right in itertools.pairwise(boxes):
        assert left.x1 < right.x0
    scale = 740 / (figure.bbox.width / figure.dpi)  # pixels of the page in an inch of the figure
    height = figure.axes[0].title.get_fontsize() / 72 * scale
    assert height >= 11 or max(box.width for box in boxes) > 0.8 * figure.bbox.width / columns
    plt.close(figure)


def test_arrays_are_shown_and_titles_are_counted():
    figure = show_images([np.eye(4), torch.eye(4)], titles=["array", "tensor"])
    first, second = (axis.images[0].get_array() for axis in figure.axes)
    assert (first == second).all()
    with pytest.raises(ValueError, match="there are 1 titles for 2 images"):
        show_images([np.eye(4), torch.eye(4)], titles=["array"])
