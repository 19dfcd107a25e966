"""A procedural picture on a fine grid, and the image of half the size that it is averaged to."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Picture", "halve"]


def halve(fine: np.ndarray) -> np.ndarray:
    """Return the means (H, W) of the 2 × 2 blocks of an array (2H, 2W)."""
    rows = fine[::2] + fine[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) / 4


@dataclass
class Picture:
    """A drawn picture and the noise that a scanner would add to its image.

    Args:
        fine: The picture without noise, float32 ``(2H, 2W)`` in [0, 1].
        noise: What the scanner adds to the image, float32 ``(H, W)``; ``None`` for nothing.
    """

    fine: np.ndarray
    noise: np.ndarray | None = None

    def image(self, *, noise: bool = True) -> np.ndarray:
        """Return the image, float32 ``(H, W)`` in [0, 1].

        Without noise it is exactly the 2 × 2 average of the fine picture; with noise it is that
        plus the noise, clipped to [0, 1].
        """
        clean = halve(self.fine)
        if self.noise is None or not noise:
            return clean
        return np.clip(clean + self.noise, 0, 1)
