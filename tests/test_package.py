"""The package as others install it: what the wheel holds, and its work away from the source."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import ippy
from ippy import __main__ as cli
from ippy import files, paths, results, weights

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
#: All that the build may read.
SOURCE = ("ippy", "weights", "pyproject.toml", "README.md", "LICENSE")
#: Where the packages are that ippy needs; the .pth files in there, of an editable install, do not
#: count when these folders are added to another environment.
NEEDED = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def call(*command: object, env: dict | None = None, cwd: Path | None = None) -> str:
    """Standard output of a command that has to end well; nothing of the checkout reaches it."""
    clear = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "IPPY_DATA")}
    done = subprocess.run(
        [str(part) for part in command],
        env={**clear, "OMP_NUM_THREADS": "1", **(env or {})},
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        timeout=500,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


# -- What is written twice has to agree ------------------------------------------------------------


def test_the_ranges_are_those_of_the_requirements() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    sections = re.split(r"^# the (library|book|tests).*\n", text, flags=re.M)[1:]
    stated = {
        name: {line.split("#")[0].strip() for line in body.splitlines() if line.strip()}
        for name, body in zip(sections[::2], sections[1::2], strict=True)
    }
    extras = PROJECT["optional-dependencies"]
    assert set(PROJECT["dependencies"]) == stated["library"] != set()
    assert set(extras["book"]) == stated["book"] != set()
    assert set(extras["test"]) == stated["tests"] != set()


def test_there_is_one_version() -> None:
    assert "version" in PROJECT["dynamic"]
    cited = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    changed = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert cited[1] == changed[1] == ippy.__version__


# -- Where files are -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    ["lib/python3.12/site-packages", "Lib/site-packages", "lib/python/site-packages", "."],
    ids=["environment, --user, --prefix", "Windows", "macOS --user", "--target"],
)
def test_installed_weights_are_found_from_the_package(folder, tmp_path, monkeypatch) -> None:
    package = tmp_path / "inner" / folder / "ippy"
    monkeypatch.setattr(paths, "_PACKAGE", package)
    for place in (tmp_path, tmp_path / "inner"):  # of two installations, its own
        (place / "share" / "ippy" / "weights").mkdir(parents=True)
        assert paths._find_weights() == place / "share" / "ippy" / "weights"


@pytest.fixture
def installed(tmp_path, monkeypatch) -> Path:
    """As if the package were installed: its weights are in ``tmp_path``, we are elsewhere."""
    shipped, here = tmp_path / "shipped", tmp_path / "here"
    shipped.mkdir()
    here.mkdir()
    monkeypatch.setattr(paths, "in_checkout", lambda: False)
    monkeypatch.setattr(paths, "WEIGHTS", shipped)
    monkeypatch.chdir(here)
    return shipped


def test_shipped_files_come_first_and_new_ones_go_here(installed) -> None:
    assert paths.output_dir() == Path.cwd() / "weights"
    assert paths.weight_file("Net") == Path.cwd() / "weights" / "Net.pth"
    files.atomic_write({Path("weights/results/mine.json"): b'{"runs": {}}'})
    assert results.load("mine") == {"runs": {}}
    (installed / "Net.pth").touch()
    assert paths.weight_file("Net") == installed / "Net.pth"


def test_advice_is_for_who_gets_it(installed) -> None:
    for ask in (lambda: weights.load("UNet"), lambda: results.load("baselines")):
        with pytest.raises(
            FileNotFoundError, match="install ippy again, with 'pip install"
        ) as caught:
            ask()
        assert "git" not in str(caught.value)
    for module in (ROOT / "ippy").rglob("*.py"):
        if module.name != "paths.py":
            assert not re.search(r"run\.py|git checkout", module.read_text("utf-8")), module


# -- The wheel -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCE:  # a copy, so that nothing is left in the checkout
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    call(sys.executable, "-m", "pip", "wheel", source, *options, "-w", folder)
    assert not (source / "build").exists(), "the next wheel would hold old modules"
    return next(folder.glob("*.whl"))


def install(wheel: Path, *options: object) -> None:
    # without --ignore-installed, pip removes our own installation when it installs to a prefix
    quiet = ["--no-deps", "--no-index", "--disable-pip-version-check", "-q", "--ignore-installed"]
    call(sys.executable, "-m", "pip", *options, *quiet, wheel)


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel, and the packages of ours that it needs."""
    folder = tmp_path_factory.mktemp("fresh") / "env"
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install(wheel, "--python", python, "install")
    place = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(place, "needed.pth").write_text("\n".join(NEEDED) + "\n", encoding="utf-8")
    return folder


