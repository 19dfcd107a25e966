#!/usr/bin/env python3
"""One entry for every machine: ``python3 run.py book`` builds the course, ``--help`` lists all.

Standard library only. Set-up makes ``.venv`` beside this file and installs the packages of the book
into it; every other step is a child process of that environment's Python. This file must parse on
old Pythons (tested: 3.7 grammar), so that they can hand over to a newer one, or ask for it.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from http.client import HTTPException
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SITE = ROOT / "_build" / "html"
PYTHONS = ((3, 14), (3, 13), (3, 12), (3, 11))  # that the book is tested on, the newest first
STAMP = "ippy-ready"  # inside .venv: what was installed, as a hash
MARKER = "ippy-unfinished"  # inside .venv while it is being made or changed
MADE_FROM = "html-made-from"  # inside _build: what the site was built from, as a hash
NPM = "_build/web/npm/installed"  # the laboratory's packages, which a build without network lacks
EVERYTHING = ["-r", "requirements.txt", "-c", "constraints.txt", "-e", "."]
TORCH = ["torch", "torchvision", "-c", "constraints.txt"]  # the two must come from the same place
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # or what IPPY_TORCH_INDEX names: a mirror
PATIENCE = 3.0  # seconds in which that index has to answer
NVIDIA = (  # what a driver leaves on Linux, the last one on Windows' Linux
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/usr/lib/wsl/lib/libcuda.so.1",
)

FULL_DISK = (
    "the disk is full: free about 8 GB in {root} and in the folder for temporary files ({temp}; "
    "TMPDIR moves it), then repeat the command."
)
NO_NETWORK = (
    "no network: pip could not reach its package index. Check the connection (behind a proxy, set "
    "HTTPS_PROXY), then repeat the command."
)
NO_WRITING = (
    "cannot write here: {text}. Move the project to a folder of your own, or correct the "
    "permissions, then repeat the command."
)
NO_VENV = (
    "Python's venv module is incomplete. Debian and Ubuntu have it in the package "
    "python{0}.{1}-venv ('sudo apt install python{0}.{1}-venv'); then repeat the command."
)
CAUSES = (
    (FULL_DISK, r"No space left|\[Errno 28\]|\[WinError 112\]|Disk quota exceeded"),
    (
        NO_NETWORK,
        r"new connection|name resolution|getaddrinfo|Network is unreachable|ConnectionError|"
        r"Connection (broken|reset)|ReadTimeoutError|ConnectTimeout|ProxyError|SSLError",
    ),
    (NO_WRITING, r"Permission denied|Read-only file system|\[WinError 5\]|\[Errno 1\]"),
)


def say(text: str) -> None:
    """Print one line at once, in order with what child processes print."""
    print(text, flush=True)


def explain(text: str) -> str | None:
    """Cause and cure in one sentence for an error text, or None if the text names none we know."""
    last = text.strip().splitlines()[-1:] or [""]
    for sentence, pattern in CAUSES:
        if re.search(pattern, text):
            return sentence.format(root=ROOT, temp=tempfile.gettempdir(), text=last[0])
    if shutil.disk_usage(ROOT).free < 50e6:  # venv hides the cause that its pip met
        return FULL_DISK.format(root=ROOT, temp=tempfile.gettempdir())
    return None


def venv_python() -> Path:
    """The environment's interpreter."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def call(command: list, cwd: Path | None = ROOT, drop: tuple = ()) -> int:
    """Run a child to its end and return its exit code.

    On Ctrl-C the child, which gets the signal too, may finish what it does then (save a
    checkpoint, ask a question); a third Ctrl-C ends it.
    """
    env = {name: value for name, value in os.environ.items() if name not in drop}
    env.update(PYTHONUTF8="1", PYDEVD_DISABLE_FILE_VALIDATION="1", JUPYTER_PLATFORM_DIRS="1")
    child = subprocess.Popen([str(part) for part in command], cwd=cwd, env=env)
    interrupted = False
    for _ in range(3):
        try:
            code = child.wait()
        except KeyboardInterrupt:
            interrupted = True
        else:
            if interrupted:
                raise KeyboardInterrupt
            return code
    child.terminate()
    raise KeyboardInterrupt


# -- A Python that fits ---------------------------------------------------------------------------


