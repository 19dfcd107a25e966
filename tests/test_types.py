"""Types: mypy finds nothing wrong with ippy, under the settings in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_types_of_the_library_are_right(tmp_path):
    wrong = tmp_path / "wrong.py"  # the check can fail: it knows what ippy takes and gives
    wrong.write_text("from ippy.images import load_image\nn: int = load_image(3)\n", "utf-8")
    command = [sys.executable, "-m", "mypy", "ippy", str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=600)
    *found, summary = done.stdout.splitlines()
    errors = [line for line in found if ": error: " in line]
    # mypy's cache may name the file of an earlier run, which held the same
    places = [line.split(": ")[0].rsplit(":", 1) for line in errors]
    assert [(Path(file).name, line) for file, line in places] == [("wrong.py", "2")] * 2, found
    assert '"load_image" has incompatible type "int"' in done.stdout and "Tensor" in done.stdout
    files = len(list((ROOT / "ippy").rglob("*.py"))) + 1
    assert summary == f"Found 2 errors in 1 file (checked {files} source files)"
    assert (done.returncode, done.stderr) == (1, "")
