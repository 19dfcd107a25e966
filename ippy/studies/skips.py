"""What a UNet loses without its skips, and what a trained one misses without a level."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ippy import evaluation, metrics, models
from ippy.studies import trained
from ippy.studies.measures import SEEDS, facts, method, quality, rounded, test_pairs

__all__ = ["live_channels", "skips", "without_level"]


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
    unet, found, handles = getattr(model, "body", model), {}, []
    for level in ("enc1", "enc2", "enc3", "bottleneck"):

        def count(_, __, out: Tensor, level: str = level) -> None:
            live = (out.amax((0, 2, 3)) > 0).sum().item()
            found[level] = (live, out.shape[1])

        if hasattr(unet, level):
            handles.append(getattr(unet, level).register_forward_hook(count))
    try:
        model(y_delta)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _skips(name: str, seed: int | str) -> dict:
    f = method(name, seed)
    live = live_channels(f, test_pairs(8)[0])
    found = facts(name, seed, f) | quality(f) | {"live": live}
    if name == "UNet":
        y_delta, x = test_pairs()
        for level in ("enc1", "enc2", "enc3", "bottleneck"):
            found[f"psnr without {level}"] = rounded(
                metrics.psnr(without_level(f, level, y_delta), x)
            )
    return found


def skips() -> dict[str, Callable]:
    names = [name for name in trained.BUILDERS if "skip" in name and "Residual" not in name]
    names += ["UNet", "UNet, default start", "UNet, two poolings"]
    found = {f"{name}, {s}": partial(_skips, name, s) for s in SEEDS for name in names}
    for name in ("UNet", "ResidualUNet", "AttentionUNet"):
        found[f"{name}, shipped"] = partial(_skips, name, "shipped")
    return found
