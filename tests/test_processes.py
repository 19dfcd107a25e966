"""Two processes learn what one learns; checkpoints move between them; a dead one ends the job."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import small_runs
import torch

from ippy import training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="starts two processes with torchrun"),
]
FOLDER = Path(__file__).parent
RECIPES = {
    name: replace(
        small_runs.RECIPE, model=name, model_args=arguments, steps=50, batch_size=4, val_every=5
    )
    for name, arguments in {
        "ResCNN": {"in_ch": 1, "out_ch": 1, "n_filters": 4},
        "SimpleUNet": {"in_ch": 1, "out_ch": 1, "base_ch": 4},
    }.items()
}
DTYPES = {"float64": (torch.float64, 1e-10), "float32": (torch.float32, 1e-5)}


def run(key: str, path: Path | None = None, end: int = 50) -> dict:
    """Train ``key`` (network-dtype) to ``end``: the weights at every validation, the errors.

    The run continues from the checkpoint ``path`` where there is one.
    """
    name, dtype = key.split("-")
    torch.manual_seed(0)
    model, seen, sizes = RECIPES[name].build().to(DTYPES[dtype][0]), {}, set()

    def count(net, inputs):
        if net.training:
            sizes.add(len(inputs[0]))

    model.register_forward_pre_hook(count)

    def watch(step, model, history):
        seen[step] = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
        return step == end

    task = small_runs.IMAGES, small_runs.K, RECIPES[name]
    history = training.train(
        model, training.MeasuredCrops(*task), RECIPES[name],
        validation=training.validation_pairs(*task), checkpoint=path, resume=True,
        fast=small_runs.SLOW, progress=False, callback=watch,
    )  # fmt: skip
    assert sizes == {4 // int(os.environ.get("WORLD_SIZE", 1))}, "the batch was not divided"
    return {"weights": seen, "losses": history["train_mse"], "val": history["val_mse"]}


def launch(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a function of this file in a job of two processes."""
    script = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import test_processes as t; {code}"
    path = Path(str(arguments[0])) / "job.py"
    path.write_text(script, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, str(path), *map(str, arguments)],
        env=environment, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip


KEYS = [f"{name}-{dtype}" for name in RECIPES for dtype in DTYPES]


def both(folder: str) -> None:
    """In each of two processes: whole runs, first halves, second halves of what one began."""
    from accelerate import PartialState

    folder, found = Path(folder), {"two": {}, "one, then two": {}}
    for key in KEYS:
        found["two"][key] = run(key)
        run(key, folder / f"{key}-of-two.pt", end=25)
        begun = f"{key}-of-one.pt" if os.environ["RANK"] == "0" else "not-on-this-machine.pt"
        found["one, then two"][key] = run(key, folder / begun)
    state = PartialState()
    assert state.num_processes == 2 and state.backend == "gloo", state
    if state.is_main_process:
        torch.save(found, folder / "found.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict:
    """Each network trained by one process, by two, and by one number after the other."""
    folder = tmp_path_factory.mktemp("processes")
    one = {key: run(key) for key in KEYS}
    for key in KEYS:
        run(key, folder / f"{key}-of-one.pt", end=25)
    done = launch("t.both(sys.argv[1])", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    found = torch.load(folder / "found.pt", weights_only=True)
    other = {key: run(key, folder / f"{key}-of-two.pt") for key in KEYS}
    return found | {"one": one, "two, then one": other}


@pytest.mark.parametrize("who", ["two", "one, then two", "two, then one"])
@pytest.mark.parametrize("key", KEYS)
def test_two_processes_follow_the_trajectory_of_one(runs, key, who):
    found, one, (dtype, limit) = runs[who][key], runs["one"][key], DTYPES[key.split("-")[1]]
    expected = range(5, 51, 5) if who == "two" else range(30, 51, 5)  # the second half alone
    assert list(found["weights"]) == list(expected)
    differences = []
    for step, weights in found["weights"].items():
        assert weights.dtype == dtype
        size = torch.linalg.vector_norm(one["weights"][step])
        differences.append((torch.linalg.vector_norm(weights - one["weights"][step]) / size).item())
    print(f"{key}, {who}: largest relative difference of the weights {max(differences):.1e}")
    assert max(differences) <= limit
    assert found["losses"] == pytest.approx(one["losses"], rel=limit)
    assert found["val"] == pytest.approx(one["val"], rel=limit)


def alone(folder: str) -> None:
    """Somebody has looked for GPUs first; without one, accelerate leaves each process alone."""
    from accelerate import PartialState

    assert PartialState().num_processes == 1
    small_runs.fit(checkpoint=Path(folder) / "run.pt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="GPUs join their processes")
def test_processes_that_stay_alone_are_refused(tmp_path):
    done = launch("t.alone(sys.argv[1])", tmp_path)
    assert done.returncode != 0
    assert "RuntimeError: 2 processes were started, but accelerate joins 1 on cpu" in done.stderr
    assert "set ACCELERATE_USE_CPU=true" in done.stderr
    assert not (tmp_path / "run.pt").exists()


def fault(folder: str) -> None:
    """The second of two processes dies at the eighth step."""
    from torch import distributed

    def die(step, *_):
        rank = distributed.get_rank()
        line = f"process {rank} of {distributed.get_world_size()} step {step}\n"
        os.write(1, line.encode())  # at once: two processes write to one pipe
        if step == 8 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = replace(small_runs.RECIPE, steps=400)
    small_runs.fit(recipe, checkpoint=Path(folder) / "run.pt", callback=die)


def test_a_killed_process_ends_the_job_with_a_clear_message(tmp_path):
    done = launch("t.fault(sys.argv[1])", tmp_path)
    assert "process 1 of 2 step 8\n" in done.stdout, "the second process did not run"
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr or f"exitcode: -{signal.SIGKILL.value}" in done.stderr
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    assert 8 <= saved["step"] < 400 and len(saved["history"]["step"]) >= 2
    recipe = replace(small_runs.RECIPE, steps=400)
    _, history = small_runs.fit(recipe, checkpoint=tmp_path / "run.pt", resume=True)
    assert history["step"] == sorted(set(history["step"])) and history["step"][-1] == 400
