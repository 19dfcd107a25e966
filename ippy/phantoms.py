"""Procedural images: dead leaves and slices of a thorax as computed tomography shows them."""

from .dead_leaves import dead_leaves
from .thorax import thorax

__all__ = ["GENERATOR_VERSION", "dead_leaves", "thorax"]

#: Part of every cache key; raised whenever the same seed gives other images.
GENERATOR_VERSION = 2
