"""What a UNet loses without its skips, and what a trained one misses without a level."""

import torch
from torch import Tensor, nn

from ippy import evaluation, metrics, models
from ippy.studies.measures import (
    SEEDS,
    Subject,
    facts,
    quality,
    rounded,
    shipped,
    short,
    test_pairs,
)
from ippy.studies.runner import Run

__all__ = ["LEVELS", "live_channels", "without_level"]

#: The levels of a UNet with three poolings, from above.
LEVELS = ("enc1", "enc2", "enc3", "bottleneck")
#: What is trained briefly, and whose shipped weights are measured, too.
TRAINED = (
    "UNet without skips, default start",
    "UNet + global skip",
    "UNet without skips + global skip",
    "UNet + global skip, He start",
    "UNet without skips + global skip, He start",
    "UNet",
    "UNet, default start",
    "UNet, two poolings",
)
SHIPPED = ("UNet", "ResidualUNet", "AttentionUNet")


def without_level(model: models.SimpleUNet, level: str, y_delta: Tensor) -> Tensor:
    """Reconstruct with one level silenced: its map is replaced by zeros.

    Args:
        model: A trained UNet with three poolings.
        level: ``"enc1"``, ``"enc2"``, ``"enc3"`` (what their skips carry) or ``"bottleneck"``.
        y_delta: Measurements (N, 1, H, W).
    """
    blocks = {"enc1": model.dec1, "enc2": model.dec2, "enc3": model.dec3, "bottleneck": model.dec3}

    def silence(module: nn.Module, inputs: tuple) -> tuple:
        x, skip = inputs
        return (torch.zeros_like(x), skip) if level == "bottleneck" else (x, torch.zeros_like(skip))

    handle = blocks[level].register_forward_pre_hook(silence)
    try:
        return evaluation.reconstruct(model, y_delta)
    finally:
        handle.remove()


@torch.no_grad()
def live_channels(model: nn.Module, y_delta: Tensor) -> dict[str, tuple[int, int]]:
    """How many channels of each level are not zero everywhere: level -> (live, all).

    A ReLU whose input is negative for every pixel of every image gives zero, has no gradient, and
    stays so: it has died.

    Args:
        model: A UNet, or a network around one in its attribute ``body``.
        y_delta: Measurements (N, 1, H, W).
    """
    unet, handles = getattr(model, "body", model), []
    found: dict[str, tuple[int, int]] = {}
    for level in LEVELS:

        def count(_: nn.Module, __: tuple, out: Tensor, level: str = level) -> None:
            live = int((out.amax((0, 2, 3)) > 0).sum())
            found[level] = (live, out.shape[1])

        if hasattr(unet, level):
            handles.append(getattr(unet, level).register_forward_hook(count))
    try:
        model(y_delta)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _measure(subject: Subject) -> dict:
    f, history = subject.load()
    assert isinstance(f, nn.Module), "this study has no classical method"
    live = live_channels(f, test_pairs(8)[0])
    found = facts(f, history) | quality(f) | {"live": live}
    if isinstance(f, models.SimpleUNet) and subject.fields["network"] == "UNet":
        y_delta, x = test_pairs()
        for level in LEVELS:
            psnr = metrics.psnr(without_level(f, level, y_delta), x)
            found[f"psnr without {level}"] = rounded(psnr)
    return found


def runs() -> list[Run]:
    """Short trainings with every seed, then the shipped networks."""
    subjects = [short(name, seed) for seed in SEEDS for name in TRAINED]
    subjects += [shipped(name) for name in SHIPPED]
    return [subject.run(_measure) for subject in subjects]
