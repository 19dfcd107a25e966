"""What the UNet chapters measure on trained networks: quality, skips, gates, vessels, robustness.

A run is named ``"<network>, <seed>"``: a network of :mod:`ippy.studies.networks` after its short
training, or with ``shipped`` for the seed the weights that come with the book, or a classical
method. All are given the same test images and noise; values per image are stored, so that pages
can compare image by image.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ippy import data, evaluation, metrics, models, weights
from ippy.operators import Operator
from ippy.recipes import NOISE_LEVEL, RECIPES, SHAPE, task_operator
from ippy.studies import networks
from ippy.utilities import generator_for

__all__ = [
    "ANGLES", "H_EDGES", "CONTRASTS", "LENGTHS", "NOISE_LEVELS", "SEEDS", "WORLDS",
    "error_by_frequency", "insert_vessels", "inside", "live_channels", "method",
    "with_mean_attention", "without_level",
]  # fmt: skip

Method = Callable[[Tensor], Tensor]
#: Seeds of the short trainings.
SEEDS = (0, 1, 2)
CLASSICAL = ("measurement", "Tikhonov", "TV")


def method(name: str, seed: int | str, lr: float = 1e-3) -> Method | nn.Module:
    """The network or classical method of a run, from measurements to reconstructions."""
    if name == "measurement":
        return lambda y_delta: y_delta
    if name in CLASSICAL:
        return evaluation.baselines(task_operator())[name]
    return weights.load(name) if seed == "shipped" else networks.trained(name, seed, lr)[0]


def _apply(f: Method | nn.Module, y_delta: Tensor) -> Tensor:
    return evaluation.reconstruct(f, y_delta) if isinstance(f, nn.Module) else f(y_delta)


def _rounded(values: Tensor | Sequence[float], digits: int = 5) -> list[float]:
    return [float(f"{float(v):.{digits}g}") for v in values]


@cache
def _test_pairs(n: int = 32, kind: str = "mixed") -> tuple[Tensor, Tensor]:
    x = evaluation.held_out_images(n, kind).float() / 255
    return evaluation.measure(x, task_operator()), x


def inside(x: Tensor) -> Tensor:
    """Pixels that have brighter ones (> 0.2) on all four sides: the body, without the air around.

    Args:
        x: Clean images (N, 1, H, W) in [0, 1].

    Returns:
        Mask of the same shape.
    """
    bright = (x > 0.2).int()
    found = torch.ones_like(bright)
    for axis in (2, 3):
        found *= bright.cummax(axis)[0] * bright.flip(axis).cummax(axis)[0].flip(axis)
    return found.bool()


def quality(f: Method | nn.Module) -> dict:
    """Values of the 32 mixed test images, and PSNR inside the body for 32 thorax phantoms."""
    y_delta, x = _test_pairs()
    x_hat = _apply(f, y_delta)
    found = {m: _rounded(getattr(metrics, m)(x_hat, x)) for m in ("mse", "psnr", "ssim")}
    y_delta, x = _test_pairs(kind="thorax")
    x_hat = _apply(f, y_delta)
    found["psnr_thorax"] = _rounded(metrics.psnr(x_hat, x))
    found["psnr_inside"] = _rounded(metrics.psnr(x_hat, x, mask=inside(x)))
    return found


def _facts(name: str, seed: int | str, f: Method | nn.Module, lr: float = 1e-3) -> dict:
    if not isinstance(f, nn.Module):
        return {}
    n = sum(p.numel() for p in f.parameters())
    if seed == "shipped":
        return {"parameters": n}
    history = networks.trained(name, seed, lr)[1]
    val = {"val_step": history["val_step"], "val_mse": _rounded(history["val_mse"])}
    return {"parameters": n, "train_seconds": round(history["seconds"]), **val}


# --- skips: cut and trained again; and what a trained network misses when a level is silenced ---


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
    live = live_channels(f, _test_pairs(8)[0])
    found = _facts(name, seed, f) | quality(f) | {"live": live}
    if name == "UNet":
        y_delta, x = _test_pairs()
        for level in ("enc1", "enc2", "enc3", "bottleneck"):
            found[f"psnr without {level}"] = _rounded(
                metrics.psnr(without_level(f, level, y_delta), x)
            )
    return found


def skips() -> dict[str, Callable]:
    names = [name for name in networks.BUILDERS if "skip" in name and "Residual" not in name]
    names += ["UNet", "UNet, default start", "UNet, two poolings"]
    found = {f"{name}, {s}": partial(_skips, name, s) for s in SEEDS for name in names}
    for name in ("UNet", "ResidualUNet", "AttentionUNet"):
        found[f"{name}, shipped"] = partial(_skips, name, "shipped")
    return found


# --- variants: residual blocks and global skips, gates, nested skips ---


def with_mean_attention(model: models.AttentionUNet, y_delta: Tensor) -> Tensor:
    """Reconstruct with each gate's weights replaced by their mean over the image."""
    gates = [block.attn for block in (model.dec1, model.dec2, model.dec3)]
    for gate in gates:
        gate.alpha = lambda g, s, gate=gate: models.AttentionGate.alpha(gate, g, s).mean(
            (2, 3), keepdim=True
        )
    try:
        return evaluation.reconstruct(model, y_delta)
    finally:
        for gate in gates:
            del gate.alpha


