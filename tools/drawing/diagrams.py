"""Draw the book's diagrams and its logo as SVG: ``python tools/drawing/diagrams.py [FOLDER]``.

Every file is plain text, the same bytes on every machine (a test redraws and compares). A drawing
brings its own background, which follows the reader's colour scheme together with the lines, so that
it can be read on any page and on paper. Networks are drawn by ``svg_networks.py``, the common parts
by ``svg_parts.py``. A drawing ``x_narrow.svg`` takes the place of ``x.svg`` on phones: the same,
stacked (``svg_narrow.py`` has those of networks).
"""

import random
import sys
from functools import partial
from pathlib import Path

from svg_narrow import NARROW_NETWORKS
from svg_networks import NETWORKS
from svg_parts import arrow, box, page, plus, skip, text


def picture(x: float, y: float, size: float, blur: bool, noise: bool, sharp: float = 1.0) -> str:
    """A small phantom (body, lungs, a vessel), optionally blurred along a line and noisy."""
    shapes = (
        '<ellipse cx="50" cy="52" rx="42" ry="33" fill="#b9b9b9"/>'
        '<ellipse cx="33" cy="50" rx="13" ry="20" fill="#333"/>'
        '<ellipse cx="67" cy="50" rx="13" ry="20" fill="#333"/>'
        '<circle cx="50" cy="69" r="7" fill="#f2f2f2"/>'
        '<circle cx="35" cy="44" r="2.5" fill="#ddd"/>'
        '<circle cx="68" cy="56" r="3" fill="#ddd"/>'
    )
    if blur or sharp < 1:
        name = "motion" if blur else "soft"
        shapes = (  # the filter blurs along x, so turn, blur, turn back
            f'<g transform="rotate(-20 50 50)" filter="url(#{name})">'
            f'<g transform="rotate(20 50 50)">{shapes}</g></g>'
        )
    if noise:
        rng = random.Random(0)
        for _ in range(260):
            grey = rng.choice(("#000", "#fff"))
            px, py = 2 * rng.randrange(50), 2 * rng.randrange(50)
            shapes += f'<rect x="{px}" y="{py}" width="2" height="2" fill="{grey}" opacity="0.35"/>'
    return (
        f'<svg x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" viewBox="0 0 100 100">'
        f'<rect width="100" height="100" fill="#0b0b0b"/>{shapes}</svg>'
    )


TASK = (  # title and description
    "The task of the book",
    "The clean image is blurred by the operator K, noise is added, and a network turns the "
    "measurement into a reconstruction that should come close to the clean image.",
)
BLURS = (
    '  <defs><filter id="motion" x="-20%" y="-20%" width="140%" height="140%">'
    '<feGaussianBlur stdDeviation="4.5 0.2"/></filter><filter id="soft">'
    '<feGaussianBlur stdDeviation="0.7"/></filter></defs>\n'
)


def task() -> str:
    """The task of the book: clean image, blur, noise, measurement, network, reconstruction."""
    mid, size = 104, 110
    return page(
        864,
        220,
        *TASK,
        picture(16, mid - 55, size, blur=False, noise=False),
        text(71, mid + 80, "x_{true}", "math"),
        text(71, mid + 102, "clean image", "small"),
        arrow(130, mid, 164, mid),
        box(166, mid - 30, 92, 60, "K", "blur"),
        arrow(260, mid, 306, mid),
        plus(323, mid),
        text(323, mid - 62, "e", "math"),
        text(323, mid - 82, "noise", "small"),
        arrow(323, mid - 52, 323, mid - 17),
        arrow(340, mid, 376, mid),
        picture(380, mid - 55, size, blur=True, noise=True),
        text(435, mid + 80, "y^{δ} = K x_{true} + e", "math"),
        text(435, mid + 102, "measurement", "small"),
        arrow(494, mid, 532, mid),
        box(534, mid - 30, 156, 60, "network", "parameters Θ"),
        arrow(692, mid, 734, mid),
        picture(738, mid - 55, size, blur=False, noise=False, sharp=0.5),
        text(793, mid + 80, "f_{Θ}(y^{δ})", "math"),
        text(793, mid + 102, "reconstruction", "small"),
        defs=BLURS,
    )