def python_of(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {info.filename: archive.read(info) for info in archive.infolist()}
    name = f"ippy-{ippy.__version__}"
    package = {path for path in (ROOT / "ippy").rglob("*") if path.suffix in (".py", ".png")}
    package |= {ROOT / "ippy" / "fonts" / name for name in ("Inter.ttf", "OFL.txt")}
    package |= {ROOT / "ippy" / "py.typed", ROOT / "ippy" / "samples" / "README.md"}
    expected = {path.relative_to(ROOT).as_posix(): path for path in package}
    shipped = [*(ROOT / "weights").glob("*.*"), *(ROOT / "weights" / "results").glob("*.json")]
    data = f"{name}.data/data/share/ippy"
    expected |= {f"{data}/{path.relative_to(ROOT).as_posix()}": path for path in shipped}
    assert len(shipped) > 10 and len(package) > 30
    assert {file for file in held if ".dist-info/" not in file} == set(expected)
    assert all(held[file] == path.read_bytes() for file, path in expected.items())
    facts = held[f"{name}.dist-info/METADATA"].decode()
    assert "Provides-Extra: book" in facts and "Provides-Extra: test" in facts
    assert not any(str(ROOT).encode() in content for content in held.values())


AWAY = """
import json, os, sys
from pathlib import Path
import ippy
from ippy import __main__ as cli
from ippy import evaluation, images, networks, paths, results, tasks, training, weights

environment = Path(sys.argv[1])
assert Path(ippy.__file__).is_relative_to(environment), ippy.__file__
assert paths.WEIGHTS.is_relative_to(environment) and not paths.in_checkout()
def installed():
    return {str(p): p.stat().st_mtime_ns for p in environment.rglob("*") if p.suffix != ".pyc"}
before = {p: t for p, t in installed().items() if "__pycache__" not in p}

shapes = {tuple(images.sample_image(name, 32).shape) for name in images.SAMPLES}
loaded = [weights.load(path.stem) for path in sorted(paths.WEIGHTS.glob("*.pth"))]
studies = [results.load(path.stem) for path in sorted((paths.WEIGHTS / "results").glob("*"))]
baselines = evaluation.baselines(tasks.task_operator())
model, history = training.load_or_train("UNet")
from ippy.data import sample_image  # as the first edition had it
assert sample_image is images.sample_image

# a network of our own: trained, stored and found here
small = {"in_ch": 1, "out_ch": 1, "n_filters": 2}
data = {"n_images": 4, "kind": "dead_leaves"}
recipe = networks.Recipe("ResCNN", small, steps=2, batch_size=1, crop=16, val_images=1, data=data)
networks.NETWORKS["Mine"] = networks.Network("Mine", recipe, "cnn")
assert cli.main(["train", "Mine"]) == 0
mine = weights.load("Mine")
again, _ = training.load_or_train("Mine")
assert cli.main(["weights"]) == cli.main(["weights", "table"]) == cli.main(["check"]) == 0
after = {p: t for p, t in installed().items() if "__pycache__" not in p}
changed = [p for p in after if after[p] != before.get(p) and not Path(p).is_dir()]
print(json.dumps({
    "shapes": sorted(shapes), "loaded": len(loaded), "studies": len(studies),
    "baselines": sorted(baselines), "steps": len(history["step"]), "changed": changed,
    "here": sorted(p.as_posix() for p in Path().rglob("*.*")),
}))
"""


@pytest.mark.slow
def test_it_works_away_from_its_source(environment, tmp_path) -> None:
    env = {"IPPY_CACHE": str(tmp_path / "cache")}
    here = tmp_path / "here"
    here.mkdir()
    out = call(python_of(environment), "-c", AWAY, environment, env=env, cwd=here)
    assert "loading" not in out and "Mine: validation MSE" in out
    assert "UNet: ok" in out and "networks verified; the UNet takes" in out
    found = json.loads(out.splitlines()[-1])
    assert found["shapes"] == [[1, 1, 32, 32]] and found["baselines"] == ["TV", "Tikhonov"]
    assert found["loaded"] == len(list((ROOT / "weights").glob("*.pth")))
    assert found["studies"] == len(list((ROOT / "weights" / "results").glob("*.json")))
    assert found["steps"] == len(weights.read_card("UNet")["history"]["step"])
    assert found["changed"] == [], "installed files were written"
    assert found["here"] == ["weights/Mine.json", "weights/Mine.pth", "weights/README.md"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as :func:`call` allows, so that sums are the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_its_command_line_says_what_the_checkout_says(
    environment, tmp_path, own_cache, one_thread, capsys
) -> None:
    command = ["evaluate", "UNet", "--json", "--images", "2"]
    start = python_of(environment).with_name("ippy" + (".exe" if os.name == "nt" else ""))
    away = call(start, *command, env={"IPPY_CACHE": str(tmp_path / "away")}, cwd=tmp_path)
    assert paths.in_checkout() and Path(cli.__file__).is_relative_to(ROOT)
    assert cli.main(command) == 0
    assert away == capsys.readouterr().out
    assert json.loads(away)["mean"]["UNet"]["psnr"] > 25


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["--target", "--prefix"])
def test_weights_are_found_wherever_it_is_installed_to(scheme, wheel, tmp_path) -> None:
    install(wheel, "install", scheme, tmp_path / "place")
    ours = call(sys.executable, "-m", "pip", "show", "ippy")
    assert f"Version: {ippy.__version__}" in ours.splitlines(), "ours was removed"
    package = next((tmp_path / "place").rglob("ippy/paths.py")).parents[1]
    code = (
        "import json; from ippy import paths as p; print(json.dumps([p.__file__, str(p.WEIGHTS)]))"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(package), *NEEDED])}
    file, folder = json.loads(call(sys.executable, "-S", "-c", code, env=env, cwd=tmp_path))
    assert Path(file).parents[1] == package
    assert (Path(folder) / "UNet.pth").is_file() and Path(folder).is_relative_to(tmp_path)
