"""Types: mypy finds nothing wrong with ippy, under the settings in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def mypy(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mypy", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=600)


@pytest.mark.slow
def test_the_types_of_the_library_are_right(tmp_path):
    done = mypy()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "no issues found in" in done.stdout and " 1 source file" not in done.stdout
    wrong = tmp_path / "wrong.py"  # the check can fail: it knows what ippy takes and gives
    wrong.write_text("from ippy.images import load_image\nn: int = load_image(3)\n", "utf-8")
    said = mypy(str(wrong)).stdout
    assert '"load_image" has incompatible type "int"' in said and "Tensor" in said, said
