"""What was measured: every study with its question, size and cost, and each of its runs."""

from collections.abc import Iterable
from copy import copy
from math import fsum

from ippy import results
from ippy.results import Study
from ippy.studies.runner import ABOUT
from ippy.tables import Cell, Table

__all__ = ["all_studies", "table"]


#: Characters of the widest table that a page of 1280 pixels shows whole.
WIDEST = 60


class _Runs(Table):
    """A table that a page shows in parts where it is too wide, each with the columns of fields."""

    n_fields = 1

    def parts(self) -> list[Table]:
        """The table, or some of its columns at a time."""
        fields, room = [*range(self.n_fields)], 0
        found: list[list[int]] = []
        for i in range(self.n_fields, len(self.columns)):
            if not found or room < self._width(i):
                found.append([*fields])
                room = WIDEST - sum(map(self._width, fields))
            found[-1].append(i)
            room -= self._width(i)
        return [self._part(columns, first=not k) for k, columns in enumerate(found)]

    def _width(self, i: int) -> int:
        """Characters of a column: titles and words wrap, numbers do not."""
        texts = [row[i] for row in self.cells]
        words = [text for text in texts if self.numeric[i]] or [w for t in texts for w in t.split()]
        return max(map(len, [*self.columns[i].split(), *words])) + 3

    def _part(self, columns: list[int], first: bool) -> Table:
        part = copy(self)
        part.columns = [self.columns[i] for i in columns]
        part.numeric = [self.numeric[i] for i in columns]
        part.cells = [[row[i] for i in columns] for row in self.cells]
        part.caption = self.caption if first else f"{self.caption.split(';')[0]}, further columns"
        return part

    def _repr_html_(self) -> str:
        return "".join(Table._repr_html_(part) for part in self.parts())


def all_studies(modules: dict) -> Table:
    """One row for each study that is stored: question, runs, seeds, cost, machine.

    Args:
        modules: Name -> module of the study, as :data:`ippy.studies.STUDIES`.
    """
    rows = []
    for name, module in modules.items():
        try:
            study = results.load(name)
        except FileNotFoundError:
            continue
        runs = study["runs"]
        seeds = {run["seed"] for run in runs if run.get("seed") is not None}
        rows.append(
            {
                "study": name,
                "question": module.QUESTION,
                "runs": len(runs),
                "seeds": len(seeds) or None,
                "minutes": study["seconds"] / 60,
                "last run": max((run.get("date", "") for run in runs), default="") or None,
                "on": ", ".join(_machines(study)),
            }
        )
    return Table(rows, "All studies of the book", digits=0)


def _machines(study: Study) -> Iterable[str]:
    """Where the runs of a study were computed, each machine once."""
    for run in study["runs"]:
        run.setdefault("machine", study["machine"])
    found = [run["machine"] for run in study["runs"]]
    return dict.fromkeys(m.get("accelerator") or f"{m['processor']}, CPU" for m in found)


def table(name: str) -> Table:
    """Every run of a stored study: its fields, and its values in short.

    A list of numbers, such as the PSNR of each image, stands as its mean; of a curve, where values
    belong to steps, the last value stands. What has parts of its own is left to the file, and so is
    a setting that the name of the network tells. What is the same in all runs stands in the
    caption.

    Args:
        name: Name of a stored study.

    Raises:
        FileNotFoundError: If no result of this name is stored.
    """
    study = results.load(name)
    values = dict.fromkeys(key for run in study["runs"] for key in run)
    kept = [key for key in values if key not in (*ABOUT, *study["fields"])]
    fields = [field for field in study["fields"] if not _told_by_name(study, field)]
    rows = []
    for run in study["runs"]:
        row: dict[str, Cell] = {field: _text(run.get(field)) for field in fields}
        row |= {key: _short(key, run.get(key)) for key in kept}
        rows.append({**row, "seconds": round(run["seconds"])})
    always = (*fields[:1], "seconds")
    shown = [c for c in rows[0] if c in always or len({row[c] for row in rows}) > 1]
    shared = {_title(c): value for c, value in rows[0].items() if c not in shown}
    known = [f"{c} {_in_words(value)}" for c, value in shared.items() if value is not None]
    caption = f"The study {name}" + (f"; in all runs {', '.join(known)}" if known else "")
    plain = [{_title(c): row[c] for c in shown} for row in rows]
    found = _Runs(plain, caption, digits={_title(c): _digits(c) for c in shown})
    found.n_fields = sum(c in fields for c in shown)
    return found


def _told_by_name(study: Study, field: str) -> bool:
    """Whether a setting has one value for each network, so that the network's name tells it."""
    values: dict[object, set] = {}
    for run in study["runs"]:
        values.setdefault(run.get("network"), set()).add(repr(run.get(field)))
    named = field not in ("network", "seed") and "network" in study["fields"]
    return named and len(values) > 1 and all(len(found) == 1 for found in values.values())


def _title(column: str) -> str:
    """A column's name in words, which can be wrapped."""
    return column.replace("_", " ")


def _in_words(value: Cell) -> str:
    """A value in a sentence."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _digits(column: str) -> int:
    """Decimals of a column: errors have four, decibels two, seconds none."""
    if column.endswith("mse"):
        return 4
    return 0 if column.endswith("seconds") else 2


def _text(value: object) -> Cell:
    return value if value is None else str(value)


def _short(key: str, value: object) -> Cell:
    """A value that fits into a cell, or None."""
    if isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
        curve = key == "step" or key.startswith("val_")
        return value[-1] if curve else fsum(value) / len(value)
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None