def _variants(name: str, seed: int | str) -> dict:
    f = method(name, seed)
    found = _facts(name, seed, f) | quality(f)
    if name == "AttentionUNet":
        y_delta, x = _test_pairs()
        found["psnr mean attention"] = _rounded(metrics.psnr(with_mean_attention(f, y_delta), x))
    return found


def variants() -> dict[str, Callable]:
    names = ["UNet", "UNet + global skip", "ResidualUNet", "ResidualUNet + global skip"]
    names += ["AttentionUNet", "UNetPP", "UNet, two poolings", "UNet, 16 channels"]
    found = {f"{name}, {s}": partial(_variants, name, s) for s in SEEDS for name in names}
    shipped = ("UNet", "ResidualUNet", "AttentionUNet", "UNetPP")
    return found | {f"{name}, shipped": partial(_variants, name, "shipped") for name in shipped}


# --- comparison: frequencies and vessels, learning rates ---

#: Edges of the intervals of $|H|$.
H_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
#: Grey values that vessels add.
CONTRASTS = (0.01, 0.02, 0.04, 0.08, 0.16)
RADIUS = 1.0  # of the vessels, in pixels


def error_by_frequency(x_hat: Tensor, x: Tensor) -> list[float]:
    r"""Energy of the error over that of the image, where $|H|$ lies between two of ``H_EDGES``.

    Args:
        x_hat, x: Reconstructions and truth (N, 1, 256, 256).

    Returns:
        One number per interval of $|H|$, over all images.
    """
    strength = task_operator().transfer_function().abs()
    error, image = ((torch.fft.fft2(t.double()).abs() ** 2).sum((0, 1)) for t in (x_hat - x, x))
    bins = torch.bucketize(strength, torch.tensor(H_EDGES[1:-1], dtype=strength.dtype))
    return [(error[bins == b].sum() / image[bins == b].sum()).item() for b in range(7)]


def insert_vessels(x: Tensor, index: int, contrast: float) -> tuple[Tensor, list[tuple[int, int]]]:
    """Put small bright discs, vessels seen end-on, into dark and even parts of a body.

    Args:
        x: Clean image (1, 1, H, W).
        index: Number of the image; decides where.
        contrast: Added grey value, in (0, 1]; the radius is one pixel, edges are smoothed.

    Returns:
        Image with up to six vessels at least 24 pixels apart, and their centres (row, column).
    """
    dark = F.pad((F.max_pool2d(x, 13, stride=1) < 0.2).int(), (6, 6, 6, 6)).bool()
    free = (dark & inside(x))[0, 0].nonzero()
    free = free[torch.randperm(len(free), generator=generator_for(11, index))]
    centres: list[tuple[int, int]] = []
    for row, column in free.tolist():
        if len(centres) < 6 and all(max(abs(row - r), abs(column - c)) > 23 for r, c in centres):
            centres.append((row, column))
    rows, columns = torch.arange(x.shape[2])[:, None], torch.arange(x.shape[3])
    for row, column in centres:
        distance = ((rows - row) ** 2 + (columns - column) ** 2).sqrt()
        x = x + contrast * (RADIUS + 0.5 - distance).clamp(0, 1)
    return x, centres


@cache
def _vessel_images(contrast: float) -> tuple[Tensor, Tensor, list]:
    """Clean images without and with vessels, and for each vessel (image, row, column)."""
    plain = evaluation.held_out_images(24, "thorax").float() / 255
    drawn = [insert_vessels(x[None], i, contrast) for i, x in enumerate(plain)]
    places = [(i, *centre) for i, (_, centres) in enumerate(drawn) for centre in centres]
    return plain, torch.cat([x for x, _ in drawn]), places


