"""Draw the book's diagrams and its logo as SVG: ``python imgs/draw_diagrams.py [FOLDER]``.

Every file is plain text made by this script alone, the same bytes on every machine (a test
redraws and compares). A drawing brings its own background, which follows the reader's colour
scheme together with the lines, so that it can be read on any page and on paper.
"""

import random
import re
import sys
from html import escape
from pathlib import Path

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
STYLE = f"""
    .bg {{ fill: #ffffff }}
    .line {{ stroke: #3d4852; fill: none; stroke-width: 2 }} .head {{ fill: #3d4852 }}
    .box {{ fill: #e8f1f8; stroke: #1b5e93; stroke-width: 2 }}
    .act {{ fill: #f4efe6; stroke: #8a6d3b }}
    .skip {{ stroke: #b3541e }} .skiphead {{ fill: #b3541e }}
    text {{ font-family: {FONT}; font-size: 16px; fill: #222832; text-anchor: middle }}
    .small {{ font-size: 14px; fill: #48566b }} .math {{ font-style: italic; font-size: 19px }}
    .bold {{ font-weight: 600 }} .skiptext {{ font-size: 14px; fill: #9c4312 }}
    @media (prefers-color-scheme: dark) {{
      .bg {{ fill: #121212 }} .line {{ stroke: #c3ccd5 }} .head {{ fill: #c3ccd5 }}
      .box {{ fill: #14283a; stroke: #7db7e8 }} .act {{ fill: #2b261c; stroke: #c8a96a }}
      .skip {{ stroke: #f0925c }} .skiphead {{ fill: #f0925c }}
      text {{ fill: #e2e7ec }} .skiptext {{ fill: #f4a97c }} .small {{ fill: #b4bfca }}
    }}"""


def text(x: float, y: float, words: str, cls: str = "label") -> str:
    """A line of text centred at x; ``_{a}`` and ``^{a}`` are subscript and superscript."""
    out = ""
    for part in re.split(r"([_^]\{[^}]*\})", words):
        if part[:2] in ("_{", "^{"):
            shift = 5 if part[0] == "_" else -7
            out += f'<tspan dy="{shift}" font-size="72%">{escape(part[2:-1])}</tspan>'
            out += f'<tspan dy="{-shift}">&#8203;</tspan>'  # back to the line, with no width
        else:
            out += escape(part)
    return f'<text class="{cls}" x="{x:g}" y="{y:g}">{out}</text>'


def box(x: float, y: float, w: float, h: float, *lines: str, cls: str = "box") -> str:
    """A rounded box whose first line is bold and whose other lines are small."""
    top = y + h / 2 + 6 - 10 * (len(lines) - 1)
    words = [
        text(x + w / 2, top + 20 * i, t, "small" if i else "bold") for i, t in enumerate(lines)
    ]
    return (
        f'<rect class="{cls}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="7"/>'
        + "".join(words)
    )


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight horizontal or vertical arrow from the first point to the second."""
    if y1 == y2:
        head, end = f"M{x2:g} {y2:g}l-10 -5.5v11z", f"H{x2 - 8:g}"
    else:
        head, end = f"M{x2:g} {y2:g}l-5.5 -10h11z", f"V{y2 - 8:g}"
    return f'<path class="line" d="M{x1:g} {y1:g}{end}"/><path class="head" d="{head}"/>'


def skip(x1: float, y1: float, x2: float, y2: float, by: float) -> str:
    """A skip connection: from the first point at height ``by`` across, then into the second."""
    down = 1 if by < y2 else -1
    d = f"M{x1:g} {y1:g}V{by + 10 * down:g}q0 {-10 * down} 10 {-10 * down}H{x2 - 10:g}"
    d += f"q10 0 10 {10 * down}V{y2 - 9 * down:g}"
    return (
        f'<path class="line skip" d="{d}"/>'
        f'<path class="skiphead" d="M{x2:g} {y2:g}l-5.5 {-10 * down}h11z"/>'
    )


def plus(x: float, y: float) -> str:
    """A circle with a plus sign: the sum of what arrives."""
    return (
        f'<circle class="box" cx="{x:g}" cy="{y:g}" r="15"/>'
        f'<path class="line" d="M{x - 8:g} {y:g}h16M{x:g} {y - 8:g}v16"/>'
    )


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


def page(width: int, height: int, title: str, description: str, *parts: str, defs: str = "") -> str:
    """A whole SVG file of the given size."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"  <title>{escape(title)}</title>\n  <desc>{escape(description)}</desc>\n"
        f"  <style>{STYLE}\n  </style>\n{defs}"
        f'  <rect class="bg" width="{width}" height="{height}"/>\n  '
        + "\n  ".join(parts)
        + "\n</svg>\n"
    )


