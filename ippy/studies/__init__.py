"""The book's experiments over seeds: run once, resumable run by run, stored as JSON.

A study is a dictionary of runs. Each run is a function without arguments that returns plain data.
In ``residual`` and ``width`` its seed decides the initialisation, and batches, crops and noise are
the same in all runs; in ``family`` it decides everything. What is finished is kept in the user's
cache directory, so an interrupted study goes on where it stopped, unless its file has changed
since. Pages plot the result, ``weights/results/<name>.json``.
"""

import hashlib
import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ippy import host, paths, results
from ippy.files import atomic_write
from ippy.studies import (
    baselines,
    comparison,
    cost,
    depth,
    generalisation,
    robustness,
    skip_and_start,
    skips,
    variants,
    width,
)
from ippy.studies.chains import Chain, DeepChain
from ippy.studies.depth import KINDS, gradient_norms

__all__ = ["KINDS", "STUDIES", "Chain", "DeepChain", "gradient_norms", "result", "run"]

#: Name -> function that gives the runs, function that summarises them.
STUDIES: dict[str, tuple[Callable[[], dict], Callable[[dict], dict]]] = {
    "baselines": (baselines.baselines, baselines.choose),
    "skip_and_start": (skip_and_start.skip_and_start, lambda done: {}),
    "generalisation": (generalisation.generalisation, lambda done: {}),
    "depth": (depth.depth, lambda done: {}),
    "width": (width.runs, lambda done: {}),
    "skips": (skips.skips, lambda done: {}),
    "variants": (variants.variants, lambda done: {}),
    "comparison": (comparison.comparison, lambda done: {}),
    "robustness": (robustness.robustness, lambda done: {}),
    "cost": (cost.cost, lambda done: {}),
}


result = results.load


def run(name: str, out: Path | None = None, study: tuple | None = None) -> dict:
    """Run what is missing of study ``name`` and store the result.

    Args:
        name: Key of :data:`STUDIES`.
        out: Folder of the result; ``weights/results`` if None.
        study: Functions that make and summarise the runs; those of :data:`STUDIES` if None.
    """
    make_runs, summarise = study or STUDIES[name]
    source = Path(inspect.getsourcefile(make_runs))
    code = hashlib.sha256(source.read_bytes()).hexdigest()[:8]  # other settings: start anew
    partial_path = paths.cache_dir() / "studies" / f"{name}-{code}.json"
    done = json.loads(partial_path.read_text("utf-8")) if partial_path.is_file() else {}
    runs = make_runs()
    for key in tqdm([key for key in runs if key not in done], desc=name, unit="run"):
        start = time.perf_counter()
        done[key] = {**runs[key](), "seconds": round(time.perf_counter() - start, 1)}
        atomic_write({partial_path: json.dumps(done).encode()})
    stored = {
        "study": name,
        **summarise(done),
        "seconds": round(sum(value["seconds"] for value in done.values())),
        "machine": host.machine(),
        "runs": {key: done[key] for key in runs},
    }
    text = json.dumps(stored, indent=1) + "\n"
    path = Path(out or paths.WEIGHTS / "results") / f"{name}.json"
    atomic_write({path: text.encode()})
    partial_path.unlink(missing_ok=True)
    return stored
