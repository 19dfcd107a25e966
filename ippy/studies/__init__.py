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

from ippy import data, weights
from ippy.studies import family, residual, width
from ippy.studies.residual import KINDS, Chain, DeepChain, gradient_norms
from ippy.utilities import atomic_write

__all__ = ["KINDS", "STUDIES", "Chain", "DeepChain", "gradient_norms", "result", "run"]

#: Name -> function that gives the runs, function that summarises them.
STUDIES: dict[str, tuple[Callable[[], dict], Callable[[dict], dict]]] = {
    "baselines": (residual.baselines, residual.choose),
    "skip_and_start": (residual.skip_and_start, lambda done: {}),
    "generalisation": (residual.generalisation, lambda done: {}),
    "depth": (residual.depth, lambda done: {}),
    "width": (width.runs, lambda done: {}),
    "skips": (family.skips, lambda done: {}),
    "variants": (family.variants, lambda done: {}),
    "comparison": (family.comparison, lambda done: {}),
    "robustness": (family.robustness, lambda done: {}),
    "cost": (family.cost, lambda done: {}),
}


def result(name: str) -> dict:
    """The stored result of a study: ``runs`` (key -> data), ``seconds``, ``machine``, summary.

    Raises:
        FileNotFoundError: If the study has not been run; the message says how to.
    """
    path = weights.WEIGHTS_DIR / "results" / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no result {path.name}; restore it with 'git checkout weights' or run "
            f"'python -m ippy study {name}'"
        )
    return json.loads(path.read_text("utf-8"))


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
    partial_path = data.cache_dir() / "studies" / f"{name}-{code}.json"
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
        "machine": weights.machine(),
        "runs": {key: done[key] for key in runs},
    }
    text = json.dumps(stored, indent=1) + "\n"
    path = Path(out or weights.WEIGHTS_DIR / "results") / f"{name}.json"
    atomic_write({path: text.encode()})
    partial_path.unlink(missing_ok=True)
    return stored