def interview(command: list, modules: tuple) -> tuple:
    """Start a Python and ask: its version, its path, whether it has the modules.

    Returns ``("", "", False)`` for what does not run or is none of ``PYTHONS``.
    """
    test = (
        "import importlib.util as u, sys; print(sys.version_info[:2]); print(sys.executable);"
        f"print(all(u.find_spec(name) for name in {list(modules)}))"
    )
    env = dict(os.environ, PYTHONIOENCODING="utf-8", PYTHON_MANAGER_AUTOMATIC_INSTALL="false")
    try:
        done = subprocess.run(
            [*map(str, command), "-c", test],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            env=env,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", "", False
    version, path, complete = (done.stdout.splitlines() + [""] * 3)[:3]
    fits = done.returncode == 0 and version in [str(known) for known in PYTHONS]
    return (version, path, complete == "True") if fits else ("", "", False)


def hand_over(argv: list) -> int:
    """Started by a Python that does not fit: go on with the newest one here that does.

    It replaces this process, so that signals and the exit code are its own; on Windows, which
    cannot do that, it is a child. Only a Python that was asked is started, so this never loops.

    Raises:
        SystemExit: with one sentence, if there is none.
    """
    mine = ".".join(map(str, sys.version_info[:3]))
    numbers = [f"{major}.{minor}" for major, minor in PYTHONS]
    commands = [[f"python{number}"] for number in numbers]
    if os.name == "nt":
        commands = [["py", f"-{number}"] for number in numbers] + commands
    incomplete = ""
    for command in commands:
        version, path, complete = interview(command, ("venv", "ensurepip"))
        if complete and path:
            break
        incomplete = incomplete or version
    else:
        if incomplete:
            raise SystemExit("run.py: " + NO_VENV.format(*re.findall(r"\d+", incomplete)))
        fitting = f"{', '.join(reversed(numbers[1:]))} or {numbers[0]}"
        raise SystemExit(
            f"run.py needs Python {fitting}, but this is {mine} ({sys.executable}) and no other "
            "is on the PATH: install one of them, then repeat the command."
        )
    found = version.strip("()").replace(", ", ".")
    say(f"Python {mine} cannot run the book: going on with Python {found} ({path}).")
    command = [path, str(Path(__file__).resolve()), *argv]
    if os.name != "nt":
        os.execv(path, command)
    try:
        return call(command, cwd=None)
    except KeyboardInterrupt:  # of which the child has told
        return 130


# -- Set-up --------------------------------------------------------------------------------------


def probe() -> str | None:
    """Version of the environment's Python if it runs and has pip, else None."""
    version, _, complete = interview([venv_python()], ("pip",))
    return version if complete else None


def wanted(version: str | None) -> str:
    """Hash over everything that decides what has to be installed, the folder's own place included.

    An editable install points to the folder; a book that was moved has to be installed again.
    """
    parts = [str(version), str(ROOT)]
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        parts.append((ROOT / name).read_text(encoding="utf-8"))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def answers(address: str) -> bool:
    """Whether a page comes within ``PATIENCE``, name resolution and all."""
    pages = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE) as page:
                pages.append(page.status)
        except (OSError, ValueError, HTTPException):
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return pages == [200]


def torch_index() -> str:
    """Address of the index of PyTorch's CPU builds; ``IPPY_TORCH_INDEX`` names a mirror of it."""
    return (os.environ.get("IPPY_TORCH_INDEX") or TORCH_INDEX).rstrip("/")


def choose_cpu_builds() -> bool:
    """Whether a new environment gets PyTorch's CPU builds, which spare Linux 4 GB of CUDA.

    Yes on Linux without an NVIDIA driver, if their index answers. ``IPPY_TORCH=default`` says no,
    ``IPPY_TORCH=cpu`` says yes in spite of a driver. Elsewhere the ordinary builds have no CUDA.

    Raises:
        SystemExit: if ``IPPY_TORCH`` is anything else.
    """
    choice = os.environ.get("IPPY_TORCH", "")
    if choice not in ("", "cpu", "default"):
        raise SystemExit(
            f"run.py: IPPY_TORCH is {choice!r}, but has to be 'cpu' (PyTorch's CPU builds) or "
            "'default' (its ordinary ones); without it run.py chooses."
        )
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        return False
    if choice:
        return choice == "cpu"
    if shutil.which("nvidia-smi") or any(map(os.path.exists, NVIDIA)):
        return False
    if "pytorch.org" in os.environ.get("PIP_EXTRA_INDEX_URL", ""):
        return False  # the user has chosen the builds: pip will find them there
    if answers(torch_index() + "/torch/"):
        say("No NVIDIA driver here: PyTorch's CPU builds are taken (or set IPPY_TORCH=default).")
        return True
    say("PyTorch's index of CPU builds does not answer: the ordinary builds, 4 GB more, are taken.")
    return False


def has_cpu_builds() -> bool:
    """Whether the environment was made with PyTorch's CPU builds."""
    return any(VENV.glob("lib/python*/site-packages/torch-*+cpu.dist-info"))


