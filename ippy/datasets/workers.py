"""Worker processes that make images: how many, and what happens when one fails."""

import multiprocessing
import os
import warnings
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_workers", "number_of_workers"]

T = TypeVar("T")


def number_of_workers(n_images: int, *, least: int, most: int) -> int:
    """One per core and at most ``most``; none for fewer than ``least`` images."""
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return min(most, len(mine)) if n_images >= least else 0


def in_workers(make: Callable[[int], T], workers: int) -> T:
    """Call ``make`` with a number of worker processes, or with none if they cannot be started.

    Raises:
        OSError: As a worker did, in its own words: an image cannot be read.
        RuntimeError: If a script lacks ``if __name__ == "__main__":``.
        ValueError: As a worker did, in its own words.
    """
    if multiprocessing.current_process().daemon:  # it may not have processes of its own
        workers = 0
    try:
        return make(workers)
    except (OSError, ValueError) as error:
        # torch puts the worker's traceback into the message; the error itself is its last line
        if not str(error).startswith("Caught "):
            if workers and isinstance(error, OSError):  # the system has no more processes to give
                return _alone(make, error)
            raise
        words = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise type(error)(words) from None
    except RuntimeError as error:
        # a worker that runs a script once more, for want of its __main__ guard, has to end
        if workers == 0 or "bootstrapping" in str(error):
            raise
        return _alone(make, error)


def _alone(make: Callable[[int], T], error: Exception) -> T:
    warnings.warn(f"worker processes failed ({error}); continuing in one", stacklevel=4)
    return make(0)
