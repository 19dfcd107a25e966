"""Faults provoked on purpose: kills at random moments, full disks, processes in each other's way.

Every test asserts that what it provokes really happened.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch

from ippy import models, weights

pytestmark = pytest.mark.slow
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks and mounts as Linux does")


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run code in a Python of its own."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=1500)


# A training run of seconds.
SMALL = """
from ippy.networks import Recipe
recipe = Recipe(
    "ResCNN",
    {"in_ch": 1, "out_ch": 1, "n_filters": 4},
    steps=12,
    batch_size=4,
    crop=16,
    val_every=4,
    val_images=2,
    data={"n_images": 6, "kind": "dead_leaves"},
)
"""

# Children are forked from a process that has imported everything and computed nothing.
KILLS = """
import json, mmap, os, random, signal, sys, time
import accelerate, torch._dynamo  # which accelerate imports when training begins
from dataclasses import replace
from pathlib import Path
from ippy import networks, training, weights
from ippy.training import checkpoints, runs
root = Path(sys.argv[1])
recipe = replace(recipe, steps=60, val_every=5)
networks.NETWORKS["ResCNN"] = networks.Network("ResCNN", recipe, "cnn")
runs.held_out_metrics = lambda *_, **__: {}  # of no interest here
phase = mmap.mmap(-1, 1)  # 1 steps, 2 writes a checkpoint, 3 writes weights and card

def train(name):
    child = os.fork()
    if child:
        return child
    write = weights.atomic_write
    def spy(files):
        phase[0] = 3 if any(path.suffix == ".pth" for path in files) else 2
        write(files)
        phase[0] = 1
    checkpoints.atomic_write = weights.atomic_write = spy
    os.environ["IPPY_CACHE"] = str(root / name / "cache")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    training.train_and_save("ResCNN", weights_dir=root / name / "weights", resume=True)
    os._exit(0)

assert os.waitpid(train("whole"), 0)[1] == 0
died, unfinished, rng = [], [], random.Random(0)
for i in range(400):
    phase[0] = 0
    child, wanted = train("killed"), (1, 2, 3, 2)[i % 4] if len(died) < 20 else 3
    ended = 0
    while phase[0] != wanted and not ended:
        ended = os.waitpid(child, os.WNOHANG)[0]
        time.sleep(1e-4)  # the child needs the core
    time.sleep(rng.uniform(0, 0.1 if wanted == 1 else 0.003))
    if not ended:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            died.append(phase[0])
            unfinished.append(len(list(root.glob("killed/**/*.tmp"))))
    if len(died) >= 24 and died.count(3) >= 3:
        break
    if (root / "killed" / "weights" / "ResCNN.pth").is_file() and not list(
        (root / "killed").glob("cache/checkpoints/*.pt")
    ):
        for path in (root / "killed" / "weights").iterdir():
            path.unlink()  # it was finished: from the beginning
child = train("killed")
assert os.waitpid(child, 0)[1] == 0
print(json.dumps({"died": died, "leftovers": unfinished}))
"""


@linux
def test_training_survives_kills_at_random_moments(tmp_path):
    done = python(SMALL + KILLS, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    died = found["died"]
    print({name: died.count(i + 1) for i, name in enumerate(("steps", "checkpoint", "weights"))})
    print("kills that left a temporary file:", sum(n > 0 for n in found["leftovers"]))
    assert len(died) >= 20 and {1, 2, 3} <= set(died)
    whole, killed = (tmp_path / name / "weights" for name in ("whole", "killed"))
    assert (whole / "ResCNN.pth").read_bytes() == (killed / "ResCNN.pth").read_bytes()
    histories = [weights.read_card(folder / "ResCNN.pth")["history"] for folder in (whole, killed)]
    assert {**histories[0], "seconds": 0} == {**histories[1], "seconds": 0}
    assert histories[1]["step"] == sorted(set(histories[1]["step"]))
    files = sorted(p.name for p in (tmp_path / "killed").rglob("*") if p.is_file())
    files = [name for name in files if not name.startswith("images-")]  # cached, whole
    assert files == ["ResCNN.json", "ResCNN.pth"], "temporary files or checkpoints are left"


REWRITES = """
import itertools, json, os, random, signal, sys, time
from pathlib import Path
from ippy.files import atomic_write
path, size, rng, unfinished = Path(sys.argv[1]), 8_000_000, random.Random(0), set()
start = time.monotonic()
for _ in range(3):
    atomic_write({path: bytes(size)})
