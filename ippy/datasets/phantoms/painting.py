"""From a map of regions to a picture: greys, slopes and textures, then light, focus and tone."""

import numpy as np
from PIL import Image

from ippy.datasets.phantoms.fields import blur
from ippy.datasets.phantoms.textures import Textures, magnify

__all__ = ["finish", "paint"]


def paint(
    rng: np.random.Generator,
    textures: Textures,
    region: np.ndarray,
    centre: np.ndarray,
    radius: np.ndarray,
) -> np.ndarray:
    """Fill each region with a grey, a slope or a texture of its own.

    Args:
        rng: Source of all randomness.
        textures: Where the textures come from.
        region: Number of the region at each pixel, integers ``(2H, 2W)`` below n.
        centre: Where a region has its mean grey, (n, 2), as (x, y) in fine pixels.
        radius: Its size in fine pixels, (n,), over which the slope acts.

    Returns:
        float32 array ``(2H, 2W)`` about [0, 1], not clipped.
    """
    n = len(radius)

    # greys: a few populations, some narrow, some wide
    n_modes = rng.integers(2, 6)
    modes, spread = rng.random(n_modes), rng.uniform(0.02, 0.25, n_modes)
    mode = rng.choice(n_modes, n, p=rng.dirichlet(np.full(n_modes, 2)))
    grey = np.clip(rng.normal(modes[mode], spread[mode]), 0, 1)

    # slopes of some regions, from one end of the region to the other
    sloping = rng.random(n) < rng.uniform(0, 0.9)
    slope = rng.normal(0, 0.12, (n, 2)) * (sloping / radius)[:, None]
    grey = grey - (slope * centre).sum(1)
    x, y = (np.arange(k, dtype=np.float32) for k in region.shape[::-1])
    grey, slope = grey.astype(np.float32), slope.astype(np.float32)
    picture = grey.take(region)
    picture += slope[:, 0].take(region) * x
    picture += slope[:, 1].take(region) * y[:, None]

    # each textured region has one of the textures of this picture, strong or faint
    n_textures = rng.integers(1, 5)
    textured = rng.random(n) < rng.uniform(0.2, 1)
    strength = rng.gamma(1.2, rng.uniform(0.02, 0.09), n) * rng.choice((-1, 1), n) * textured
    which = rng.integers(n_textures, size=n)
    for k in range(n_textures):
        amplitude = np.where(which == k, strength, 0).astype(np.float32)
        picture += amplitude.take(region) * textures.random()
    return picture


def finish(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Give a picture light, focus and tone, each in some of the pictures only.

    Args:
        rng: Source of all randomness.
        picture: float32 array ``(2H, 2W)`` about [0, 1].

    Returns:
        float32 array ``(2H, 2W)`` in [0, 1].
    """
    u, fine = rng.uniform, picture.shape

    # light that falls unevenly, as a lamp's and as the sensitivity of a coil
    if rng.random() < 0.5:
        light = magnify(rng.standard_normal((4, 4)), fine)
        picture = picture * (1 + u(0, 0.35) * light)

    # sharp in one part of the picture, out of focus in another
    if rng.random() < 0.35:
        factor = int(u(2, 8))
        blurred = magnify(np.asarray(Image.fromarray(picture).reduce(factor)), fine)
        where = magnify(rng.normal(u(-0.5, 0.5), 1.5, (3, 3)), fine)
        picture = picture + np.clip(where, 0, 1) * (blurred - picture)

    # the optics of the camera
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 3)):
            picture = blur(picture, u(0.05, 0.25))

    # exposure: most greys of the picture fall between two values, the tails outside
    tail = u(0.01, 0.12)
    darkest, brightest = np.quantile(picture[::8, ::8], (tail, 1 - tail)).tolist()
    low, high = u(-0.1, 0.35), u(0.55, 1.1)
    gain = min((high - low) / max(brightest - darkest, 1e-3), 5)
    picture = np.clip(low + gain * (picture - darkest), 0, 1)
    if rng.random() < 0.3:
        picture = picture ** np.float32(np.exp(u(-0.5, 0.9)))
    return picture
