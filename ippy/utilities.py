"""The course's names for small things, each defined where it belongs."""

from ippy.files import atomic_write
from ippy.host import get_device
from ippy.images import load_image
from ippy.operators.noise import gaussian_noise
from ippy.plotting import plot_history, show_images
from ippy.seeds import generator_for, set_seed

__all__ = [
    "atomic_write", "gaussian_noise", "generator_for", "get_device", "load_image", "plot_history",
    "set_seed", "show_images",
]  # fmt: skip
