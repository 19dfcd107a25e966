"""The scripts of the pages: types, style, arithmetic, and the bundle for pages from a disk."""

import os
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, SITE, STATIC, extension_of_the_book

pytestmark = pytest.mark.slow
WEB, OWN_TESTS = ROOT / "book" / "_web", ROOT / "tests" / "scripts"


@pytest.fixture(scope="module")
def scripts() -> ModuleType:
    """The extension that knows node and the bundles."""
    return extension_of_the_book("book_scripts")


@pytest.fixture(scope="module")
def packages(scripts) -> Path:
    """What npm brings for the tests."""
    try:
        return scripts.npm_packages(dev=True)
    except RuntimeError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no npm: {error}")


def run(scripts: ModuleType, *words: object) -> subprocess.CompletedProcess:
    """A program for node, started at the root of the checkout."""
    command = [str(word) for word in (scripts.node(), *words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300)


def checked(scripts: ModuleType, packages: Path, folder: Path) -> subprocess.CompletedProcess:
    """What the type checker says of the scripts in a folder beside its settings."""
    return run(scripts, packages / "typescript" / "bin" / "tsc", "-p", folder / "tsconfig.json")


def linted(scripts: ModuleType, packages: Path, *where: object) -> subprocess.CompletedProcess:
    program = packages / "eslint" / "bin" / "eslint.js"
    return run(scripts, program, "--config", WEB / "eslint.config.mjs", *where)


def test_types_of_the_scripts_agree(scripts, packages) -> None:
    done = checked(scripts, packages, WEB)
    assert done.returncode == 0, done.stdout


def test_a_wrong_type_is_found(scripts, packages, tmp_path) -> None:
    shutil.copytree(STATIC, tmp_path / "_static")
    (tmp_path / "_web").mkdir()
    shutil.copy(WEB / "tsconfig.json", tmp_path / "_web")
    wrong = '\nblur("no image", motionTaps(9));\n'
    with (tmp_path / "_static" / "lab" / "math.js").open("a", encoding="utf-8") as script:
        script.write(wrong)
    done = checked(scripts, packages, tmp_path / "_web")
    assert done.returncode and "math.js" in done.stdout, done.stdout


def test_scripts_are_linted(scripts, packages) -> None:
    done = linted(scripts, packages, STATIC, OWN_TESTS)
    assert done.returncode == 0, done.stdout


def test_arithmetic_of_the_scripts(scripts) -> None:
    tests = sorted(OWN_TESTS.glob("*.test.js"))
    done = run(scripts, "--test", *tests)
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.split("ℹ pass ")[1].split()[0])
    print(f"{passed} tests of {len(tests)} files passed under node")
    assert passed > 10


def test_the_explorer_works_from_a_disk(chromium, site) -> None:
    page, errors = chromium.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.goto((SITE / "book" / "receptive_field.html").as_uri())
    page.wait_for_selector(".rf-result strong")
    assert page.locator(".rf-layers li").count() == 3
    assert errors == []
    page.close()