def find_uv() -> str | None:
    """uv, if it is installed and pip has no settings (a mirror, a proxy) that uv would not read."""
    uv = shutil.which("uv")
    if uv:
        settings = subprocess.run(
            [str(venv_python()), "-m", "pip", "config", "list"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
        if re.search(r"index|find-links|proxy|cert|constraint", settings.stdout):
            return None
    return uv


def pip_install(arguments: list) -> tuple:
    """Install, progress visible, with uv where that can; return pip's exit code and error text."""
    uv = find_uv()
    if uv:
        command = [uv, "pip", "install", "--compile-bytecode", "--python", venv_python()]
        if call(command + arguments, cwd=ROOT) == 0:
            return 0, ""
        say("uv could not install this: pip tries.")
    command = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--no-input", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    return done.returncode, done.stderr


def install(cpu: bool, fresh: bool) -> tuple:
    """Install everything, with PyTorch's CPU builds or not; return pip's exit code and error text.

    The CPU builds come first, alone and from their own index: pip is content with them when it
    installs the rest. Where they are only a convenience, the ordinary builds can take their place.
    """
    if cpu:
        code, text = pip_install(["--no-deps", "--index-url", torch_index(), *TORCH])
        optional = fresh and not os.environ.get("IPPY_TORCH")
        if code and not (optional and explain(text) in (None, NO_NETWORK)):
            return code, text
        if code:
            say("No CPU build of PyTorch could be installed: the ordinary builds are taken.")
    return pip_install(EVERYTHING)


def make_environment() -> str:
    """Make ``.venv`` with this Python, from nothing; return the version of its Python.

    Raises:
        SystemExit: with one sentence that names cause and cure.
    """
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        raise SystemExit("run.py: " + NO_VENV.format(*sys.version_info))
    if VENV.exists():
        say("The environment in .venv is unfinished or broken: it is made again.")
        shutil.rmtree(VENV)
    VENV.mkdir()
    (VENV / MARKER).touch()
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    version = probe()
    if made.returncode or not version:
        text = made.stdout + made.stderr
        raise SystemExit("run.py: " + (explain(text) or f"cannot make .venv: {text.strip()}"))
    return version


def setup() -> None:
    """Make ``.venv`` match the requirements; return at once when it does already.

    An environment that was interrupted half-way, or whose Python has gone, is made again.

    Raises:
        SystemExit: with one sentence that names cause and cure.
    """
    stamp, marker = VENV / STAMP, VENV / MARKER
    version = None if marker.exists() else probe()
    if version and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted(version):
        return
    say("Setting up .venv (the first time: some minutes, up to 3 GB to download) ...")
    fresh = version is None
    if fresh:
        cpu = choose_cpu_builds()
        version = make_environment()
    else:
        cpu = has_cpu_builds()  # an environment keeps the kind that it has, whatever answers today
    marker.touch()
    code, text = install(cpu, fresh)
    if code:
        cause = explain(text)
        if cause == NO_NETWORK and not fresh:
            marker.unlink()  # nothing was touched: the old environment still works
        if cause is None:
            cause = "pip could not install the packages; its message stands above."
            print(text, file=sys.stderr)
        raise SystemExit("run.py: " + cause)
    stamp.write_text(wanted(version), encoding="utf-8")
    marker.unlink()


# -- Commands ------------------------------------------------------------------------------------


def build(site: Path, source: str = ".") -> int:
    """Build the site of the source from nothing, every warning an error."""
    site.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=site.parent) as room:
        room.write(bytes(20_000_000))  # a full or read-only disk shows here, not in mid-build
    shutil.rmtree(site, ignore_errors=True)  # pages that are no longer in the book must go
    stamp, files = site.parent / MADE_FROM, contents(ROOT)
    stamp.unlink(missing_ok=True)
    start = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    options = ["--all", "-n", "-W", "--keep-going"]
    failed = call([venv_python(), "-c", start, "build", *options, source])
    if not failed and (ROOT / NPM).is_file():  # without it the pages lack what a network brings
        stamp.write_text(files + contents(site), encoding="utf-8")
    return failed


def contents(folder: Path) -> str:
    """Hash over all files of a folder; of the checkout those that a build reads, and its set-up."""
    digest = hashlib.sha256()
    unread = ("_build", "__pycache__", "ippy.egg-info", "tests") if folder == ROOT else ()
    paths = [VENV / STAMP, ROOT / ".git" / "config"]  # packages, and the address for the buttons
    for here, names, files in os.walk(str(folder)):
        names[:] = [n for n in names if n not in unread and not n.startswith(".")]
        paths += [Path(here, name) for name in files]
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(f"{path}\0{path.stat().st_size}\0".encode("utf-8", "replace"))
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_built(site: Path) -> bool:
    """Whether the last build of the site went well, and nothing has changed since."""
    stamp = site.parent / MADE_FROM
    return stamp.is_file() and stamp.read_text("utf-8") == contents(ROOT) + contents(site)


def book(args: list) -> int:
    """set up if needed, build the site, say where it is (--no-solutions: without them)"""
    site, source = SITE, "."
    without = options("book", args, no_solutions=False).no_solutions
    setup()
    if without:  # a copy of the source, so that pages, search and downloads all lack them
        copy = SITE.parent / "no-solutions"
        if call([venv_python(), ROOT / "tools" / "no_solutions.py", ROOT, copy]):
            raise SystemExit("run.py: the solutions could not be left out; see above.")
        site, source = copy / "_build" / "html", str(copy)
    if build(site, source):
        raise SystemExit("run.py: the build failed; its messages stand above.")
    index = site / "index.html"
    say(f"\nThe book is ready. Open {index}\n(or click {index.as_uri()})")
    return 0


def spread() -> list:
    """pytest's options for several processes, one more than cores: they wait for browsers"""
    cores = os.cpu_count() or 1
    workers = min(cores + 1, 6)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // workers)))
    return ["-n", str(workers), "--dist", "loadscope", "--no-loadscope-reorder"]


def test(args: list) -> int:
    """all that CI checks: the build, unit tests, style, notebooks; arguments: pytest's"""
    setup()
    clear = ("IPPY_TRAIN", "IPPY_PRECISION", "MPLBACKEND")  # a lecturer's would change the outputs
    values = {i + 1 for i, arg in enumerate(args) if arg in ("-k", "-m", "-n", "-o", "-p", "-c")}
    rest = [arg for i, arg in enumerate(args) if i not in values and not arg.startswith("-")]
    named = any((ROOT / arg.split("::")[0]).exists() for arg in rest)
    unbuilt = False
    if not named:
        if is_built(SITE):
            say("The site is built from these files already.")
        else:
            unbuilt = bool(build(SITE))
        if unbuilt:
            say("\nrun.py: the build failed before the tests; its messages stand above.\n")
        args = [*spread(), "tests", "ippy", "book", *args]
    command = [venv_python(), "-m", "pytest", "--doctest-modules", "--nbval"]
    command += ["-p", "tools.figures", "--nbval-current-env", "--nbval-cell-timeout=300", *args]
    return call(command, drop=clear) or int(unbuilt)


def slides(args: list) -> int:
    """slides of every chapter, for a lecture (they are built with the book)"""
    options("slides", args)
    if not (SITE / "slides" / "index.html").is_file():
        book([])
    if not (SITE / "slides" / "index.html").is_file():
        raise SystemExit(
            "run.py: reveal.js could not be fetched; run 'run.py book' with a network."
        )
    say("Space goes on, S opens the notes, O shows all, F fills the screen.")
    say(f"Open {SITE / 'slides' / 'index.html'}; for live networks: run.py serve, then /slides/")
    return 0


def pdf(args: list) -> int:
    """the whole book as one PDF (--out FILE), printed by the Chromium that is there"""
    target = Path(options("pdf", args, out=str(SITE.parent / "book.pdf")).out).resolve()
    setup()
    if not (SITE / "index.html").is_file():
        book([])
    if call([venv_python(), ROOT / "tools" / "book_pdf.py", SITE, target]):
        raise SystemExit("run.py: there is no PDF; the reason stands above.")
    say(f"The book is in {target}")
    return 0


def doctor(args: list) -> int:
    """check this machine before a lecture: disk, environment, weights, a reconstruction"""
    options("doctor", args)
    free, good = shutil.disk_usage(ROOT).free / 1e9, []

    def report(fine: bool, text: str) -> None:
        good.append(fine)
        say(f"{'ok  ' if fine else 'FAIL'}  {text}")

    report(True, f"Python {'.'.join(map(str, sys.version_info[:3]))}")
    report(free > 1, f"{free:.1f} GB free on the disk of this folder (wanted: 1 GB)")
    version = None if (VENV / MARKER).exists() else probe()
    stamp = VENV / STAMP
    ready = bool(version) and stamp.is_file() and stamp.read_text("utf-8") == wanted(version)
    report(ready, "environment" if ready else "environment: not set up; 'run.py book' makes it")
    if ready:
        report(call([venv_python(), "-m", "ippy", "check"]) == 0, "weights and a reconstruction")
    built = (SITE / "index.html").is_file()
    report(built, "built book" if built else "built book: missing; 'run.py book' builds it")
    if os.environ.get("IPPY_TRAIN"):
        say("note  IPPY_TRAIN is set: load_or_train trains live in place of loading")
    return 0 if all(good) else 1


def execute(args: list) -> int:
    """re-run notebooks that changed, with what they use (NAME, --all, --check, --accept)"""
    setup()
    clear = ("IPPY_TRAIN", "IPPY_PRECISION", "MPLBACKEND")
    return call([venv_python(), ROOT / "tools" / "execute.py", *args], cwd=None, drop=clear)


def release_check(args: list) -> int:
    """before a release: what is stale, then the tests that are too long for every day"""
    options("release-check", args)
    setup()
    stale = call([venv_python(), ROOT / "tools" / "release_check.py"])
    tests = [venv_python(), "-m", "pytest", "-m", "release", *spread(), "tests"]
    return call(tests, drop=("IPPY_TRAIN", "IPPY_PRECISION", "MPLBACKEND")) or stale


def lab(args: list) -> int:
    """JupyterLab in the environment; arguments go to JupyterLab"""
    setup()
    return call([venv_python(), "-m", "jupyterlab", *args])


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the site, isolated from others: so browsers allow its networks several threads."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
    }

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = SITE / "404.html"
        if code != 404 or not page.is_file():
            return super().send_error(code, message, explain)
        self.send_response(404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.read_bytes())

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


