"""run.py and its helper tools/execute.py: set-up, clear failures, notebooks kept whole."""

import ast
import base64
import errno
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
OFFLINE = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: Failed to "
    "establish a new connection: [Errno -3] Temporary failure in name resolution'\n"
    "ERROR: No matching distribution found for torch\n"
)
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"


def load(name: str, path: Path) -> types.ModuleType:
    """Import a file that is not on the path."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run.py, working in an empty folder whose name has a space and a letter beyond ASCII."""
    module = load("run_under_test", ROOT / "run.py")
    root = tmp_path / "Übung 1"
    root.mkdir()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (root / name).write_text(f"# {name}\n", encoding="utf-8")
    for name, path in {"ROOT": root, "VENV": root / ".venv", "SITE": root / "_build/html"}.items():
        monkeypatch.setattr(module, name, path)
    return module


@pytest.fixture
def pip(run, monkeypatch):
    """Replace pip and the making of the environment; record the calls, in ``result`` the answer."""
    pip = types.SimpleNamespace(calls=[], made=0, result=(0, ""))

    def make(command, **_):
        assert command[1:3] == ["-m", "venv"]
        pip.made += 1
        return types.SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(run, "pip_install", lambda: pip.calls.append(1) or pip.result)
    monkeypatch.setattr(run, "probe", lambda: "(3, 12)" if pip.made else None)
    monkeypatch.setattr(run.subprocess, "run", make)
    return pip


# -- The entry ------------------------------------------------------------------------------------


