"""UNet, its variants (residual, attention, nested) and their blocks, all without normalisation."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ippy.models.cnn import check_channels, check_input

__all__ = [
    "AttentionGate",
    "AttentionUNet",
    "AttentionUpBlock",
    "CorrectionUNet",
    "DoubleConv",
    "DownBlock",
    "ResidualDoubleConv",
    "ResidualUNet",
    "SimpleUNet",
    "UNetPP",
    "UpBlock",
]

BlockCls = Callable[[int, int], nn.Module]  # called as block_cls(in_ch, out_ch)
MIN_SIZE = 16  # pixels: three poolings leave 2 x 2 in the bottleneck


def pad_to(x: Tensor, ref: Tensor) -> Tensor:
    """Repeat the last row and column of ``x`` where pooling ``ref`` rounded an odd size down.

    Maps ``(N, C, h, w)`` to ``(N, C, H, W)``, the size of ``ref``. Padding at the bottom and right
    keeps all other pixels above those they were pooled from; equal sizes return ``x`` itself.
    """
    dh, dw = ref.shape[-2] - x.shape[-2], ref.shape[-1] - x.shape[-1]
    if dh not in (0, 1) or dw not in (0, 1):
        sizes = f"upsampled map {tuple(x.shape)}, skip {tuple(ref.shape)}"
        raise ValueError(f"{sizes}: the skip must have the map's size or one more; check the level")
    return F.pad(x, (0, dw, 0, dh), mode="replicate") if dh or dw else x


class DoubleConv(nn.Module):
    """Two 3x3 convolutions, each followed by ReLU: the block of every level.

    Source: Ronneberger, Fischer & Brox (U-Net), MICCAI 2015, Sec. 2; there without padding.

    Args:
        in_ch, out_ch: Channels of the input and of the output.
    """

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_ch, out_ch, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_ch, out_ch, 3, padding=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H, W)``."""
        return self.block(x)


class ResidualDoubleConv(nn.Module):
    r"""Two 3x3 convolutions with a shortcut: the arguments and shapes of ``DoubleConv``.

    .. math:: \mathrm{ReLU}(W_2 * \mathrm{ReLU}(W_1 * x) + S x)

    :math:`S` is the identity when ``in_ch == out_ch``, else a 1x1 convolution. Source: He et al.,
    CVPR 2016, Eq. (1)-(2); in a UNet, with ReLU first: Zhang et al., IEEE GRSL 15(5), 2018.
    """

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.shortcut = nn.Identity() if in_ch == out_ch else nn.Conv2d(in_ch, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H, W)``."""
        h = torch.relu(self.conv1(x))  # (N, out_ch, H, W)
        return torch.relu(self.conv2(h) + self.shortcut(x))


class DownBlock(nn.Module):
    """One step down the encoder: 2x2 max-pooling, then ``block_cls(in_ch, out_ch)``."""

    def __init__(self, in_ch: int, out_ch: int, block_cls: BlockCls = DoubleConv) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.block = block_cls(in_ch, out_ch)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H // 2, W // 2)``."""
        return self.block(self.pool(x))


