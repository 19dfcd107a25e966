"""How far a reconstruction is from the truth: one number per image of the batch."""

from typing import cast

import torch
from torch import Tensor

__all__ = ["mse", "psnr", "relative_error", "ssim"]


#: Side of the window of SSIM in pixels.
_WINDOW = 11


def _checked(x: Tensor, x_true: Tensor) -> tuple[Tensor, Tensor]:
    """Both images, refused if they cannot be compared; those of 16 bits become float32.

    Squares of small errors would be zero in float16, and sums over images infinite.
    """
    for image in (x, x_true):
        if not torch.is_tensor(image) or not image.is_floating_point():
            kind = getattr(image, "dtype", type(image).__name__)
            raise TypeError(
                f"metrics compare float tensors, got {kind}; convert 8-bit images with x / 255 and "
                "arrays with torch.as_tensor(x)"
            )
    if x.ndim != 4 or x.shape != x_true.shape:
        raise ValueError(
            f"metrics compare two batches of one shape (N, C, H, W), got {tuple(x.shape)} and "
            f"{tuple(x_true.shape)}; add missing axes with x[None]"
        )
    narrow = (torch.float16, torch.bfloat16)
    x, x_true = (image.float() if image.dtype in narrow else image for image in (x, x_true))
    return x, x_true


def mse(x: Tensor, x_true: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean squared error, $\frac1n\|x - x_{true}\|_2^2$.

    Args:
        x: Reconstructions, shape (N, C, H, W).
        x_true: Ground truth of the same shape.
        mask: Boolean (N, C, H, W), broadcast from fewer sizes; only pixels that are True count.

    Returns:
        One value per image, shape (N,); float32 for images of 16 bits, as from the other metrics.

    Raises:
        ValueError: If the shapes differ or the mask leaves no pixel of an image.
        TypeError: If one of the two is no float tensor; so do the other metrics.
    """
    x, x_true = _checked(x, x_true)
    square = (x - x_true) ** 2
    if mask is None:
        return square.mean(dim=(1, 2, 3))
    mask = mask.expand_as(square)
    count = mask.sum(dim=(1, 2, 3))
    if not bool((count > 0).all()):
        raise ValueError("the mask leaves no pixel of at least one image; check its threshold")
    return (square * mask).sum(dim=(1, 2, 3)) / count


def psnr(x: Tensor, x_true: Tensor, data_range: float = 1.0, mask: Tensor | None = None) -> Tensor:
    r"""Peak signal-to-noise ratio in decibel, $10\log_{10}(\mathrm{data\_range}^2/\text{MSE})$.

    Args:
        x: Reconstructions, shape (N, C, H, W).
        x_true: Ground truth of the same shape.
        data_range: Largest minus smallest possible grey value; 1 for images in [0, 1].
        mask: As in :func:`mse`, for instance ``x_true > 0.02``, the body of a CT slice.

    Returns:
        One value per image, shape (N,); infinite where the images are equal.

    >>> psnr(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.1)).round(decimals=3)
    tensor([20.])
    """
    return 10 * torch.log10(data_range**2 / mse(x, x_true, mask))


def relative_error(x: Tensor, x_true: Tensor) -> Tensor:
    r"""Relative error $\|x - x_{true}\|_2 / \|x_{true}\|_2$ per image, shape (N,)."""
    x, x_true = _checked(x, x_true)
    return (x - x_true).flatten(1).norm(dim=1) / x_true.flatten(1).norm(dim=1)


def ssim(x: Tensor, x_true: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity (Wang et al. 2004; Gaussian window, sigma 1.5) from torchmetrics.

    The mean is over all pixels, windows at the border being completed by reflection. scikit-image
    leaves out a border of 5 pixels, which tells on small images: compare values of one kind only.

    Args:
        x: Reconstructions, shape (N, C, H, W) with H and W at least 11.
        x_true: Ground truth of the same shape.
        data_range: Largest minus smallest possible grey value.

    Returns:
        One value per image, shape (N,), at most 1.

    Raises:
        ValueError: If the shapes differ or the images are smaller than a window.
    """
    # here, since it brings torchvision and torch's compiler: half of what "import ippy" would take
    from torchmetrics.functional.image import structural_similarity_index_measure

    x, x_true = _checked(x, x_true)
    if min(x.shape[-2:]) < _WINDOW:
        raise ValueError(
            f"ssim needs images of at least {_WINDOW} x {_WINDOW} pixels, its window, got "
            f"{tuple(x.shape[-2:])}; use psnr or mse for smaller ones"
        )
    if not len(x):
        return x.new_zeros(0)
    value = structural_similarity_index_measure(x, x_true, data_range=data_range, reduction="none")
    return cast(Tensor, value).reshape(x.shape[0])
