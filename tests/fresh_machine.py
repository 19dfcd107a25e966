"""Does a clone work on a machine that has nothing? The README's two commands in an empty home.

Once in a plain folder, once in one with spaces and letters outside ASCII in its name; pip and npm
have nothing cached. Not a part of 'run.py test': it takes half an hour and 20 GB.

    python3 tests/fresh_machine.py FOLDER
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("plain", "Übung 1 – 画像 à l’école")


def clean_environment(home: Path) -> dict:
    """The environment of a user who has just got the machine."""
    private = ("IPPY_", "XDG_", "PYTHON", "VIRTUAL_ENV", "PIP_CACHE", "npm_", "JUPYTER")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home)}


def main(folder: Path) -> int:
    failed = 0
    for i, name in enumerate(PLACES):
        home, clone = folder / f"home {i}", folder / name / "course"
        for path in (home, clone):
            shutil.rmtree(path, ignore_errors=True)
        home.mkdir(parents=True)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        assert not list(home.iterdir()) and not (clone / ".venv").exists()
        for command in ("book", "test"):
            start, log = time.monotonic(), folder / f"{i}-{command}.log"
            with log.open("w", encoding="utf-8") as file:
                code = subprocess.run(
                    [sys.executable, "run.py", command],
                    cwd=clone, env=clean_environment(home), stdout=file, stderr=subprocess.STDOUT,
                ).returncode  # fmt: skip
            last = log.read_text("utf-8", errors="replace").strip().splitlines()[-1]
            seconds = time.monotonic() - start
            print(f"{name}: run.py {command}: exit {code}, {seconds:.0f} s: {last}", flush=True)
            failed += code != 0
        status = ["git", "status", "--porcelain"]
        left = subprocess.run(status, cwd=clone, capture_output=True, encoding="utf-8").stdout
        print(f"{name}: files changed or left in the clone: {left.strip() or 'none'}", flush=True)
        failed += bool(left)
        shutil.rmtree(clone / ".venv", ignore_errors=True)
    return int(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve()))
