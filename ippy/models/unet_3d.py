"""The UNet for volumes, and its blocks: ``SimpleUNet`` with one axis more."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ippy.models.cnn import check_channels

__all__ = ["DoubleConv3d", "DownBlock3d", "UNet3D", "UpBlock3d"]

MIN_SIZE_3D = 8  # voxels: three poolings leave a single one in the bottleneck


class DoubleConv3d(nn.Module):
    """Two 3x3x3 convolutions, each followed by ReLU; arguments as for ``DoubleConv``."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv3d(in_ch, out_ch, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(out_ch, out_ch, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, D, H, W)`` to ``(N, out_ch, D, H, W)``."""
        return self.block(x)


class DownBlock3d(nn.Module):
    """One step down the encoder: 2x2x2 max-pooling, then ``DoubleConv3d(in_ch, out_ch)``."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool3d(2)
        self.block = DoubleConv3d(in_ch, out_ch)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, D, H, W)`` to ``(N, out_ch, D // 2, H // 2, W // 2)``."""
        return self.block(self.pool(x))


class UpBlock3d(nn.Module):
    """One step up the decoder; arguments and order of the concatenation as for ``UpBlock``."""

    def __init__(self, in_ch: int, skip_ch: int, out_ch: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose3d(in_ch, out_ch, 2, stride=2)
        self.block = DoubleConv3d(skip_ch + out_ch, out_ch)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map the coarse map and the ``(N, skip_ch, D, H, W)`` skip to ``(N, out_ch, D, H, W)``.

        Where pooling rounded an odd size down, the last slice, row or column is repeated.
        """
        up = self.up(x)
        missing = [s - u for s, u in zip(skip.shape[2:], up.shape[2:], strict=True)]
        if not set(missing) <= {0, 1}:
            sizes = f"upsampled map {tuple(up.shape)}, skip {tuple(skip.shape)}"
            raise ValueError(f"{sizes}: the skip must have its size or one more; check the level")
        if any(missing):
            d, h, w = missing
            up = F.pad(up, (0, w, 0, h, 0, d), mode="replicate")
        return self.block(torch.cat([skip, up], dim=1))  # (N, out_ch, D, H, W)


class UNet3D(nn.Module):
    """``SimpleUNet`` for volumes: the same levels and names, every operation with a third axis.

    Source: Cicek et al. (3D U-Net), MICCAI 2016, LNCS 9901, 424-432, Sec. 2; there with batch
    normalisation, unpadded convolutions, and twice the channels before each pooling, not after.

    Any ``D, H, W >= 8``; sizes need not divide. An axis of 8 to 15 voxels has a single one left in
    the bottleneck, where the outer slices of the 3x3x3 kernels then meet nothing but padding.

    Args:
        in_ch, out_ch: Channels of the input and of the output.
        base_ch: Channels of the finest level; every level below has twice as many.

    Example:
        >>> UNet3D(base_ch=4)(torch.zeros(1, 1, 9, 16, 21)).shape
        torch.Size([1, 1, 9, 16, 21])
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        super().__init__()
        check_channels(in_ch=in_ch, out_ch=out_ch, base_ch=base_ch)
        self.in_ch, c = in_ch, base_ch
        self.enc1 = DoubleConv3d(in_ch, c)
        self.enc2 = DownBlock3d(c, 2 * c)
        self.enc3 = DownBlock3d(2 * c, 4 * c)
        self.bottleneck = DownBlock3d(4 * c, 8 * c)
        self.dec3 = UpBlock3d(8 * c, 4 * c, 4 * c)
        self.dec2 = UpBlock3d(4 * c, 2 * c, 2 * c)
        self.dec1 = UpBlock3d(2 * c, c, c)
        self.out_conv = nn.Conv3d(c, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, D, H, W)`` to ``(N, out_ch, D, H, W)``, for any ``D, H, W >= 8``.

        Raises:
            ValueError: If the rank, the number of channels or a size does not fit.
        """
        self._check(x)
        e1 = self.enc1(x)  # (N, c, D, H, W)
        e2 = self.enc2(e1)  # (N, 2c, D/2, H/2, W/2)
        e3 = self.enc3(e2)  # (N, 4c, D/4, H/4, W/4)
        h = self.dec3(self.bottleneck(e3), e3)  # (N, 8c, D/8, H/8, W/8) -> (N, 4c, D/4, H/4, W/4)
        h = self.dec2(h, e2)  # (N, 2c, D/2, H/2, W/2)
        return self.out_conv(self.dec1(h, e1))  # (N, c, D, H, W) -> (N, out_ch, D, H, W)

    def _check(self, x: Tensor) -> None:
        wanted = f"expected volumes of shape (N, {self.in_ch}, D, H, W), got {tuple(x.shape)}"
        if x.ndim != 5:
            fix = "stack slices along D, then add missing axes with x[None]"
            raise ValueError(f"{wanted}: {x.ndim} dimensions, not 5; {fix}")
        if x.shape[1] != self.in_ch:
            fix = f"build the network with in_ch={x.shape[1]}, or swap the axes C and D"
            raise ValueError(f"{wanted}: {x.shape[1]} input channels, not {self.in_ch}; {fix}")
        if min(x.shape[2:]) < MIN_SIZE_3D:
            fix = f"at least {MIN_SIZE_3D} voxels; pad the volume or take more slices"
            raise ValueError(f"{wanted}: D, H and W must be {fix}")
