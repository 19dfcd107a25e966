"""How a study is computed: run by run, from what is stored, only what is missing.

A study is a module with a function ``runs()`` that lists its runs, and may have
``summarise(runs)``. What is finished is kept in the user's cache directory, so that an interrupted
study goes on where it stopped.
"""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ippy import host, paths, results
from ippy.datasets.phantoms import GENERATOR_VERSION, GENERATORS
from ippy.files import atomic_write
from ippy.networks import Recipe
from ippy.studies import sources
from ippy.tasks import TASKS

__all__ = ["ABOUT", "Run", "accept", "identity", "perform", "stale"]

#: What a stored run says about itself, besides its fields and what was measured.
ABOUT = ("depends", "sources", "seconds", "date", "machine")


@dataclass(frozen=True)
class Run:
    """One run of a study.

    Args:
        fields: What tells it from the others: ``{"network": "UNet", "seed": 0}``; plain data.
        compute: Gives what is measured, as plain data.
        depends: What it depends on as a hash: if that changes, the stored result is not used.
        code: Functions, classes and names of such whose code decides the result, see
            ``ippy.studies.sources.digest``; ``compute`` alone if empty.
        missing: Why it cannot be computed here; it is left out then.
    """

    fields: dict
    compute: Callable[[], dict]
    depends: str = ""
    code: tuple[Callable | str, ...] = ()
    missing: str = ""

    @property
    def key(self) -> str:
        """The fields as text, the same for the same fields."""
        return _key(self.fields)

    @property
    def sources(self) -> str:
        """Hash of the code, that of the images included.

        A stored result of other code is used, but may be out of date.
        """
        function = self.compute
        while isinstance(function, partial):
            function = function.func
        images = GENERATORS[GENERATOR_VERSION].values()
        return sources.digest(*(self.code or (function,)), *images)


def _key(named: dict) -> str:
    kept = {name: value for name, value in named.items() if value is not None}
    return json.dumps(kept, sort_keys=True)


