"""The networks of the book: pure ``nn.Module`` classes, without training code or file access."""

from ippy.models.cnn import ResCNN, SimpleCNN
from ippy.models.unet import (
    AttentionGate,
    AttentionUNet,
    AttentionUpBlock,
    DoubleConv,
    DownBlock,
    ResidualDoubleConv,
    ResidualUNet,
    SimpleUNet,
    UNetPP,
    UpBlock,
)

__all__ = [
    "AttentionGate",
    "AttentionUNet",
    "AttentionUpBlock",
    "DoubleConv",
    "DownBlock",
    "ResCNN",
    "ResidualDoubleConv",
    "ResidualUNet",
    "SimpleCNN",
    "SimpleUNet",
    "UNetPP",
    "UpBlock",
]