def task_narrow() -> str:
    """The task of the book, from top to bottom."""
    mid, size, right = 100, 110, 186
    pictures = (
        (14, {"blur": False, "noise": False}, "x_{true}", "clean image"),
        (296, {"blur": True, "noise": True}, "y^{δ} = K x_{true} + e", "measurement"),
        (532, {"blur": False, "noise": False, "sharp": 0.5}, "f_{Θ}(y^{δ})", "reconstruction"),
    )
    parts = []
    for y, kind, symbol, name in pictures:
        parts.append(picture(mid - size / 2, y, size, **kind))
        parts.append(text(right, y + 50, symbol, "math start"))
        parts.append(text(right, y + 74, name, "small start"))
    return page(
        360,
        656,
        *TASK,
        *parts,
        arrow(mid, 126, mid, 152),
        box(mid - 46, 154, 92, 52, "K", "blur"),
        arrow(mid, 208, mid, 232),
        plus(mid, 248),
        arrow(right, 248, mid + 17, 248),
        text(right + 8, 254, "e", "math start"),
        text(right + 26, 253, "noise", "small start"),
        arrow(mid, 264, mid, 294),
        arrow(mid, 408, mid, 436),
        box(mid - 78, 438, 156, 62, "network", "parameters Θ"),
        arrow(mid, 502, mid, 530),
        defs=BLURS,
    )


def block_parts(x: float, residual: bool) -> list[str]:
    """Two layers from left to right, with or without the identity skip around them."""
    mid = 150
    parts = [text(x + 190, 32, "residual block" if residual else "plain block", "bold")]
    parts += [text(x + 16, mid + 6, "x", "math"), arrow(x + 30, mid, x + 62, mid)]
    for i, label in enumerate(("layer", "layer")):
        parts.append(
            box(x + 64 + 110 * i, mid - 28, 82, 56, label, "+ ReLU" if i == 0 else "no ReLU")
        )
        parts.append(arrow(x + 148 + 110 * i, mid, x + 172 + 110 * i if i == 0 else x + 294, mid))
    if residual:
        parts += [plus(x + 311, mid), skip(x + 46, mid - 1, x + 311, mid - 16, 82)]
        parts.append(text(x + 178, 72, "identity", "skiptext"))
        parts += [arrow(x + 328, mid, x + 356, mid)]
        parts.append(text(x + 178, mid + 58, "the layers learn F(x)", "small"))
        parts.append(text(x + 402, mid + 6, "x + F(x)", "math"))
    else:
        parts.append(text(x + 178, mid + 58, "the layers learn the whole map", "small"))
        parts.append(text(x + 318, mid + 6, "F(x)", "math"))
    return parts


def residual_block() -> str:
    """A plain block and a residual block side by side."""
    return page(
        844,
        232,
        "A plain and a residual block",
        "Left, two layers map x to F of x. Right, the same two layers with an identity skip around "
        "them, so that the block returns x plus F of x.",
        *block_parts(0, False),
        '<path class="line" d="M372 40V200" stroke-dasharray="3 6"/>',
        *block_parts(388, True),
    )


def residual_block_narrow() -> str:
    """A plain block above a residual block."""
    lower = "".join(block_parts(0, True))
    return page(
        456,
        436,
        "A plain and a residual block",
        "Above, two layers map x to F of x. Below, the same two layers with an identity skip "
        "around them, so that the block returns x plus F of x.",
        *block_parts(0, False),
        '<path class="line" d="M16 226H440" stroke-dasharray="3 6"/>',
        f'<g transform="translate(0 216)">{lower}</g>',
    )


