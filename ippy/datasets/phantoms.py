"""Procedural images: dead leaves and slices of a thorax as computed tomography shows them."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["GENERATOR_VERSION", "dead_leaves", "thorax"]

#: Part of every cache key; raised whenever the same seed gives other images.
GENERATOR_VERSION = 2

_STEP = np.linspace(0, 1, 16)
_TAPER = np.sqrt(1 - (2 * _STEP[:, None] - 1) ** 4)
_T = np.linspace(0, 2 * np.pi, 48, endpoint=False)
_CIRCLE = np.stack([np.cos(_T), np.sin(_T)], 1)
_WAVES = np.stack([wave(k * _T) / k for k in (2, 3, 4, 5) for wave in (np.cos, np.sin)], 1)


@lru_cache(8)
def _frequency(shape: tuple[int, int]) -> np.ndarray:
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    return np.maximum(np.hypot(fy, fx), 0.5 / max(shape)).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], gain: np.ndarray) -> np.ndarray:
    """Return Gaussian noise of unit variance whose spectrum has the shape ``gain``."""
    white = rng.standard_normal((*gain.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    field = np.fft.irfft2(white * gain, shape).astype(np.float32)
    return field / field.std()


def _blur(x: np.ndarray, a: float) -> np.ndarray:
    """Convolve with ``[a, 1 - 2a, a]`` along both axes, a <= 1/4."""
    for _ in range(2):
        sides = np.concatenate([x[:1], x[:-1]]) + np.concatenate([x[1:], x[-1:]])
        x = ((1 - 2 * a) * x + a * sides).T
    return x


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
    h, w = 2 * shape[0], 2 * shape[1]
    size = max(h, w)
    # covering all with small leaves would take tens of thousands: large ones below, all sizes above
    r_min, r_low, r_max = rng.uniform(2, 4), size / rng.uniform(15, 50), size / rng.uniform(2, 6)
    n_low = int(4 * h * w / (2 * np.pi * r_low**2 * np.log(r_max / r_low)))
    n = n_low + int(rng.uniform(200, 900))
    u, least = rng.random(n), np.where(np.arange(n) < n_low, r_low, r_min)
    r = (u * r_max**-2.0 + (1 - u) * least**-2.0) ** -0.5  # inverse distribution function
    cx, cy = rng.uniform(0, w, n), rng.uniform(0, h, n)
    form, angle = rng.random(n), rng.uniform(0, 2 * np.pi, n)
    share = rng.uniform(0.2, 0.8) * (rng.random() < 0.6)  # of the leaves that are no discs
    axis = np.stack([np.cos(angle), np.sin(angle)], 1) * r[:, None]
    across = axis[:, ::-1] * (-1, 1) * rng.uniform(0.25, 1, (n, 1))
    odd = np.flatnonzero(form < share)  # ellipses and rectangles
    ring = _CIRCLE[::2]
    square, rectangle = np.abs(ring).max(1, keepdims=True) / 0.9, form[odd, None, None] < share / 2
    outlines = (
        ring / np.where(rectangle, square, 1) @ np.stack([axis, across], 1)[odd]
        + np.stack([cx, cy], 1)[odd, None]
    )
    outlines = dict(zip(odd.tolist(), outlines.reshape(-1, 2 * len(ring)).tolist(), strict=True))

    labels = Image.new("I", (w, h))
    draw = ImageDraw.Draw(labels)
    for i, disc in enumerate(np.stack([cx - r, cy - r, cx + r, cy + r], 1).tolist()):
        if i in outlines:
            draw.polygon(outlines[i], fill=i)
        else:
            draw.ellipse(disc, fill=i)

    modes, spread = rng.random(4), rng.uniform(0.02, 0.2, 4)
    mode = rng.choice(4, n, p=rng.dirichlet(np.ones(4)))
    grey = np.clip(rng.normal(modes[mode], spread[mode]), 0, 1)
    steep = rng.normal(0, 0.2, n) * (rng.random(n) < 0.4) / r**2
    gx, gy = steep * axis[:, 0], steep * axis[:, 1]
    rough = rng.gamma(1.5, 0.03, n) * (rng.random(n) < rng.uniform(0, 0.7))
    leaves = np.stack([grey - gx * cx - gy * cy, 2 * gx, 2 * gy, rough], 1).astype(np.float32)
    texture = _noise(rng, shape, _frequency(shape) ** np.float32(-rng.uniform(0.2, 1.5)))
    columns, rows = np.meshgrid(*(np.arange(k, dtype=np.float32) for k in shape[::-1]))
    index, x = np.asarray(labels), 0
    for part in (index[::2, ::2], index[::2, 1::2], index[1::2, ::2], index[1::2, 1::2]):
        a, b, c, d = np.moveaxis(leaves.take(part, 0), -1, 0)
        x = x + np.clip(a + b * columns + c * rows + d * texture, 0, 1)
    return _blur(x / 4, rng.uniform(0, 0.2) * (rng.random() < 0.4))


class _Pen:
    """Draws Hounsfield units; the unit of length is half the width of the body."""

    def __init__(self, rng, size: tuple[int, int], scale: float, turn: float, centre, cage) -> None:
        self.rng, self.centre, self.scale, self.cage = rng, np.asarray(centre), scale, cage
        c, s = scale * np.cos(turn), scale * np.sin(turn)
        self.frame = np.array([[c, s], [-s, c]])
        self.layer(size, -1000)

    def layer(self, size: tuple[int, int], hu: float) -> None:
        self.image = Image.new("F", size, hu)
        self.draw = ImageDraw.Draw(self.image)

    def fill(self, points: np.ndarray, hu: float) -> None:
        self.draw.polygon((points @ self.frame + self.centre).ravel().tolist(), fill=hu)

    def wavy(self, rough: float) -> np.ndarray:
        return 1 + rough * (_WAVES @ self.rng.standard_normal((8, 1)))

    def blob(self, x, y, rx, ry, hu, tilt=0.0, core=None, rough=0.06) -> None:
        """Fill an irregular ellipse, and its inside with another value if ``core`` is given."""
        c, s = np.cos(tilt), np.sin(tilt)
        points = _CIRCLE * self.wavy(rough) @ np.array([[rx * c, rx * s], [-ry * s, ry * c]])
        self.fill(points + (x, y), hu)
        if core is not None:
            self.fill(points * 0.8 + (x, y), core)

    def band(self, path: np.ndarray, width: float, hu: float, core=None) -> None:
        """Fill a band with round ends about a line of points, and its inside if ``core``."""
        along = np.concatenate([path[1:2] - path[:1], path[1:] - path[:-1]])
        normal = along[:, ::-1] * (1, -1) / np.sqrt((along**2).sum(1, keepdims=True) + 1e-12)
        half = width / 2 * _TAPER * normal
        self.fill(np.concatenate([path + half, (path - half)[::-1]]), hu)
        if core is not None:
            self.band(path, 0.5 * width, core)

    def wall(self, start: float, stop: float, out: float = 0.0, side: int = 1) -> np.ndarray:
        """Return a line along the rib cage, ``out`` outside it: angles from the side, back > 0."""
        rx, ry, n = self.cage
        return _oval(start + (stop - start) * _STEP, rx + out, ry + 0.8 * out, n) * (side, 1)


def _oval(angle: np.ndarray, rx: float, ry: float, n: float) -> np.ndarray:
    """Return points of a superellipse that is flatter at the back, as the chest is."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.sign(c) * np.abs(c) ** (2 / n), np.sign(s) * np.abs(s) ** (2 / n)
    return np.stack([rx * x, ry * np.where(y > 0, 0.88 * y, y)], -1)


