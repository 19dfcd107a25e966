"""Drawings of the book's networks, with the channels and sizes of the networks themselves."""

from collections.abc import Callable

import torch
from svg_parts import arrow, box, page, plus, skip, text, times
from torch import nn

from ippy import models


def output_shapes(model: nn.Module, *shape: int) -> dict[str, tuple[int, ...]]:
    """The shape each layer gives for an input of this shape, without computing anything."""
    shapes = {}
    for name, layer in model.named_modules():
        layer.register_forward_hook(
            lambda _, __, out, name=name: shapes.update({name: tuple(out.shape)})
        )
    model.to("meta")(torch.empty(shape, device="meta"))
    return shapes


def change(*layers: nn.Module) -> str:
    """Channels before and after some layers in a row, as ``1 → 32``."""
    convs = [m for layer in layers for m in layer.modules() if hasattr(m, "in_channels")]
    return f"{convs[0].in_channels} → {convs[-1].out_channels}"


def size(shape: tuple[int, ...]) -> str:
    """The sizes of the spatial axes, as ``256 × 256``."""
    return " × ".join(map(str, shape[2:]))


def _chain(model: nn.Module, parts: list[str], y: float, tanh: bool) -> float:
    """Draw the three convolutions of a CNN from the input on; return where they end."""
    x, acts = 92, ["ReLU", "ReLU", "tanh" if tanh else ""]
    parts.append(text(44, y + 6, "y^{δ}", "math"))
    for conv, act in zip((model.conv1, model.conv2, model.conv3), acts, strict=True):
        k = "×".join(map(str, conv.kernel_size))
        parts.append(arrow(x - 18 if x > 92 else 68, y, x, y))
        parts.append(box(x + 2, y - 34, 104, 68, f"conv {k}", change(conv)))
        if act:
            parts.append(arrow(x + 108, y, x + 128, y))
            parts.append(box(x + 130, y - 22, 66, 44, act, cls="box act"))
        x += 216 if act else 126
    return x


def simplecnn() -> str:
    """SimpleCNN: three convolutions in a row."""
    parts, mid, model = [], 58, models.SimpleCNN(1, 1, 32)
    x = _chain(model, parts, mid, tanh=False)
    parts += [arrow(x - 18, mid, x + 10, mid), text(x + 48, mid + 6, "f_{Θ}(y^{δ})", "math")]
    return page(
        x + 100,
        116,
        "SimpleCNN",
        f"Three 3 by 3 convolutions in a row, with {change(model.conv1)}, {change(model.conv2)} "
        f"and {change(model.conv3)} channels, and ReLU after the first two.",
        *parts,
    )


def rescnn() -> str:
    """ResCNN: three convolutions whose output is added to the input."""
    parts, mid, model = [], 132, models.ResCNN(1, 1, 32)
    x = _chain(model, parts, mid, tanh=True)
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
        f"Three 3 by 3 convolutions with {change(model.conv1)}, {change(model.conv2)} and "
        f"{change(model.conv3)} channels, ReLU after the first two and tanh after the third, "
        "compute a correction; a skip connection adds the input to it.",
        *parts,
    )


def block_says(block: nn.Module) -> tuple[str, str]:
    """Title and description of the block with a shortcut."""
    return (
        "The block of the residual UNet",
        f"A 3 by 3 convolution, {change(block.conv1)} channels, ReLU, and a second one, "
        f"{change(block.conv2)}; a 1 by 1 convolution, {change(block.shortcut)}, leads around them "
        "and is added before the last ReLU.",
    )