def receptive_field() -> str:
    """A pyramid of three 3x3 layers, stride 2 in the second: what one output pixel sees."""
    layers = (("conv 3×3", 1), ("conv 3×3, stride 2", 2), ("conv 3×3", 1))
    left, cell, pitch, high, sizes, jumps = 178, 30, 72, 28, [17], [1]
    for _, stride in layers:
        sizes.append((sizes[-1] - 1) // stride + 1)
        jumps.append(jumps[-1] * stride)

    def reads(row: int, i: int) -> list[int]:
        return [layers[row - 1][1] * i + tap for tap in (-1, 0, 1)]

    def trace(row: int) -> list[set[int]]:
        """Of the rows 0 to ``row``, the positions that feed the middle one of the last."""
        lit = [{sizes[row] // 2}]
        for m in range(row, 0, -1):
            lit.insert(0, {p for i in lit[0] for p in reads(m, i)})
        return lit

    def middle(row: int, i: int) -> float:
        return left + cell * (jumps[row] * i + 0.5)

    lit, end = trace(len(layers)), left + cell * sizes[0]
    parts = [text(8, 30, "layer", "small start"), text(end + 50, 30, "field", "small")]
    for row, (name, _) in enumerate((("input", 1), *layers)):
        y, width = 44 + pitch * row, cell * jumps[row] - 4
        for i in sorted(lit[row]) if row else ():
            ends = [f"M{middle(row, i):g} {y}L{middle(row - 1, p):g}" for p in reads(row, i)]
            parts.append(
                f'<path class="fan" d="{"".join(f"{e} {y - pitch + high}" for e in ends)}"/>'
            )
        for i in range(sizes[row]):
            cls = ("in", "lit", "lit", "out")[row] if i in lit[row] else "cell"
            x = middle(row, i) - width / 2
            parts.append(f'<rect class="{cls}" x="{x:g}" y="{y}" width="{width}" height="{high}"/>')
        field = trace(row)[0]
        parts.append(text(8, y + 20, name, "start"))
        parts.append(text(end + 50, y + 20, str(max(field) - min(field) + 1), "bold"))
    style = """
    .cell { fill: #dbe4ed } .in { fill: #1b5e93 } .lit { fill: #4f97cf } .out { fill: #b3541e }
    .fan { fill: none; stroke: #4f97cf; stroke-width: 1.5; opacity: 0.6 }
    @media (prefers-color-scheme: dark) {
      .cell { fill: #2b333b } .in { fill: #8cc4f2 } .lit { fill: #3f7fb5 } .out { fill: #f0925c }
      .fan { stroke: #5b9fd6 }
    }"""
    return page(
        end + 86,
        44 + pitch * len(layers) + high + 16,
        "The receptive field of three layers",
        f"Rows of cells, the input of {sizes[0]} pixels above, three 3 by 3 layers below, stride 2 "
        f"in the second. One output cell reads {len(lit[2])} cells, these read {len(lit[1])}, and "
        f"these {len(lit[0])} input pixels. The fields of the layers are 3, 5 and 9 pixels.",
        *parts,
        defs=f"  <style>{style}\n  </style>\n",
    )


CHAPTERS = (
    ("Inverse problems", "images, operators, noise", "and classical baselines"),
    ("A plain CNN", "convolutions, training,", "saving and loading"),
    ("Residual learning", "learn the correction,", "as a target and as a block"),
    ("Receptive fields", "what a network sees,", "uses, and needs"),
    ("UNet", "several scales at once,", "and what skips return"),
    ("UNet variants", "residual, attention,", "nested, volumes"),
    ("Comparison", "quality, cost, failures,", "and which to choose"),
)


def chapter_map(row: int = 4) -> str:
    """The way through the chapters, in rows of four boxes or another number."""
    w, h, gap, left, parts = 196, 92, 26, 16, []
    for i, lines in enumerate(CHAPTERS):
        x, y = left + (w + gap) * (i % row), 20 + (h + 48) * (i // row)
        parts.append(box(x, y, w, h, *lines))
        if i and i % row == 0:  # from the end of the row above back to the start of this one
            back, middle = left + (w + gap) * (row - 1) + w / 2, y - 26
            parts.append(
                f'<path class="line" d="M{back:g} {y - 48 + 4:g}V{middle - 8:g}q0 8 -8 8'
                f'H{x + w / 2 + 8:g}q-8 0 -8 8"/>'
            )
            parts.append(arrow(x + w / 2, middle + 6, x + w / 2, y - 3))
        elif i:
            parts.append(arrow(x - gap + 3, y + h / 2, x - 3, y + h / 2))
    names = ", ".join(lines[0] for lines in CHAPTERS)
    return page(
        2 * left + row * w + (row - 1) * gap,
        y + h + 20,
        "Map of the chapters",
        f"Boxes joined by arrows, to be read in this order: {names}.",
        *parts,
    )


def logo() -> str:
    """Three layers and the skip around them, white on the book's accent colour."""
    bars = "".join(f'<rect x="{x}" y="31" width="8" height="21" rx="2"/>' for x in (15, 28, 41))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">\n'
        "  <title>Learned image reconstruction</title>\n"
        "  <desc>Three bars, the layers of a network, and an arc that leads around them.</desc>\n"
        '  <rect x="1" y="1" width="62" height="62" rx="13" fill="#1b5e93" stroke="#86bdea"/>\n'
        f'  <g fill="#fff">{bars}</g>\n'
        '  <path d="M8 42V27Q8 15 20 15H44Q56 15 56 27V34" fill="none" stroke="#ffc98a" '
        'stroke-width="4" stroke-linecap="round"/>\n'
        '  <path d="M56 44l-6.5 -10h13z" fill="#ffc98a"/>\n</svg>\n'
    )


IMGS = Path(__file__).resolve().parents[2] / "imgs"
DRAWINGS = {
    "task.svg": task,
    "residual_block.svg": residual_block,
    "receptive_field.svg": receptive_field,
    "map.svg": chapter_map,
    "task_narrow.svg": task_narrow,
    "residual_block_narrow.svg": residual_block_narrow,
    "map_narrow.svg": partial(chapter_map, row=2),
    "logo.svg": logo,
    **NETWORKS,
    **NARROW_NETWORKS,
}


def main(folder: Path = IMGS) -> None:
    """Write every drawing into the folder."""
    for name, draw in DRAWINGS.items():
        (folder / name).write_text(draw(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
