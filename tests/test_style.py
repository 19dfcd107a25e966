"""Style: ruff finds nothing to mend in code and notebooks, under the settings in pyproject.toml.

A test, so that what it finds is counted in pytest's last line and not lost above it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_ruff_finds_nothing_to_mend(command):
    ruff = [sys.executable, "-m", "ruff", *command, "."]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, f"{' '.join(ruff[2:])}:\n{done.stdout}{done.stderr}"