def _vessels(pen: _Pen, side: int) -> None:
    """Draw vessels that taper and branch from the hilum, pieces of them only, and cut ones."""
    rng, reach = pen.rng, pen.cage[0]
    at = rng.normal((side * 0.26, 0.03), 0.05, (7, 2))
    angle, width, length = rng.uniform(-1.6, 1.6, 7), rng.uniform(0.02, 0.055, 7), 0.26 * reach
    for seen in (0.9, 0.8, 0.6, 0.4):
        step = np.stack([side * np.cos(angle), np.sin(angle)], 1)
        end = at + length * rng.uniform(0.4, 1.2, (len(at), 1)) * step
        lines = (np.stack([at, end], 1) @ pen.frame + pen.centre).reshape(-1, 4).tolist()
        hu, drawn = rng.uniform(-200, 60, len(at)).tolist(), rng.random(len(at)) < seen
        for i in np.flatnonzero(drawn):
            pen.draw.line(lines[i], fill=hu[i], width=max(1, round(width[i] * pen.scale)))
        fork = rng.uniform(0.15, 0.7, len(at))
        at, angle = np.concatenate([end, end]), np.concatenate([angle + fork, angle - fork])
        width, length = 0.68 * np.concatenate([width, width]), 0.75 * length
    n = int(rng.uniform(60, 160))
    centre = rng.uniform((0.08, -0.65), (0.9, 0.65), (n, 2))
    far = np.hypot(centre[:, 0] - 0.26, centre[:, 1])
    r = 0.025 * np.exp(-2.2 * far) * rng.uniform(0.3, 1.2, n)
    spots = np.column_stack([centre * (side, 1) @ pen.frame + pen.centre, r * pen.scale + 0.5])
    for (x, y, k), value in zip(spots.tolist(), rng.uniform(-500, 60, n).tolist(), strict=True):
        pen.draw.ellipse([x - k, y - k, x + k, y + k], fill=value)


