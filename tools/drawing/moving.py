"""Draw the moving pictures: ``python tools/drawing/moving.py [FOLDER]``.

Each is one SVG file that shows its frames in turn. Readers who have asked their system for less
motion, and paper, get the last frame, which is complete in itself. With ``#still`` behind its
address a picture stands still for everybody.
"""

import base64
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from svg_parts import arrow, page, text
from torch import Tensor

from ippy import datasets
from ippy.operators import Blurring
from ippy.tasks import KERNEL

#: Noise levels of the inverse filter, the largest first.
NOISE_LEVELS = (0.2, 0.1, 0.05, 0.02, 0.01)


def moving(frames: Sequence[str], seconds: Sequence[float]) -> str:
    """Frames that are shown one after the other, again and again; the last one where all is still.

    Args:
        frames: Contents of the frames, SVG.
        seconds: How long each is shown.
    """
    total, start, rules, groups = sum(seconds), 0.0, "", ""
    for i, (frame, length) in enumerate(zip(frames, seconds, strict=True)):
        begin, end = 100 * start / total, 100 * (start + length) / total
        rules += (
            f"@keyframes show{i} {{ 0% {{ opacity: 0 }} {begin:.4g}% {{ opacity: 1 }} "
            f"{end:.4g}%, 100% {{ opacity: {int(end > 99.9)} }} }}\n"
            f"#still:not(:target) ~ .f{i} {{ animation: show{i} {total:g}s step-end infinite }}\n"
        )
        groups += f'<g class="frame f{i}">{frame}</g>\n'
        start += length
    last = len(frames) - 1
    style = f".frame {{ opacity: 0 }} .f{last} {{ opacity: 1 }}\n"
    style += f"@media screen and (prefers-reduced-motion: no-preference) {{\n{rules}}}"
    return f'<style>\n{style}\n</style>\n<g id="still"/>\n{groups}'


# -- The inverse of a short blur is long ----------------------------------------------------------


def best_filter(H: Tensor, power: Tensor, noise_level: float) -> Tensor:
    """The linear filter of any length with the least mean squared error, (H, W).

    Args:
        H: Transfer function of the blur, (H, W).
        power: Mean squared magnitude of the images' Fourier coefficients, (H, W).
        noise_level: Relative noise level.
    """
    noise = noise_level**2 * (H.abs() ** 2 * power).mean()
    return torch.fft.fftshift(torch.fft.ifft2(H.conj() / (H.abs() ** 2 + noise / power)).real)


def side_of(h: Tensor, share: float = 0.9) -> int:
    """Side of the centred square that holds this share of a filter's energy (H, W), in pixels."""
    middle, energy = h.shape[0] // 2, h.square() / h.square().sum()
    for r in range(middle):
        part = slice(middle - r, middle + r + 1)
        if energy[part, part].sum() >= share:
            return 2 * r + 1
    return h.shape[0]


def grey_picture(values: Tensor, x: float, y: float, size: float) -> str:
    """A matrix in [-1, 1] as a grey picture, zero being the middle, pixels as squares."""
    file = io.BytesIO()
    grey = ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    Image.fromarray(grey.numpy()).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<image x="{x:g}" y="{y:g}" width="{size:g}" height="{size:g}" '
        f'style="image-rendering: pixelated" href="data:image/png;base64,{data}"/>'
    )


