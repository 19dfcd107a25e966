"""A pen that draws organs into an image of Hounsfield units, in coordinates of the body."""

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["ANGLE", "STEP", "Pen", "oval"]

#: 16 parameters along a line, from 0 to 1.
STEP = np.linspace(0, 1, 16)
#: 48 angles once around.
ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)

_CIRCLE = np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1)  # (48, 2)
_TAPER = np.sqrt(1 - (2 * STEP[:, None] - 1) ** 4)  # (16, 1): round ends of a band
_WAVES = np.stack(
    [wave(k * ANGLE) / k for k in (2, 3, 4, 5) for wave in (np.cos, np.sin)], 1
)  # (48, 8)


def oval(angle: np.ndarray, rx: float, ry: float, n: float) -> np.ndarray:
    """Return points (k, 2) of a superellipse that is flatter at the back (y > 0), as the chest is.

    Args:
        angle: Parameters (k,) in radians, from the side towards the back.
        rx: Half the width.
        ry: Half the depth; at the back 0.88 times that.
        n: Exponent: 2 is an ellipse, more is nearer to a rectangle.
    """
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.sign(c) * np.abs(c) ** (2 / n), np.sign(s) * np.abs(s) ** (2 / n)
    return np.stack([rx * x, ry * np.where(y > 0, 0.88 * y, y)], -1)


class Pen:
    """Draws Hounsfield units; the unit of length is half the width of the body.

    x points to the left of the body, which is right in the image, and y to its back, down.

    Args:
        rng: Source of the irregularities.
        size: ``(W, H)`` of the image in pixels.
        scale: Pixels per unit of length.
        turn: Rotation of the body in radians.
        centre: Its centre (x, y) in pixels.
        cage: Half width, half depth and exponent of the rib cage, as in :func:`oval`.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        scale: float,
        turn: float,
        centre: np.ndarray,
        cage: tuple[float, float, float],
    ) -> None:
        self.rng, self.size, self.scale, self.centre, self.cage = rng, size, scale, centre, cage
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        self.frame = np.array([[c, s], [-s, c]])
        self.new_layer(-1000)

    def new_layer(self, hu: float) -> None:
        """Go on drawing on a new image that is filled with one value."""
        self.draw_on(Image.new("F", self.size, hu))

    def draw_on(self, image: Image.Image) -> None:
        """Go on drawing on this image."""
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return where points (k, 2) of the body lie in the image."""
        return points @ self.frame + self.centre

    def fill(self, points: np.ndarray, hu: float) -> None:
        """Fill the polygon through points (k, 2)."""
        self.draw.polygon(self.pixels(points).ravel().tolist(), fill=hu)

    def wavy(self, rough: float) -> np.ndarray:
        """Return factors (48, 1) about 1 that make the outline of an oval irregular."""
        return 1 + rough * (_WAVES @ self.rng.standard_normal((8, 1)))

    def blob(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        hu: float,
        tilt: float = 0.0,
        core: float | None = None,
        rough: float = 0.06,
    ) -> None:
        """Fill an irregular ellipse, and its inside with another value if ``core`` is given."""
        c, s = np.cos(tilt), np.sin(tilt)
        points = _CIRCLE * self.wavy(rough) @ np.array([[rx * c, rx * s], [-ry * s, ry * c]])
        self.fill(points + (x, y), hu)
        if core is not None:
            self.fill(points * 0.8 + (x, y), core)

    def band(self, path: np.ndarray, width: float, hu: float, core: float | None = None) -> None:
        """Fill a band with round ends about a line (16, 2), and its inside if ``core`` is given."""
        along = np.concatenate([path[1:2] - path[:1], path[1:] - path[:-1]])
        normal = along[:, ::-1] * (1, -1) / np.sqrt((along**2).sum(1, keepdims=True) + 1e-12)
        half = width / 2 * _TAPER * normal
        self.fill(np.concatenate([path + half, (path - half)[::-1]]), hu)
        if core is not None:
            self.band(path, 0.5 * width, core)

    def wall(self, start: float, stop: float, out: float = 0.0, side: int = 1) -> np.ndarray:
        """Return a line (16, 2) along the rib cage.

        Args:
            start: Angle of its first point in radians: 0 at the side, positive towards the back.
            stop: Angle of its last point.
            out: Distance outside the cage; negative inside.
            side: 1 for the left half of the body, -1 for its mirror image.
        """
        rx, ry, n = self.cage
        return oval(start + (stop - start) * STEP, rx + out, ry + 0.8 * out, n) * (side, 1)
