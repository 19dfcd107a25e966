"""Networks drawn from top to bottom, for screens too narrow for a drawing from left to right."""

from functools import partial
from textwrap import wrap

from svg_networks import (
    LEVELS,
    STAGES,
    attention_unet,
    block_says,
    change,
    gate_says,
    grid_says,
    level,
    output_shapes,
    residual_unet,
    says,
    shortcut,
    size,
    unet,
    unetpp,
    volume,
    volume_text,
    volumes_say,
)
from svg_parts import arrow, box, page, plus, skip, text, times
from torch import nn

from ippy import models

MID, GAP = 150, 26  # of the column: its middle; the length of an arrow
WIDTH = 350  # of a drawing of a UNet, as wide as the text on a phone


def tower(model: nn.Module, tanh: bool) -> tuple[list[str], float]:
    """The three convolutions of a CNN below the measurement, and where they end."""
    parts, y = [text(MID, 34, "y^{δ}", "math")], 44.0
    activations = ["ReLU", "ReLU", "tanh" if tanh else ""]
    for conv, act in zip((model.conv1, model.conv2, model.conv3), activations, strict=True):
        kernel = "×".join(map(str, conv.kernel_size))
        parts.append(arrow(MID, y, MID, y + GAP))
        parts.append(box(MID - 62, y + GAP + 2, 124, 60, f"conv {kernel}", change(conv)))
        y += GAP + 64
        if act:
            parts.append(arrow(MID, y, MID, y + GAP))
            parts.append(box(MID - 42, y + GAP + 2, 84, 40, act, cls="box act"))
            y += GAP + 44
    return parts, y


def simplecnn() -> str:
    """SimpleCNN: three convolutions below each other."""
    parts, y = tower(models.SimpleCNN(1, 1, 32), tanh=False)
    parts += [arrow(MID, y, MID, y + GAP), text(MID, y + GAP + 24, "f_{Θ}(y^{δ})", "math")]
    return page(
        2 * MID,
        round(y + GAP + 44),
        "SimpleCNN",
        "Three 3 by 3 convolutions below each other, with ReLU after the first two.",
        *parts,
    )


def rescnn() -> str:
    """ResCNN: three convolutions whose output is added to the input, which passes at the right."""
    parts, y = tower(models.ResCNN(1, 1, 32), tanh=True)
    side = 2 * MID - 18
    parts += [
        arrow(MID, y, MID, y + 40),
        text(MID - 14, y + 26, "correction", "small end"),
        plus(MID, y + 57),
        f'<path class="line skip" d="M{MID + 24} 30H{side - 10}q10 0 10 10V{y + 47:g}'
        f'q0 10 -10 10H{MID + 26}"/>',
        f'<path class="skiphead" d="M{MID + 17} {y + 57:g}l10 -5.5v11z"/>',
        text(side + 16, y / 2, "skip: the measurement itself", "skiptext").replace(
            "<text ", f'<text transform="rotate(90 {side + 16} {y / 2:g})" ', 1
        ),
        arrow(MID, y + 74, MID, y + 102),
        text(MID, y + 126, "f_{Θ}(y^{δ})", "math"),
    ]
    return page(
        2 * MID + 16,
        round(y + 146),
        "ResCNN",
        "Three 3 by 3 convolutions below each other, ReLU after the first two and tanh after the "
        "third, whose output is added to the measurement, which a skip leads around them.",
        *parts,
    )


def u_shape(
    model: models.SimpleUNet, title: str, said_too: str, note: str, *, gates: bool, shortcuts: bool
) -> str:
    """A UNet with three poolings, its sides close together; arguments as of the wide drawing."""
    shapes = output_shapes(model, 1, model.in_ch, 256, 256)
    w, h, pitch, shift, left, right, top = 106, 56, 122, 12, 4, WIDTH - 110, 128
    if gates:
        shift = 8
    parts = []
    for i, (enc, dec) in enumerate(LEVELS):
        y, a, b = top + pitch * i, left + shift * i, right - shift * i
        parts.append(text(WIDTH / 2, y + 1, size(shapes[enc]), "small"))
        parts += level(
            model,
            (enc, dec),
            (a, b, y),
            (w, h, pitch),
            skips=f"{shapes[enc][1]}" if gates else f"skip: {shapes[enc][1]}",
            up_lines=("up 2×2", change(model.get_submodule(dec).up)),
            gates=gates,
            # beside the arrows from the level above and to it
            arcs=((68, 100), (8, 40)) if shortcuts else (),
        )
    # the bottleneck, between the two sides; what goes in and comes out above them
    y, bottom, a, end = top + pitch * 3, "bottleneck", left + 60, WIDTH - left - 60
    if shortcuts:
        parts.append(shortcut(a + 52, end - 52, y))
    enter, leave = left + w / 2, right + w / 2
    parts += [
        box(a, y, end - a, h + 18, bottom, change(model.bottleneck), size(shapes[bottom])),
        text(enter, top - 42, "y^{δ}", "math"),
        arrow(enter, top - 32, enter, top - 3),
        arrow(leave, top - 3, leave, top - 24),
        box(right, top - 78, w, 52, "conv 1×1", change(model.out_conv)),
        arrow(leave, top - 81, leave, top - 101),
        text(leave, top - 108, "f_{Θ}(y^{δ})", "math"),
    ]
    lines = [*wrap(note, 46), "In and beside boxes: channels; between: pixels."]
    parts += [text(WIDTH / 2, y + h + 46 + 20 * i, line, "small") for i, line in enumerate(lines)]
    height = y + h + 40 + 20 * len(lines)
    return page(WIDTH, height, title, says(shapes, said_too), *parts)