def residual_unet_block() -> str:
    """The block of ResidualUNet where the channels change: two convolutions and a shortcut."""
    block, mid, w = models.ResidualUNet().enc2.block, 150, 112
    parts = [text(28, mid + 6, "x", "math"), arrow(44, mid, 94, mid)]
    parts += [
        box(96, mid - 34, w, 68, "conv 3×3", change(block.conv1)),
        arrow(210, mid, 230, mid),
        box(232, mid - 22, 66, 44, "ReLU", cls="box act"),
        arrow(300, mid, 320, mid),
        box(322, mid - 34, w, 68, "conv 3×3", change(block.conv2)),
        arrow(436, mid, 482, mid),
        plus(499, mid),
        arrow(516, mid, 546, mid),
        box(548, mid - 22, 66, 44, "ReLU", cls="box act"),
        arrow(616, mid, 646, mid),
        text(684, mid + 6, "output", "small"),
        skip(68, mid - 1, 499, mid - 16, 54),
        box(210, 20, w + 30, 68, "conv 1×1", change(block.shortcut)),
        text(420, 42, "shortcut", "skiptext"),
    ]
    return page(
        730,
        204,
        *block_says(block),
        *parts,
    )


def level(
    model: models.SimpleUNet,
    names: tuple[str, str],
    places: tuple[float, float, float],
    room: tuple[float, float, float],
    *,
    skips: str,
    up_lines: tuple[str, ...],
    gates: bool,
    arcs: tuple[tuple[float, float], ...],
) -> list[str]:
    """One level of a UNet with its skip, and the arrows to the level below.

    Args:
        model: The network.
        names: Of the encoder's block and the decoder's.
        places: Left edge of the encoder's box, of the decoder's, and the upper edge of both.
        room: Width and height of a box, and the distance to the level below.
        skips: What stands above the skip.
        up_lines: What stands beside the arrow that leads up, line by line.
        gates: Draw a gate on the skip, fed from below.
        arcs: Where shortcuts over the two blocks begin and end, from the left edges of their boxes.
    """
    (enc, dec), (a, b, y), (w, h, pitch) = names, places, room
    middle, below = y + h / 2, y + h
    down, up = a + w - 34, b + 34
    gap = 50 if gates else 0
    parts = [
        box(a, y, w, h, enc, change(model.get_submodule(enc))),
        box(b, y, w, h, dec, change(model.get_submodule(dec).block)),
        f'<path class="line skip" d="M{a + w + 3:g} {middle:g}H{b - 11:g}"/>',
        f'<path class="skiphead" d="M{b - 3:g} {middle:g}l-10 -5.5v11z"/>',
        text((a + w + b - gap) / 2, middle - 9, skips, "skiptext"),
        arrow(down, below + 3, down, below + pitch - h - 3),
        text(down - 9, below + 26, "pool 2×2", "small end"),
        arrow(up, below + pitch - h - 3, up, below + 3),
    ]
    parts += [
        text(up + 10, below + 26 + 18 * i, line, "small start") for i, line in enumerate(up_lines)
    ]
    if gates:  # the enlarged map decides on the skip
        gate = b - 30
        way = f"M{up:g} {below + 14:g}H{gate + 10:g}q-10 0 -10 -10V{middle + 20:g}"
        parts += [
            f'<path class="line" d="{way}"/>',
            times(gate, middle),
            text(gate - 16, middle + 22, "α", "math"),
        ]
    for edge, (start, end) in zip((a, b), arcs, strict=False):
        parts.append(shortcut(edge + start, edge + end, y))
    return parts


#: Blocks of the encoder and the decoder at every level with a skip.
LEVELS = (("enc1", "dec1"), ("enc2", "dec2"), ("enc3", "dec3"))


def says(shapes: dict[str, tuple[int, ...]], said_too: str) -> str:
    """What the description of a UNet with three poolings says."""
    *said, last = (
        f"{shapes[name][1]} channels of {size(shapes[name])}"
        for name in (*(enc for enc, _ in LEVELS), "bottleneck")
    )
    return (
        f"Down the left side the encoder: {', then '.join([*said, last])} pixels in the "
        "bottleneck. Up the right side the decoder with the same sizes; on three levels a skip "
        "leads straight across." + said_too
    )


