"""Figures that chapters share."""

import pytest
import torch

from ippy.plotting import show_windows


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
