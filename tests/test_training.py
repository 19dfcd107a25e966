"""The training loop: determinism, losses, tasks of any size, precision, failures."""

from dataclasses import replace

import pytest
import torch
from small_runs import IMAGES, RECIPE, SLOW, K, fit, same
from torch import nn

from ippy.operators import CTProjector, DownScaling
from ippy.tasks import measure
from ippy.training import MeasuredCrops, fast_path, optimizer_for, train
from ippy.training.optimizers import set_rate


def test_training_reduces_the_loss_and_records_it():
    _, history = fit(replace(RECIPE, steps=60, val_every=20))
    assert history["val_step"] == [20, 40, 60] and history["step"][-1] == 60
    assert history["val_mse"][-1] < history["val_mse"][0]
    assert history["seconds"] > 0 and history["precision"] == "float32"


def test_training_is_a_function_of_the_seed():
    assert same(fit()[0], fit()[0])
    assert not same(fit()[0], fit(replace(RECIPE, seed=1))[0])


def test_a_task_may_be_a_function_of_the_step():
    constant = fit()[0]
    torch.manual_seed(RECIPE.seed)
    model, seen = RECIPE.build(), []

    def task(step):
        seen.append(step)
        return K, RECIPE.noise_level

    options = {"fast": SLOW, "progress": False}
    train(model, MeasuredCrops(IMAGES, task, RECIPE), RECIPE, **options)
    assert same(model, constant)
    assert set(seen) == set(range(RECIPE.steps))
    other = RECIPE.build()
    train(other, MeasuredCrops(IMAGES, lambda step: (K, 0.5), RECIPE), RECIPE, **options)
    assert not same(other, constant)


def test_another_loss_can_be_minimised_and_the_history_stays_squared():
    squared, absolute = fit(), fit(loss=nn.functional.l1_loss)
    assert not same(squared[0], absolute[0])
    assert absolute[1]["train_mse"][0] == pytest.approx(squared[1]["train_mse"][0], rel=0.5)


def test_the_average_of_the_weights_is_what_a_run_ends_with(tmp_path):
    recipe = replace(RECIPE, average=0.8, val_every=1)
    weights = []  # of every step, as a run without an average has them

    def note(step, model, history):
        weights.append(model.conv3.weight.detach().clone())

    plain, before = fit(replace(recipe, average=0.0), callback=note)
    model, history = fit(recipe)
    expected = weights[0]  # the first step is where the average starts
    for done, weight in enumerate(weights[1:], start=1):
        expected = torch.lerp(weight, expected, min(0.8, (1 + done) / (10 + done)))
    torch.testing.assert_close(model.conv3.weight.detach(), expected)
    assert history["train_mse"] == before["train_mse"], "the optimiser does not see the average"
    assert history["val_mse"] != before["val_mse"] and not same(model, plain)
    # the average goes on where it was
    fit(recipe, checkpoint=tmp_path / "run.pt", callback=lambda step, *_: step == 5)
    resumed, again = fit(recipe, checkpoint=tmp_path / "run.pt", resume=True)
    assert same(resumed, model) and again["val_mse"] == history["val_mse"]
    with pytest.raises(ValueError, match="average is 1.0, expected a decay"):
        replace(RECIPE, average=1.0)


def test_statistics_of_the_data_are_those_of_the_last_step_beside_averaged_weights():
    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))

    recipe = replace(RECIPE, average=0.9, steps=10, val_every=10)
    model = network()
    train(model, MeasuredCrops(IMAGES, K, recipe), recipe, progress=False)
    plain = network()
    last = replace(recipe, average=0.0)
    train(plain, MeasuredCrops(IMAGES, K, last), last, progress=False)
    assert int(model[1].num_batches_tracked) == 10
    assert torch.equal(model[1].running_var, plain[1].running_var)
    assert not torch.equal(model[0].weight, plain[0].weight)


def test_the_loss_may_be_taken_in_a_part_of_a_square():
    crops = MeasuredCrops(IMAGES, K, RECIPE)

    def run(hidden):
        def batch(step):
            given, truth = crops(step)
            where = torch.zeros(len(given), 1, *given.shape[2:])
            where[..., 4:-4, 4:-4] = 1
            return given, truth + hidden * (1 - where), where

        torch.manual_seed(0)
        model = RECIPE.build()
        return model, train(model, batch, RECIPE, fast=SLOW, progress=False)["train_mse"]

    (plain, error), (other, same_error) = run(0.0), run(5.0)
    assert same(plain, other) and error == same_error, "what is outside must not count"
    assert error[0] > 0 and not same(plain, fit()[0])


def test_layers_with_many_inputs_learn_more_slowly_where_a_recipe_says_so():
    recipe = replace(RECIPE, model="SimpleUNet", model_args={"base_ch": 64}, rate_by_fan_in=True)
    model = recipe.build()
    optimizer = optimizer_for(model, recipe)
    set_rate(optimizer, 0.5)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters()))
    assert rates[id(model.enc1.block[0].weight)] == 0.5  # 9 inputs
    assert rates[id(model.enc1.block[2].weight)] == 0.5 * 288 / (64 * 9)
    assert rates[id(model.dec3.up.weight)] == 0.5 * 288 / 512
    plain = optimizer_for(model, replace(recipe, rate_by_fan_in=False))
    assert len(plain.param_groups) == 1


@pytest.mark.parametrize("by_fan_in", [False, True])
def test_layers_that_share_a_weight_are_trained(by_fan_in):
    model = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(2)))
    model[1].weight = model[0].weight
    optimizer = optimizer_for(model, replace(RECIPE, rate_by_fan_in=by_fan_in))
    listed = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(listed) == sorted(map(id, model.parameters()))


