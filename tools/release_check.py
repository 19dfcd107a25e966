"""What is stale before a release, line by line; called by ``run.py release-check``.

These things are measured or computed over hours and cannot follow every edit, so the tests leave
them alone. The exit code is 1 if there is anything to renew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from execute import sentence
from staleness import Sources, code_cells, reasons

ROOT = Path(__file__).resolve().parents[1]
#: A chapter's cells and a live training have to fit into a lecture.
SECONDS = 60


def notebooks(root: Path) -> list[str]:
    """Notebooks whose code, library or data changed since they were run."""
    sources, found = Sources(root), []
    for path in sorted((root / "book").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        why = reasons(notebook.metadata.get("ippy"), sources.marks(notebook, path.name))
        found += [f"{path.name}: {sentence(why)}"] if why else []
    return found


def lecture(root: Path, networks: Iterable[str]) -> list[str]:
    """Cells and live trainings whose times are missing, of other code, or too long."""
    stored = json.loads((root / "benchmarks/results/lecture.json").read_text("utf-8"))
    pages = {path.stem: path for path in sorted((root / "book").glob("*.ipynb"))}
    page = pages.pop("instructors")  # it shows the times
    found = [f"{name}: timed, but no chapter" for name in sorted({*stored["cells"]} - {*pages})]
    for name, path in pages.items():
        timed = stored["cells"].get(name, [])
        known = {cell["code"] for cell in timed}
        code = code_cells(nbformat.read(path, as_version=4))
        new = [number for number, source in enumerate(code, start=1) if source not in known]
        if new:
            found.append(f"{name}: no times of code cells {', '.join(map(str, new))}")
        if (total := sum(cell["seconds"] for cell in timed)) > SECONDS:
            found.append(f"{name}: {total:.0f} s are too slow for a lecture")
    for key in networks:
        run = stored["quick"].get(key)
        if run is None:
            found.append(f"{key}: no live training was timed")
        elif run["seconds"] > SECONDS or run["after"] < run["before"] + 0.3:
            gain = run["after"] - run["before"]
            found.append(f"{key}: live, {run['seconds']:.0f} s bring {gain:+.1f} dB")
    if "not timed" in str([cell.get("outputs") for cell in nbformat.read(page, 4).cells]):
        found.append("instructors.ipynb shows cells that are not timed")
    return found


def runs(name: str, stored: dict, wanted: Iterable[str]) -> list[str]:
    """Runs of a study that are missing from its stored result, or that it has no longer."""
    missing = [run for run in wanted if run not in stored["runs"]]
    gone = [run for run in stored["runs"] if run not in set(wanted)]
    found = []
    if missing:
        found.append(f"{name}: {len(missing)} runs are missing, the first: {missing[0]}")
    if gone:
        found.append(f"{name}: has {gone[0]}, which is no run any more")
    return found


def studies() -> list[str]:
    """Stored studies and benchmarks whose runs are not those of the code."""
    from ippy.studies import STUDIES, result

    sys.path.insert(0, str(ROOT / "benchmarks"))
    import ablation
    import bench

    found = []
    for name, (make_runs, summarise) in STUDIES.items():
        stored = result(name)
        found += (other := runs(name, stored, list(make_runs())))
        summary = {} if other else json.loads(json.dumps(summarise(stored["runs"])))
        wrong = [key for key in summary if stored[key] != summary[key]]
        found += [f"{name}: {key} is not that of its runs" for key in wrong]
    for name, make_runs in (("quality", bench.quality), ("ablation", ablation.runs)):
        stored = json.loads((bench.RESULTS / f"{name}.json").read_text("utf-8"))
        found += runs(f"benchmark {name}", stored, list(make_runs()))
    return found


def main(root: Path = ROOT) -> int:
    """Print what is stale and how to renew it."""
    from ippy.networks import RECIPES

    checks: dict[str, Callable[[], list[str]]] = {
        "run.py execute": lambda: notebooks(root),
        "run.py bench lecture, then run.py execute instructors": lambda: lecture(root, RECIPES),
        "python -m ippy study NAME, run.py bench NAME": studies,
    }
    stale = False
    for command, check in checks.items():
        found = check()
        stale = stale or bool(found)
        print(f"{'stale' if found else 'fresh'}  {command}", *found, sep="\n       ", flush=True)
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main())
