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


def in_short(name: str, lines: list[str]) -> list[str]:
    """The first of many lines about a study, and how many there are."""
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return [f"{name}: {lines[0]}{more}"] if lines else []


def studies() -> list[str]:
    """Stored studies and benchmarks with runs that are missing or of other code than today's."""
    from ippy.studies import STUDIES, runner, stale

    sys.path.insert(0, str(ROOT / "benchmarks"))
    import bench

    found = [line for name in STUDIES for line in in_short(name, stale(name))]
    lines = runner.stale(bench.quality(), bench.RESULTS / "quality.json")
    return found + in_short("benchmark quality", lines)


def main(root: Path = ROOT) -> int:
    """Print what is stale and how to renew it."""
    from ippy.networks import RECIPES

    checks: dict[str, Callable[[], list[str]]] = {
        "run.py execute": lambda: notebooks(root),
        "run.py bench lecture, then run.py execute instructors": lambda: lecture(root, RECIPES),
        "python -m ippy study NAME --renew (or --accept), run.py bench NAME": studies,
    }
    stale = False
    for command, check in checks.items():
        found = check()
        stale = stale or bool(found)
        print(f"{'stale' if found else 'fresh'}  {command}", *found, sep="\n       ", flush=True)
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main())
