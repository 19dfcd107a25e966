"""Other machines: names that every system takes, processes that are spawned, not forked."""

import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(10))}


def tracked() -> dict:
    """Mode of every file in the repository, by its path."""
    command = ["git", "-c", "core.quotePath=false", "ls-files", "--stage", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    entries = [entry.split("\t", 1) for entry in done.stdout.split("\0") if entry]
    return {path: facts.split()[0] for facts, path in entries}


def problems(path: str) -> list:
    """What Windows would refuse in a path."""
    found = ["too long"] if len(path) > 150 else []
    for part in path.split("/"):
        if part.split(".")[0].lower() in RESERVED:
            found.append("reserved name")
        if re.search(r'[<>:"\\|?*\x00-\x1f]', part) or part[-1] in ". ":
            found.append("forbidden character")
    return found


@pytest.mark.parametrize(
    "path", ["a/nul.txt", "COM1", "a:b.py", "a/b?.md", "end./x", "space /x", "x" * 151]
)
def test_names_that_windows_refuses_are_found(path):
    assert problems(path)


def test_every_system_can_check_the_repository_out():
    files = tracked()
    assert len(files) > 100 and "run.py" in files
    assert {path: problems(path) for path in files if problems(path)} == {}
    assert set(files.values()) <= {"100644", "100755"}, "a symbolic link or a submodule"
    folders = {str(parent) for path in files for parent in Path(path).parents}
    same = Counter(name.lower() for name in [*files, *folders])
    assert [name for name, count in same.items() if count > 1] == [], "differ only in case"


def test_scripts_that_start_processes_have_a_guard():
    scripts = ["run.py", "ippy/__main__.py", "benchmarks/bench.py"]
    for script in [*scripts, "tools/execute.py", "tools/release_check.py"]:
        assert '\nif __name__ == "__main__":' in (ROOT / script).read_text(encoding="utf-8"), script


def spawned(folder: Path, body: str) -> subprocess.CompletedProcess:
    """Run a script whose child processes are spawned, as they are on Windows and macOS."""
    head = 'import multiprocessing as mp\nmp.set_start_method("spawn", force=True)\n'
    path = folder / "script.py"
    path.write_text(head + textwrap.dedent(body), encoding="utf-8")
    command = [sys.executable, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300)


@pytest.mark.slow
def test_spawned_workers_make_the_same_images(tmp_path):
    done = spawned(
        tmp_path,
        """
        import torch
        from ippy import datasets
        if __name__ == "__main__":
            images = datasets.SyntheticDataset(40, 16)
            many = datasets.materialise(images, cache=False, workers=2)
            print(mp.get_start_method(), torch.equal(many, datasets.materialise(images, workers=0)))
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "spawn True\n"


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(tmp_path):
    done = spawned(
        tmp_path,
        """
        from ippy.datasets import SyntheticDataset, materialise
        print("made", len(materialise(SyntheticDataset(40, 16), cache=False, workers=2)))
        """,
    )
    assert done.returncode == 0 and done.stdout == "made 40\n"
    assert "bootstrapping phase" in done.stderr, "the workers did not run the script"
    assert "worker processes failed" in done.stderr and "continuing in one" in done.stderr
