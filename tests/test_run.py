"""run.py: set-up, clear failures, its commands."""

import ast
import errno
import functools
import http.server
import importlib.util
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import types
import venv
import zipfile
from pathlib import Path

import pytest

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
    monkeypatch.setenv("IPPY_TORCH", "default")  # a test that asks PyTorch's index says so
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

    monkeypatch.setattr(run, "pip_install", lambda _: pip.calls.append(1) or pip.result)
    monkeypatch.setattr(run, "probe", lambda: "(3, 12)" if pip.made else None)
    monkeypatch.setattr(run.subprocess, "run", make)
    return pip


# -- The entry ------------------------------------------------------------------------------------


def test_old_pythons_can_parse_it():
    ast.parse((ROOT / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_help_has_one_line_for_each_command(run, capsys):
    assert run.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in (*run.COMMANDS, "--help"):
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert len(line.split()) > 3 and len(line) <= 100


def test_unknown_command_and_argument(run, capsys):
    with pytest.raises(SystemExit, match="no command 'buld'; there are book, test"):
        run.main(["buld"])
    with pytest.raises(SystemExit) as stopped:
        run.main(["book", "--fast"])
    assert stopped.value.code == 2 and "--fast" in capsys.readouterr().err


# -- A Python that fits ---------------------------------------------------------------------------

scripts = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are scripts of a POSIX shell")


@pytest.fixture
def shelf(tmp_path):
    """Makes programs: ``shelf(name, text)`` writes a shell script into ``shelf.path``."""

    def write(name, text):
        path = write.path / name
        path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
        path.chmod(0o755)
        return path

    write.path = tmp_path / "bin"
    write.path.mkdir()
    return write


def says(version, path, complete=True):
    """What a Python in a shell script says when it is asked who it is."""
    return "printf '%s\\n' " + shlex.join([str(version), str(path), str(complete)])


@pytest.fixture
def unfit(shelf):
    """Starts run.py by a Python that takes itself for 3.9.18, with the shelf as the whole PATH."""

    def start(*arguments):
        code = (
            f"import runpy, sys; sys.version_info = (3, 9, 18); sys.argv = {['', *arguments]};"
            f"runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PATH": str(shelf.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        out, error = process.communicate(timeout=60)
        return types.SimpleNamespace(pid=process.pid, code=process.returncode, out=out, error=error)

    return start


@scripts
def test_an_unfit_python_goes_on_with_the_newest_that_fits(shelf, unfit):
    shelf("python3.14", "echo 'python3.14: command not found' >&2; exit 127")  # as pyenv says it
    shelf("python3.13", says((3, 10), shelf.path / "python3.13"))
    shelf("python3.12", says((3, 12), shelf.path / "python3.12", complete=False))
    shelf("python3.11", f'exec {shlex.quote(sys.executable)} "$@"')
    done = unfit("--help")
    version = ".".join(map(str, sys.version_info[:2]))
    first, second = done.out.splitlines()[:2]
    assert first.startswith(f"Python 3.9.18 cannot run the book: going on with Python {version} (")
    assert second.startswith("usage: python3 run.py") and (done.code, done.error) == (0, "")
    done = unfit("buld")
    assert done.code == 1 and "no command 'buld'" in done.error


@scripts
def test_the_python_that_goes_on_takes_the_place_of_the_first(shelf, unfit):
    """So it gets its signals, and its exit code is the one that is seen."""
    other = shelf("other", 'echo "$$" "$@"; exit 7')
    shelf("python3.12", says((3, 12), other))
    shelf("python3.11", says((3, 11), "never"))
    done = unfit("train", "U Net")
    assert done.code == 7
    assert done.out.splitlines()[1] == f"{done.pid} {ROOT / 'run.py'} train U Net"


@scripts
@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        ((), "run.py needs Python 3.11, 3.12, 3.13 or 3.14, but this is 3.9.18"),
        (("python3.13", "python3.12"), "sudo apt install python3.13-venv"),
    ],
)
def test_no_python_that_fits_is_one_sentence(shelf, unfit, kept, sentence):
    for name in kept:
        shelf(name, says((3, int(name[-2:])), name, complete=False))
    done = unfit("book")
    assert done.code == 1 and done.out == ""
    assert sentence in done.error and len(done.error.splitlines()) == 1


def test_on_windows_the_launcher_is_asked_first(run, monkeypatch):
    asked = []

    def interview(command, _):
        asked.append(command)
        return ("(3, 12)", "C:/p.exe", True) if command == ["py", "-3.12"] else ("", "", False)

    monkeypatch.setattr(run, "interview", interview)
    monkeypatch.setattr(run, "os", types.SimpleNamespace(name="nt"))
    monkeypatch.setattr(run, "call", lambda command, cwd: command[0] == "C:/p.exe" and 5)
    assert run.hand_over(["book"]) == 5
    assert asked == [["py", "-3.14"], ["py", "-3.13"], ["py", "-3.12"]]

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "call", interrupt)
    assert run.hand_over(["book"]) == 130


def test_the_same_pythons_everywhere(run):
    oldest, newest = run.PYTHONS[-1], run.PYTHONS[0]
    after = f"{newest[0]}.{newest[1] + 1}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest, newest = (".".join(map(str, version)) for version in (oldest, newest))
    assert project["requires-python"] == f">={oldest},<{after}"
    assert f"With Python {oldest} to {newest}" in (ROOT / "README.md").read_text(encoding="utf-8")
    workflow = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    assert f'python: ["{oldest}", "{newest}"]' in workflow


@scripts
def test_ci_finds_a_python_that_fits(shelf, tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name in ("python3", "python3.14", "python3.13"):
        shelf(name, "exit 1")
    start = f'[ "$1" = -c ] && exec {shlex.quote(sys.executable)} "$@"\n'
    shelf("python3.12", start + 'echo "3.12 runs" "$@"')
    path = os.pathsep.join([str(shelf.path), os.environ["PATH"]])
    done = subprocess.run(
        [tmp_path / ".ci" / "run", "-x"],
        env={**os.environ, "PATH": path, "CHROMIUM": "none is needed"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.stdout == "3.12 runs run.py test -x\n", done.stderr


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


# -- PyTorch's CPU builds -------------------------------------------------------------------------


def wheel(folder, name, version, needs=()):
    """A tiny package as PyTorch's index has it: torch/torch-2.15.0+cpu-py3-none-any.whl."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in needs]
    with zipfile.ZipFile(folder / name / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path):
    """A server of packages: an ordinary index at /simple, PyTorch's at /cpu; ``wait`` is its haste.

    ``asked`` holds the paths that were asked for.
    """
    site = tmp_path / "site"
    index = types.SimpleNamespace(wait=0, asked=[], site=site)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            index.asked.append(self.path)
            time.sleep(index.wait)
            super().do_GET()

        def log_message(self, *_):
            pass

    for torch, torchvision in (("2.15.0", "0.29.2"), ("2.16.0", "0.30.0")):
        for folder, local in (("simple", ""), ("cpu", "+cpu")):
            wheel(site / folder, "torch", torch + local)
            wheel(site / folder, "torchvision", torchvision + local, [f"torch=={torch}"])
    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        index.address = f"http://127.0.0.1:{server.server_port}"
        yield index
        server.shutdown()


@pytest.fixture
def unused():
    """An address at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def plain(run, monkeypatch):
    """Linux on a usual processor without an NVIDIA driver, where nobody has set anything."""
    for name in [*os.environ]:
        if name.startswith(("PIP_", "UV_", "IPPY_TORCH")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(run.sys, "platform", "linux")
    monkeypatch.setattr(run.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(run, "NVIDIA", ())
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    return monkeypatch


@pytest.mark.parametrize(("wait", "answers"), [(0.5, True), (4, False)])
def test_an_index_has_three_seconds(run, index, wait, answers):
    index.wait = wait
    assert run.answers(index.address + "/cpu/torch/") == answers


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_index_that_is_none_does_not_answer(run, index, unused):
    addresses = (unused, index.address + "/rocm/torch/", "nonsense", "http://[::1", "file:///")
    assert not any(run.answers(address) for address in addresses)


def test_cpu_builds_are_for_linux_without_a_driver(run, plain, tmp_path, capsys):
    asked = []
    plain.setattr(run, "answers", lambda address: asked.append(address) or True)
    assert run.choose_cpu_builds()
    assert asked == ["https://download.pytorch.org/whl/cpu/torch/"]
    assert "IPPY_TORCH=default" in capsys.readouterr().out
    plain.setattr(run.platform, "machine", lambda: "aarch64")
    assert run.choose_cpu_builds() and len(asked) == 2

    driver = tmp_path / "version"
    driver.touch()
    elsewhere = [
        (run.platform, "machine", lambda: "riscv64"),
        (run.sys, "platform", "darwin"),
        (run.sys, "platform", "win32"),
        (run, "NVIDIA", (str(tmp_path / "missing"), str(driver))),
        (run.shutil, "which", lambda name: name == "nvidia-smi"),
    ]
    for place in elsewhere:
        with plain.context() as there:
            there.setattr(*place)
            assert not run.choose_cpu_builds(), place
    assert len(asked) == 2


def test_ippy_torch_chooses_the_builds(run, plain, capsys):
    plain.setattr(run, "answers", lambda address: pytest.fail("nobody has to be asked"))
    plain.setenv("IPPY_TORCH", "default")
    assert run.choose_cpu_builds() is False
    plain.setenv("IPPY_TORCH", "cpu")
    plain.setattr(run, "NVIDIA", ("/",))
    assert run.choose_cpu_builds() is True
    plain.setenv("IPPY_TORCH", "gpu")
    with pytest.raises(SystemExit, match="^run.py: IPPY_TORCH is 'gpu', but has to be 'cpu' "):
        run.setup()
    assert not run.VENV.exists()
    plain.delenv("IPPY_TORCH")
    plain.setattr(run, "NVIDIA", ())
    plain.setenv("PIP_EXTRA_INDEX_URL", "https://download.pytorch.org/whl/cu130")
    assert run.choose_cpu_builds() is False


@pytest.fixture
def installs(run, plain, index):
    """Set-up with pip as it is, from the index beside it; says which builds are there after it."""
    if os.name == "nt":
        pytest.skip("Windows has no use for PyTorch's index, and its environments another shape")
    plain.setenv("PIP_INDEX_URL", index.address + "/simple")
    plain.setenv("PIP_RETRIES", "1")
    plain.setenv("IPPY_TORCH_INDEX", index.address + "/cpu/")
    plain.setattr(run, "EVERYTHING", run.EVERYTHING[:4])  # without ippy itself
    (run.ROOT / "requirements.txt").write_text("torch>=2.6,<3\ntorchvision>=0.21,<1\n")

    def make():
        venv.create(run.VENV)  # ensurepip would take ten times as long as a link to this pip
        (packages,) = run.VENV.glob("lib/python*/site-packages")
        (packages / "pip").symlink_to(Path(importlib.util.find_spec("pip").origin).parent)
        return run.probe()

    plain.setattr(run, "make_environment", make)

    def install(torch="2.15.0", torchvision="0.29.2"):
        pins = f"torch=={torch}\ntorchvision=={torchvision}\n"
        (run.ROOT / "constraints.txt").write_text(pins)
        index.asked.clear()
        run.setup()
        found = run.VENV.glob("lib/python*/site-packages/torch*.dist-info")
        return sorted(path.name.removesuffix(".dist-info") for path in found)

    return install


def test_cpu_builds_come_as_a_pair_and_stay(run, index, installs, plain, unused):
    assert installs() == ["torch-2.15.0+cpu", "torchvision-0.29.2+cpu"]
    assert not any("simple" in path and path.endswith(".whl") for path in index.asked)
    assert installs() == ["torch-2.15.0+cpu", "torchvision-0.29.2+cpu"] and not index.asked
    # new requirements of other packages, on a day on which PyTorch's index is silent
    plain.setenv("IPPY_TORCH_INDEX", unused)
    with (run.ROOT / "requirements.txt").open("a") as file:
        file.write("# more\n")
    assert installs() == ["torch-2.15.0+cpu", "torchvision-0.29.2+cpu"] and not index.asked
    # another torchvision has to come from there too: the environment stays as it is without it
    with pytest.raises(SystemExit, match="no network"):
        installs("2.15.0", "0.30.0")
    plain.setenv("IPPY_TORCH_INDEX", index.address + "/cpu")
    plain.setattr(run, "answers", lambda address: pytest.fail("the kind is settled"))
    assert installs("2.16.0", "0.30.0") == ["torch-2.16.0+cpu", "torchvision-0.30.0+cpu"]


@pytest.mark.parametrize("trouble", ["dead", "half empty", "default"])
def test_ordinary_builds_come_as_a_pair(run, index, installs, plain, unused, capsys, trouble):
    if trouble == "dead":
        plain.setenv("IPPY_TORCH_INDEX", unused)
    elif trouble == "half empty":
        shutil.rmtree(index.site / "cpu" / "torchvision")
    else:
        plain.setenv("IPPY_TORCH", "default")
    assert installs() == ["torch-2.15.0", "torchvision-0.29.2"]
    said = {"dead": "does not answer", "half empty": "No CPU build", "default": "Setting up"}
    assert said[trouble] in capsys.readouterr().out
    assert trouble != "default" or not any("cpu" in path for path in index.asked)


def test_cpu_builds_that_were_asked_for_are_not_replaced(run, index, installs, plain, capsys):
    shutil.rmtree(index.site / "cpu" / "torchvision")
    plain.setenv("IPPY_TORCH", "cpu")
    with pytest.raises(SystemExit, match="pip could not install"):
        installs()
    assert "Cannot install torchvision" in capsys.readouterr().err


@scripts
@pytest.mark.parametrize(
    ("code", "settings", "who"),
    [
        (0, {}, ["uv"]),
        (2, {}, ["uv", "pip"]),
        (0, {"PIP_INDEX_URL": "http://127.0.0.1/simple"}, ["pip"]),
        (0, {"PIP_TIMEOUT": "20"}, ["uv"]),
    ],
)
def test_uv_installs_where_it_can(run, plain, shelf, monkeypatch, code, settings, who):
    log = shelf.path / "log"
    uv = shelf("uv", f'echo uv "$PWD" "$@" >> {shlex.quote(str(log))}; exit {code}')
    pip = f'[ "$3" = config ] && exec {shlex.quote(sys.executable)} "$@"\n'
    python = shelf("python", pip + f'shift; echo "$@" >> {shlex.quote(str(log))}')
    monkeypatch.setattr(run.shutil, "which", lambda name: str(uv) if name == "uv" else None)
    monkeypatch.setattr(run, "venv_python", lambda: python)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run.pip_install(["-r", "requirements.txt"]) == (0, "")
    calls = log.read_text().splitlines()
    assert [call.split()[0] for call in calls] == who
    assert all("install" in call and call.endswith("-r requirements.txt") for call in calls)
    if who[0] == "uv":
        assert calls[0].startswith(f"uv {run.ROOT} pip install")
        assert f"--python {python}" in calls[0]


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


@pytest.mark.parametrize("fail", [None, "build", "pytest"])
def test_test_ends_with_one_pytest_and_remembers_a_failed_build(run, calls, fail):
    calls.fail = fail
    assert run.main(["test", "-x"]) == (fail is not None)
    assert ["pytest" in command for command in calls.seen] == [False, True]
    asked = {"tests", "ippy", "book", "--nbval", "tools.figures", "--doctest-modules", "-x"}
    assert asked <= set(calls.seen[-1])


def change_a_chapter(run):
    (run.ROOT / "book" / "unet.ipynb").write_text("one cell more", encoding="utf-8")


def forget_a_file(run):
    (run.ROOT / "imgs.svg").unlink()


def lose_a_page(run):
    (run.SITE / "index.html").unlink()


def install_again(run):
    (run.VENV / run.STAMP).write_text("other packages", encoding="utf-8")


def publish(run):
    (run.ROOT / ".git").mkdir()
    (run.ROOT / ".git" / "config").write_text("[remote]", encoding="utf-8")


def only_tests(run):
    (run.ROOT / "tests").mkdir()
    (run.ROOT / "tests" / "test_new.py").write_text("assert True", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "builds"),
    [(change_a_chapter, True), (forget_a_file, True), (lose_a_page, True), (install_again, True),
     (publish, True), (only_tests, False), (lambda run: None, False)],
)  # fmt: skip
def test_test_builds_only_what_is_not_built(run, calls, monkeypatch, change, builds):
    def call(command, *_, **__):
        is_build = "build" in command
        seen.append(is_build)
        if is_build:
            run.SITE.mkdir(parents=True)
            (run.SITE / "index.html").write_text("page", encoding="utf-8")
        return 0

    seen = []
    monkeypatch.setattr(run, "call", call)
    files = (run.ROOT / name for name in ("book/unet.ipynb", "imgs.svg", run.NPM))
    for path in (*files, run.VENV / run.STAMP):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was", encoding="utf-8")
    assert run.main(["book"]) == run.main(["test"]) == 0
    assert seen == [True, False], "the book was built a moment ago"
    change(run)
    assert run.main(["test"]) == 0
    assert seen[2:] == ([True, False] if builds else [False])


def test_a_build_that_failed_or_had_no_network_is_done_again(run, calls):
    for fail in ("build", None, "build", None, None):
        calls.fail = fail
        assert run.main(["test"]) == (fail is not None)
        if len(calls.seen) == 4:  # after two builds that brought no packages
            (run.ROOT / run.NPM).parent.mkdir(parents=True)
            (run.ROOT / run.NPM).touch()
    assert ["build" in command for command in calls.seen] == [True, False] * 4 + [False]


def test_test_of_named_files_runs_only_those(run, calls):
    (run.ROOT / "test_x.py").touch()
    assert run.main(["test", "test_x.py::test_y"]) == 0
    assert len(calls.seen) == 1 and "book" not in calls.seen[0]


def test_the_value_of_an_option_is_no_file(run, calls):
    (run.ROOT / "weights").mkdir(exist_ok=True)
    assert run.main(["test", "-k", "weights"]) == 0
    assert {"tests", "ippy", "book", "-k", "weights"} <= set(calls.seen[-1])


@pytest.mark.parametrize("fail", [None, "pytest", "release_check.py"])
def test_release_check_names_what_is_stale_and_runs_the_long_tests(run, calls, fail):
    calls.fail = str(run.ROOT / "tools" / fail) if fail == "release_check.py" else fail
    assert run.main(["release-check"]) == (fail is not None)
    stale, tests = calls.seen
    assert stale[1:] == [str(run.ROOT / "tools" / "release_check.py")]
    assert tests[1:5] == ["-m", "pytest", "-m", "release"] and tests[-1] == "tests"


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
    found = re.search(r"\d+ networks verified; the UNet takes 22\.4 dB to 3\d\.\d dB", done.stdout)
    assert found, done.stdout + done.stderr


def test_slides_say_where_they_are(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "book", lambda args: None)
    with pytest.raises(SystemExit, match="reveal.js could not be fetched"):
        run.main(["slides"])
    (run.SITE / "slides").mkdir(parents=True)
    (run.SITE / "slides" / "index.html").touch()
    assert run.main(["slides"]) == 0
    assert str(run.SITE / "slides" / "index.html") in capsys.readouterr().out
