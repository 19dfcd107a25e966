"""tools/release_check.py names what is stale, and nothing else."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def check() -> Iterator[ModuleType]:
    """The script, which finds its neighbours in tools/."""
    sys.path.insert(0, str(ROOT / "tools"))
    yield importlib.import_module("release_check")
    sys.path.remove(str(ROOT / "tools"))


@pytest.fixture
def times() -> dict:
    """Stored times of a chapter with one cell and of a network."""
    run = {"seconds": 20.0, "steps": 300, "before": 22.0, "after": 25.0}
    return {"cells": {"cnn": [{"seconds": 1.5, "code": "1 + 1"}]}, "quick": {"UNet": run}}


def book(root: Path, times: dict, cells: list[str], shown: str = "fine") -> Path:
    """A project with one chapter, the page for instructors and stored times."""
    for folder in ("book", "benchmarks/results"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    page = new_code_cell("show()", outputs=[new_output("stream", text=shown)])
    for name, content in {"cnn": map(new_code_cell, cells), "instructors": [page]}.items():
        nbformat.write(new_notebook(cells=list(content)), root / "book" / f"{name}.ipynb")
    (root / "benchmarks/results/lecture.json").write_text(json.dumps(times), encoding="utf-8")
    return root


def test_times_of_todays_cells_are_fresh(check, tmp_path: Path, times: dict) -> None:
    assert check.lecture(book(tmp_path, times, ["1 + 1"]), ["UNet"]) == []


def test_new_cells_chapters_and_networks_are_named(check, tmp_path: Path, times: dict) -> None:
    root = book(tmp_path, times, ["2 + 2", "1 + 1", "3 + 3"], shown="| loop | not timed |")
    assert check.lecture(root, ["UNet", "New"]) == [
        "cnn: no times of code cells 1, 3",
        "New: no live training was timed",
        "instructors.ipynb shows cells that are not timed",
    ]
    times["cells"]["old"] = times["cells"].pop("cnn")
    root = book(tmp_path, times, ["1 + 1"])
    expected = ["old: timed, but no chapter", "cnn: no times of code cells 1"]
    assert check.lecture(root, ["UNet"]) == expected


def test_what_is_too_slow_for_a_lecture_is_named(check, tmp_path: Path, times: dict) -> None:
    times["cells"]["cnn"][0]["seconds"], times["quick"]["UNet"]["after"] = 61, 22.1
    assert check.lecture(book(tmp_path, times, ["1 + 1"]), ["UNet"]) == [
        "cnn: 61 s are too slow for a lecture",
        "UNet: live, 20 s bring +0.1 dB",
    ]


def test_stale_notebooks_are_named(check, tmp_path: Path, times: dict) -> None:
    root = book(tmp_path, times, ["1 + 1"])
    why = "it has no marks of what it depends on"
    assert check.notebooks(root) == [f"cnn.ipynb: {why}", f"instructors.ipynb: {why}"]
    assert importlib.import_module("execute").main(["--accept"], root) == 0
    assert check.notebooks(root) == []


def test_stale_runs_are_named_in_short(check, monkeypatch) -> None:
    assert check.in_short("skips", []) == []
    assert check.in_short("skips", ["seed 0: is not stored"]) == ["skips: seed 0: is not stored"]
    monkeypatch.setattr("ippy.studies.stale", lambda name: ["a"] if name == "cost" else ["b", "c"])
    found = check.studies()
    assert "cost: a" in found and "skips: b (and 1 more)" in found


def test_it_tells_how_to_renew_and_fails(check, tmp_path, times, monkeypatch, capsys) -> None:
    root = book(tmp_path, times, ["1 + 1"])
    monkeypatch.setattr(check, "lecture", lambda *_: [])
    monkeypatch.setattr(check, "studies", lambda: [])
    assert check.main(root) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "stale  run.py execute" and lines[1].startswith("       cnn.ipynb: it has")
    assert [line[:5] for line in lines[3:]] == ["fresh", "fresh"]
    importlib.import_module("execute").main(["--accept"], root)
    assert check.main(root) == 0
