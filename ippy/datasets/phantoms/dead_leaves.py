"""Dead leaves: random shapes of all sizes that occlude each other."""

import numpy as np
from PIL import Image, ImageDraw

from ippy.datasets.phantoms.fields import blur, coloured_noise, frequency

__all__ = ["dead_leaves"]

_ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)[::2]
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)  # (24, 2)


def dead_leaves(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw occluding discs, ellipses and rectangles whose radii have density r**-3.

    The leaves are flat, shaded by a gradient or textured; the picture is drawn at double size and
    averaged. Source: Achddou, Gousseau, Ladjal, SSVM 2021, and CVIU 233, 2023.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` in pixels.

    Returns:
        float32 array ``(H, W)`` in [0, 1].
    """
    fine = (2 * shape[0], 2 * shape[1])
    radius = _radii(rng, fine)
    centre, axis, polygons = _outlines(rng, fine, radius)
    leaf = _topmost_leaf(fine, centre, radius, polygons)
    shades = _shades(rng, centre, radius, axis)
    texture = coloured_noise(rng, shape, frequency(shape) ** np.float32(-rng.uniform(0.2, 1.5)))

    # each pixel is the mean of the four fine ones in it, which may lie on different leaves
    columns, rows = np.meshgrid(*(np.arange(k, dtype=np.float32) for k in shape[::-1]))
    x = np.zeros(shape, np.float32)
    for first_row, first_column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part = leaf[first_row::2, first_column::2]  # (H, W)
        grey, slope_x, slope_y, rough = np.moveaxis(shades.take(part, 0), -1, 0)
        x = x + np.clip(grey + slope_x * columns + slope_y * rows + rough * texture, 0, 1)

    # two pictures in five are a little out of focus
    return blur(x / 4, rng.uniform(0, 0.2) * (rng.random() < 0.4))


def _radii(rng: np.random.Generator, fine: tuple[int, int]) -> np.ndarray:
    """Draw the radii of all leaves in fine pixels, lowest leaf first, (n,).

    Covering everything with small leaves would take tens of thousands, so leaves that are all large
    lie below, enough to cover the picture four times, and leaves of all sizes on top.
    """
    size = max(fine)
    smallest = rng.uniform(2, 4)
    smallest_below, largest = size / rng.uniform(15, 50), size / rng.uniform(2, 6)
    mean_area = 2 * np.pi * smallest_below**2 * np.log(largest / smallest_below)
    n_below = int(4 * fine[0] * fine[1] / mean_area)
    n = n_below + int(rng.uniform(200, 900))

    # the density r**-3 between two bounds, through the inverse of its distribution function
    u = rng.random(n)
    least = np.where(np.arange(n) < n_below, smallest_below, smallest)
    return (u * largest**-2.0 + (1 - u) * least**-2.0) ** -0.5


def _outlines(
    rng: np.random.Generator, fine: tuple[int, int], radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, list[float]]]:
    """Place the leaves, and give some of them another form than a disc.

    Returns:
        Centres (n, 2) and half axes (n, 2), as (x, y) in fine pixels; and the outlines
        ``[x0, y0, x1, y1, …]`` of the leaves that are no discs, by the number of the leaf.
    """
    n = len(radius)
    centre = np.stack([rng.uniform(0, fine[1], n), rng.uniform(0, fine[0], n)], 1)
    form, angle = rng.random(n), rng.uniform(0, 2 * np.pi, n)
    share = rng.uniform(0.2, 0.8) * (rng.random() < 0.6)  # of the leaves that are no discs
    axis = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    across = axis[:, ::-1] * (-1, 1) * rng.uniform(0.25, 1, (n, 1))

    # half of them are ellipses; a circle divided by its larger coordinate is a square
    odd = np.flatnonzero(form < share)
    is_rectangle = form[odd, None, None] < share / 2  # (m, 1, 1)
    to_square = np.abs(_CIRCLE).max(1, keepdims=True) / 0.9  # (24, 1)
    ring = _CIRCLE / np.where(is_rectangle, to_square, 1)  # (m, 24, 2)
    points = ring @ np.stack([axis, across], 1)[odd] + centre[odd, None]
    outlines = points.reshape(-1, 2 * len(_CIRCLE)).tolist()
    return centre, axis, dict(zip(odd.tolist(), outlines, strict=True))


def _topmost_leaf(
    fine: tuple[int, int],
    centre: np.ndarray,
    radius: np.ndarray,
    polygons: dict[int, list[float]],
) -> np.ndarray:
    """Draw the leaves over each other and return the number of the topmost one, ``fine``."""
    labels = Image.new("I", fine[::-1])
    draw = ImageDraw.Draw(labels)
    boxes = np.concatenate([centre - radius[:, None], centre + radius[:, None]], 1).tolist()
    for i, box in enumerate(boxes):
        if i in polygons:
            draw.polygon(polygons[i], fill=i)
        else:
            draw.ellipse(box, fill=i)
    return np.asarray(labels)


def _shades(
    rng: np.random.Generator, centre: np.ndarray, radius: np.ndarray, axis: np.ndarray
) -> np.ndarray:
    """Draw for each leaf its grey at the origin, two slopes, and how rough it is, (n, 4).

    The slopes are per pixel of the picture, which is two fine ones, along x and along y.
    """
    n = len(radius)
    modes, spread = rng.random(4), rng.uniform(0.02, 0.2, 4)  # four populations of leaves
    mode = rng.choice(4, n, p=rng.dirichlet(np.ones(4)))
    grey = np.clip(rng.normal(modes[mode], spread[mode]), 0, 1)
    steep = rng.normal(0, 0.2, n) * (rng.random(n) < 0.4) / radius**2
    slope = steep[:, None] * axis
    rough = rng.gamma(1.5, 0.03, n) * (rng.random(n) < rng.uniform(0, 0.7))
    at_origin = grey - slope[:, 0] * centre[:, 0] - slope[:, 1] * centre[:, 1]
    shades = np.stack([at_origin, 2 * slope[:, 0], 2 * slope[:, 1], rough], 1)
    return shades.astype(np.float32)