def _u_shape(
    model: models.SimpleUNet, title: str, said_too: str, note: str, *, gates: bool, shortcuts: bool
) -> str:
    """A UNet with three poolings: channels and sizes for an image of 256 × 256 pixels.

    Args:
        model: The network.
        title: Of the drawing.
        said_too: What its description says beside levels and skips.
        note: What a box stands for.
        gates: Draw a gate on every skip, fed from below.
        shortcuts: Draw a shortcut over every block.
    """
    shapes = output_shapes(model, 1, model.in_ch, 256, 256)
    w, h, pitch, shift, left, right = 116, 60, 104, 46, 156, 546
    top = 44 if shortcuts else 24
    parts = []
    for i, (enc, dec) in enumerate(LEVELS):
        y, channels = top + pitch * i, shapes[enc][1]
        parts.append(text(10, y + h / 2 + 5, size(shapes[enc]), "small start"))
        parts += level(
            model,
            (enc, dec),
            (left + shift * i, right - shift * i, y),
            (w, h, pitch),
            skips=f"{channels}" if gates else f"skip: {channels}",
            up_lines=(f"up 2×2, {change(model.get_submodule(dec).up)}",),
            gates=gates,
            # beside the arrow that comes from the level above, or leads to it
            arcs=((48, w - 8), (8, 68)) if shortcuts else (),
        )
    y, bottom = top + pitch * 3, "bottleneck"
    a, end = left + 2 * shift + w - 54, right - 2 * shift + 54
    middle = top + h / 2
    if shortcuts:
        parts.append(shortcut(a + 32, end - 32, y))
    parts += [
        text(10, y + h / 2 + 5, size(shapes[bottom]), "small start"),
        box(a, y, end - a, h, bottom, change(model.bottleneck)),
        text(116, middle + 6, "y^{δ}", "math"),
        arrow(132, middle, left - 3, middle),
        arrow(right + w + 3, middle, right + w + 25, middle),
        box(right + w + 28, top, 104, h, "conv 1×1", change(model.out_conv)),
        arrow(right + w + 135, middle, right + w + 157, middle),
        text(right + w + 194, middle + 6, "f_{Θ}(y^{δ})", "math"),
        text(430, y + h + 36, note, "small"),
        text(
            430,
            y + h + 56,
            "Numbers in and beside the boxes are channels; on the left, pixels.",
            "small",
        ),
    ]
    return page(900, y + h + 72, title, says(shapes, said_too), *parts)


def shortcut(x1: float, x2: float, y: float) -> str:
    """An arc over a box whose upper edge is at y: what a block adds to its convolutions."""
    return (
        f'<path class="line skip" d="M{x1:g} {y:g}q0 -16 16 -16H{x2 - 10:g}q10 0 10 7"/>'
        f'<path class="skiphead" d="M{x2:g} {y - 1:g}l-5.5 -10h11z"/>'
    )


def unet(draw: Callable[..., str] = _u_shape) -> str:
    """SimpleUNet: four levels."""
    note = "enc, bottleneck, dec: two 3×3 convolutions, each with ReLU."
    return draw(models.SimpleUNet(), "SimpleUNet", "", note, gates=False, shortcuts=False)


def residual_unet(draw: Callable[..., str] = _u_shape) -> str:
    """ResidualUNet: a shortcut over every block."""
    note = "enc, bottleneck, dec: two 3×3 convolutions, with a 1×1 convolution around them."
    said = " A shortcut leads over each of the seven blocks."
    model = models.ResidualUNet()
    return draw(model, "ResidualUNet", said, note, gates=False, shortcuts=True)


def attention_unet(draw: Callable[..., str] = _u_shape) -> str:
    """AttentionUNet: a gate on every skip."""
    note = "×: a gate multiplies the skip by α, computed from it and from the map below."
    said = " Before each skip enters the decoder, a gate multiplies it by alpha."
    model = models.AttentionUNet()
    return draw(model, "AttentionUNet", said, note, gates=True, shortcuts=False)


def gate_says(gate: nn.Module) -> tuple[str, str]:
    """Title and description of the attention gate."""
    return (
        "The attention gate",
        "The map g from below and the skip s each pass a 1 by 1 convolution and are added; ReLU, a "
        f"1 by 1 convolution from {change(gate.psi)} channel and a sigmoid give one weight alpha "
        "per pixel, with which the skip is multiplied.",
    )


