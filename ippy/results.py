"""Stored results of the book's studies: plain data that pages and baselines read."""

import json

from ippy import paths

__all__ = ["load"]


def load(name: str) -> dict:
    """The stored result of a study: ``runs``, ``seconds``, ``machine`` and its summary.

    Raises:
        FileNotFoundError: If the study has not been run; the message says how to.
    """
    path = paths.result_file(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no result {path.name}; {paths.restore()}, or run "
            f"'python -m ippy study {name}'"
        )
    return json.loads(path.read_text("utf-8"))
