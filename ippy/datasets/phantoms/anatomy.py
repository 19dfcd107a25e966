"""The organs of a chest in an axial slice, each drawn by a function of its own.

Lengths are in units of half the width of the body, values in Hounsfield units: air -1000, lung
-850, fat -100, muscle 50, blood up to 350 with contrast agent, bone 100 to 1000.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ippy.datasets.phantoms.pen import ANGLE, STEP, Pen, oval

__all__ = [
    "FOUR_GENERATIONS", "Body", "bones", "lungs", "mediastinum", "new_body", "table", "trunk",
]  # fmt: skip

#: Share of the branches of each generation that lie in the slice; deeper ones leave it more often.
FOUR_GENERATIONS = (0.9, 0.8, 0.6, 0.4)

_SIDES = (-1, 1)  # right half of the body, left in the image; and left half


@dataclass
class Body:
    """What the organs of one slice have in common."""

    pen: Pen
    level: float  # 0 at the apex of the lungs, 1 below the dome of the diaphragm
    depth: float  # half the depth of the body
    cage_x: float  # half the width of the rib cage
    cage_y: float  # half its depth
    cage_n: float  # its exponent, as in :func:`oval`
    fat: float  # the other values are Hounsfield units
    muscle: float
    blood: float
    hard_bone: float
    spongy_bone: float
    spine: float = 0.0  # y of the centre of the vertebra

    @property
    def heart(self) -> float:
        """How much of the heart is seen: 0 above it, 1 at its full size."""
        return np.clip((self.level - 0.35) / 0.25, 0, 1)


def new_body(
    rng: np.random.Generator,
    size: tuple[int, int],
    zoom: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Body:
    """Choose the level of the slice, proportions, position and values.

    Args:
        rng: Source of all randomness.
        size: ``(W, H)`` of the image in pixels.
        zoom: How many times larger than usual the body is shown.
        shift: How far (x, y) its centre is moved, in units of the shorter side of the image.
    """
    u = rng.uniform
    level = u(0.1, 1.0)
    depth, layer = u(0.7, 0.86), u(0.02, 0.13)  # ``layer`` of fat and muscle about the cage
    cage_x = (1 - layer - u(0.04, 0.1)) * min(1, 0.78 + 0.5 * level)
    cage_y = depth - layer - u(0.05, 0.09)
    cage = (cage_x, cage_y, u(2.1, 2.6))
    centre = np.array(size) / 2 + (u(-0.03, 0.03, 2) + shift) * min(size)
    scale = zoom * u(0.43, 0.53) * min(size)
    pen = Pen(rng, size, scale, rng.normal(0, 0.05), centre, cage)
    fat, muscle, hard, spongy = rng.normal(-100, 8), rng.normal(50, 8), u(400, 1000), u(90, 300)
    blood = muscle if rng.random() < 0.3 else u(90, 350)  # without and with contrast agent
    return Body(pen, level, depth, *cage, fat, muscle, blood, hard, spongy)


def table(body: Body) -> None:
    """Draw the table that the patient lies on, two shells; in one slice of ten it is cut off."""
    pen, u = body.pen, body.pen.rng.uniform
    top, drop = body.depth * 0.88 + u(0.0, 0.06), u(0.06, 0.2)
    across = 2 * STEP - 1
    shells = (0, drop) if pen.rng.random() < 0.9 else ()
    for low in shells:
        y = top + low * (1 - across**4) - 0.1 * across**2
        pen.band(np.stack([1.05 * across, y], 1), u(0.012, 0.03), u(-600, 100))


def trunk(body: Body) -> None:
    """Draw skin, fat and muscles, and the inside of the cage filled with loose tissue."""
    pen, u = body.pen, body.pen.rng.uniform

    # the skin, with breasts in a third of the bodies, and fat in it
    skin = oval(ANGLE, 1, body.depth, u(2.2, 2.9)) * pen.wavy(0.02)
    breast = u(0.04, 0.18) * (pen.rng.random() < 0.35)
    for side in _SIDES:
        bump = np.exp(-(((skin[:, 0] - side * 0.45) / 0.2) ** 2)) * (skin[:, 1] < 0)
        skin[:, 1] -= breast * bump
    pen.fill(skin, body.muscle)
    pen.fill(skin * 0.985, body.fat)

    # a closed layer of muscle about the cage
    layer = oval(ANGLE, body.cage_x + 0.06, body.cage_y + 0.05, body.cage_n)
    pen.fill(layer * pen.wavy(0.02), body.muscle)
    body.spine = body.cage_y * u(0.45, 0.56)
    for side in _SIDES:
        _muscles(body, side)
    pen.fill(pen.wall(0, 2 * np.pi)[:-1], pen.rng.normal(-60, 30))


def _muscles(body: Body, side: int) -> None:
    """Draw the muscles of one side of the wall, its shoulder blade, and fat between them."""
    pen, u = body.pen, body.pen.rng.uniform

    # along the spine, in front (pectoral) and at the side (serratus, latissimus)
    pen.blob(side * 0.15, body.spine + 0.26, u(0.11, 0.16), u(0.06, 0.09), body.muscle)
    pen.band(pen.wall(-1.35, u(-0.8, -0.5), 0.09, side), u(0.03, 0.09), body.muscle)
    pen.band(pen.wall(u(-0.3, 0), u(0.5, 0.9), 0.09, side), u(0.03, 0.11), body.muscle)

    # the shoulder blade ends where the heart begins
    if body.level < 0.6:
        blade = pen.wall(u(0.2, 0.4), u(0.8, 1.0), 0.14, side)
        pen.band(blade, u(0.1, 0.18), body.muscle)
        pen.band(blade * u(0.96, 1.0), u(0.025, 0.045), body.hard_bone, body.spongy_bone)

    # streaks of fat between the muscles
    for start in u(-1.3, 1.1, 5):
        streak = pen.wall(start, start + u(0.1, 0.5), u(0.03, 0.1), side)
        pen.band(streak, u(0.006, 0.02), body.fat)


def lungs(body: Body, in_slice: Sequence[float] = FOUR_GENERATIONS) -> Image.Image:
    """Draw both lungs with vessels and airways, and return where they are.

    Args:
        body: The body; its pen draws.
        in_slice: Share of the branches of each generation of vessels that lie in the slice.

    Returns:
        Image of mode ``L`` of the pen's size: 255 in the lungs, also where other organs will be
        drawn over them; 0 outside.
    """
    pen, u = body.pen, body.pen.rng.uniform
    mask = Image.new("L", pen.size)
    draw_mask = ImageDraw.Draw(mask)
    for side in _SIDES:
        outline = pen.pixels(_lung_outline(body, side))
        draw_mask.polygon(outline.ravel().tolist(), fill=255)

    # everything in the lungs is drawn on a layer of its own, which the outlines cut out
    slice_so_far = pen.image
    pen.new_layer(u(-900, -780))
    for side in _SIDES:
        _vessels(pen, side, in_slice)
        _airways_and_nodules(pen, side)
    slice_so_far.paste(pen.image, mask=mask)
    pen.draw_on(slice_so_far)
    return mask


def _lung_outline(body: Body, side: int) -> np.ndarray:
    """Return points (36, 2): the ribs outside; the spine, the hilum and the heart inside."""
    pen, u = body.pen, body.pen.rng.uniform
    outer = pen.wall(-1.38, 1.3, -0.04)
    y = np.linspace(outer[-1, 1], outer[0, 1], 20)
    inner = u(0.05, 0.09) + 0.1 * np.exp(-(((y - body.spine) / 0.14) ** 2))
    inner += 0.12 * np.exp(-((y / 0.15) ** 2))
    heart = (0.3 if side > 0 else 0.1) * body.heart * u(0.7, 1.3)
    inner += heart * np.exp(-(((y + 0.15) / 0.2) ** 2))
    inner = np.stack([np.minimum(inner, 0.8 * body.cage_x), y], 1)
    outline = np.concatenate([outer, inner]) * (side, 1)
    return outline + pen.rng.normal(0, 0.006, outline.shape)


def _vessels(pen: Pen, side: int, in_slice: Sequence[float]) -> None:
    """Draw vessels that taper and branch from the hilum, pieces of them only, and cut ones."""
    rng, reach = pen.rng, pen.cage[0]

    # seven trees; each generation of branches is shorter and thinner than the one before
    start = rng.normal((side * 0.26, 0.03), 0.05, (7, 2))
    angle, width, length = rng.uniform(-1.6, 1.6, 7), rng.uniform(0.02, 0.055, 7), 0.26 * reach
    for seen in in_slice:
        direction = np.stack([side * np.cos(angle), np.sin(angle)], 1)
        end = start + length * rng.uniform(0.4, 1.2, (len(start), 1)) * direction
        lines = pen.pixels(np.stack([start, end], 1)).reshape(-1, 4).tolist()
        hu, drawn = rng.uniform(-200, 60, len(start)).tolist(), rng.random(len(start)) < seen
        for i in np.flatnonzero(drawn):
            pen.draw.line(lines[i], fill=hu[i], width=max(1, round(width[i] * pen.scale)))
        fork = rng.uniform(0.15, 0.7, len(start))
        start, angle = np.concatenate([end, end]), np.concatenate([angle + fork, angle - fork])
        width, length = 0.68 * np.concatenate([width, width]), 0.75 * length

    # vessels that cross the slice are spots, smaller the further out
    n = int(rng.uniform(60, 160))
    centre = rng.uniform((0.08, -0.65), (0.9, 0.65), (n, 2))
    from_hilum = np.hypot(centre[:, 0] - 0.26, centre[:, 1])
    radius = 0.025 * np.exp(-2.2 * from_hilum) * rng.uniform(0.3, 1.2, n)
    spots = np.column_stack([pen.pixels(centre * (side, 1)), radius * pen.scale + 0.5]).tolist()
    for (x, y, r), hu in zip(spots, rng.uniform(-500, 60, n).tolist(), strict=True):
        pen.draw.ellipse([x - r, y - r, x + r, y + r], fill=hu)


def _airways_and_nodules(pen: Pen, side: int) -> None:
    """Draw walls and lumina of airways; in one lung of eight, something that does not belong."""
    rng, u = pen.rng, pen.rng.uniform
    n_airways = int(u(2, 7))
    for x, y in rng.normal((side * 0.33, 0.02), 0.1, (n_airways, 2)):
        r = u(0.014, 0.035)
        pen.blob(x, y, r, r * u(0.6, 1), hu=u(-400, 0), tilt=u(0, 3), core=-980)
    if rng.random() < 0.12:
        x, y = side * u(0.3, 0.7), u(-0.3, 0.4)
        rx, ry = u(0.02, 0.15, 2)
        pen.blob(x, y, rx, ry, hu=u(-700, 60), rough=0.2)


def mediastinum(body: Body) -> None:
    """Draw what lies between the lungs, and the dome of the diaphragm that pushes into them."""
    pen = body.pen

    # liver (right) and spleen (left) under the dome
    for side in _SIDES:
        if body.level > (0.8 if side < 0 else 0.88):
            rx = body.cage_x * (body.level - 0.6)
            ry = rx * body.cage_y / body.cage_x
            pen.blob(side * 0.52 * body.cage_x, -0.05, rx, ry, pen.rng.normal(90, 20), rough=0.03)

    if body.heart > 0:
        _heart(body)
    else:
        _great_vessels(body)

    # aorta and gullet; windpipe, which divides in two and then ends in the lungs
    pen.blob(0.13, body.spine - 0.12, 0.075, 0.075, body.blood)
    pen.blob(0.03, body.spine - 0.17, 0.035, 0.03, body.muscle)
    windpipes = (0,) if body.level < 0.45 else (-0.13, 0.13) if body.level < 0.6 else ()
    for x in windpipes:
        pen.blob(x, 0.01, 0.058, 0.05, body.muscle, tilt=x, core=-1000)


def _heart(body: Body) -> None:
    """Draw the heart, blood in its chambers, and fat about its vessels."""
    pen, rng, u = body.pen, body.pen.rng, body.pen.rng.uniform
    pen.blob(0.12, -0.14, 0.36 * body.heart, 0.27 * body.heart, body.muscle, tilt=0.3)
    for _ in range(5):
        x, y = rng.normal((0.1, -0.14), 0.1)
        pen.blob(x, y, u(0.05, 0.13), u(0.05, 0.1), body.blood, tilt=u(0, 3))
        x, y = rng.normal((0.1, -0.2), 0.12)
        pen.blob(x, y, u(0.01, 0.03), 0.01, body.fat, tilt=u(0, 3))


def _great_vessels(body: Body) -> None:
    """Draw loose tissue above the heart with three great vessels in it."""
    pen, u = body.pen, body.pen.rng.uniform
    pen.blob(0.0, -0.2, 0.17, 0.2, u(-60, 30))
    for x, y, r in ((-0.06, -0.24, 0.08), (0.1, -0.22, 0.08), (-0.16, -0.14, 0.05)):
        pen.blob(x + u(-0.02, 0.02), y, r, r * u(0.8, 1.2), body.blood * u(0.8, 1.3))


def bones(body: Body) -> None:
    """Draw ribs and gristle, breastbone and a vertebra; the shoulder blades are in the trunk."""
    pen, u = body.pen, body.pen.rng.uniform
    hard, spongy, spine = body.hard_bone, body.spongy_bone, body.spine
    for side in _SIDES:
        # ribs, cut obliquely; gristle in front
        at = -1.1 + u(0, 0.3)
        while at < 1.25:
            path = pen.wall(at, at + u(0.08, 0.4), u(0.0, 0.02), side)
            width = u(0.03, 0.055)
            if at > -0.7:
                pen.band(path, width, hard, spongy)
            else:
                pen.band(path, width, u(80, 300))
            at += u(0.3, 0.7)

        # transverse process of the vertebra
        root, tip = (0.05, spine + 0.12), np.array([u(0.2, 0.32), spine + u(0.1, 0.2)])
        pen.band((STEP[:, None] * (tip - root) + root) * (side, 1), 0.07, hard, spongy)

    # breastbone
    pen.blob(0, -body.cage_y - 0.02, u(0.08, 0.14), u(0.03, 0.045), hard, core=spongy)

    # vertebra: spinous process, arch about the canal, body
    spinous_process = np.stack([0 * STEP, spine + 0.15 + u(0.1, 0.22) * STEP], 1)
    pen.band(spinous_process, 0.06, hard, spongy)
    pen.blob(0, spine + 0.12, 0.085, 0.075, hard)
    pen.blob(0, spine + 0.12, 0.055, 0.05, 30)
    pen.blob(0, spine, u(0.1, 0.13), u(0.08, 0.1), hard, core=spongy)
