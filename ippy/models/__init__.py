"""The networks of the book: pure ``nn.Module`` classes, without training code or file access."""

from ippy.models.cnn import ResCNN, SimpleCNN
from ippy.models.initialisation import (
    he_identity_init,
    he_init,
    identity_init,
    zero_output_init,
)
from ippy.models.unet import (
    AttentionGate,
    AttentionUNet,
    AttentionUpBlock,
    CorrectionUNet,
    DoubleConv,
    DownBlock,
    ResidualDoubleConv,
    ResidualUNet,
    SimpleUNet,
    UNetPP,
    UpBlock,
)
from ippy.models.unet_3d import DoubleConv3d, DownBlock3d, UNet3D, UpBlock3d

__all__ = [
    "AttentionGate",
    "AttentionUNet",
    "AttentionUpBlock",
    "CorrectionUNet",
    "DoubleConv",
    "DoubleConv3d",
    "DownBlock",
    "DownBlock3d",
    "ResCNN",
    "ResidualDoubleConv",
    "ResidualUNet",
    "SimpleCNN",
    "SimpleUNet",
    "UNet3D",
    "UNetPP",
    "UpBlock",
    "UpBlock3d",
    "he_identity_init",
    "he_init",
    "identity_init",
    "zero_output_init",
]
