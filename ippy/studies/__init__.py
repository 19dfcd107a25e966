"""The book's experiments over seeds: run once, resumable run by run, stored as JSON.

Each study is a module that lists its runs, and one line of :data:`STUDIES`. In the studies of
chains and in ``fields`` a seed decides the initialisation, and batches, crops and noise are the
same in all runs; in those of the UNets it decides everything. Pages plot the stored results,
``weights/results/<name>.json``, which :func:`result` reads.

A study that is run again computes what is missing. A network of :data:`ippy.networks.NETWORKS` that
a chapter explains adds its runs, and leaves the stored ones as they are.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ippy import paths, results
from ippy.studies import (
    baselines,
    comparison,
    cost,
    depth,
    doublings,
    few_view_baselines,
    few_view_squares,
    few_views,
    fields,
    generalisation,
    recipe,
    recipe_long,
    robustness,
    runner,
    skip_and_start,
    skips,
    starts,
    variants,
)
from ippy.studies.chains import Chain, DeepChain
from ippy.studies.depth import KINDS, gradient_norms
from ippy.studies.runner import Run

__all__ = [
    "KINDS",
    "STUDIES",
    "Chain",
    "DeepChain",
    "Run",
    "accept",
    "gradient_norms",
    "result",
    "run",
    "stale",
]

#: Name -> module with its ``QUESTION``, a function ``runs()`` and, where results are summarised,
#: ``summarise(runs)``.
STUDIES: dict[str, ModuleType] = {
    "baselines": baselines,
    "few_view_baselines": few_view_baselines,
    "skip_and_start": skip_and_start,
    "generalisation": generalisation,
    "depth": depth,
    "fields": fields,
    "few_views": few_views,
    "few_view_squares": few_view_squares,
    "starts": starts,
    "skips": skips,
    "variants": variants,
    "comparison": comparison,
    "recipe": recipe,
    "recipe_long": recipe_long,
    "doublings": doublings,
    "robustness": robustness,
    "cost": cost,
}

result = results.load


def run(
    name: str,
    out: Path | None = None,
    study: tuple[Callable[[], list[Run]], Callable[[list[dict]], dict] | None] | None = None,
    *,
    renew: bool = False,
    jobs: int = 1,
) -> results.Study:
    """Compute what is missing of study ``name`` and store the result.

    Args:
        name: Key of :data:`STUDIES`.
        out: Folder of the result, which the study begins with. If None, ``weights/results`` of
            :func:`ippy.paths.output_dir`; it begins with the book's.
        study: Functions that list and summarise the runs; those of :data:`STUDIES` if None.
        renew: Compute those, too, whose code has changed since.
        jobs: Number of runs at a time, in threads.
    """
    make_runs, summarise = study or _functions(name)
    path = Path(out or paths.output_dir() / "results") / f"{name}.json"
    start = path if out else _stored(name)
    return runner.perform(name, make_runs(), summarise, path, start=start, renew=renew, jobs=jobs)


def stale(name: str) -> list[str]:
    """What of a stored study is missing, out of date or left over, one line for each run.

    A run of other code than today's is named, too; whether that code computes anything else, only
    ``python -m ippy study NAME --renew`` can tell.
    """
    return runner.stale(_functions(name)[0](), _stored(name))


def accept(name: str) -> results.Study:
    """Say that the stored runs of a study hold, although the text of their code has changed.

    Raises:
        FileNotFoundError: If the study has not been run.
        ValueError: If runs are missing or depend on something else than today's.
    """
    make_runs, summarise = _functions(name)
    path = paths.output_dir() / "results" / f"{name}.json"
    return runner.accept(name, make_runs(), summarise, path, start=_stored(name))


def _stored(name: str) -> Path:
    """The file of a result: what was computed here, else the book's."""
    own = paths.output_dir() / "results" / f"{name}.json"
    return own if own.is_file() else paths.WEIGHTS / "results" / f"{name}.json"


def _functions(name: str) -> tuple[Callable[[], list[Run]], Callable[[list[dict]], dict] | None]:
    module = STUDIES[name]
    return module.runs, getattr(module, "summarise", None)