def vessels(f: Method | nn.Module) -> dict:
    """Amplitude of vessels in the reconstruction, 1 for a perfect one: where they are and not.

    The amplitude is the coefficient of the vessel's shape in reconstruction minus vessel-free
    truth, by least squares.

    Returns:
        Contrast -> ``with``: amplitudes in images that hold the vessels; ``without``: at the same
        places of the same images without them.
    """
    K, found, residual = task_operator(), {}, None
    for contrast in CONTRASTS:
        plain, drawn, places = _vessel_images(contrast)
        if residual is None:
            residual = _apply(f, evaluation.measure(plain, K)) - plain
        error = _apply(f, evaluation.measure(drawn, K)) - plain
        found[f"{contrast:g}"] = {"with": [], "without": []}
        for i, row, column in places:
            at = (i, 0, slice(row - 6, row + 7), slice(column - 6, column + 7))
            shape = drawn[at] - plain[at]
            for name, image in (("with", error), ("without", residual)):
                amplitude = (image[at] * shape).sum() / shape.square().sum()
                found[f"{contrast:g}"][name].append(round(amplitude.item(), 3))
    return found


def _comparison(name: str, seed: int | str) -> dict:
    f = method(name, seed)
    y_delta, x = _test_pairs()
    return {
        **_facts(name, seed, f),
        **quality(f),
        "frequency": _rounded(error_by_frequency(_apply(f, y_delta), x)),
        "vessels": vessels(f),
    }


def _rate(name: str, lr: float) -> dict:
    return _facts(name, 0, method(name, 0, lr), lr)


def comparison() -> dict[str, Callable]:
    found = {f"{name}, {s}": partial(_comparison, name, s) for s in SEEDS for name in RECIPES}
    found |= {f"{name}, shipped": partial(_comparison, name, "shipped") for name in RECIPES}
    found |= {f"{name}, classical": partial(_comparison, name, "classical") for name in CLASSICAL}
    return found | {
        f"{name}, rate {lr:g}": partial(_rate, name, lr)
        for name in RECIPES
        for lr in networks.RATES
    }


# --- robustness: away from the task that was trained for ---

#: Noise levels, angles in degrees and lengths in pixels of the blurs, and kinds of images.
NOISE_LEVELS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1)
ANGLES = (0, 10, 15, 18, 20, 22, 25, 30, 45, 60, 90)
LENGTHS = networks.LENGTHS
WORLDS = ("thorax", "dead_leaves", "photographs and MR")


def _world(name: str) -> Tensor:
    if name in data.KINDS:
        return evaluation.held_out_images(16, name).float() / 255
    return torch.cat([data.sample_image(n, SHAPE) for n in ("camera", "cat", "abdomen_mr")])


def _mean_psnr(f: Method | nn.Module, x: Tensor, K: Operator, level: float = NOISE_LEVEL) -> float:
    x_hat = _apply(f, evaluation.measure(x, K, level))
    return round(metrics.psnr(x_hat, x).mean().item(), 3)


def _robustness(name: str, seed: int | str) -> dict:
    f, K, x = method(name, seed), task_operator(), _test_pairs(16)[1]
    return {
        "noise": [_mean_psnr(f, x, K, level) for level in NOISE_LEVELS],
        "angle": [_mean_psnr(f, x, task_operator(motion_angle=float(a))) for a in ANGLES],
        "length": [_mean_psnr(f, x, task_operator(kernel_size=n)) for n in LENGTHS],
        "world": [_mean_psnr(f, _world(world), K) for world in WORLDS],
    }


def robustness() -> dict[str, Callable]:
    found = {
        f"{n}, {s}": partial(_robustness, n, s) for s in SEEDS for n in ("UNet", "UNet, ranges")
    }
    found |= {f"{name}, shipped": partial(_robustness, name, "shipped") for name in RECIPES}
    found |= {f"{name}, classical": partial(_robustness, name, "classical") for name in CLASSICAL}
    return found


# --- cost: arithmetic and time ---


def _cost(name: str) -> dict:
    f = method(name, "classical" if name in CLASSICAL else "shipped")
    y_delta, found, times = _test_pairs(1)[0], {}, []
    if isinstance(f, nn.Module):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            f(y_delta)
        found["flops"] = counter.get_total_flops()
    for _ in range(7):
        start = time.perf_counter()
        _apply(f, y_delta)
        times.append(time.perf_counter() - start)
    return found | {"inference_seconds": sorted(times)[3]}


def cost() -> dict[str, Callable]:
    return {name: partial(_cost, name) for name in (*RECIPES, "Tikhonov", "TV")}
