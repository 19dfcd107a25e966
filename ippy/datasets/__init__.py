"""Images to train and test on: a folder of CT slices, or procedural images.

Every item is a float32 tensor ``(1, H, W)`` in [0, 1]; blur and noise are added later.
"""

from ippy.datasets.cache import materialise
from ippy.datasets.fine import FinePictures
from ippy.datasets.folder import MayoDataset
from ippy.datasets.phantoms import GENERATOR_VERSION
from ippy.datasets.synthetic import KINDS, SPLIT_SEEDS, SyntheticDataset

__all__ = [
    "GENERATOR_VERSION",
    "KINDS",
    "SPLIT_SEEDS",
    "FinePictures",
    "MayoDataset",
    "SyntheticDataset",
    "materialise",
]
