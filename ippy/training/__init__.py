"""Training: a loop for any task, batches made on the fly, checkpoints, and ``load_or_train``."""

from ippy.training.batches import MeasuredCrops, as_images, validation_pairs
from ippy.training.devices import fast_path
from ippy.training.live import LiveView
from ippy.training.loop import train
from ippy.training.optimizers import optimizer_for
from ippy.training.pairs import PairedCrops, given_pairs
from ippy.training.runs import batches_of, load_or_train, train_and_save, train_recipe

__all__ = [
    "LiveView",
    "MeasuredCrops",
    "PairedCrops",
    "as_images",
    "batches_of",
    "fast_path",
    "given_pairs",
    "load_or_train",
    "optimizer_for",
    "train",
    "train_and_save",
    "train_recipe",
    "validation_pairs",
]