def grid(model: nn.Module) -> str:
    """The grid of UNet++, with sizes in its boxes."""
    shapes = output_shapes(model, 1, model.in_ch, 256, 256)
    w, h, px, py, left, top, parts = 94, 74, 122, 128, 4, 148, []
    for i in range(3):
        for j in range(3 - i):
            name, x, y = f"x{i}_{j}", left + px * j + px / 2 * i, top + py * i
            parts.append(
                box(x, y, w, h, name, change(model.get_submodule(name)), size(shapes[name]))
            )
            if i:  # to the next node above, and from the one before
                parts.append(arrow(x + w - 14, y - 3, x + px / 2 + 14, y - py + h + 4))
            if i and j == 0:
                parts.append(arrow(x - px / 2 + w - 14, y - py + h + 3, x + 14, y - 4))
                parts.append(text(x - 2, y - 14, "pool 2×2", "small end"))
            if j:
                middle = y + h / 2
                parts.append(
                    f'<path class="line skip" d="M{x - px + w + 3:g} {middle:g}H{x - 11:g}"/>'
                    f'<path class="skiphead" d="M{x - 3:g} {middle:g}l-10 -5.5v11z"/>'
                )
    first, last = left + w / 2, left + 2 * px + w / 2
    parts += [
        skip(first + 20, top - 1, last - 20, top - 2, top - 34),
        text(150, top - 62, "skips: every earlier", "skiptext"),
        text(150, top - 44, "node of the row", "skiptext"),
        text(WIDTH - 4, top + py - 32, "up 2×2,", "small end"),
        text(WIDTH - 4, top + py - 14, "bilinear", "small end"),
        text(first - 20, top - 42, "y^{δ}", "math"),
        arrow(first - 20, top - 32, first - 20, top - 3),
        arrow(last + 20, top - 3, last + 20, top - 44),
        box(last - 49, top - 98, 98, 52, "conv 1×1", change(model.out_conv)),
        arrow(last, top - 101, last, top - 121),
        text(last, top - 128, "f_{Θ}(y^{δ})", "math"),
    ]
    return page(WIDTH, top + 2 * py + h + 20, *grid_says(model), *parts)


def unet3d() -> str:
    """A volume on its way through UNet3D: down at the left, up at the right."""
    model = models.UNet3D()
    shapes = output_shapes(model, 1, model.in_ch, 32, 64, 64)
    left, right, heights = 80, WIDTH - 80, (66, 232, 370, 486)
    parts = [text(WIDTH / 2, heights[0] - 10, "skips", "skiptext")]
    for i, name in enumerate(STAGES):
        row = min(i, len(STAGES) - 1 - i)
        x, y = (WIDTH / 2 if row == 3 else left if i < 3 else right), heights[row]
        faces, _, end = volume(x, y, shapes[name])
        below = y + shapes[name][3] * 1.25 / 2 + 26
        parts += [faces, *volume_text(x, below, name, shapes[name])]
        if i < 3:
            middle, start = heights[row], end + 6
            parts.append(
                f'<path class="line skip" d="M{start:g} {middle:g}H{WIDTH - start - 8:g}"/>'
                f'<path class="skiphead" d="M{WIDTH - start:g} {middle:g}l-10 -5.5v11z"/>'
            )
        if row < 2:
            upper = below + 50
            lower = heights[row + 1] - shapes[STAGES[row + 1]][3] * 1.25 / 2 - 14
            parts.append(arrow(x, upper, x, lower) if i < 3 else arrow(x, lower, x, upper))
    parts += [
        arrow(left + 40, heights[2] + 78, WIDTH / 2 - 22, heights[3] - 4),
        arrow(WIDTH / 2 + 22, heights[3] - 4, right - 40, heights[2] + 78),
        text(WIDTH / 2, heights[3] + 106, "sizes are depth × height × width, in voxels", "small"),
    ]
    return page(WIDTH, heights[3] + 122, *volumes_say(shapes), *parts)


