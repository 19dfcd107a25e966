"""Every network and classical method: quality, error by frequency, vessels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ippy import evaluation, results
from ippy.seeds import generator_for
from ippy.studies.measures import (
    CLASSICAL,
    FOREIGN,
    Method,
    Subject,
    apply,
    classical,
    compared,
    facts,
    families,
    family,
    foreign_images,
    inside,
    quality,
    rounded,
    shipped,
    test_images,
    test_pairs,
    truths,
)
from ippy.studies.runner import Run
from ippy.studies.shared import once
from ippy.tasks import NOISE_LEVEL, measure, task_operator

__all__ = ["CONTRASTS", "H_EDGES", "error_by_frequency", "faded", "insert_vessels", "vessels"]

QUESTION = "Every network and classical method: quality, error by frequency, vessels"

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
    return [
        (error[bins == b].sum() / image[bins == b].sum()).item() for b in range(len(H_EDGES) - 1)
    ]


def faded(x: Tensor) -> Tensor:
    """Images (N, 1, H, W) times a Hann window, which is zero at the border.

    A border that is bright, where the blur lets in zeros, has all frequencies; photographs have
    such borders, phantoms have not. What fades out has none.
    """
    rows, columns = (torch.hann_window(n, periodic=False) for n in x.shape[-2:])
    return x * rows[:, None] * columns


def _error_by_image(x_hat: Tensor, x: Tensor) -> list[list[float]]:
    """Error by frequency of each image: two images with stripes would decide what is pooled."""
    pairs = zip(x_hat.split(1), x.split(1), strict=True)
    return [rounded(error_by_frequency(*pair)) for pair in pairs]


def _error_in_worlds(f: Method | nn.Module) -> dict[str, list[list[float]]]:
    """Error by frequency of each faded image, of the test images and of foreign ones."""
    foreign = foreign_images()
    worlds = {"mixed": test_pairs(), "foreign": (measure(foreign, task_operator()), foreign)}
    return {
        world: _error_by_image(faded(apply(f, y_delta)), faded(x))
        for world, (y_delta, x) in worlds.items()
    }


def insert_vessels(
    x: Tensor, index: int, contrast: float, scale: int = 1
) -> tuple[Tensor, list[tuple[int, int]]]:
    """Put small bright discs, vessels seen end-on, into dark and even parts of a body.

    Args:
        x: Clean image (1, 1, H, W).
        index: Number of the image; decides where.
        contrast: Added grey value, in (0, 1]; the radius is one pixel, edges are smoothed.
        scale: Pixels of ``x`` along the side of what is called a pixel here: 2 for an image on a
            grid of half the spacing.

    Returns:
        Image with up to six vessels at least 24 pixels apart, and their centres (row, column) in
        ``x``.
    """
    margin = 6 * scale
    even = F.max_pool2d(x, 2 * margin + 1, stride=1) < 0.2
    dark = F.pad(even.int(), (margin,) * 4).bool()
    free = (dark & inside(x))[0, 0].nonzero()
    free = free[torch.randperm(len(free), generator=generator_for(11, index))]
    centres: list[tuple[int, int]] = []
    for row, column in free.tolist():
        apart = all(max(abs(row - r), abs(column - c)) >= 24 * scale for r, c in centres)
        if apart and len(centres) < 6:
            centres.append((row, column))
    rows, columns = torch.arange(x.shape[2])[:, None], torch.arange(x.shape[3])
    for row, column in centres:
        distance = ((rows - row) ** 2 + (columns - column) ** 2).sqrt()
        x = x + contrast * (RADIUS + 0.5 - distance / scale).clamp(0, 1)
    return x, centres


@once
def _vessel_images(contrast: float) -> tuple[Tensor, Tensor, list]:
    """Clean images without and with vessels, and for each vessel (image, row, column)."""
    plain = test_images(24, "thorax")
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
    K, residual = task_operator(), None
    found: dict[str, dict[str, list[float]]] = {}
    for contrast in CONTRASTS:
        plain, drawn, places = _vessel_images(contrast)
        if residual is None:
            residual = apply(f, measure(plain, K)) - plain
        error = apply(f, measure(drawn, K)) - plain
        found[f"{contrast:g}"] = {"with": [], "without": []}
        for i, row, column in places:
            at = (i, 0, slice(row - 6, row + 7), slice(column - 6, column + 7))
            shape = drawn[at] - plain[at]
            for name, image in (("with", error), ("without", residual)):
                amplitude = (image[at] * shape).sum() / shape.square().sum()
                found[f"{contrast:g}"][name].append(round(amplitude.item(), 3))
    return found


def _compare(subject: Subject) -> dict:
    f, history = subject.load()
    y_delta, x = test_pairs()
    found = facts(f, history) | quality(f) | truths(f)
    found["psnr_families"] = families(f)
    if subject.fields["network"] in ("Tikhonov", "TV"):
        found["psnr_families_own"] = _own_parameters(subject.fields["network"])
    return {
        **found,
        "frequency": _error_by_image(apply(f, y_delta), x),
        "frequency_faded": _error_in_worlds(f),
        "vessels": vessels(f),
    }


def _chosen_by_family() -> dict:
    """Family -> method -> parameter, as the study ``baselines`` chose it at the book's noise."""
    return results.load("baselines").get("chosen_by_family", {}).get(f"{NOISE_LEVEL:g}", {})


def _own_parameters(method: str) -> dict[str, list[float]]:
    """PSNR of each family if a method's parameter is chosen for that family alone."""
    found = {}
    for kind, chosen in _chosen_by_family().items():
        f = evaluation.classical_method(method, task_operator(), chosen[method])
        found[kind] = family(f, kind)
    return found


def runs() -> list[Run]:
    """Every shipped network, and the classical methods."""
    settings = (H_EDGES, CONTRASTS, FOREIGN)
    runs = [shipped(name).run(_compare, *settings) for name in compared()]
    chosen = _chosen_by_family()
    return runs + [classical(name).run(_compare, *settings, chosen) for name in CLASSICAL]
