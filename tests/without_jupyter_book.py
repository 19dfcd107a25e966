"""Would the book outlive Jupyter Book 1? Sphinx itself builds it, with newer parts, and tells.

Jupyter Book 1 is a command around Sphinx. This writes the conf.py that it would use, leaves out its
own extensions, and builds the book with the newest Sphinx, myst-nb and theme, in an environment
that is laid over the book's. Not a part of 'run.py test': it takes some minutes and the network.

    .venv/bin/python tests/without_jupyter_book.py FOLDER

FOLDER keeps the environment, the site and the log; what is said at last is what breaks: pages that
are missing, and warnings by their kind. The exit code is 1 if there is anything.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Taken in their newest versions, whatever Jupyter Book admits.
NEWEST = ["sphinx", "myst-nb", "myst-parser", "sphinx-book-theme", "sphinx-exercise"]
NEWEST += ["sphinxcontrib-bibtex", "sphinx-design", "sphinx-copybutton", "sphinx-togglebutton"]
NEWEST += ["sphinx-external-toc", "sphinx-multitoc-numbering"]
#: Of Jupyter Book itself, or not used by this book.
LEFT_OUT = ["jupyter_book", "sphinx_thebe", "sphinx_comments", "sphinx_jupyterbook_latex"]


def environment(folder: Path) -> Path:
    """The Python of an environment with the newest parts over the packages of this one."""
    home = folder / "environment"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        own = subprocess.run(ask, capture_output=True, encoding="utf-8", check=True).stdout.strip()
        Path(own, "below.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-U", *NEWEST], check=True)
        (home / "complete").touch()
    return python


def sources(folder: Path) -> Path:
    """A copy of what git knows, with a conf.py that needs no Jupyter Book."""
    copy = folder / "book"
    shutil.rmtree(copy, ignore_errors=True)
    listed = ["git", "ls-files", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    for name in filter(None, names.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    code = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code, "config", "sphinx", str(copy)], check=True)
    written = copy / "conf.py"
    text = written.read_text(encoding="utf-8")
    text += f"\nextensions = [name for name in extensions if name not in {LEFT_OUT}]\n"
    # local extensions lie beside the pages, and import each other and ippy
    text += (
        "import sys\nsys.path[:0] = [r'" + str(copy) + "', r'" + str(copy / "book/_ext") + "']\n"
    )
    written.write_text(text, encoding="utf-8")
    return copy


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    python, copy, site = environment(folder), sources(folder), folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    build = [python, "-m", "sphinx", "-n", "--keep-going", "-b", "html", copy, site]
    done = subprocess.run(build, capture_output=True, encoding="utf-8", errors="replace")
    text = done.stdout + done.stderr
    (folder / "build.log").write_text(text, encoding="utf-8")
    versions = ["sphinx", "myst_nb", "myst_parser", "sphinx_book_theme"]
    ask = (
        f"from importlib.metadata import version as v; print(*[n + ' ' + v(n) for n in {versions}])"
    )
    subprocess.run([python, "-c", ask], check=True)
    if done.returncode:
        print(f"the build ended with {done.returncode}: {text.strip().splitlines()[-1]}")
    pages = [path for path in sorted((ROOT / "book").iterdir()) if path.suffix in (".md", ".ipynb")]
    missing = [path.stem for path in pages if not (site / "book" / f"{path.stem}.html").is_file()]
    print(
        f"{len(pages) - len(missing)} of {len(pages)} pages, missing: {', '.join(missing) or '-'}"
    )
    lines = [line for line in text.splitlines() if re.search(r"\b(WARNING|ERROR)\b", line)]
    kinds = collections.Counter(kind(line) for line in lines)
    print(f"{len(lines)} warnings" + ("; of each kind the first:" if lines else ""))
    for name, count in kinds.most_common():
        first = next(line for line in lines if kind(line) == name)
        print(f"{count:5d} × {name}: {first.replace(str(copy), '')[:200]}")
    return int(bool(done.returncode or missing or lines))


def kind(line: str) -> str:
    """What Sphinx writes in brackets at the end of a warning."""
    found = re.search(r"\[([\w.-]+)\]\s*$", line)
    return found[1] if found else "other"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