def test_old_pythons_can_parse_it():
    ast.parse((ROOT / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_help_has_one_line_for_each_command(run, capsys):
    assert run.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in ("book", "test", "execute", "lab", "serve", "train", "clean", "--help"):
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 3 and len(line) <= 100


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 14, 0)])
def test_unsupported_python_is_told_so(run, version):
    found = ".".join(map(str, version))
    with pytest.raises(SystemExit, match=rf"needs Python 3\.11, 3\.12 or 3\.13.*this is {found}"):
        run.check_version(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
def test_supported_python_passes(run, version):
    run.check_version(version)


def test_unknown_command_and_argument(run, capsys):
    with pytest.raises(SystemExit, match="no command 'buld'; there are book, test"):
        run.main(["buld"])
    with pytest.raises(SystemExit) as stopped:
        run.main(["book", "--fast"])
    assert stopped.value.code == 2 and "--fast" in capsys.readouterr().err


# -- Set-up ---------------------------------------------------------------------------------------


def test_unchanged_environment_calls_no_pip(run, pip):
    run.setup()
    run.setup()
    assert (len(pip.calls), pip.made) == (1, 1)


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_changed_requirements_are_installed(run, pip, name):
    run.setup()
    (run.ROOT / name).write_text("torch\n", encoding="utf-8")
    run.setup()
    assert (len(pip.calls), pip.made) == (2, 1)


def test_interrupted_environment_is_made_again(run, pip):
    pip.result = (1, FULL)
    with pytest.raises(SystemExit, match="disk is full"):
        run.setup()
    debris = run.VENV / "half-written"
    debris.touch()
    pip.result = (0, "")
    run.setup()
    assert pip.made == 2 and not debris.exists()
    run.setup()
    assert len(pip.calls) == 2


def test_environment_whose_python_is_gone_is_made_again(run, pip):
    run.setup()
    pip.made = 0
    run.setup()
    assert (len(pip.calls), pip.made) == (2, 1)


def test_offline_update_keeps_the_working_environment(run, pip):
    run.setup()
    (run.ROOT / "requirements.txt").write_text("torch\n", encoding="utf-8")
    pip.result = (1, OFFLINE)
    with pytest.raises(SystemExit, match=r"^run.py: no network: .*HTTPS_PROXY"):
        run.setup()
    pip.result = (0, "")
    run.setup()
    assert pip.made == 1


def test_probe_finds_this_python_and_refuses_none(run, monkeypatch):
    assert run.probe() is None
    monkeypatch.setattr(run, "venv_python", lambda: sys.executable)
    assert run.probe() == str(sys.version_info[:2])


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_missing_venv_module_names_the_package(run, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    with pytest.raises(SystemExit, match=rf"python3\.{sys.version_info[1]}-venv"):
        run.main(["book"])
    assert not run.VENV.exists()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full: free about 8 GB"),
        (errno.EACCES, "cannot write here: .*Move the project"),
        (errno.EROFS, "cannot write here: .*Read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_system_errors_become_one_sentence(run, pip, monkeypatch, number, sentence):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number), str(run.VENV))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(SystemExit, match=f"^run.py: .*{sentence}") as stopped:
        run.main(["book"])
    assert "\n" not in stopped.value.code


def test_pip_failure_of_another_kind_shows_what_pip_said(run, pip, capsys):
    pip.result = (1, "ERROR: ResolutionImpossible\n")
    with pytest.raises(SystemExit, match="pip could not install"):
        run.setup()
    assert "ResolutionImpossible" in capsys.readouterr().err


def test_ctrl_c_is_one_line(run, monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "setup", interrupt)
    assert run.main(["book"]) == 130
    assert capsys.readouterr().err.strip() == "run.py: stopped by Ctrl-C."


@pytest.mark.skipif(os.name == "nt", reason="signals between processes as POSIX has them")
def test_ctrl_c_lets_the_child_finish(run, tmp_path):
    child = (
        "import time, pathlib\ntry:\n    pathlib.Path('up').touch(); time.sleep(20)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.6); pathlib.Path('saved').touch()"
    )
    parent = (  # a check that runs in the background of a shell inherits an ignored SIGINT
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import importlib.util as u, sys; s = u.spec_from_file_location('run', sys.argv[1]);"
        "m = u.module_from_spec(s); s.loader.exec_module(m);"
        "m.COMMANDS['train'] = lambda a: m.call([sys.executable, '-c', a[0]], None);"
        "sys.exit(m.main(['train', sys.argv[2]]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent, str(ROOT / "run.py"), child],
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 10
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 130 and (tmp_path / "saved").exists()
    assert error.strip() == "run.py: stopped by Ctrl-C."


# -- Commands -------------------------------------------------------------------------------------


@pytest.fixture
def calls(run, monkeypatch):
    """Commands that run.py would start; ``fail`` names a word of those that fail."""
    calls = types.SimpleNamespace(seen=[], fail=None)

    def call(command, *_, **__):
        command = [str(part) for part in command]
        calls.seen.append(command)
        return int(calls.fail in command)

    monkeypatch.setattr(run, "setup", lambda: None)
    monkeypatch.setattr(run, "call", call)
    return calls


def test_book_builds_strictly_drops_stale_pages_and_says_where(run, calls, capsys):
    stale = run.SITE / "old.html"
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert run.main(["book"]) == 0
    assert not stale.exists()
    assert calls.seen[0][-6:] == ["build", "--all", "-n", "-W", "--keep-going", "."]
    out = capsys.readouterr().out
    assert str(run.SITE / "index.html") in out and "%20" in out  # the path and its address


def test_book_without_solutions_has_a_folder_of_its_own(run, calls, capsys):
    kept = run.SITE / "index.html"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert run.main(["book", "--no-solutions"]) == 0
    cut, build = calls.seen
    copy = run.ROOT / "_build" / "no-solutions"
    assert cut[-3:] == [str(run.ROOT / "tools" / "no_solutions.py"), str(run.ROOT), str(copy)]
    assert build[-6:] == ["build", "--all", "-n", "-W", "--keep-going", str(copy)]
    assert kept.exists()
    assert str(copy / "_build" / "html" / "index.html") in capsys.readouterr().out


def test_book_does_not_build_what_could_not_be_cut(run, calls):
    calls.fail = str(run.ROOT / "tools" / "no_solutions.py")
    with pytest.raises(SystemExit, match="solutions could not be left out"):
        run.main(["book", "--no-solutions"])
    assert len(calls.seen) == 1


def test_book_fails_with_its_build(run, calls):
    calls.fail = "build"
    with pytest.raises(SystemExit, match="the build failed"):
        run.main(["book"])


@pytest.mark.parametrize("fail", [None, "check", "--check", "build", "pytest"])
def test_test_ends_with_one_pytest_and_remembers_failures(run, calls, fail):
    calls.fail = fail
    assert run.main(["test", "-x"]) == (fail is not None)
    assert ["pytest" in command for command in calls.seen] == [False, False, False, True]
    assert {"tests", "ippy", "book", "--nbval", "--doctest-modules", "-x"} <= set(calls.seen[-1])


def test_test_of_named_files_runs_only_those(run, calls):
    (run.ROOT / "test_x.py").touch()
    assert run.main(["test", "test_x.py::test_y"]) == 0
    assert len(calls.seen) == 1 and "book" not in calls.seen[0]


def test_train_passes_its_arguments_on(run, calls):
    assert run.main(["train", "UNet", "--resume"]) == 0
    assert calls.seen[0][1:] == ["-m", "ippy", "train", "UNet", "--resume"]


def test_clean_keeps_the_environment_unless_told(run):
    for name in ("_build/html", "ippy/__pycache__", ".venv/lib/__pycache__"):
        (run.ROOT / name).mkdir(parents=True)
    assert run.main(["clean"]) == 0
    left = sorted(path.name for path in run.ROOT.rglob("*") if path.is_dir())
    assert left == [".venv", "__pycache__", "ippy", "lib"]
    assert run.main(["clean", "--all"]) == 0
    assert not run.VENV.exists()


def test_serve_on_a_taken_port_says_what_to_do(run):
    import socket

    run.SITE.mkdir(parents=True)
    (run.SITE / "index.html").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match="choose another one"):
            run.main(["serve", "--port", str(taken.getsockname()[1])])


def test_ci_calls_run_test():
    script = ROOT / ".ci" / "run"
    assert script.read_text(encoding="utf-8").rstrip().endswith('run.py test "$@"')
    workflow = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    assert "run: python run.py test\n" in workflow
    if os.name != "nt":
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)


# -- execute --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def execute():
    """The script behind ``run.py execute``."""
    return load("execute_under_test", ROOT / "tools" / "execute.py")


@pytest.fixture
def tree(tmp_path):
    """A small project: a library file, weights, a sample image and a notebook that runs."""
    for name in ("ippy/a.py", "weights/K.pth", "imgs/sample_x.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1")
    (tmp_path / "book").mkdir()
    cells = [new_markdown_cell("# Title"), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "n.ipynb")
    return tmp_path


def test_fingerprint_sees_code_and_not_outputs(execute):
    one = new_notebook(cells=[new_code_cell("1 + 1")])
    same = new_notebook(cells=[new_code_cell("1 + 1"), new_markdown_cell("prose")])
    same.cells[0].outputs = [new_output("stream", text="2")]
    other = new_notebook(cells=[new_code_cell("1 + 2")])
    assert execute.fingerprint(one, "x") == execute.fingerprint(same, "x")
    assert execute.fingerprint(one, "x") != execute.fingerprint(other, "x")
    assert execute.fingerprint(one, "x") != execute.fingerprint(one, "y")


@pytest.mark.parametrize("name", ["ippy/a.py", "ippy/b.py", "weights/K.pth", "imgs/sample_x.png"])
def test_fingerprint_sees_library_and_weights(execute, tree, name):
    before = execute.sources(tree)
    (tree / "README.md").write_text("nothing to do with it")
    assert execute.sources(tree) == before
    (tree / name).write_text("changed")
    assert execute.sources(tree) != before


def test_execute_stores_clean_outputs_once(execute, tree, capsys):
    path = tree / "book" / "n.ipynb"
    assert execute.main([], tree) == 0
    stored = path.read_bytes()
    notebook = json.loads(stored)
    assert notebook["cells"][1]["outputs"][0]["text"] == ["42\n"]
    assert notebook["cells"][1]["metadata"] == {}  # no time of day
    assert notebook["metadata"]["language_info"]["pygments_lexer"] == "ipython3"
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert stored.endswith(b"}\n") and b"\r" not in stored and b'\n "cells"' in stored
    assert execute.main(["n"], tree) == 0
    assert "n.ipynb: unchanged" in capsys.readouterr().out
    assert path.read_bytes() == stored


def encode(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode(picture):
    return Image.open(io.BytesIO(base64.b64decode(picture)))


def test_stored_pictures_shrink_without_loss(execute):
    grey = encode(Image.effect_noise((64, 64), 50).convert("RGBA"))
    smaller = execute.compact(grey)
    assert decode(smaller).mode == "L" and len(smaller) < len(grey)
    assert decode(smaller).convert("RGBA").tobytes() == decode(grey).tobytes()
    coloured = execute.compact(encode(Image.new("RGBA", (8, 8), (200, 10, 10, 255))))
    assert decode(coloured).mode == "RGB" and decode(coloured).getpixel((0, 0)) == (200, 10, 10)
    see_through = encode(Image.new("RGBA", (8, 8), (200, 10, 10, 0)))
    assert execute.compact(see_through) == see_through


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; print('careful', file=sys.stderr)", "cell 1 wrote to stderr: 'careful'"),
        ("from pathlib import Path; Path.home()", "shows a path of this machine"),
    ],
)
def test_failing_notebook_stays_as_it_was(execute, tree, capsys, code, message):
    path = tree / "book" / "n.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    before = path.read_bytes()
    assert execute.main([], tree) == 1
    assert message in capsys.readouterr().out
    assert path.read_bytes() == before and os.listdir(path.parent) == ["n.ipynb"]


def test_execute_of_an_unknown_notebook_lists_the_known(execute, tree, capsys):
    with pytest.raises(SystemExit):
        execute.main(["unett"], tree)
    assert "no notebook 'unett'; there are n" in capsys.readouterr().err


def test_doctor_names_what_is_missing(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "probe", lambda: None)
    monkeypatch.setattr(run, "call", lambda command: pytest.fail("nothing to call"))
    monkeypatch.delenv("IPPY_TRAIN", raising=False)
    assert run.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "FAIL  environment: not set up; 'run.py book' makes it" in said
    assert "FAIL  built book: missing" in said and "ok    Python 3." in said

    run.VENV.mkdir()
    (run.VENV / run.STAMP).write_text(run.wanted("(3, 11)"), encoding="utf-8")
    run.SITE.mkdir(parents=True)
    (run.SITE / "index.html").touch()
    monkeypatch.setattr(run, "probe", lambda: "(3, 11)")
    monkeypatch.setenv("IPPY_TRAIN", "quick")
    for code in (0, 1):
        monkeypatch.setattr(run, "call", lambda command, code=code: code)
        assert run.main(["doctor"]) == code
        said = capsys.readouterr().out
        assert ("FAIL  weights and a reconstruction" in said) == bool(code)
        assert "ok    environment" in said and "note  IPPY_TRAIN is set" in said
    usage = types.SimpleNamespace(free=1e8, total=1e9, used=9e8)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: usage)
    assert run.main(["doctor"]) == 1 and "FAIL  0.1 GB free" in capsys.readouterr().out


@pytest.mark.slow
def test_doctor_is_quick_and_reconstructs():
    if not (ROOT / ".venv" / "ippy-ready").is_file():
        pytest.skip("no environment made by run.py")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, ROOT / "run.py", "doctor"], capture_output=True, encoding="utf-8"
    )
    assert time.monotonic() - start < 60  # 10 on a machine that does nothing else
    found = re.search(r"6 networks verified; the UNet takes 22\.4 dB to 3\d\.\d dB", done.stdout)
    assert found, done.stdout + done.stderr


def test_slides_say_where_they_are(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "book", lambda args: None)
    with pytest.raises(SystemExit, match="reveal.js could not be fetched"):
        run.main(["slides"])
    (run.SITE / "slides").mkdir(parents=True)
    (run.SITE / "slides" / "index.html").touch()
    assert run.main(["slides"]) == 0
    assert str(run.SITE / "slides" / "index.html") in capsys.readouterr().out
