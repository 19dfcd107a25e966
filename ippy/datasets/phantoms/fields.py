"""Random fields and a small blur, shared by all procedural images."""

from functools import lru_cache

import numpy as np

__all__ = ["blur", "coloured_noise", "frequency"]


@lru_cache(8)
def frequency(shape: tuple[int, int]) -> np.ndarray:
    """Return the frequency of each entry of a real Fourier transform, in cycles per pixel.

    The mean, whose frequency is 0, gets half the lowest frequency that the longer side can hold,
    so that negative powers stay finite.

    Args:
        shape: ``(H, W)`` of the image in pixels.

    Returns:
        float32 array ``(H, W // 2 + 1)``; shared between calls, so not to be written to.
    """
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    return np.maximum(np.hypot(fy, fx), 0.5 / max(shape)).astype(np.float32)


def coloured_noise(
    rng: np.random.Generator, shape: tuple[int, int], gain: np.ndarray
) -> np.ndarray:
    """Draw Gaussian noise of unit variance whose spectrum has a given shape.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` in pixels.
        gain: Amplitude of each frequency up to a factor, ``(H, W // 2 + 1)``, for instance a power
            of :func:`frequency`.

    Returns:
        float32 array ``(H, W)``, periodic in both directions.
    """
    pairs = rng.standard_normal((*gain.shape, 2), dtype=np.float32)
    white = pairs.view(np.complex64)[..., 0]  # (H, W // 2 + 1): real and imaginary part
    field = np.fft.irfft2(white * gain, shape).astype(np.float32)
    return field / field.std()


def blur(x: np.ndarray, a: float) -> np.ndarray:
    """Convolve an image ``(H, W)`` with ``[a, 1 - 2a, a]`` along both axes, ``a`` <= 1/4.

    The border pixels are repeated outside.
    """
    for _ in range(2):  # along the rows, and after the transposition along the columns
        sides = np.concatenate([x[:1], x[:-1]]) + np.concatenate([x[1:], x[-1:]])
        x = ((1 - 2 * a) * x + a * sides).T
    return x
