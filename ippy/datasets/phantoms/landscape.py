"""Landscapes: regions with fractal coasts, relief under a low sun, grass, hair and branches."""

import numpy as np
from PIL import Image, ImageDraw

from ippy.datasets.phantoms.fields import coloured_noise, frequency
from ippy.datasets.phantoms.painting import finish, paint
from ippy.datasets.phantoms.picture import Picture
from ippy.datasets.phantoms.textures import Textures, magnify

__all__ = ["landscape"]


def landscape(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Draw a picture that has no outlines of simple form, as nature mostly has none.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` of the image in pixels.

    Returns:
        Picture without noise.
    """
    fine, u = (2 * shape[0], 2 * shape[1]), rng.uniform
    exponent = np.float32(-u(1.5, 2.6))
    height = magnify(coloured_noise(rng, shape, frequency(shape) ** exponent), fine)
    height = height - height.mean()

    # regions lie between level lines of the height
    n = rng.integers(2, 9)
    steep = n * u(0.2, 0.5)
    region = np.clip(steep * height + n * u(0.3, 0.7), 0, n - 0.5).astype(np.intp)
    size = max(fine)
    centre, radius = rng.uniform((0, 0), fine[::-1], (n, 2)), rng.uniform(0.3, 1, n) * size
    picture = paint(rng, Textures(rng, shape), region, centre, radius)

    # the height itself is seen, as brightness or as relief under a low sun
    if rng.random() < 0.5:
        picture += np.float32(rng.normal(0, 0.15)) * height
    if rng.random() < 0.4:
        picture += _sunlit(rng, height)

    image = Image.fromarray(picture.astype(np.float32))
    if rng.random() < 0.6:
        _strokes(rng, image, picture, height)
    if rng.random() < 0.5:
        _branches(rng, image)
    return Picture(finish(rng, np.asarray(image)))


def _sunlit(rng: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """Return how much brighter a slope is that faces the sun."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.12)
    slope = np.zeros_like(height)
    slope[:, 1:] = np.float32(np.cos(angle)) * (height[:, 1:] - height[:, :-1])
    slope[1:] += np.float32(np.sin(angle)) * (height[1:] - height[:-1])
    return np.float32(strength / slope.std()) * slope


def _strokes(
    rng: np.random.Generator, image: Image.Image, picture: np.ndarray, height: np.ndarray
) -> None:
    """Draw grass or fur: bent strokes whose direction changes slowly over the picture."""
    u = rng.uniform
    h, w = picture.shape
    n = int(np.exp(u(np.log(30), np.log(1200))))
    x, y = rng.uniform(0, w, n), rng.uniform(0, h, n)
    at = (y.astype(int), x.astype(int))

    # direction and grey follow what lies below
    angle = u(0, 2 * np.pi) + u(0, 1.2) * height[at] + rng.normal(0, u(0.05, 0.5), n)
    bend, reach = rng.normal(0, u(0, 0.5), n), u(0.01, 0.06) * max(h, w) * rng.uniform(0.3, 1.5, n)
    grey = picture[at] + rng.normal(0, u(0.05, 0.25), n)
    width = rng.integers(1, rng.integers(2, 6), n)
    middle = (x + reach * np.cos(angle), y + reach * np.sin(angle))
    end = (middle[0] + reach * np.cos(angle + bend), middle[1] + reach * np.sin(angle + bend))
    lines = np.stack([x, y, *middle, *end], 1).tolist()
    draw = ImageDraw.Draw(image)
    for line, fill, k in zip(lines, grey.tolist(), width.tolist(), strict=True):
        draw.line(line, fill=fill, width=k)


def _branches(rng: np.random.Generator, image: Image.Image) -> None:
    """Draw a few long curves: twigs, whiskers, cables, the legs of a tripod."""
    size, draw = max(image.size), ImageDraw.Draw(image)
    along = np.linspace(0, 1, 12)
    for _ in range(rng.integers(1, 14)):
        start = rng.uniform((0, 0), image.size)
        angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.8) * along
        step = rng.uniform(0.1, 0.8) * size / 12 * np.stack([np.cos(angle), np.sin(angle)], 1)
        points = start + np.cumsum(step, 0)
        width = round(np.exp(rng.uniform(0, np.log(max(2, 0.03 * size)))))
        draw.line(points.ravel().tolist(), fill=rng.random(), width=width, joint="curve")
