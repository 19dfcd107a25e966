"""Are the notebooks stable? Runs all of them many times and reports every run.

In random order, with one thread and with two in turn, in environments of several Pythons with the
oldest and the newest versions that requirements.txt admits. Not a part of 'run.py test': it takes
minutes per run. Needs uv (https://docs.astral.sh/uv), which finds or fetches the Pythons:

    python3 tests/stability.py ENVIRONMENTS --runs 10 3.11:oldest 3.13:newest

The folder ENVIRONMENTS keeps the environments and, line by line, the results.
"""

import argparse
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = {"oldest": "lowest-direct", "newest": "highest"}


def environment(folder: Path, name: str) -> Path:
    """The Python of an environment such as ``"3.11:oldest"``, which is made where it is missing."""
    version, _, age = name.partition(":")
    if age not in RESOLUTIONS:
        raise SystemExit(f"{name}: write VERSION:oldest or VERSION:newest, such as 3.11:oldest")
    if shutil.which("uv") is None:
        raise SystemExit("uv is missing; install it: https://docs.astral.sh/uv")
    home = folder / name.replace(":", "-")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").exists():
        subprocess.run(["uv", "venv", "--clear", "--python", version, str(home)], check=True)
        install = ["uv", "pip", "install", "--python", str(python), "-r", "requirements.txt"]
        install += ["--resolution", RESOLUTIONS[age]]
        subprocess.run(install, cwd=ROOT, check=True)
        (home / "complete").touch()
    return python


def run(python: Path, notebooks: list, threads: int) -> dict:
    """Run the notebooks in this order; what pytest counted, and which cells failed."""
    command = [str(python), "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:randomly"]
    command += ["-p", "tools.figures", "-p", "no:cacheprovider", "--nbval-cell-timeout=600"]
    command += map(str, notebooks)
    clear = ("IPPY_TRAIN", "IPPY_PRECISION", "MPLBACKEND")
    variables = {name: value for name, value in os.environ.items() if name not in clear}
    variables |= {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    variables["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", errors="replace"
    )
    counts = {what: int(n) for n, what in re.findall(r"(\d+) (passed|failed|errors?)", done.stdout)}
    failed = re.findall(r"^(?:FAILED|ERROR) (.+)$", done.stdout, re.M)
    seconds = round(time.monotonic() - start)
    if done.returncode or not counts.get("passed"):
        print(done.stdout[-6000:], done.stderr[-2000:], file=sys.stderr)
    return {"code": done.returncode, "counts": counts, "failed": failed, "seconds": seconds}


def main(argv: list) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="keeps environments and results.jsonl")
    parser.add_argument("environments", nargs="+", help="such as 3.11:oldest 3.13:newest")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    options.folder.mkdir(parents=True, exist_ok=True)
    pythons = {name: environment(options.folder, name) for name in options.environments}
    order, good = random.Random(options.seed), 0
    # both numbers of threads in every environment, even where there are two of them
    turns = [(name, threads) for threads in (1, 2) for name in pythons]
    for i, (name, threads) in enumerate(itertools.islice(itertools.cycle(turns), options.runs)):
        notebooks = sorted((ROOT / "book").glob("*.ipynb"))
        order.shuffle(notebooks)
        found = run(pythons[name], notebooks, threads)
        facts = {"run": i + 1, "environment": name, "threads": threads, **found}
        facts["order"] = [path.stem for path in notebooks]
        with (options.folder / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
        good += found["code"] == 0
        counts = ", ".join(f"{n} {what}" for what, n in found["counts"].items())
        print(f"{i + 1:3} {name}, threads {threads}, {found['seconds']} s: {counts}", flush=True)
    print(f"{good} of {options.runs} runs without a failure")
    return int(good < options.runs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