once = (time.monotonic() - start) / 3
for _ in range(40):
    child = os.fork()
    if not child:
        for i in itertools.count():
            atomic_write({path: bytes([i % 256]) * size})
    time.sleep(rng.uniform(0, 2 * once))
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    content = path.read_bytes()
    assert len(content) == size and len(set(content)) == 1, "a torn file"
    left = list(path.parent.glob(".file.*.tmp"))
    assert len(left) <= 1, "leftovers pile up"
    unfinished |= {old.stat().st_mtime_ns for old in left}  # one may outlive the next child
atomic_write({path: b"last"})
print(len(unfinished))
"""


@linux
def test_a_file_is_old_or_new_whenever_its_writer_is_killed(tmp_path):
    done = python(REWRITES, tmp_path / "file")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10, "hardly a writer was killed while it wrote"
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "temporary files are left"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MB, where mounting is allowed; ``remount`` makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not shutil.which("mount") or os.getuid():
        pytest.skip("a small disk can only be mounted by the superuser of a Linux")
    options = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, encoding="utf-8")
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


CARD = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 32}}


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_real_full_or_read_only_disk_keeps_the_old_weights(small_disk, fault):
    path = small_disk / "Net.pth"
    weights.save(models.ResCNN(1, 1, 32), path, CARD)
    before = {p.name: p.read_bytes() for p in small_disk.iterdir()}
    if fault == "full":
        (small_disk / "rest").write_bytes(bytes(shutil.disk_usage(small_disk).free - 20_000))
        assert 0 < shutil.disk_usage(small_disk).free < path.stat().st_size
    else:
        command = ["mount", "-o", "remount,ro", str(small_disk)]
        subprocess.run(command, check=True)
        with pytest.raises(OSError, match="Read-only"):
            (small_disk / "probe").touch()
    with pytest.raises(OSError, match="could not write Net.pth and Net.json.*is unchanged: free"):
        weights.save(models.ResCNN(1, 1, 32), path, CARD)
    if fault == "full":
        (small_disk / "rest").unlink()
    assert {p.name: p.read_bytes() for p in small_disk.iterdir()} == before
    assert weights.verify(small_disk) == {"Net": "ok"}


FILLS = """
import shutil, sys
from pathlib import Path
from ippy import training
path = Path(sys.argv[1])
def fill(step, *_):
    if step == 8:
        free = shutil.disk_usage(path.parent).free
        (path.parent / "rest").write_bytes(bytes(free - 2000))
training.train_recipe(recipe, checkpoint=path, callback=fill)
"""


def test_a_full_disk_stops_training_and_keeps_the_checkpoint(small_disk):
    done = python(SMALL + FILLS, small_disk / "run.pt")
    assert done.returncode == 1
    assert "could not write run.pt (No space left on device); what was there is" in done.stderr
    assert torch.load(small_disk / "run.pt", weights_only=True)["step"] == 8
    assert sorted(p.name for p in small_disk.iterdir()) == ["rest", "run.pt"]


WRITER = """
import sys, time, torch
from pathlib import Path
from ippy import models, weights
model = models.ResCNN(1, 1, 32)
with torch.no_grad():
    for p in model.parameters():
        p.fill_(float(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
card = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 32}}
for _ in range(60):
    weights.save(model, Path(sys.argv[2]), card)
    time.sleep(0.004)  # who has saved lets the other
"""


def test_two_processes_write_one_key_while_a_third_reads(tmp_path):
    path = tmp_path / "Net.pth"
    command = [sys.executable, "-c", WRITER]
    writers = [
        subprocess.Popen(
            [*command, str(value), str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for value in (1.0, 2.0)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seen = []
    while any(writer.poll() is None for writer in writers):
        if path.is_file() and path.with_suffix(".json").is_file():
            values = {p.unique().item() for p in weights.load(path).parameters()}
            assert len(values) == 1, "a file of two halves"
            seen.append(values.pop())
    assert [writer.wait() for writer in writers] == [0, 0]
    changes = sum(a != b for a, b in zip(seen, seen[1:], strict=False))
    assert len(seen) > 20 and changes >= 3, "the writers did not work at the same time"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["Net.json", "Net.pth"]
