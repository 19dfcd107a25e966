"""Noise of the measurements, relative to their size."""

import math

import torch
from torch import Tensor

__all__ = ["gaussian_noise"]


def gaussian_noise(
    y: Tensor, noise_level: float, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""White Gaussian noise $e$ with $\|e\|_2 = \mathrm{noise\_level}\cdot\|y\|_2$ for each image.

    The noise is returned, not added: ``y_delta = y + gaussian_noise(y, 0.01)``. Every image is
    scaled by its own norm, so its noise does not depend on its batch mates' grey values.

    Args:
        y: Clean measurements, shape (N, ...), floating point; a 2-D or 3-D tensor is one image.
        noise_level: Relative noise level, at least 0; 0.01 means one percent of the norm.
        generator: Source of randomness; torch's global generator if None.

    Returns:
        The noise, of the shape, dtype and device of ``y``.

    Raises:
        ValueError: If ``noise_level`` is negative or not finite.
        TypeError: If ``y`` is not a floating point tensor.

    >>> y = torch.ones(2, 1, 8, 8)
    >>> e = gaussian_noise(y, 0.1, generator=torch.Generator().manual_seed(0))
    >>> (e.flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)).round(decimals=4)
    tensor([0.1000, 0.1000])
    """
    check_noise_level(noise_level)
    if not torch.is_tensor(y) or not y.is_floating_point():
        raise TypeError("y must be a floating point tensor; convert it with y.float() / 255")
    device = generator.device if generator is not None else y.device
    e = torch.randn(y.shape, generator=generator, device=device, dtype=y.dtype).to(y.device)
    axes = tuple(range(1 if y.ndim > 3 else 0, y.ndim))
    # squares of 16 bits overflow in the norm of an image
    wide = torch.float32 if y.dtype in (torch.float16, torch.bfloat16) else None
    e_norm = torch.linalg.vector_norm(e, dim=axes, keepdim=True, dtype=wide)
    y_norm = torch.linalg.vector_norm(y, dim=axes, keepdim=True, dtype=wide)
    return (e * (noise_level * y_norm / e_norm)).to(y.dtype)


def check_noise_level(noise_level: float) -> None:
    """Raise ValueError for a noise level that is negative, infinite or NaN."""
    if not (math.isfinite(noise_level) and noise_level >= 0):
        raise ValueError(
            f"noise_level is {noise_level}, expected a finite number >= 0 such as 0.01, "
            "the norm of the noise relative to the norm of the measurement"
        )
