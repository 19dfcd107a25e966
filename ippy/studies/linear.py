"""The best linear filter of each width, in closed form: what a local linear method can do."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["best_linear"]


def best_linear(y_delta: Tensor, x: Tensor, widths: Sequence[int]) -> dict[int, Tensor]:
    r"""Filters $h$ of w x w pixels that minimise $\sum (h \star y^\delta - x)^2$, in closed form.

    The normal equations hold the correlations of $y^\delta$ with itself and with $x$, which are
    computed by Fourier transforms; the images are zero outside.

    Args:
        y_delta, x: Corrupted and clean images, (N, 1, H, W).
        widths: Odd widths w, smaller than the images.

    Returns:
        Width -> kernel (1, 1, w, w), float32, for ``torch.nn.functional.conv2d``.
    """
    size = [2 * n for n in x.shape[2:]]  # twice as large: no correlation around the edge
    auto, cross = torch.zeros(1), torch.zeros(1)
    for part in zip(y_delta.split(64), x.split(64), strict=True):  # spectra are large
        Y, X = (torch.fft.rfft2(images.double(), s=size) for images in part)
        auto = auto + (Y.abs() ** 2).sum((0, 1))
        cross = cross + (Y * X.conj()).sum((0, 1))
    auto, cross = (torch.fft.irfft2(sums, s=size) for sums in (auto, cross))
    found = {}
    for w in widths:
        if w % 2 == 0 or not 0 < w < min(x.shape[2:]):
            raise ValueError(f"width {w} must be odd and smaller than the images")
        d = torch.cartesian_prod(*[torch.arange(w) - w // 2] * 2)  # (w w, 2)
        between = d[None] - d[:, None]
        gram = auto[between[..., 0] % size[0], between[..., 1] % size[1]]
        h = torch.linalg.solve(gram, cross[d[:, 0] % size[0], d[:, 1] % size[1]])
        found[w] = h.reshape(1, 1, w, w).float()
    return found