def identity(*parts: object) -> str:
    """Twelve hex digits that change with any part.

    Args:
        parts: Plain data. A :class:`ippy.networks.Recipe` counts with its settings that are not
            the defaults, and with the probe of its task.
    """
    plain = [_settings(part) if isinstance(part, Recipe) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _settings(recipe: Recipe) -> dict:
    """A recipe as plain data; a setting that is added later changes nothing where it is unused."""
    default = Recipe(recipe.model)
    names = [field.name for field in fields(recipe) if field.name != "quick_steps"]
    changed = {n: getattr(recipe, n) for n in names if getattr(recipe, n) != getattr(default, n)}
    return {"model": recipe.model, **changed, "task": TASKS[recipe.task].probe()}


def _stored(path: Path) -> dict[str, dict]:
    """The runs in a file by their fields."""
    if not path.is_file():
        return {}
    study = results.read(path)
    return {_key({n: run.get(n) for n in study["fields"]}): run for run in study["runs"]}


def _names(runs: Iterable[Run]) -> list[str]:
    """The names of all fields, in the order in which they occur."""
    return list(dict.fromkeys(name for run in runs for name in run.fields))


def perform(
    name: str,
    runs: list[Run],
    summarise: Callable[[list[dict]], dict] | None,
    path: Path,
    *,
    start: Path | None = None,
    renew: bool = False,
    jobs: int = 1,
) -> results.Study:
    """Compute what is missing of a study and store the result.

    Args:
        name: Name of the study.
        runs: All its runs. What is stored of others is dropped.
        summarise: Gives what is stored beside the runs.
        path: File of the result.
        start: File of the result that it begins with if it is there; ``path`` if None.
        renew: Compute those, too, whose code has changed since.
        jobs: Number of runs at a time, in threads: for a GPU, which one small network does not
            fill.
    """
    partial_path = paths.cache_dir() / "studies" / f"{name}.json"
    start = start or path
    stored, waiting = _stored(start), _stored(partial_path)
    for run in runs:
        if run.missing:
            print(f"{name}: left out {_text(run.fields)}: {run.missing}", file=sys.stderr)
    runs = [run for run in runs if not run.missing]
    # what is stored comes before what an interrupted study has left in the cache
    done = {r.key: k[r.key] for r in runs for k in (waiting, stored) if _fits(r, k, renew)}
    old = results.read(start) if start.is_file() else {}
    machine, todo = host.machine(), [run for run in runs if run.key not in done]
    saving = threading.Lock()

    def finish(run: Run) -> None:
        clock = time.perf_counter()
        values = json.loads(json.dumps(run.compute()))  # as it will be read
        if twice := set(values) & {*run.fields, *ABOUT}:
            raise ValueError(f"study {name}: {', '.join(sorted(twice))} is a field and a value")
        about: dict[str, object] = {"depends": run.depends, "sources": run.sources}
        about["seconds"] = round(time.perf_counter() - clock, 1)
        about["date"] = datetime.now(UTC).date().isoformat()
        about["machine"] = machine
        with saving:
            done[run.key] = {**run.fields, **about, **values}
            found = {"study": name, "fields": _names(runs), "runs": list(done.values())}
            atomic_write({partial_path: json.dumps(found).encode()})

    with ThreadPoolExecutor(jobs) as pool:
        work = pool.map(finish, todo) if jobs > 1 else map(finish, todo)
        for _ in tqdm(work, desc=name, total=len(todo), unit="run", disable=not todo):
            pass
    stored = _store(path, name, runs, done, summarise, old.get("machine", machine))
    partial_path.unlink(missing_ok=True)
    return stored


def _fits(run: Run, kept: dict[str, dict], renew: bool) -> bool:
    """Whether a stored run may stand for this one."""
    stored = kept.get(run.key)
    if stored is None or stored["depends"] != run.depends:
        return False
    return not renew or stored["sources"] == run.sources


def _store(
    path: Path,
    name: str,
    runs: list[Run],
    done: dict[str, dict],
    summarise: Callable[[list[dict]], dict] | None,
    machine: dict,
) -> results.Study:
    """Write the file of a study; its runs name their machine where it is another."""
    ordered = [{**done[run.key]} for run in runs]
    for run in ordered:
        if run.get("machine") == machine:
            del run["machine"]
    study = results.Study(
        study=name,
        **(summarise(ordered) if summarise else {}),
        seconds=round(sum(run["seconds"] for run in ordered)),
        machine=machine,
        fields=_names(runs),
        runs=ordered,
    )
    atomic_write({path: (json.dumps(study, indent=1) + "\n").encode()})
    return study


def _text(named: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items())


def stale(runs: list[Run], path: Path) -> list[str]:
    """What of a study is missing, out of date or left over, one line for each run."""
    kept, lines = _stored(path), []
    for run in runs:
        if run.missing:
            continue
        if run.key not in kept:
            lines.append(f"{_text(run.fields)}: is not stored")
        elif kept[run.key]["depends"] != run.depends:
            lines.append(f"{_text(run.fields)}: is of another recipe, task or weight file")
        elif kept[run.key]["sources"] != run.sources:
            lines.append(f"{_text(run.fields)}: its code has changed since")
    keys = {run.key for run in runs if not run.missing}
    gone = [_text(json.loads(key)) for key in kept if key not in keys]
    return lines + [f"{text}: is no run any more" for text in gone]


def accept(
    name: str,
    runs: list[Run],
    summarise: Callable | None,
    path: Path,
    *,
    start: Path | None = None,
) -> results.Study:
    """Say that stored runs hold although their code has changed: it computes the same.

    Arguments as of :func:`perform`.

    Raises:
        ValueError: If runs are missing, or belong to another recipe, task or weight file.
    """
    start = start or path
    kept = _stored(start)
    runs = [run for run in runs if not run.missing]
    if wrong := [run for run in runs if not _fits(run, kept, False)]:
        raise ValueError(
            f"study {name} has to be run: {len(wrong)} of its runs are missing or of another "
            f"recipe, task or weight file, the first is {_text(wrong[0].fields)}"
        )
    done = {run.key: {**kept[run.key], "sources": run.sources} for run in runs}
    return _store(path, name, runs, done, summarise, results.read(start)["machine"])