def attention_gate() -> str:
    """The gate of the finest level of AttentionUNet."""
    gate, top, mid, low = models.AttentionUNet().dec1.attn, 54, 100, 146
    parts = [
        text(52, top + 1, "g", "math"),
        text(52, top + 22, "from below", "small"),
        text(52, low + 1, "s", "math"),
        text(52, low + 22, "skip", "small"),
        arrow(98, top, 138, top),
        arrow(98, low, 138, low),
        box(140, top - 32, 116, 56, "W_{g}: 1×1", change(gate.gate_proj)),
        box(140, low - 24, 116, 56, "W_{s}: 1×1", change(gate.skip_proj)),
        f'<path class="line" d="M256 {top - 4}H292q10 0 10 10V{mid - 17}"/>',
        f'<path class="line" d="M256 {low + 4}H292q10 0 10 -10V{mid + 17}"/>',
        plus(302, mid),
        arrow(319, mid, 347, mid),
        box(349, mid - 22, 66, 44, "ReLU", cls="box act"),
        arrow(417, mid, 445, mid),
        box(447, mid - 28, 96, 56, "ψ: 1×1", change(gate.psi)),
        arrow(545, mid, 573, mid),
        box(575, mid - 22, 44, 44, "σ", cls="box act"),
        arrow(621, mid, 697, mid),
        text(658, mid - 10, "α", "math"),
        times(714, mid),
        skip(116, low + 1, 714, mid + 16, 208),
        text(415, 228, "the skip itself", "skiptext"),
        arrow(731, mid, 761, mid),
        text(794, mid + 6, "α ⊙ s", "math"),
    ]
    return page(
        840,
        244,
        *gate_says(gate),
        *parts,
    )


def grid_says(model: nn.Module) -> tuple[str, str]:
    """Title and description of UNet++."""
    nodes = [name for name, _ in model.named_children() if name.startswith("x")]
    said = ", ".join(f"{n} {change(model.get_submodule(n))}" for n in nodes)
    return (
        "UNet++",
        f"Six nodes in a triangle, with channels before and after: {said}. Poolings lead down the "
        "left edge, upsamplings from every node up to the next node of the row above, skips from "
        "every node to all later ones of its row.",
    )


def _grid(model: nn.Module) -> str:
    """The grid of UNet++: nodes, poolings, upsamplings, skips."""
    shapes = output_shapes(model, 1, model.in_ch, 256, 256)
    w, h, px, py, left, top, parts = 112, 60, 200, 116, 160, 76, []

    def corner(i: int, j: int) -> tuple[float, float]:
        return left + px * j + px / 2 * i, top + py * i

    for i in range(3):
        parts.append(text(10, top + py * i + 35, size(shapes[f"x{i}_0"]), "small start"))
        for j in range(3 - i):
            x, y = corner(i, j)
            parts.append(box(x, y, w, h, f"x{i}_{j}", change(model.get_submodule(f"x{i}_{j}"))))
            if i and j == 0:
                parts.append(arrow(x - px / 2 + w - 18, y - py + h + 3, x + 18, y - 4))
                parts.append(text(x - 22, y - 22, "pool 2×2", "small end"))
            if i:
                parts.append(arrow(x + w - 18, y - 3, x + px / 2 + 18, y - py + h + 4))
            if j:
                parts.append(
                    f'<path class="line skip" d="M{x - px + w + 3:g} {y + h / 2:g}H{x - 11:g}"/>'
                    f'<path class="skiphead" d="M{x - 3:g} {y + h / 2:g}l-10 -5.5v11z"/>'
                )
    (x, y), (last, _) = corner(0, 0), corner(0, 2)
    parts += [
        skip(x + w / 2, y - 1, last + w / 2, y - 2, 42),
        text((x + last + w) / 2, 30, "skips: every earlier node of the row", "skiptext"),
        text(corner(1, 1)[0] + w + 22, top + py - 18, "up 2×2, bilinear", "small start"),
        text(120, y + 36, "y^{δ}", "math"),
        arrow(136, y + 30, x - 3, y + 30),
        arrow(last + w + 3, y + 30, last + w + 21, y + 30),
        box(last + w + 24, y, 104, h, "conv 1×1", change(model.out_conv)),
        arrow(last + w + 131, y + 30, last + w + 149, y + 30),
        text(last + w + 188, y + 36, "f_{Θ}(y^{δ})", "math"),
    ]
    return page(908, top + 2 * py + h + 24, *grid_says(model), *parts)


