"""What the drawings are made of: text, boxes, arrows, and a page that follows the colour scheme."""

import math
import re
from html import escape

#: The fonts of the pages; ``book_frame.py`` puts them into the drawings of the built site, since a
#: picture of a page may not use the page's own.
SANS = "Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SERIF = "Literata, Georgia, 'Times New Roman', serif"
STYLE = f"""
    .bg {{ fill: #ffffff }}
    .line {{ stroke: #55606e; fill: none; stroke-width: 1.6 }} .head {{ fill: #55606e }}
    .box {{ fill: #eef4f9; stroke: #1b5e93; stroke-width: 1.6 }}
    .act {{ fill: #f6f4ef; stroke: #8a6d3b }}
    .skip {{ stroke: #a3470f }} .skiphead {{ fill: #a3470f }}
    text {{ font-family: {SANS}; font-size: 15px; fill: #1d2430; text-anchor: middle }}
    .start {{ text-anchor: start }} .end {{ text-anchor: end }}
    .small {{ font-size: 13.5px; fill: #55606e }}
    .math {{ font-family: {SERIF}; font-style: italic; font-size: 19px }}
    .bold {{ font-weight: 600 }} .skiptext {{ font-size: 13.5px; fill: #a3470f }}
    @media (prefers-color-scheme: dark) {{
      .bg {{ fill: #11151a }} .line {{ stroke: #a7b1bd }} .head {{ fill: #a7b1bd }}
      .box {{ fill: #152331; stroke: #86bdea }} .act {{ fill: #2a2112; stroke: #c8a96a }}
      .skip {{ stroke: #f0a070 }} .skiphead {{ fill: #f0a070 }}
      text {{ fill: #e3e6ea }} .skiptext {{ fill: #f0a070 }} .small {{ fill: #a7b1bd }}
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
    """A straight arrow from the first point to the second."""
    length, turn = math.hypot(x2 - x1, y2 - y1), math.degrees(math.atan2(y2 - y1, x2 - x1))
    return (
        f'<g transform="translate({x1:g} {y1:g}) rotate({turn:.4g})">'
        f'<path class="line" d="M0 0H{length - 8:.5g}"/>'
        f'<path class="head" d="M{length:.5g} 0l-10 -5.5v11z"/></g>'
    )


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


def times(x: float, y: float) -> str:
    """A circle with a multiplication sign: the product, pixel by pixel, of what arrives."""
    return (
        f'<circle class="box" cx="{x:g}" cy="{y:g}" r="15"/>'
        f'<path class="line" d="M{x - 6:g} {y - 6:g}l12 12M{x - 6:g} {y + 6:g}l12 -12"/>'
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
