"""Slices of a thorax with textured tissues: the thorax of version 3."""

from math import exp, log

import numpy as np

from ippy.datasets.phantoms import anatomy
from ippy.datasets.phantoms.fields import blur, coloured_noise, frequency
from ippy.datasets.phantoms.picture import Picture, halve
from ippy.datasets.phantoms.textures import Textures, magnify

__all__ = ["textured_thorax"]

#: Values between which the curves of :func:`_other_contrast` bend: air, lung, fat, … , hard bone.
_TISSUES = (-1000, -850, -500, -130, -60, 20, 60, 150, 400, 1000)


def textured_thorax(rng: np.random.Generator, shape: tuple[int, int]) -> Picture:
    """Draw an axial slice of a chest whose tissues are not flat, whole or enlarged.

    Lungs have vessels down to half a pixel, bone has trabeculae, fat has septa. The slice is seen
    in one of several windows of computed tomography, or in a random contrast, as in a magnetic
    resonance image. The noise is that of filtered backprojection, seen through the same window.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` of the image in pixels.

    Returns:
        Picture with noise.
    """
    hu = _slice(rng, shape)
    sharpness = rng.uniform(0.06, 0.25)
    for _ in range(rng.integers(1, 5)):
        hu = blur(hu, sharpness)

    # the noise level is uniform on a logarithmic scale, in Hounsfield units
    noise = exp(rng.uniform(log(3), log(60))) * _scanner_noise(rng, shape)
    if rng.random() < 0.25:
        grey, noise = _other_contrast(rng, hu), noise / 1000
    else:
        low, high = _window(rng)
        grey, noise = (hu - low) / (high - low), noise / (high - low)

    # where the window shows all black or all white, it shows no noise
    inside = halve(grey)
    seen = np.clip(inside + noise, 0, 1) - np.clip(inside, 0, 1)
    return Picture(np.clip(grey, 0, 1), seen)


def _slice(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw the organs and the texture of each tissue, in Hounsfield units ``(2H, 2W)``."""
    u = rng.uniform

    # the whole body or, in a third of the pictures, a part of it, or a smaller body
    zoom, shift = 1.0, (0.0, 0.0)
    if rng.random() < 0.35:
        zoom = exp(u(log(0.75), log(2.0)))
        shift = tuple(u(-0.4, 0.4, 2) * max(zoom - 1, 0))
    body = anatomy.new_body(rng, (2 * shape[1], 2 * shape[0]), zoom, shift)

    # the organs, later ones over earlier ones; bones are what the last step changes
    anatomy.table(body)
    anatomy.trunk(body)
    lung_mask = anatomy.lungs(body, (*anatomy.FOUR_GENERATIONS, 0.4, 0.4))
    anatomy.mediastinum(body)
    without_bones = np.array(body.pen.image)
    anatomy.bones(body)
    hu = np.array(body.pen.image)
    bone = hu != without_bones
    lung = (np.asarray(lung_mask) == 255) & (hu < -500) & ~bone
    fat = (hu > -160) & (hu < -20) & ~bone
    soft = (hu >= -20) & ~bone

    # spongy bone is coarse, muscles and organs are nearly even, septa cross the fat
    textures = Textures(rng, shape)
    grain = textures.cloud()
    hu += bone * (u(0.1, 0.5) * body.spongy_bone * grain)
    hu += soft * (u(0, 20) * grain)
    hu += fat * (u(0, 40) * textures.veins())

    # healthy lung is smoke and grain; sick lung has spots, nets or holes
    healthy = rng.random() < 0.7
    hu += lung * (u(15, 90) * (textures.cloud() if healthy else textures.random()))
    return hu


def _scanner_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw noise of deviation near 1, ``shape``, with a ramp times a smooth filter as spectrum.

    It is stronger in some places, since not all rays pass through the same mass.
    """
    f = frequency(shape)
    noise = coloured_noise(rng, shape, f * np.exp(-((f / rng.uniform(0.15, 0.45)) ** 2)))
    return noise * np.clip(1 + rng.uniform(0, 0.3) * magnify(rng.normal(0, 1, (3, 3)), shape), 0, 2)


def _window(rng: np.random.Generator) -> tuple[float, float]:
    """Choose the values that are shown black and white."""
    u = rng.uniform
    windows = (
        (-1000, u(200, 1200)),  # wide: everything
        (u(-1300, -950), u(0, 200)),  # lung
        (u(-250, -120), u(150, 350)),  # soft tissue
        (u(-60, 0), u(90, 200)),  # narrow: liver, brain
        (u(-600, -300), u(900, 1500)),  # bone
    )
    return windows[rng.choice(len(windows), p=(0.5, 0.2, 0.15, 0.05, 0.1))]


def _other_contrast(rng: np.random.Generator, hu: np.ndarray) -> np.ndarray:
    """Give the tissues random greys, which need not rise with density; air stays dark."""
    greys = rng.uniform(0, 1, len(_TISSUES))
    greys[0] = rng.uniform(0, 0.1)
    greys[1:3] *= rng.uniform(0, 1)
    table = np.interp(np.arange(-1100, 1500), _TISSUES, greys).astype(np.float32)
    return table.take((np.clip(hu, -1100, 1499) + 1100).astype(np.intp))
