"""Checkpoints: a run goes on to the same weights, and only the run it is."""

import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from small_runs import IMAGES, RECIPE, SLOW, K, Stop, fit, same
from torch import nn

from ippy import models
from ippy.operators import Blurring
from ippy.tasks import TASKS
from ippy.training import MeasuredCrops, train, validation_pairs


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path):
    path = tmp_path / "run.pt"

    def stop(step, model, history):
        if step == 8:
            raise Stop

    with pytest.raises(Stop):
        fit(checkpoint=path, callback=stop)
    seen = []
    resumed, history = fit(checkpoint=path, resume=True, callback=lambda s, *_: seen.append(s))
    whole, reference = fit()
    assert seen == [12], "the resumed run must not start from the beginning"
    assert same(resumed, whole)
    assert {**history, "seconds": 0} == {**reference, "seconds": 0}


@pytest.mark.parametrize("fast", [{"precision": "bfloat16", "channels_last": True}])
def test_a_run_is_not_continued_in_another_precision(tmp_path, fast):
    fit(checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="was made with .*float32.*set IPPY_PRECISION"):
        fit(checkpoint=tmp_path / "run.pt", resume=True, fast=fast)


KILLED = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from dataclasses import replace
from pathlib import Path
from small_runs import RECIPE, fit
fit(replace(RECIPE, steps=40), checkpoint=Path(sys.argv[1]),
    callback=lambda step, *_: step == 8 and os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    path, recipe = tmp_path / "run.pt", replace(RECIPE, steps=40)
    code = KILLED.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert torch.load(path, weights_only=True)["step"] == 8
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"], "a temporary file was left"
    assert same(fit(recipe, checkpoint=path, resume=True)[0], fit(recipe)[0])


def test_ctrl_c_says_how_to_go_on_and_keeps_the_checkpoint(tmp_path, capsys):
    path = tmp_path / "run.pt"

    def interrupt(step, model, history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=path, callback=interrupt)
    assert "interrupted; step 4 is saved: --resume continues there" in capsys.readouterr().out
    assert torch.load(path, weights_only=True)["step"] == 4


def soft(x_hat, x):
    return (x_hat - x).abs().clamp(min=0.1).mean()


REPLACED = torch.cat([IMAGES[:1], IMAGES[2:].flip(3), 1 - IMAGES[1:2]])  # the first one stays
PAIRS = validation_pairs(IMAGES, K, RECIPE)
OTHERS = {
    "recipe": {"recipe": replace(RECIPE, lr=5e-4)},
    "set of images": {"images": REPLACED},
    "loss": {"loss": nn.functional.l1_loss},
    "validation set": {"validation": (PAIRS[0], PAIRS[1].flip(2))},
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_run_that_differs_is_refused_and_told_in_what(tmp_path, what):
    path = tmp_path / "run.pt"
    fit(checkpoint=path)
    said = f"run.pt belongs to a run with another {what}; delete it or train without --resume"
    with pytest.raises(ValueError, match=said):
        fit(checkpoint=path, resume=True, **OTHERS[what])
    fit(checkpoint=path, resume=True)  # the same run is taken


@pytest.mark.parametrize(
    "other",
    [
        {"kernel_type": "motion", "kernel_size": 3},
        {"kernel_type": "gaussian", "kernel_size": 3, "boundary": "reflect"},  # differs at the edge
    ],
)
def test_another_forward_model_is_refused(tmp_path, other):
    forward = Blurring((32, 32), **other)
    fit(checkpoint=tmp_path / "run.pt", validation=PAIRS)
    with pytest.raises(ValueError, match="with another forward model; delete"):
        fit(checkpoint=tmp_path / "run.pt", forward=forward, validation=PAIRS, resume=True)
    fit(checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="with another forward model, validation set; delete"):
        fit(checkpoint=tmp_path / "run.pt", forward=forward, resume=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": lambda: models.ResCNN(1, 1, 2)}, "network"),
        ({"model": lambda: models.SimpleCNN(1, 1, 3)}, "network"),
        ({"optimizer": partial(torch.optim.AdamW, weight_decay=0.5)}, "optimiser"),
        ({"optimizer": partial(torch.optim.SGD, momentum=0.9)}, "optimiser"),
    ],
)
def test_another_network_or_optimiser_is_refused(tmp_path, change, named):
    def run(model=lambda: models.SimpleCNN(1, 1, 2), optimizer=torch.optim.AdamW, **options):
        def make(network, recipe):
            return optimizer(network.parameters(), lr=recipe.lr)

        batch = MeasuredCrops(IMAGES, K, RECIPE)
        path = tmp_path / "run.pt"
        return train(
            model(), batch, RECIPE, checkpoint=path, optimizer=make, progress=False, **options
        )

    run()
    run(resume=True)
    with pytest.raises(ValueError, match=f"belongs to a run with another {named}; delete it"):
        run(**change, resume=True)


def test_a_checkpoint_from_before_networks_were_named_goes_on(tmp_path):
    path = tmp_path / "run.pt"
    whole = fit(checkpoint=path)[0]
    saved = torch.load(path, weights_only=True)
    for name in ("network", "optimiser"):
        del saved["run"][name]
    torch.save(saved, path)
    assert same(fit(checkpoint=path, resume=True)[0], whole)


def test_another_task_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(TASKS, "other", TASKS["deblurring"])
    fit(checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="with another task; delete"):
        fit(replace(RECIPE, task="other"), checkpoint=tmp_path / "run.pt", resume=True)


def test_a_lambda_is_told_from_another_and_from_none(tmp_path):
    path = tmp_path / "run.pt"
    fit(checkpoint=path, loss=lambda x_hat, x: (x_hat - x).abs().mean())
    for loss in (lambda x_hat, x: (x_hat - x).square().mean(), soft, nn.functional.mse_loss):
        with pytest.raises(ValueError, match="with another loss; delete"):
            fit(checkpoint=path, resume=True, loss=loss)
    fit(checkpoint=path, resume=True, loss=nn.functional.l1_loss)  # the same by another name


def test_validation_that_was_left_out_is_another_one(tmp_path):
    fit(checkpoint=tmp_path / "run.pt", validation=None)
    with pytest.raises(ValueError, match="with another validation set; delete"):
        fit(checkpoint=tmp_path / "run.pt", resume=True)


def test_batches_of_a_plain_function_are_known_by_what_they_give(tmp_path):
    def run(batch, **options):
        train(RECIPE.build(), batch, RECIPE, fast=SLOW, progress=False, **options)

    crops, path = MeasuredCrops(IMAGES, K, RECIPE), tmp_path / "run.pt"
    run(lambda step: crops(step), checkpoint=path)
    run(lambda step: crops(step), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="with another batch function; delete"):
        run(lambda step: crops(step + 1), checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="another set of images, forward model, batch function"):
        run(crops, checkpoint=path, resume=True)


def torn(path):
    path.write_bytes(path.read_bytes()[:100])


def foreign(path):
    torch.save(models.ResCNN(1, 1, 4).state_dict(), path)


def of_the_first_edition(path):
    """The fields that its checkpoints had."""
    saved = torch.load(path, weights_only=True)
    kept = {name: saved[name] for name in ("model", "optimizer", "history", "fast", "step")}
    torch.save({**kept, "run": "5f0c2b9e6a7d4c31"}, path)


@pytest.mark.parametrize(
    "make", [torn, foreign, of_the_first_edition, lambda path: torch.save([Stop], path)]
)
def test_a_file_that_is_no_checkpoint_of_today_is_refused(tmp_path, make):
    path = tmp_path / "run.pt"
    fit(checkpoint=path)
    make(path)
    before = path.read_bytes()
    said = "cannot be read: it is torn, of an earlier version, or no checkpoint; delete it"
    with pytest.raises(ValueError, match=f"run.pt {said}"):
        fit(checkpoint=path, resume=True)
    assert path.read_bytes() == before, "what is refused is left as it is"