def task() -> str:
    """The task of the book: clean image, blur, noise, measurement, network, reconstruction."""
    mid, size = 104, 110
    defs = (
        '  <defs><filter id="motion" x="-20%" y="-20%" width="140%" height="140%">'
        '<feGaussianBlur stdDeviation="4.5 0.2"/></filter><filter id="soft">'
        '<feGaussianBlur stdDeviation="0.7"/></filter></defs>\n'
    )
    return page(
        864,
        220,
        "The task of the book",
        "The clean image is blurred by the operator K, noise is added, and a network turns the "
        "measurement into a reconstruction that should come close to the clean image.",
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
        defs=defs,
    )


def rescnn() -> str:
    """ResCNN: three convolutions whose output is added to the input."""
    mid, parts, x = 132, [], 92
    parts.append(text(44, mid + 6, "y^{δ}", "math"))
    for name, channels, act in (
        ("conv 3×3", "1 → 32", "ReLU"),
        ("conv 3×3", "32 → 32", "ReLU"),
        ("conv 3×3", "32 → 1", "tanh"),
    ):
        parts.append(arrow(x - 18 if x > 92 else 68, mid, x, mid))
        parts.append(box(x + 2, mid - 34, 104, 68, name, channels))
        parts.append(arrow(x + 108, mid, x + 128, mid))
        parts.append(box(x + 130, mid - 22, 66, 44, act, cls="box act"))
        x += 216
    parts += [
        arrow(x - 18, mid, x + 50, mid),
        text(x + 14, mid + 40, "correction", "small"),
        plus(x + 67, mid),
        skip(78, mid - 1, x + 67, mid - 16, 50),
        text((78 + x + 67) / 2, 38, "skip: the measurement itself", "skiptext"),
        arrow(x + 84, mid, x + 112, mid),
        text(x + 148, mid + 6, "f_{Θ}(y^{δ})", "math"),
    ]
    return page(
        940,
        200,
        "ResCNN",
        "Three 3 by 3 convolutions with 1, 32, 32 and 1 channels, ReLU after the first two and "
        "tanh after the third, compute a correction; a skip connection adds the input to it.",
        *parts,
    )


def residual_block() -> str:
    """A plain block and a residual block side by side."""

    def column(x: float, residual: bool) -> list[str]:
        mid = 150
        parts = [text(x + 190, 32, "residual block" if residual else "plain block", "bold")]
        parts += [text(x + 16, mid + 6, "x", "math"), arrow(x + 30, mid, x + 62, mid)]
        for i, label in enumerate(("layer", "layer")):
            parts.append(
                box(x + 64 + 110 * i, mid - 28, 82, 56, label, "+ ReLU" if i == 0 else "no ReLU")
            )
            parts.append(
                arrow(x + 148 + 110 * i, mid, x + 172 + 110 * i if i == 0 else x + 294, mid)
            )
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

    return page(
        844,
        232,
        "A plain and a residual block",
        "Left, two layers map x to F of x. Right, the same two layers with an identity skip around "
        "them, so that the block returns x plus F of x.",
        *column(0, False),
        '<path class="line" d="M372 40V200" stroke-dasharray="3 6"/>',
        *column(388, True),
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
    .start { text-anchor: start }
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
    ("Residual learning", "learn the correction,", "as a target and as a block"),
)


def chapter_map() -> str:
    """The way through the chapters that stand."""
    w, gap, x, parts = 250, 60, 20, []
    for i, lines in enumerate(CHAPTERS):
        parts.append(box(x, 20, w, 92, *lines))
        if i + 1 < len(CHAPTERS):
            parts.append(arrow(x + w + 4, 66, x + w + gap - 4, 66))
        x += w + gap
    names = " then ".join(lines[0].lower() for lines in CHAPTERS)
    return page(x - gap + 20, 132, "Map of the chapters", f"Read in this order: {names}.", *parts)


def logo() -> str:
    """Three layers and the skip around them, white on the book's accent colour."""
    bars = "".join(f'<rect x="{x}" y="31" width="8" height="21" rx="2"/>' for x in (15, 28, 41))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">\n'
        "  <title>Learned image reconstruction</title>\n"
        "  <desc>Three bars, the layers of a network, and an arc that leads around them.</desc>\n"
        '  <rect x="1" y="1" width="62" height="62" rx="13" fill="#1b5e93" stroke="#7db7e8"/>\n'
        f'  <g fill="#fff">{bars}</g>\n'
        '  <path d="M8 42V27Q8 15 20 15H44Q56 15 56 27V34" fill="none" stroke="#ffc98a" '
        'stroke-width="4" stroke-linecap="round"/>\n'
        '  <path d="M56 44l-6.5 -10h13z" fill="#ffc98a"/>\n</svg>\n'
    )


DRAWINGS = {
    "task.svg": task,
    "rescnn.svg": rescnn,
    "residual_block.svg": residual_block,
    "receptive_field.svg": receptive_field,
    "map.svg": chapter_map,
    "logo.svg": logo,
}


def main(folder: Path = Path(__file__).parent) -> None:
    """Write every drawing into the folder."""
    for name, draw in DRAWINGS.items():
        (folder / name).write_text(draw(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
