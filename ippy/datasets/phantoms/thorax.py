"""Slices of a thorax as computed tomography shows them: anatomy, noise, window."""

import numpy as np

from ippy.datasets.phantoms import anatomy
from ippy.datasets.phantoms.fields import blur, coloured_noise, frequency

__all__ = ["thorax"]


def thorax(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw an axial slice of a chest, seen in a random window, with noise as tomography has it.

    The values of the organs stand in ``ippy.datasets.phantoms.anatomy``. The spectrum of the noise
    is that of filtered backprojection: a ramp that a smooth filter cuts off.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` in pixels.

    Returns:
        float32 array ``(H, W)`` in [0, 1].
    """
    # the organs at double size, later ones over earlier ones
    body = anatomy.new_body(rng, (2 * shape[1], 2 * shape[0]))
    anatomy.table(body)
    anatomy.trunk(body)
    lung_mask = anatomy.lungs(body)
    anatomy.mediastinum(body)
    anatomy.bones(body)
    hu = np.asarray(body.pen.image.reduce(2))  # (H, W)
    in_lung = np.asarray(lung_mask.reduce(2)) == 255

    hu = _scanned(rng, hu, in_lung)
    low, high = _window(rng)
    return np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)


def _scanned(rng: np.random.Generator, hu: np.ndarray, in_lung: np.ndarray) -> np.ndarray:
    """Return the slice with texture in the lungs, the scanner's blur and the scanner's noise."""
    f, u = frequency(hu.shape), rng.uniform
    strength, texture = u(10, 60), coloured_noise(rng, hu.shape, f ** np.float32(-0.8))
    hu = hu + strength * (texture * (in_lung & (hu < -500)))
    hu = blur(hu, u(0.03, 0.22))

    # a ramp times a smooth filter; the noise level is uniform on a logarithmic scale
    deviation, cut_off = float(np.exp(u(1.5, 4))), u(0.15, 0.45)
    hu += deviation * coloured_noise(rng, hu.shape, f * np.exp(-((f / cut_off) ** 2)))
    return hu


def _window(rng: np.random.Generator) -> tuple[float, float]:
    """Choose the values that are shown black and white: a wide, a lung or a soft tissue window."""
    u = rng.uniform
    windows = ((-1000, u(200, 1200)), (-1000, u(0, 200)), (u(-250, -120), u(200, 350)))
    return windows[rng.choice(3, p=(0.65, 0.2, 0.15))]
