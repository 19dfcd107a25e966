"""Faults of a few-view training: killed wherever it writes, it ends with the same network.

What networks are given is computed once and kept, so there are two kinds of files to tear: the
reconstructions of the training images, and checkpoints.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks as Linux does"),
]

# Children are forked from a process that has imported everything. Each is killed at one place:
# part of a file's name, which of its writings, and whether half of it is written or all but its
# name; the last place is between two steps.
RUN = """
import json, os, signal, sys
import accelerate, torch._dynamo  # which accelerate imports when training begins
from dataclasses import replace
from functools import partial
from pathlib import Path
import torch
from ippy import files, tasks, training
from ippy.networks import Recipe

root = Path(sys.argv[1])
tasks.TASKS["few_view"] = replace(
    tasks.TASKS["few_view"],
    make_operator=partial(tasks.few_view_projector, views=8),
    shape=(32, 32),
)
recipe = Recipe(
    "ResCNN", {"in_ch": 1, "out_ch": 1, "n_filters": 4}, "few_view",
    steps=20, batch_size=2, crop=16, val_every=5, val_images=2,
    data={"n_images": 4, "kind": "dead_leaves", "version": 3},
)
write = files._write

def train(name, place):
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    seen = []
    def spy(path, content):
        if place and place[0] in path.name:
            seen.append(path)
            if len(seen) == place[1]:
                write(path, content[: len(content) // 2] if place[2] == "half" else content)
                os.kill(os.getpid(), signal.SIGKILL)
        write(path, content)
    def stop(step, *_):
        if place == "steps" and step == 15:
            os.kill(os.getpid(), signal.SIGKILL)
    files._write = spy
    os.environ["IPPY_CACHE"] = str(root / name / "cache")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    checkpoint = root / name / "run.pt"
    model, history = training.train_recipe(
        recipe, checkpoint=checkpoint, resume=True, callback=stop
    )
    torch.save([model.state_dict(), history["step"], history["val_mse"]], root / name / "end")
    os._exit(0)

assert train("whole", None) == 0
killed = []
for place in [("pairs-", 1, "half"), ("pairs-", 2, "all"), ("run.pt", 1, "half"),
              ("run.pt", 2, "all"), "steps"]:
    status = train("killed", place)
    left = sorted(p.name for p in (root / "killed").rglob("*") if p.is_file())
    killed.append([os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, left])
assert train("killed", None) == 0
print(json.dumps(killed))
"""


def kinds(names: list[str]) -> list[str]:
    """Names of files without what is different on every machine."""
    found = ["temporary" if name.endswith(".tmp") else name.split("-")[0] for name in names]
    return sorted(name for name in found if name != "images")


def test_it_ends_with_the_same_network_wherever_it_is_killed(tmp_path):
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    killed = json.loads(done.stdout.splitlines()[-1])
    assert all(was_killed for was_killed, _ in killed), "a child ended before it was killed"
    assert [kinds(left) for _, left in killed] == [
        ["temporary"],
        ["pairs", "temporary"],
        ["pairs", "pairs", "temporary"],
        ["pairs", "pairs", "run.pt", "temporary"],
        ["pairs", "pairs", "run.pt"],
    ]
    ends = [(tmp_path / name / "end").read_bytes() for name in ("whole", "killed")]
    assert ends[0] == ends[1]
    whole, again = (reconstructions(tmp_path / name) for name in ("whole", "killed"))
    assert len(whole) == 2 and whole == again
    assert not list(tmp_path.rglob("*.tmp")), "temporary files are left"


def reconstructions(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("pairs-*.npz")}
