"""Networks drawn from top to bottom, for screens too narrow for a drawing from left to right."""

from svg_networks import change
from svg_parts import arrow, box, page, plus, text
from torch import nn

from ippy import models

MID, GAP = 150, 26  # of the column: its middle; the length of an arrow


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


NARROW_NETWORKS = {"simplecnn_narrow.svg": simplecnn, "rescnn_narrow.svg": rescnn}