def inverse_filter() -> str:
    """The best filter for the book's blur, growing as the noise shrinks."""
    images = datasets.materialise(datasets.SyntheticDataset(16, 256, split="train"))
    power = torch.fft.fft2(images.double() / 255).abs().square().mean((0, 1))
    H = Blurring((256, 256), boundary="circular", **KERNEL).transfer_function()
    filters = [best_filter(H, power, level) for level in NOISE_LEVELS]
    sides = [side_of(h) for h in filters]
    shown, size, left, top = 129, 300, 16, 40
    scale = size / shown

    def place(level: float, side: int) -> tuple[float, float]:
        """Where a point of the curve lies: the noise shrinks to the right, on logarithmic axes."""
        across = math.log(NOISE_LEVELS[0] / level) / math.log(NOISE_LEVELS[0] / NOISE_LEVELS[-1])
        up = math.log(side / 9) / math.log(129 / 9)
        return 430 + 340 * across, top + size - 20 - (size - 60) * up

    points = [place(*pair) for pair in zip(NOISE_LEVELS, sides, strict=True)]
    curve = '<path class="line" d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + '"/>'
    curve += "".join(f'<circle class="head" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in points)
    curve += "".join(
        text(x, top + size + 4, f"{level:g}", "small")
        for (x, _), level in zip(points, NOISE_LEVELS, strict=True)
    )
    curve += text(600, top + size + 28, "noise level, shrinking to the right", "small")
    curve += text(600, top - 12, "side of the window that holds 90 % of the filter", "small")
    frames = []
    for level, h, side, (x, y) in zip(NOISE_LEVELS, filters, sides, points, strict=True):
        middle = h.shape[0] // 2
        part = slice(middle - shown // 2, middle + shown // 2 + 1)
        values = h[part, part] / h.abs().max()
        frame = grey_picture(values.sign() * values.abs().sqrt(), left, top, size)
        corner = [edge + (shown - side) / 2 * scale for edge in (left, top)]
        frame += (
            f'<rect class="line skip" x="{corner[0]:.1f}" y="{corner[1]:.1f}" '
            f'width="{side * scale:.1f}" height="{side * scale:.1f}"/>'
            f'<circle class="skiphead" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        )
        frame += text(x, y - 18, f"{side} pixels", "bold")
        frame += text(left + size / 2, top - 12, f"noise level {level:g}", "bold")
        frames.append(frame)
    return page(
        836,
        376,
        "The inverse of a short blur is long",
        "The best linear filter against the blur, a pattern of stripes along the motion, is "
        f"{sides[0]} pixels wide for noise level {NOISE_LEVELS[0]:g} and grows to {sides[-1]} "
        f"pixels for {NOISE_LEVELS[-1]:g}.",
        text(left + size / 2, top + size + 24, "weights of the filter, grey is zero", "small"),
        curve,
        moving(frames, [1.2] * (len(frames) - 1) + [2.6]),
    )


# -- One pixel through three layers ---------------------------------------------------------------


def lines(x: float, y: float, cell: float, n: int) -> str:
    """The lines of a square of n x n cells."""
    size, path = n * cell, ""
    for k in range(n + 1):
        path += f"M{x:g} {y + k * cell:g}h{size:g}M{x + k * cell:g} {y:g}v{size:g}"
    return f'<path class="line" style="stroke-width: 1; opacity: 0.4" d="{path}"/>'


def filled(x: float, y: float, cell: float, n: int, radius: int, cls: str) -> str:
    """The cells within ``radius`` of the middle of a square of n x n cells."""
    near = range(n // 2 - radius, n // 2 + radius + 1)
    return "".join(
        f'<rect class="{cls}" style="stroke-width: 1.5" x="{x + j * cell:g}" '
        f'y="{y + i * cell:g}" width="{cell:g}" height="{cell:g}"/>'
        for i in near
        for j in near
    )


def pixel_layers() -> str:
    """What one pixel of the input changes in the maps of three 3 x 3 layers."""
    cell, n, top, gap = 17, 9, 40, 56
    names = ("measurement", "after layer 1", "after layer 2", "after layer 3")
    lefts = [16 + i * (n * cell + gap) for i in range(4)]
    middle = top + n * cell / 2
    still = "".join(lines(x, top, cell, n) for x in lefts)
    still += "".join(
        text(x + n * cell / 2, top - 14, name, "bold") for x, name in zip(lefts, names, strict=True)
    )
    still += "".join(arrow(x + n * cell + 8, middle, x + n * cell + 48, middle) for x in lefts[:3])
    still += "".join(text(x + n * cell + gap / 2, middle - 14, "3 × 3", "small") for x in lefts[:3])
    frames = []
    for depth in range(4):
        frame = "".join(
            filled(lefts[i], top, cell, n, i, "act" if i == 0 else "box") for i in range(depth + 1)
        )
        for i in range(depth + 1):
            side = 2 * i + 1
            words = "1 pixel" if i == 0 else f"{side} × {side} pixels"
            frame += text(lefts[i] + n * cell / 2, top + n * cell + 26, words, "small")
        frames.append(frame)
    return page(
        16 * 2 + 4 * n * cell + 3 * gap,
        top + n * cell + 44,
        "One pixel through three layers",
        "One pixel of the measurement changes 3 by 3 pixels after the first layer, 5 by 5 after "
        "the second and 7 by 7 after the third.",
        still,
        moving(frames, [1.2, 1.2, 1.2, 2.8]),
    )


# -- A kernel slides over an image ----------------------------------------------------------------


def convolution() -> str:
    """A 3 x 3 kernel moves over a small image and writes one number at each place."""
    image = [[0, 0, 0, 0, 0], [0, 0, 9, 9, 0], [0, 0, 9, 9, 0], [0, 0, 9, 9, 0], [0, 0, 0, 0, 0]]
    kernel = [[-1, 0, 1]] * 3
    cell, top, lefts = 44, 44, (16, 316, 536)
    found = [
        [
            sum(kernel[p][q] * image[i + p][j + q] for p in range(3) for q in range(3))
            for j in range(3)
        ]
        for i in range(3)
    ]

    def table(x: float, y: float, numbers: list[list[int]], upto: int | None = None) -> str:
        parts = []
        for k, number in enumerate(n for row in numbers for n in row):
            i, j = divmod(k, len(numbers[0]))
            words = str(number).replace("-", "−") if upto is None or k <= upto else ""
            parts.append(
                f'<rect class="line" x="{x + j * cell:g}" y="{y + i * cell:g}" width="{cell}" '
                f'height="{cell}"/>' + text(x + (j + 0.5) * cell, y + (i + 0.63) * cell, words)
            )
        return "".join(parts)

    middle = top + 2.5 * cell
    still = table(lefts[0], top, image) + table(lefts[1], top + cell, kernel)
    still += text(lefts[0] + 2.5 * cell, top - 14, "image", "bold")
    still += text(lefts[1] + 1.5 * cell, top + cell - 14, "kernel", "bold")
    still += text(lefts[2] + 1.5 * cell, top + cell - 14, "feature map", "bold")
    still += text(276, middle + 7, "⋆", "math") + text(492, middle + 7, "=", "math")
    thick = 'style="stroke-width: 4"'
    frames = []
    for k in range(9):
        i, j = divmod(k, 3)
        frame = (
            f'<rect class="line skip" x="{lefts[0] + j * cell:g}" '
            f'y="{top + i * cell:g}" width="{3 * cell}" height="{3 * cell}" {thick}/>'
            f'<rect class="line skip" x="{lefts[2] + j * cell:g}" '
            f'y="{top + cell + i * cell:g}" width="{cell}" height="{cell}" {thick}/>'
        )
        frames.append(frame + table(lefts[2], top + cell, found, k))
    return page(
        684,
        top + 5 * cell + 20,
        "A convolution",
        "A kernel of 3 by 3 numbers moves over an image of 5 by 5. At each place the nine products "
        "are added: the rising edge of a bright bar gives positive numbers, the falling edge "
        "negative ones.",
        still,
        moving(frames, [0.8] * 8 + [2.4]),
    )


# -- The front page -------------------------------------------------------------------------------


def photograph(image: Tensor, scale: float, **attributes: str) -> str:
    """An image (H, W) in [0, 1] as JPEG, ``scale`` times as large."""
    file = io.BytesIO()
    grey = (image * 255).round().clamp(0, 255).to(torch.uint8)
    Image.fromarray(grey.numpy()).save(file, "JPEG", quality=88, optimize=True)
    data, (high, wide) = base64.b64encode(file.getvalue()).decode(), image.shape
    named = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return (
        f'<image{named} width="{wide * scale:g}" height="{high * scale:g}" '
        f'href="data:image/jpeg;base64,{data}"/>'
    )


def front(blurred: Sequence[Tensor], measured: Tensor, reconstructed: Tensor) -> str:
    """An image is blurred step by step, noise comes, and a line sweeps across and undoes it.

    Where all is still, the left half is reconstructed and the right half as measured.

    Args:
        blurred: The true image, then the image under ever longer blurs, each (H, W) in [0, 1].
        measured, reconstructed: What the network gets, and what it makes of it.
    """
    high, wide = measured.shape
    scale = 688 / wide
    width, height = 688, round(high * scale)
    # seconds: the truth, each longer blur, the measurement, the sweep, the reconstruction
    shown = [1.6] + [0.22] * (len(blurred) - 1) + [1.3]
    ends = [sum(shown[: i + 1]) for i in range(len(shown))]
    sweep, total = (ends[-1], ends[-1] + 1.6), ends[-1] + 1.6 + 2.6

    def percent(seconds: float) -> str:
        return f"{100 * seconds / total:.4g}%"

    rules = ""
    for i, end in enumerate(ends[:-1]):  # the measurement, the last, lies below the others
        begin = f"{percent(ends[i - 1])} {{ opacity: 1 }} " if i else ""
        rules += (
            f"@keyframes front{i} {{ 0% {{ opacity: {int(not i)} }} {begin}"
            f"{percent(end)}, 100% {{ opacity: 0 }} }}\n"
            f"#still:not(:target) ~ .b{i} {{ animation: front{i} {total:g}s step-end infinite }}\n"
        )
    turn = f"{total:g}s linear infinite"
    rules += (
        f"@keyframes wipe {{ 0%, {percent(sweep[0])} {{ clip-path: inset(0 100% 0 0) }} "
        f"{percent(sweep[1])}, 100% {{ clip-path: inset(0 0 0 0) }} }}\n"
        f"@keyframes line {{ 0%, {percent(sweep[0])} {{ transform: translateX(-4px) }} "
        f"{percent(sweep[1])}, 100% {{ transform: translateX({width}px) }} }}\n"
        f"#still:not(:target) ~ .wipe {{ animation: wipe {turn} }}\n"
        f"#still:not(:target) ~ .line {{ animation: line {turn} }}\n"
    )
    style = (
        ".b { opacity: 0 } .wipe { clip-path: inset(0 50% 0 0) }\n"
        f".line {{ stroke: #ffb077; stroke-width: 3; transform: translateX({width / 2:g}px) }}\n"
        f"@media screen and (prefers-reduced-motion: no-preference) {{\n{rules}}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        "  <title>Blur and reconstruction</title>\n"
        "  <desc>A chest phantom is blurred more and more and becomes noisy; then a line moves "
        "across it and leaves the reconstruction of a UNet behind.</desc>\n"
        f'<style>\n{style}\n</style>\n<g id="still"/>\n'
        + photograph(measured, scale)
        + "".join(photograph(b, scale, **{"class": f"b b{i}"}) for i, b in enumerate(blurred))
        + photograph(reconstructed, scale, **{"class": "wipe"})
        + f'<path class="line" d="M0 0V{height}"/>\n</svg>\n'
    )


#: File -> the function that draws it.
MOVING = {
    "convolution.svg": convolution,
    "inverse_filter.svg": inverse_filter,
    "pixel_layers.svg": pixel_layers,
}


def main(folder: Path) -> None:
    """Write all moving pictures into a folder."""
    for name, draw in MOVING.items():
        (folder / name).write_text(draw(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parents[2] / "imgs")
