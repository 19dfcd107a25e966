"""Randomness that can be repeated: a function of a seed and an index."""

import operator
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["generator_for", "seeded", "set_seed"]

_GLOBAL = threading.RLock()  # held by who uses torch's global generator


def set_seed(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return a CPU generator of its own with the same seed."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - seeds code of readers that uses the global generator
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from PyTorch's global generator as if freshly seeded, one thread at a time.

    What it drew before goes on afterwards: initialising a network changes nothing else.
    """
    with _GLOBAL, torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        yield


def generator_for(seed: int, index: int = 0) -> torch.Generator:
    """A CPU generator that is a function of (``seed``, ``index``): of a run and its step, say.

    PyTorch seeds its CPU generator with the lower 32 bits alone, hence the arithmetic.
    """
    seed, index = operator.index(seed), operator.index(index)  # also of NumPy
    return torch.Generator().manual_seed((seed * 1_000_003 + index) % 2**32)
