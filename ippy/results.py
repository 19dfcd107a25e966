"""Stored results of the book's studies: plain data that pages and baselines read."""

import json
from pathlib import Path

from ippy import paths

__all__ = ["Study", "load", "read"]


class Study(dict):
    """A stored study: its summary as a dictionary, and its runs to choose from.

    Every run is a dictionary that holds the fields which tell it from the others (``network``,
    ``seed``, …), what was measured, and how long that took. ``study["fields"]`` names the fields.
    """

    def runs(self, **fields: object) -> list[dict]:
        """The runs that have these values of fields, in the order of the study.

        Args:
            fields: Values such as ``network="UNet", seed=0``; None for runs without that field.

        Raises:
            ValueError: If the study has no such field.

        >>> [run["seed"] for run in load("skips").runs(network="UNet without skips")]
        [0, 1, 2]
        """
        if unknown := set(fields) - set(self["fields"]):
            raise ValueError(
                f"the runs of study {self['study']} have no {' or '.join(sorted(unknown))}; choose "
                f"among them by {', '.join(self['fields'])}"
            )
        return [
            run
            for run in self["runs"]
            if all(run.get(name) == value for name, value in fields.items())
        ]

    def run(self, **fields: object) -> dict:
        """The one run that has these values of fields; arguments as of :meth:`runs`.

        Raises:
            ValueError: If there is none, or more than one; the message says which there are.

        >>> len(load("skips").run(network="UNet", weights="shipped")["psnr"])
        32
        """
        found = self.runs(**fields)
        if len(found) == 1:
            return found[0]
        wanted = ", ".join(f"{name}={value!r}" for name, value in fields.items()) or "no condition"
        if found:
            values = self._values(found)
            advice = "say which: " + "; ".join(v for v in values if "," in v)
        else:
            asked = {name: self._values(self["runs"])[i] for i, name in enumerate(self["fields"])}
            advice = "there are " + "; ".join(text for n, text in asked.items() if n in fields)
        raise ValueError(
            f"study {self['study']} has {len(found)} runs with {wanted}, expected one; {advice}"
        )

    def _values(self, runs: list[dict]) -> list[str]:
        """For each field the values that occur, as text."""
        texts = []
        for name in self["fields"]:
            values = dict.fromkeys(repr(run.get(name)) for run in runs)
            texts.append(f"{name} {', '.join(values)}")
        return texts


def read(path: Path) -> Study:
    """The study in a file."""
    return Study(json.loads(path.read_text("utf-8")))


def load(name: str) -> Study:
    """The stored result of a study: its runs, ``seconds``, ``machine`` and its summary.

    Raises:
        FileNotFoundError: If the study has not been run; the message says how to.
    """
    path = paths.result_file(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no result {path.name}; {paths.restore()}, or run "
            f"'python -m ippy study {name}'"
        )
    return read(path)