def serve(args: list) -> int:
    """show the built site at a local address (--port N, 8000 by default)"""
    port = options("serve", args, port=8000).port
    if not (SITE / "index.html").is_file():
        book([])
    try:
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", port), functools.partial(Pages, directory=str(SITE))
        )
    except (OSError, OverflowError) as error:
        raise SystemExit(
            f"run.py: cannot listen on port {port} ({error}); choose another one: serve --port 8001"
        ) from None
    with server:
        say(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C ends it)")
        server.serve_forever()
    return 0


def train(args: list) -> int:
    """train the shipped networks again: train KEY, train --all (see train --help)"""
    setup()
    return call([venv_python(), "-m", "ippy", "train", *args], cwd=None)


def bench(args: list) -> int:
    """measure the speed of training on this machine; names and --all: see bench --help"""
    setup()
    return call([venv_python(), ROOT / "benchmarks" / "bench.py", *args], drop=("IPPY_TRAIN",))


def clean(args: list) -> int:
    """remove _build and caches; with --all the environment too"""
    everything = options("clean", args, all=False).all
    caches = ("__pycache__", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", "ippy.egg-info")
    for folder, names, _ in os.walk(ROOT):
        for name in [name for name in names if name in caches]:
            shutil.rmtree(os.path.join(folder, name))
        names[:] = [n for n in names if n not in caches and n not in (".venv", ".git", "_build")]
    for path in [ROOT / "_build"] + [VENV] * everything:
        if path.exists():
            shutil.rmtree(path)
    return 0


def options(command: str, args: list, **known) -> argparse.Namespace:
    """Parse a command's own options: ``port=8000`` is a number, ``all=False`` a switch."""
    parser = argparse.ArgumentParser(
        prog=f"run.py {command}", description=COMMANDS[command].__doc__
    )
    for name, default in known.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument("--" + name.replace("_", "-"), default=default, **kind)
    return parser.parse_args(args)


COMMANDS = {
    command.__name__.replace("_", "-"): command
    for command in (
        *(book, test, execute, release_check, lab, serve, slides, pdf, doctor, train, bench, clean),
    )
}


# -- Start ----------------------------------------------------------------------------------------


def main(argv: list) -> int:
    """Choose the command; turn every expected failure into one sentence and an exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        lines = [f"  {name:13} {command.__doc__}" for name, command in COMMANDS.items()]
        say("usage: python3 run.py COMMAND [arguments]\n\n" + "\n".join(lines))
        say("  --help        print this list")
        return 0
    if argv[0] not in COMMANDS:
        raise SystemExit(f"run.py: no command {argv[0]!r}; there are {', '.join(COMMANDS)}.")
    try:
        return COMMANDS[argv[0]](argv[1:])
    except KeyboardInterrupt:
        print("\nrun.py: stopped by Ctrl-C.", file=sys.stderr)
        return 130
    except OSError as error:
        raise SystemExit("run.py: " + (explain(str(error)) or str(error))) from None


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console that lacks a letter of the path
    if sys.version_info[:2] not in PYTHONS:
        raise SystemExit(hand_over(sys.argv[1:]))
    raise SystemExit(main(sys.argv[1:]))
