"""Procedural images, by generation and kind: dead leaves, slices of a thorax, landscapes.

Version 2 draws flat shapes. Version 3 fills them with textures, and keeps the picture on a finer
grid and the scanner's noise apart.
"""

from collections.abc import Callable

import numpy as np

from ippy.datasets.phantoms.dead_leaves import dead_leaves
from ippy.datasets.phantoms.landscape import landscape
from ippy.datasets.phantoms.picture import Picture
from ippy.datasets.phantoms.textured_leaves import textured_leaves
from ippy.datasets.phantoms.textured_thorax import textured_thorax
from ippy.datasets.phantoms.thorax import thorax

__all__ = [
    "GENERATORS", "GENERATOR_VERSION", "Picture", "dead_leaves", "landscape", "textured_leaves",
    "textured_thorax", "thorax",
]  # fmt: skip

#: The version that is drawn unless another one is asked for.
GENERATOR_VERSION = 3

#: How a kind is drawn: from a generator of random numbers and the shape ``(H, W)``, version 2
#: returns the image, later versions a :class:`Picture`.
Draw = Callable[[np.random.Generator, tuple[int, int]], "np.ndarray | Picture"]

#: Version → kind → function. A version is part of every cache key, so a function that gives other
#: images for the same seed belongs to a new one.
GENERATORS: dict[int, dict[str, Draw]] = {
    2: {"dead_leaves": dead_leaves, "thorax": thorax},
    3: {"dead_leaves": textured_leaves, "thorax": textured_thorax, "landscape": landscape},
}