class UpBlock(nn.Module):
    """One step up the decoder: 2x2 transposed convolution, concatenation, convolution block.

    The concatenation is ``[skip, upsampled]``, in this order.

    Args:
        in_ch, skip_ch: Channels of the coarse input and of the skip.
        out_ch: Channels of the upsampled map and of the output.
        block_cls: Convolution block, built as ``block_cls(skip_ch + out_ch, out_ch)``.
    """

    def __init__(
        self, in_ch: int, skip_ch: int, out_ch: int, block_cls: BlockCls = DoubleConv
    ) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_ch, out_ch, 2, stride=2)
        self.block = block_cls(skip_ch + out_ch, out_ch)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``(N, in_ch, H//2, W//2)`` and ``(N, skip_ch, H, W)`` to ``(N, out_ch, H, W)``."""
        up = pad_to(self.up(x), skip)  # (N, out_ch, H, W)
        return self.block(torch.cat([skip, up], dim=1))


class AttentionGate(nn.Module):
    r"""Additive attention: scale every pixel of a skip by a weight in (0, 1).

    .. math:: \alpha = \sigma(\psi(\mathrm{ReLU}(W_g g + W_s s))), \qquad s \mapsto \alpha \odot s

    The three maps are 1x1 convolutions. Source: Oktay et al. (Attention U-Net), arXiv:1804.03999,
    2018, Eq. (1)-(2). There the skip is shrunk to the size of ``g`` and :math:`\alpha` upsampled;
    here ``g`` has already been upsampled to the skip's size.

    Args:
        gate_ch, skip_ch: Channels of the gating signal ``g`` and of the skip ``s``.
        inter_ch: Channels of the space in which the two are added.
    """

    def __init__(self, gate_ch: int, skip_ch: int, inter_ch: int) -> None:
        super().__init__()
        self.gate_proj = nn.Conv2d(gate_ch, inter_ch, 1)
        self.skip_proj = nn.Conv2d(skip_ch, inter_ch, 1)
        self.psi = nn.Conv2d(inter_ch, 1, 1)

    def alpha(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Weights ``(N, 1, H, W)`` for ``(N, gate_ch, H, W)`` and ``(N, skip_ch, H, W)``."""
        return torch.sigmoid(self.psi(torch.relu(self.gate_proj(gate) + self.skip_proj(skip))))

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Map ``(N, gate_ch, H, W)`` and ``(N, skip_ch, H, W)`` to ``(N, skip_ch, H, W)``."""
        return self.alpha(gate, skip) * skip


class AttentionUpBlock(UpBlock):
    """``UpBlock`` whose skip first passes a gate driven by the upsampled map."""

    def __init__(self, in_ch: int, skip_ch: int, out_ch: int) -> None:
        super().__init__(in_ch, skip_ch, out_ch)
        self.attn = AttentionGate(out_ch, skip_ch, inter_ch=skip_ch)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map ``(N, in_ch, H//2, W//2)`` and ``(N, skip_ch, H, W)`` to ``(N, out_ch, H, W)``."""
        up = pad_to(self.up(x), skip)  # (N, out_ch, H, W)
        return self.block(torch.cat([self.attn(up, skip), up], dim=1))


class SimpleUNet(nn.Module):
    """The plain UNet: the reference that all variants are compared with.

    Source: Ronneberger, Fischer & Brox (U-Net), MICCAI 2015, LNCS 9351, 234-241; there with four
    poolings, unpadded convolutions and cropped skips. Any ``H, W >= 16``; sizes need not divide.

    Args:
        in_ch, out_ch: Channels of the input and of the output.
        base_ch: Channels of the finest level; every level below has twice as many.
        levels: Number of poolings, 3 or 2; with 2 there are no ``enc3`` and ``dec3``.
        block_cls, up_cls: Convolution block and decoder step, which the variants replace.

    Raises:
        ValueError: If ``levels`` is neither 2 nor 3, or there is no channel.

    Example:
        >>> SimpleUNet(base_ch=8)(torch.zeros(2, 1, 17, 30)).shape
        torch.Size([2, 1, 17, 30])
    """

    def __init__(
        self,
        in_ch: int = 1,
        out_ch: int = 1,
        base_ch: int = 32,
        *,
        levels: int = 3,
        block_cls: BlockCls = DoubleConv,
        up_cls: Callable[[int, int, int], nn.Module] = UpBlock,
    ) -> None:
        super().__init__()
        check_channels(in_ch=in_ch, out_ch=out_ch, base_ch=base_ch)
        if levels not in (2, 3):
            raise ValueError(f"levels, the number of poolings, must be 2 or 3, got {levels}")
        self.in_ch, self.levels, c = in_ch, levels, base_ch
        self.enc1 = block_cls(in_ch, c)
        self.enc2 = DownBlock(c, 2 * c, block_cls)
        if levels == 3:
            self.enc3 = DownBlock(2 * c, 4 * c, block_cls)
            self.bottleneck = DownBlock(4 * c, 8 * c, block_cls)
            self.dec3 = up_cls(8 * c, 4 * c, 4 * c)
        else:
            self.bottleneck = DownBlock(2 * c, 4 * c, block_cls)
        self.dec2 = up_cls(4 * c, 2 * c, 2 * c)
        self.dec1 = up_cls(2 * c, c, c)
        self.out_conv = nn.Conv2d(c, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H, W)``, for any ``H, W >= 16``."""
        check_input(x, self.in_ch, MIN_SIZE)
        e1 = self.enc1(x)  # (N, c, H, W)
        e2 = self.enc2(e1)  # (N, 2c, H/2, W/2)
        if self.levels == 3:
            e3 = self.enc3(e2)  # (N, 4c, H/4, W/4)
            h = self.dec3(self.bottleneck(e3), e3)  # (N, 8c, H/8, W/8) -> (N, 4c, H/4, W/4)
        else:
            h = self.bottleneck(e2)  # (N, 4c, H/4, W/4)
        h = self.dec2(h, e2)  # (N, 2c, H/2, W/2)
        return self.out_conv(self.dec1(h, e1))  # (N, c, H, W) -> (N, out_ch, H, W)


class CorrectionUNet(SimpleUNet):
    r"""``SimpleUNet`` that predicts a correction, which is added to its input.

    .. math:: f_\Theta(x) = x + \mathrm{SimpleUNet}_\Theta(x)

    Arguments are those of ``SimpleUNet``; the input must lie in the space of the images, such as
    a filtered backprojection. Source: Jin, McCann, Froustey & Unser (FBPConvNet), IEEE TIP 26(9),
    2017, Sec. III; there with batch normalisation and four poolings.

    Raises:
        ValueError: If ``in_ch != out_ch``, or ``levels`` is neither 2 nor 3.

    Example:
        >>> CorrectionUNet(base_ch=8)(torch.zeros(2, 1, 17, 30)).shape
        torch.Size([2, 1, 17, 30])
    """

    def __init__(
        self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32, *, levels: int = 3
    ) -> None:
        if in_ch != out_ch:
            raise ValueError(
                "CorrectionUNet adds its input to its output, so in_ch must equal out_ch, got "
                f"in_ch={in_ch} and out_ch={out_ch}; make them equal or use SimpleUNet"
            )
        super().__init__(in_ch, out_ch, base_ch, levels=levels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to the corrected images, of the same shape."""
        return x + super().forward(x)


class ResidualUNet(SimpleUNet):
    """``SimpleUNet`` with a shortcut inside every block: easier to optimise, it is hoped.

    Source: Zhang, Liu & Wang (deep residual U-Net), IEEE GRSL 15(5), 2018.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        up_cls = partial(UpBlock, block_cls=ResidualDoubleConv)
        super().__init__(in_ch, out_ch, base_ch, block_cls=ResidualDoubleConv, up_cls=up_cls)


class AttentionUNet(SimpleUNet):
    """``SimpleUNet`` with a gate on every skip: more selective about what returns.

    Source: Oktay et al., arXiv:1804.03999, 2018, where only the deeper skips are gated.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        super().__init__(in_ch, out_ch, base_ch, up_cls=AttentionUpBlock)


class UNetPP(nn.Module):
    r"""A compact UNet++, whose intermediate nodes fuse the levels gradually.

    .. math:: x^{i,0} = H(\mathrm{pool}(x^{i-1,0})), \qquad
        x^{i,j} = H([x^{i,0}, \dots, x^{i,j-1}, \mathrm{up}(x^{i+1,j-1})])

    :math:`H` is ``DoubleConv``, up is bilinear; arguments are those of ``SimpleUNet``. Source:
    Zhou et al. (UNet++), DLMIA 2018, LNCS 11045, 3-11, Eq. (1); there with four poolings and deep
    supervision, here with two poolings and without.
    """

    def __init__(self, in_ch: int = 1, out_ch: int = 1, base_ch: int = 32) -> None:
        super().__init__()
        check_channels(in_ch=in_ch, out_ch=out_ch, base_ch=base_ch)
        self.in_ch, c = in_ch, base_ch
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.x0_0 = DoubleConv(in_ch, c)
        self.x1_0 = DoubleConv(c, 2 * c)
        self.x2_0 = DoubleConv(2 * c, 4 * c)
        self.x0_1 = DoubleConv(c + 2 * c, c)
        self.x1_1 = DoubleConv(2 * c + 4 * c, 2 * c)
        self.x0_2 = DoubleConv(c + c + 2 * c, c)
        self.out_conv = nn.Conv2d(c, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, in_ch, H, W)`` to ``(N, out_ch, H, W)``, for any ``H, W >= 16``."""
        check_input(x, self.in_ch, MIN_SIZE)
        x0_0 = self.x0_0(x)  # (N, c, H, W)
        x1_0 = self.x1_0(self.pool(x0_0))  # (N, 2c, H/2, W/2)
        x2_0 = self.x2_0(self.pool(x1_0))  # (N, 4c, H/4, W/4)
        x0_1 = self.x0_1(torch.cat([x0_0, pad_to(self.up(x1_0), x0_0)], dim=1))  # (N, c, H, W)
        x1_1 = self.x1_1(torch.cat([x1_0, pad_to(self.up(x2_0), x1_0)], dim=1))  # (N, 2c, H/2, W/2)
        x0_2 = self.x0_2(torch.cat([x0_0, x0_1, pad_to(self.up(x1_1), x0_0)], dim=1))
        return self.out_conv(x0_2)  # (N, c, H, W) -> (N, out_ch, H, W)