def thorax(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw an axial slice of a chest, seen in a random window, with noise as tomography has it.

    Hounsfield units: air -1000, lung -850, fat -100, muscle 50, blood up to 350 with contrast
    agent, bone 100 to 1000. The spectrum of the noise is that of filtered backprojection: a ramp
    that a smooth filter cuts off.

    Args:
        rng: Source of all randomness.
        shape: ``(H, W)`` in pixels.

    Returns:
        float32 array ``(H, W)`` in [0, 1].
    """
    size, u = (2 * shape[1], 2 * shape[0]), rng.uniform
    level = u(0.1, 1.0)  # 0 at the apex of the lungs, 1 below the dome of the diaphragm
    depth, layer, rough = u(0.7, 0.86), u(0.02, 0.13), 0.02
    rx = (1 - layer - u(0.04, 0.1)) * min(1, 0.78 + 0.5 * level)
    ry, n = depth - layer - u(0.05, 0.09), u(2.1, 2.6)
    centre = np.array(size) / 2 + u(-0.03, 0.03, 2) * min(size)
    pen = _Pen(rng, size, u(0.43, 0.53) * min(size), rng.normal(0, 0.05), centre, (rx, ry, n))
    fat, muscle, hard, spongy = rng.normal(-100, 8), rng.normal(50, 8), u(400, 1000), u(90, 300)
    blood = muscle if rng.random() < 0.3 else u(90, 350)
    sides = (-1, 1)

    top, drop, across = depth * 0.88 + u(0.0, 0.06), u(0.06, 0.2), 2 * _STEP - 1
    for low in (0, drop) if rng.random() < 0.9 else ():  # the table: two shells
        y = top + low * (1 - across**4) - 0.1 * across**2
        pen.band(np.stack([1.05 * across, y], 1), u(0.012, 0.03), u(-600, 100))

    skin = _oval(_T, 1, depth, u(2.2, 2.9)) * pen.wavy(rough)
    breast = u(0.04, 0.18) * (rng.random() < 0.35)
    for side in sides:
        bump = np.exp(-(((skin[:, 0] - side * 0.45) / 0.2) ** 2)) * (skin[:, 1] < 0)
        skin[:, 1] -= breast * bump
    pen.fill(skin, muscle)
    pen.fill(skin * 0.985, fat)
    pen.fill(_oval(_T, rx + 0.06, ry + 0.05, n) * pen.wavy(rough), muscle)
    spine = ry * u(0.45, 0.56)
    for side in sides:  # muscles of the wall, with fat between them
        pen.blob(side * 0.15, spine + 0.26, u(0.11, 0.16), u(0.06, 0.09), muscle)
        pen.band(pen.wall(-1.35, u(-0.8, -0.5), 0.09, side), u(0.03, 0.09), muscle)
        pen.band(pen.wall(u(-0.3, 0), u(0.5, 0.9), 0.09, side), u(0.03, 0.11), muscle)
        if level < 0.6:
            blade = pen.wall(u(0.2, 0.4), u(0.8, 1.0), 0.14, side)
            pen.band(blade, u(0.1, 0.18), muscle)
            pen.band(blade * u(0.96, 1.0), u(0.025, 0.045), hard, spongy)
        for start in u(-1.3, 1.1, 5):
            pen.band(pen.wall(start, start + u(0.1, 0.5), u(0.03, 0.1), side), u(0.006, 0.02), fat)
    pen.fill(pen.wall(0, 2 * np.pi)[:-1], rng.normal(-60, 30))

    # the lungs follow the ribs outside, the spine and the heart inside
    beating = np.clip((level - 0.35) / 0.25, 0, 1)
    mask = Image.new("L", size)
    for side in sides:
        outer = pen.wall(-1.38, 1.3, -0.04)
        y = np.linspace(outer[-1, 1], outer[0, 1], 20)
        x = u(0.05, 0.09) + 0.1 * np.exp(-(((y - spine) / 0.14) ** 2))
        x += 0.12 * np.exp(-((y / 0.15) ** 2))
        x += (0.3 if side > 0 else 0.1) * beating * u(0.7, 1.3) * np.exp(-(((y + 0.15) / 0.2) ** 2))
        outline = np.concatenate([outer, np.stack([np.minimum(x, 0.8 * rx), y], 1)]) * (side, 1)
        outline = (outline + rng.normal(0, 0.006, outline.shape)) @ pen.frame + centre
        ImageDraw.Draw(mask).polygon(outline.ravel().tolist(), fill=255)
    body = pen.image
    pen.layer(size, u(-900, -780))
    for side in sides:
        _vessels(pen, side)
        for x, y in rng.normal((side * 0.33, 0.02), 0.1, (int(u(2, 7)), 2)):  # airways
            r = u(0.014, 0.035)
            pen.blob(x, y, r, r * u(0.6, 1), u(-400, 0), u(0, 3), -980)
        if rng.random() < 0.12:  # something that does not belong there
            pen.blob(*(side * u(0.3, 0.7), u(-0.3, 0.4)), *u(0.02, 0.15, 2), u(-700, 60), rough=0.2)
    body.paste(pen.image, mask=mask)
    pen.image, pen.draw = body, ImageDraw.Draw(body)

    # mediastinum: heart and its chambers, or the great vessels; aorta, gullet, windpipe
    for side in sides:
        if level > (0.8 if side < 0 else 0.88):  # dome of the diaphragm
            grow, organ = rx * (level - 0.6), rng.normal(90, 20)
            pen.blob(side * 0.52 * rx, -0.05, grow, grow * ry / rx, organ, rough=0.03)
    if beating > 0:
        pen.blob(0.12, -0.14, 0.36 * beating, 0.27 * beating, muscle, 0.3)
        for _ in range(5):
            pen.blob(*rng.normal((0.1, -0.14), 0.1), u(0.05, 0.13), u(0.05, 0.1), blood, u(0, 3))
            pen.blob(*rng.normal((0.1, -0.2), 0.12), u(0.01, 0.03), 0.01, fat, u(0, 3))
    else:
        pen.blob(0.0, -0.2, 0.17, 0.2, u(-60, 30))
        for x, y, r in ((-0.06, -0.24, 0.08), (0.1, -0.22, 0.08), (-0.16, -0.14, 0.05)):
            pen.blob(x + u(-0.02, 0.02), y, r, r * u(0.8, 1.2), blood * u(0.8, 1.3))
    pen.blob(0.13, spine - 0.12, 0.075, 0.075, blood)
    pen.blob(0.03, spine - 0.17, 0.035, 0.03, muscle)
    for x in (0,) if level < 0.45 else (-0.13, 0.13) if level < 0.6 else ():
        pen.blob(x, 0.01, 0.058, 0.05, muscle, x, -1000)

    for side in sides:  # ribs, cut obliquely; gristle in front
        at = -1.1 + u(0, 0.3)
        while at < 1.25:
            path = pen.wall(at, at + u(0.08, 0.4), u(0.0, 0.02), side)
            pen.band(path, u(0.03, 0.055), *((hard, spongy) if at > -0.7 else (u(80, 300), None)))
            at += u(0.3, 0.7)
        root, tip = (0.05, spine + 0.12), np.array([u(0.2, 0.32), spine + u(0.1, 0.2)])
        pen.band((_STEP[:, None] * (tip - root) + root) * (side, 1), 0.07, hard, spongy)
    pen.blob(0, -ry - 0.02, u(0.08, 0.14), u(0.03, 0.045), hard, 0, spongy)
    pen.band(np.stack([0 * _STEP, spine + 0.15 + u(0.1, 0.22) * _STEP], 1), 0.06, hard, spongy)
    pen.blob(0, spine + 0.12, 0.085, 0.075, hard)
    pen.blob(0, spine + 0.12, 0.055, 0.05, 30)
    pen.blob(0, spine, u(0.1, 0.13), u(0.08, 0.1), hard, 0, spongy)

    f = _frequency(shape)
    x, lung = np.asarray(body.reduce(2)), np.asarray(mask.reduce(2)) == 255
    x = x + u(10, 60) * (_noise(rng, shape, f ** np.float32(-0.8)) * (lung & (x < -500)))
    x = _blur(x, u(0.03, 0.22))
    x += float(np.exp(u(1.5, 4))) * _noise(rng, shape, f * np.exp(-((f / u(0.15, 0.45)) ** 2)))
    windows = ((-1000, u(200, 1200)), (-1000, u(0, 200)), (u(-250, -120), u(200, 350)))
    low, high = windows[rng.choice(3, p=(0.65, 0.2, 0.15))]
    return np.clip((x - low) / (high - low), 0, 1).astype(np.float32)