def unetpp(draw: Callable[[nn.Module], str] = _grid) -> str:
    """UNet++ with three levels."""
    return draw(models.UNetPP())


STAGES = ("enc1", "enc2", "enc3", "bottleneck", "dec3", "dec2", "dec1")


def volume(x: float, y: float, shape: tuple[int, ...]) -> tuple[str, float, float]:
    """A map of UNet3D as a box around (x, y), drawn to scale; its upper and its right edge."""
    d, h, w = (1.25 * side for side in shape[2:])
    d *= 0.45
    a, b = x - (w + d) / 2, y - (h - d) / 2
    faces = (
        f'<path class="box" d="M{a:g} {b:g}h{w:g}v{h:g}h{-w:g}z"/>'
        f'<path class="box" d="M{a:g} {b:g}l{d:g} {-d:g}h{w:g}l{-d:g} {d:g}z"/>'
        f'<path class="box" d="M{a + w:g} {b:g}l{d:g} {-d:g}v{h:g}l{-d:g} {d:g}z"/>'
    )
    return faces, b - d, a + w + d


def volume_text(x: float, y: float, name: str, shape: tuple[int, ...]) -> list[str]:
    """What stands below a box: the stage, its channels, its sizes."""
    return [
        text(x, y, name, "bold"),
        text(x, y + 22, f"{shape[1]} channels", "small"),
        text(x, y + 42, size(shape).replace(" × ", "×"), "small"),
    ]


def volumes_say(shapes: dict[str, tuple[int, ...]]) -> tuple[str, str]:
    """Title and description of UNet3D."""
    said = ", ".join(
        f"{name} {shapes[name][1]} channels of {size(shapes[name])}" for name in STAGES
    )
    return (
        "UNet3D",
        f"Seven boxes that shrink and grow again, the sizes of the maps: {said} voxels. Three "
        "skips join maps of equal size.",
    )


def unet3d() -> str:
    """A volume on its way through UNet3D, drawn to scale."""
    model, base, x = models.UNet3D(), 190, 16
    shapes = output_shapes(model, 1, model.in_ch, 32, 64, 64)
    parts, tops, column = [], {}, 112
    for i, name in enumerate(STAGES):
        middle = x + column / 2
        faces, top, right = volume(middle, base - 24, shapes[name])
        parts.append(faces)
        if i:
            half = right - middle
            parts.append(arrow(tops[STAGES[i - 1]][2] + 5, base - 24, middle - half - 5, base - 24))
        tops[name] = (middle, top, right)
        parts += volume_text(middle, 268, name, shapes[name])
        x += column + 8
    for i, by in enumerate((34, 62, 90)):
        (x1, y1, _), (x2, y2, _) = tops[STAGES[i]], tops[STAGES[-1 - i]]
        parts.append(skip(x1, y1 - 4, x2, y2 - 4, by))
    parts.append(text(x / 2, 22, "skips", "skiptext"))
    parts.append(text(x / 2, 340, "sizes are depth × height × width, in voxels", "small"))
    return page(x + 8, 356, *volumes_say(shapes), *parts)


NETWORKS = {
    "simplecnn.svg": simplecnn,
    "rescnn.svg": rescnn,
    "residual_unet_block.svg": residual_unet_block,
    "unet.svg": unet,
    "residual_unet.svg": residual_unet,
    "attention_unet.svg": attention_unet,
    "attention_gate.svg": attention_gate,
    "unetpp.svg": unetpp,
    "unet3d.svg": unet3d,
}