def residual_unet_block() -> str:
    """The block of ResidualUNet where the channels change, from top to bottom."""
    block, mid, side, w = models.ResidualUNet().enc2.block, 94, 262, 124
    parts, y = [text(mid, 26, "x", "math")], 36.0
    for name, words in (
        ("conv 3×3", (change(block.conv1),)),
        ("ReLU", ()),
        ("conv 3×3", (change(block.conv2),)),
    ):
        high, wide = (60, w) if words else (40, 84)
        parts.append(arrow(mid, y, mid, y + GAP))
        kind = "box" if words else "box act"
        parts.append(box(mid - wide / 2, y + GAP + 2, wide, high, name, *words, cls=kind))
        y += GAP + high + 4
    add = y + GAP + 17
    parts += [
        arrow(mid, y, mid, y + GAP),
        plus(mid, add),
        f'<path class="line skip" d="M{mid} 46H{side - 10}q10 0 10 10V100"/>',
        f'<path class="line skip" d="M{side} 164V{add - 10:g}q0 10 -10 10H{mid + 26}"/>',
        f'<path class="skiphead" d="M{mid + 17} {add:g}l10 -5.5v11z"/>',
        box(side - w / 2, 102, w, 60, "conv 1×1", change(block.shortcut)),
        text(side - 36, 186, "shortcut", "skiptext"),
        arrow(mid, add + 17, mid, add + 43),
        box(mid - 42, add + 45, 84, 40, "ReLU", cls="box act"),
        arrow(mid, add + 87, mid, add + 113),
        text(mid, add + 132, "output", "small"),
    ]
    return page(WIDTH, round(add + 146), *block_says(block), *parts)


def attention_gate() -> str:
    """The gate of the finest level of AttentionUNet, from top to bottom."""
    gate, low, high, mid, side = models.AttentionUNet().dec1.attn, 84, 226, 155, 322
    parts = [
        text(low, 24, "g", "math"),
        text(low, 44, "from below", "small"),
        text(high, 24, "s", "math"),
        text(high, 44, "skip", "small"),
        arrow(low, 52, low, 76),
        arrow(high, 52, high, 76),
        box(low - 62, 78, 124, 56, "W_{g}: 1×1", change(gate.gate_proj)),
        box(high - 62, 78, 124, 56, "W_{s}: 1×1", change(gate.skip_proj)),
        f'<path class="line" d="M{low} 134V160q0 10 10 10H{mid - 17}"/>',
        f'<path class="line" d="M{high} 134V160q0 10 -10 10H{mid + 17}"/>',
        plus(mid, 170),
        arrow(mid, 187, mid, 213),
        box(mid - 42, 215, 84, 40, "ReLU", cls="box act"),
        arrow(mid, 257, mid, 283),
        box(mid - 54, 285, 108, 56, "ψ: 1×1", change(gate.psi)),
        arrow(mid, 343, mid, 369),
        box(mid - 42, 371, 84, 40, "σ", cls="box act"),
        arrow(mid, 413, mid, 453),
        text(mid - 18, 438, "α", "math"),
        times(mid, 470),
        f'<path class="line skip" d="M{high + 16} 18H{side - 10}q10 0 10 10V460q0 10 -10 10'
        f'H{mid + 26}"/>',
        f'<path class="skiphead" d="M{mid + 17} 470l10 -5.5v11z"/>',
        text(side - 12, 490, "the skip itself", "skiptext end"),
        arrow(mid, 487, mid, 513),
        text(mid, 536, "α ⊙ s", "math"),
    ]
    return page(WIDTH, 552, *gate_says(gate), *parts)


NARROW_NETWORKS = {
    "simplecnn_narrow.svg": simplecnn,
    "rescnn_narrow.svg": rescnn,
    "unet_narrow.svg": partial(unet, u_shape),
    "residual_unet_narrow.svg": partial(residual_unet, u_shape),
    "attention_unet_narrow.svg": partial(attention_unet, u_shape),
    "unetpp_narrow.svg": partial(unetpp, grid),
    "unet3d_narrow.svg": unet3d,
    "residual_unet_block_narrow.svg": residual_unet_block,
    "attention_gate_narrow.svg": attention_gate,
}
