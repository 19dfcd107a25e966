"""Randomness that can be repeated: a function of a seed and an index."""

import random

import numpy as np
import torch

__all__ = ["generator_for", "set_seed"]


def set_seed(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return a CPU generator of its own with the same seed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - seeds code of readers that uses the global generator
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def generator_for(seed: int, index: int = 0) -> torch.Generator:
    """A CPU generator that is a function of (``seed``, ``index``): of a run and its step, say.

    PyTorch seeds its CPU generator with the lower 32 bits alone, hence the arithmetic.
    """
    return torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**32)
