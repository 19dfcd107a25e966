"""Dead leaves of many forms with textures inside: the leaves of version 3."""

import numpy as np
from PIL import Image, ImageDraw

from ippy.datasets.phantoms.painting import finish, paint
from ippy.datasets.phantoms.picture import Picture
from ippy.datasets.phantoms.textures import Textures

__all__ = ["textured_leaves"]

_ANGLE = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)  # (32, 2)


def textured_leaves(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Draw occluding leaves of many forms and textures whose radii have density r**-3.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` of the image in pixels.

    Returns:
        Picture without noise.
    """
    fine = (2 * shape[0], 2 * shape[1])
    radius = _radii(rng, fine)
    centre = rng.uniform((0, 0), fine[::-1], (len(radius), 2))
    outlines = centre[:, None] + _outlines(rng, radius)

    # the number of the topmost leaf at each pixel
    labels = Image.new("I", fine[::-1])
    draw = ImageDraw.Draw(labels)
    for i, outline in enumerate(outlines.reshape(len(radius), -1).tolist()):
        draw.polygon(outline, fill=i)
    leaf = np.asarray(labels, np.intp)

    picture = paint(rng, Textures(rng, shape), leaf, centre, radius)
    return Picture(finish(rng, picture))


def _radii(rng: np.random.Generator, fine: tuple[int, int]) -> np.ndarray:
    """Draw the radii of all leaves in fine pixels, lowest leaf first, (n,).

    Large leaves below cover the picture; few or many leaves of all sizes lie on top.
    """
    size, u = max(fine), rng.uniform
    smallest = u(1, 5)
    largest = size / u(1.5, 6)
    smallest_below = largest / u(3, 8)
    mean_area = 2 * np.pi * smallest_below**2 * np.log(largest / smallest_below)
    n_below = int(3 * fine[0] * fine[1] / mean_area) + 1
    n = n_below + int(np.exp(u(np.log(5), np.log(600))))

    # the density r**-3 between two bounds, through the inverse of its distribution function
    v = rng.random(n)
    least = np.where(np.arange(n) < n_below, smallest_below, smallest)
    return (v * largest**-2.0 + (1 - v) * least**-2.0) ** -0.5


def _outlines(rng: np.random.Generator, radius: np.ndarray) -> np.ndarray:
    """Draw outlines (n, 32, 2) about the origin: ovals, polygons, wavy blobs, narrow or wide."""
    n = len(radius)
    form = rng.choice(3, n, p=rng.dirichlet(np.ones(3)))
    reach = np.ones((n, 32))  # distance of the outline from its centre

    # regular polygons of 3 to 6 corners
    corners = rng.integers(3, 7, (n, 1))
    sector = 2 * np.pi / corners
    polygon = np.cos(sector / 2) / np.cos(_ANGLE % sector - sector / 2)
    reach = np.where(form[:, None] == 1, polygon, reach)

    # blobs: three waves around
    waves = [np.cos(k * _ANGLE + rng.uniform(0, 2 * np.pi, (n, 1))) for k in (2, 3, 5)]
    height = rng.normal(0, 0.18, (3, n, 1))
    wavy = np.clip(1 + sum(h * wave for h, wave in zip(height, waves, strict=True)), 0.1, 2)
    reach = np.where(form[:, None] == 2, wavy, reach)

    # narrowed in one direction, then turned
    narrow = rng.uniform(rng.uniform(0.08, 1), 1, n)
    turn = rng.uniform(0, 2 * np.pi, n)
    c, s = radius * np.cos(turn), radius * np.sin(turn)
    axes = np.stack([np.stack([c, s], 1), np.stack([-s * narrow, c * narrow], 1)], 1)  # (n, 2, 2)
    return (reach[..., None] * _CIRCLE) @ axes
