"""Textures that fill the inside of shapes: grain, marble, stripes, hair, small leaves."""

from math import cos, exp, log, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from ippy.datasets.phantoms.fields import coloured_noise, frequency

__all__ = ["Textures", "magnify"]


def magnify(field: np.ndarray, fine: tuple[int, int]) -> np.ndarray:
    """Return a small field in another size, with bicubic interpolation."""
    image = Image.fromarray(np.ascontiguousarray(field, np.float32))
    return np.asarray(image.resize(fine[::-1], Image.Resampling.BICUBIC))


class Textures:
    """Draws textures ``(2H, 2W)`` of mean near 0 and deviation near 1, in float32.

    Noise is what takes time, so two fields of it are drawn, one fine and one smooth, and each
    texture takes one of them at another place, mirrored, and magnified or repeated.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)``; the textures are twice as large.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int]) -> None:
        self.rng, self.shape, self.fine = rng, shape, (2 * shape[0], 2 * shape[1])
        f, u = frequency(shape), rng.uniform
        self.grain = coloured_noise(rng, shape, f ** np.float32(-u(0.1, 1.1)))
        self.relief = coloured_noise(rng, shape, f ** np.float32(-u(1.3, 2.0)))
        self.grain -= self.grain.mean()
        self.relief -= self.relief.mean()

    def random(self) -> np.ndarray:
        """Return one texture of a random kind."""
        kinds = (
            self.cloud, self.cloud, self.marble, self.islands, self.veins,
            self.stripes, self.checks, self.hair, self.leaves,
        )  # fmt: skip
        return kinds[self.rng.integers(len(kinds))]()

    def cloud(self) -> np.ndarray:
        """Coloured noise, from sand to smoke."""
        weight = self.rng.random()
        return self._elsewhere((1 - weight) * self.grain + weight * self.relief)

    def marble(self) -> np.ndarray:
        """Bands that follow the level lines of a smooth field."""
        bands = np.sin(self.rng.uniform(2, 12) * self._smooth())
        return self._elsewhere(np.clip(self.rng.uniform(1, 4) * bands, -1, 1))

    def islands(self) -> np.ndarray:
        """Spots where noise is above a threshold, with soft or sharp coasts."""
        u = self.rng.uniform
        height = self._smooth() + u(0, 0.3) * self.grain
        return self._elsewhere(np.clip(u(1.5, 12) * (height - u(-0.8, 0.8)), -1, 1))

    def veins(self) -> np.ndarray:
        """A network of thin lines: where noise crosses zero."""
        u = self.rng.uniform
        height = self._smooth() + u(0, 0.15) * self.grain
        return self._elsewhere(2 * np.exp(-((height / u(0.05, 0.3)) ** 2)) - 0.5)

    def stripes(self) -> np.ndarray:
        """Parallel lines, straight or bent like the grain of wood, soft or sharp."""
        u = self.rng.uniform
        bend = u(0.5, 4) * self._elsewhere(self.relief) if self.rng.random() < 0.5 else 0
        return np.clip(u(1, 4) * np.sin(self._ramp() + bend), -1, 1)

    def checks(self) -> np.ndarray:
        """Two families of lines that cross: a chessboard, cloth or a grid of dots."""
        both = np.sin(self._ramp()) * np.sin(self._ramp())
        return np.clip(self.rng.uniform(1.5, 6) * both, -1, 1)

    def hair(self) -> np.ndarray:
        """Short strokes in nearly one direction."""
        rng, u = self.rng, self.rng.uniform
        h, w = self.shape
        n = min(500, int(u(0.004, 0.02) * h * w))
        angle = u(0, pi) + rng.normal(0, u(0.05, 0.4), n)
        reach = u(2, 14) * rng.uniform(0.5, 1.5, n)
        step = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
        start = rng.uniform((0, 0), (w, h), (n, 2))
        lines, greys = np.concatenate([start - step, start + step], 1), rng.normal(0, 1.4, n)
        image = Image.fromarray(0.5 * self.grain)
        draw = ImageDraw.Draw(image)
        for line, grey in zip(lines.tolist(), greys.tolist(), strict=True):
            draw.line(line, fill=grey)
        return self._elsewhere(np.asarray(image))

    def leaves(self) -> np.ndarray:
        """Small leaves, all of nearly one size, that cover each other."""
        rng, u = self.rng, self.rng.uniform
        h, w = self.shape
        largest = u(1.5, 9)
        n = min(700, int(1.2 * h * w / largest**2))
        radius = largest * rng.uniform(0.4, 1, (n, 1))
        centre = rng.uniform((0, 0), (w, h), (n, 2))
        boxes, greys = np.concatenate([centre - radius, centre + radius], 1), rng.normal(0, 1, n)
        image = Image.fromarray(0.3 * self.grain)
        draw = ImageDraw.Draw(image)
        for box, grey in zip(boxes.tolist(), greys.tolist(), strict=True):
            draw.ellipse(box, fill=grey)
        return self._elsewhere(np.asarray(image))

    def _smooth(self) -> np.ndarray:
        """Return a field whose level lines are smooth or, in every second case, a little rough."""
        rough = self.rng.uniform(0, 0.25) * (self.rng.random() < 0.5)
        return self.relief + rough * self.grain if rough else self.relief

    def _elsewhere(self, field: np.ndarray) -> np.ndarray:
        """Return a periodic field ``(H, W)`` shifted, mirrored and in double size."""
        rng = self.rng
        field = np.roll(field, rng.integers(max(self.shape), size=2).tolist(), (0, 1))
        field = field[:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
        if rng.random() < 0.6:
            return np.tile(field, (2, 2))
        return magnify(field, self.fine)

    def _ramp(self) -> np.ndarray:
        """Return a phase that grows in one direction by 2 π every 5 to 80 fine pixels."""
        u = self.rng.uniform
        period, angle = exp(u(log(5), log(80))), u(0, 2 * pi)
        k = 2 * pi / period
        x, y = (np.arange(n, dtype=np.float32) for n in self.fine[::-1])
        return k * cos(angle) * x + (k * sin(angle) * y + u(0, 2 * pi))[:, None]
