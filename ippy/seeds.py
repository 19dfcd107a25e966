"""Randomness that can be repeated: a function of a seed and an index."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["generator_for", "seeded", "set_seed"]

_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global CPU generator for a while, then give it its old state back.

    Networks are initialised from that generator. Threads wait for each other here, so that none
    draws from another one's seed.

    Args:
        seed: Seed of what is drawn inside.

    >>> with seeded(3):
    ...     first = torch.rand(1)
    >>> with seeded(3):
    ...     bool(torch.rand(1) == first)
    True
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


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