def test_another_optimiser_is_named_or_made():
    other = fit(replace(RECIPE, optimizer="AdamW", optimizer_args={"weight_decay": 0.5}))[0]
    assert not same(other, fit()[0])
    seen = []

    def make(model, recipe):
        seen.append(torch.optim.SGD(model.parameters(), lr=1.0))
        return seen[0]

    made = fit(optimizer=make)[0]
    assert not same(made, fit()[0]) and 0 < seen[0].param_groups[0]["lr"] < RECIPE.lr
    with pytest.raises(ValueError, match="has an optimiser 'Adamant'; 'Adam' is one"):
        fit(replace(RECIPE, optimizer="Adamant"))


def test_a_run_with_soap_goes_on_where_it_was(tmp_path):
    soap = {"optimizer": "SOAP", "optimizer_args": {"max_precondition_dim": 40}}
    recipe = replace(RECIPE, steps=30, val_every=1, **soap)
    model, history = fit(recipe)
    fit(recipe, checkpoint=tmp_path / "run.pt", callback=lambda step, *_: step == 17)
    resumed, again = fit(recipe, checkpoint=tmp_path / "run.pt", resume=True)
    assert same(resumed, model) and again["val_mse"] == history["val_mse"]
    assert not same(model, fit(replace(recipe, optimizer_args={"max_precondition_dim": 2}))[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recorded_steps_learn_the_same_as_plain_ones(monkeypatch):
    recipe = replace(RECIPE, steps=40, val_every=20)
    recorded = fit(recipe)[1]["val_mse"]
    monkeypatch.setattr("ippy.training.loop.RecordedStep", lambda step, batch: step)
    assert fit(recipe)[1]["val_mse"] == pytest.approx(recorded, rel=1e-3)


def test_a_callback_ends_the_run():
    _, whole = fit()
    seen = []
    _, short = fit(callback=lambda step, model, history: seen.append(step) or step == 8)
    assert seen == short["val_step"] == whole["val_step"][:2] == [4, 8]
    assert short["train_mse"] == whole["train_mse"][:2]


@pytest.mark.parametrize("poisoned", [5, 8, 12])
def test_a_nan_stops_training_and_the_last_good_checkpoint_is_kept(tmp_path, monkeypatch, poisoned):
    path, step, calls = tmp_path / "run.pt", torch.optim.Adam.step, []

    def poison(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        calls.append(1)
        if len(calls) == poisoned:
            with torch.no_grad():
                self.param_groups[0]["params"][0][0] = float("nan")
        return result

    monkeypatch.setattr(torch.optim.Adam, "step", poison)
    at = poisoned if poisoned % 4 == 0 else poisoned + 1
    if torch.cuda.is_available():  # a GPU is asked at validations only, and records no Python
        at = -(-poisoned // 4) * 4
        monkeypatch.setattr("ippy.training.loop.RecordedStep", lambda step, batch: step)
    with pytest.raises(FloatingPointError, match=f"nan at step {at}: training stopped.*checkpoint"):
        fit(checkpoint=path)
    kept = torch.load(path, weights_only=True)
    assert kept["step"] == (poisoned - 1) // 4 * 4
    assert all(p.isfinite().all() for p in kept["model"].values())


def test_bfloat16_learns_the_same_as_float32():
    recipe = replace(RECIPE, steps=80, val_every=80)
    exact = fit(recipe)[1]["val_mse"][-1]
    fast = fit(recipe, fast={"precision": "bfloat16", "channels_last": True})[1]
    assert fast["precision"] == "bfloat16" and fast["val_mse"][-1] == pytest.approx(exact, rel=0.05)


def test_the_fast_path_can_be_overridden(monkeypatch):
    monkeypatch.setenv("IPPY_PRECISION", "float32")
    assert fast_path()["precision"] == "float32"
    monkeypatch.setenv("IPPY_PRECISION", "float8")
    with pytest.raises(ValueError, match="IPPY_PRECISION is 'float8'; use 'float32' or 'bfloat16'"):
        fast_path()


PROJECTOR = CTProjector((32, 32), torch.arange(30.0) * torch.pi / 30)
COARSE = DownScaling((32, 32), 2)


@pytest.mark.parametrize(
    ("operator", "start"),
    [(COARSE, COARSE.adjoint), (PROJECTOR, PROJECTOR.fbp)],
    ids=["DownScaling", "CTProjector"],
)
def test_a_task_whose_measurements_have_another_size_is_a_plain_function(tmp_path, operator, start):
    crops = MeasuredCrops(IMAGES, K, replace(RECIPE, crop=None))

    def batch(step):
        _, x = crops(step)
        return start(measure(x, operator, 0.01, seed=step)), x

    assert operator.out_shape != operator.img_shape and batch(0)[0].shape == batch(0)[1].shape

    def run(**options):
        torch.manual_seed(0)
        recipe = replace(RECIPE, steps=60, val_every=20, lr=1e-2)
        model = recipe.build()
        options = {"validation": batch(10**6), "fast": SLOW, "progress": False, **options}
        return model, train(model, batch, recipe, **options)

    model, history = run()
    assert history["val_mse"][-1] < history["val_mse"][0]
    run(checkpoint=tmp_path / "run.pt", callback=lambda step, *_: step == 20)
    resumed, again = run(checkpoint=tmp_path / "run.pt", resume=True)
    assert same(model, resumed) and again["val_mse"] == history["val_mse"]


def test_what_is_no_function_of_the_step_is_named():
    with pytest.raises(TypeError, match="batch is a Tensor, expected a function of the step"):
        train(RECIPE.build(), IMAGES, RECIPE)
