"""What a UNet loses without its skips, and what a trained one misses without a level or a skip."""

import torch
from torch import Tensor, nn

from ippy import evaluation, metrics, models
from ippy.networks import taught
from ippy.studies.chains import Chain
from ippy.studies.channels import LEVELS, active_channels, live_channels
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
from ippy.studies.settled import settled
from ippy.studies.trained import UpBlockWithoutSkip

__all__ = [
    "BUDGET", "LEVELS", "TRAINED", "live_channels", "parts", "runs", "shift_error", "silenced",
    "summarise", "without_level",
]  # fmt: skip

QUESTION = (
    "What a UNet loses without its skips, and what a trained one misses without a level or a skip"
)

#: Key of :data:`ippy.studies.trained.BUDGETS`.
BUDGET = "brief"
#: What is trained, with and without skips and a global skip, from the new start and PyTorch's.
TRAINED = tuple(
    name + start
    for start in ("", ", default start")
    for name in (
        "UNet",
        "UNet without skips",
        "UNet + global skip",
        "UNet without skips + global skip",
    )
)
#: Pixels by which images are shifted: not a multiple of the coarsest grid's spacing, and one.
SHIFTS = (4, 8)
#: Pixels at the border that are not compared, since a shift brings other pixels in there.
MARGIN = 64


def parts(model: nn.Module) -> list[tuple[str, str]]:
    """What can be silenced: (decoder step, ``"skip"`` or ``"below"``), from above.

    ``"skip"`` is what the step is given of its own level, ``"below"`` all that comes up to it.
    """
    unet = model.body if isinstance(model, Chain) else model
    if not isinstance(unet, models.SimpleUNet):
        return []
    found = []
    for step in ("dec1", "dec2", "dec3")[: unet.levels]:
        if not isinstance(unet.get_submodule(step), UpBlockWithoutSkip):
            found.append((step, "skip"))
        found.append((step, "below"))
    return found


def silenced(model: nn.Module, step: str, part: str, y_delta: Tensor) -> Tensor:
    """Reconstruct while one map that a decoder step is given is replaced by zeros.

    Args:
        model: A trained UNet, or a network around one in its attribute ``body``.
        step: ``"dec1"``, ``"dec2"`` or ``"dec3"``.
        part: ``"skip"``, or ``"below"`` for what comes up from the deeper levels.
        y_delta: Measurements (N, 1, H, W).

    Raises:
        ValueError: If there is no such part.
    """
    if part not in ("skip", "below"):
        raise ValueError(f"part {part!r} is unknown; use 'skip' or 'below'")
    unet = model.body if isinstance(model, Chain) else model

    def silence(module: nn.Module, inputs: tuple) -> tuple:
        x, skip = inputs
        return (torch.zeros_like(x), skip) if part == "below" else (x, torch.zeros_like(skip))

    handle = unet.get_submodule(step).register_forward_pre_hook(silence)
    try:
        return evaluation.reconstruct(model, y_delta)
    finally:
        handle.remove()


def without_level(model: models.SimpleUNet, level: str, y_delta: Tensor) -> Tensor:
    """Reconstruct with one level silenced: its map is replaced by zeros.

    Args:
        model: A trained UNet with three poolings.
        level: ``"enc1"``, ``"enc2"``, ``"enc3"`` (what their skips carry) or ``"bottleneck"``.
        y_delta: Measurements (N, 1, H, W).
    """
    if level == "bottleneck":
        return silenced(model, "dec3", "below", y_delta)
    return silenced(model, level.replace("enc", "dec"), "skip", y_delta)


def shift_error(model: nn.Module, y_delta: Tensor, pixels: int) -> dict[str, float]:
    """How far shifting before a network is from shifting after it, away from the border.

    Args:
        model: Network from (N, 1, H, W) to the same.
        y_delta: Measurements, larger than two margins of 64 pixels.
        pixels: Shift in both directions.

    Returns:
        ``max`` and ``mean`` of the absolute difference, in grey values.
    """
    by, inner = (pixels, pixels), slice(MARGIN, -MARGIN)
    before = evaluation.reconstruct(model, y_delta.roll(by, (2, 3)))
    after = evaluation.reconstruct(model, y_delta).roll(by, (2, 3))
    difference = (before - after)[..., inner, inner].abs()
    return {"max": difference.max().item(), "mean": difference.mean().item()}


def _measure(subject: Subject) -> dict:
    f, history = subject.load()
    assert isinstance(f, nn.Module), "this study has no classical method"
    y_delta, x = test_pairs()
    few = y_delta[:8]
    found = facts(f, history) | quality(f)
    found |= {"live": live_channels(f, few), "active": active_channels(f, few)}
    whole = torch.tensor(found["psnr"]).mean().item()
    lost = {}
    for step, part in parts(f):
        psnr = metrics.psnr(silenced(f, step, part, y_delta), x)
        lost[f"{step} {part}"] = round(whole - psnr.mean().item(), 3)
        if subject.fields["network"] == "UNet" and (level := _level(step, part)):
            found[f"psnr without {level}"] = rounded(psnr)
    shifts = {str(pixels): shift_error(f, few, pixels) for pixels in SHIFTS}
    return found | {"lost": lost, "shift": shifts}


def _level(step: str, part: str) -> str | None:
    """The level of :data:`LEVELS` that is silent when this part of this step is."""
    if part == "skip":
        return step.replace("dec", "enc")
    return "bottleneck" if step == "dec3" else None


def runs() -> list[Run]:
    """The trained networks with every seed, then the shipped UNets."""
    subjects = [short(name, seed, BUDGET) for seed in SEEDS for name in TRAINED]
    subjects += [shipped(name) for name in taught("unet")]
    return [subject.run(_measure, SHIFTS, MARGIN) for subject in subjects]


def summarise(runs: list[dict]) -> dict:
    """Whether the distance of each network to the UNet has settled."""
    trained = [run for run in runs if run.get("weights") is None]
    groups = {name: [run for run in trained if run["network"] == name] for name in TRAINED}
    return {"settled": settled(groups, "UNet")}
