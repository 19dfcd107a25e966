"""What all runs of a study need is made once, also where several threads ask for it at once."""

import threading
from collections.abc import Callable, Hashable
from functools import update_wrapper
from typing import Any, TypeVar, cast

__all__ = ["once"]

F = TypeVar("F", bound=Callable[..., Any])


def once(function: F) -> F:
    """Keep what a function returns for each set of arguments; threads wait for the first one.

    Args:
        function: Of positional and hashable arguments.

    Returns:
        The function, with ``cache_clear()``.
    """
    kept: dict[Hashable, Any] = {}
    locks: dict[Hashable, threading.Lock] = {}

    def get(*args: Hashable) -> Any:
        with locks.setdefault(args, threading.Lock()):
            if args not in kept:
                kept[args] = function(*args)
            return kept[args]

    def clear() -> None:
        kept.clear()

    get.cache_clear = clear  # type: ignore[attr-defined]
    return cast(F, update_wrapper(get, function))
