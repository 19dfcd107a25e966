"""Training: determinism, resume, precision, failures; weights; the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image
from torch import nn

from ippy import __main__ as cli
from ippy import evaluation, models, phantoms, recipes, studies, training, weights
from ippy.live import LiveView
from ippy.operators import Blurring

RECIPE = recipes.Recipe(
    "ResCNN",
    {"in_ch": 1, "out_ch": 1, "n_filters": 4},
    steps=12,
    batch_size=4,
    crop=16,
    val_every=4,
    val_images=2,
    data={"n_images": 6, "kind": "dead_leaves"},
)
IMAGES = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
K = Blurring((32, 32), kernel_type="gaussian", kernel_size=3)
SLOW = {"precision": "float32", "channels_last": False}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("IPPY_TRAIN", raising=False)
    monkeypatch.delenv("IPPY_DATA", raising=False)


def fit(recipe=RECIPE, images=IMAGES, **options):
    torch.manual_seed(recipe.seed)
    model = recipe.build()
    options = {"fast": SLOW, "val_dataset": IMAGES, "progress": False, **options}
    return model, training.train(model, images, K, recipe, **options)


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(p, q) for p, q in pairs)


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

    options = {"fast": SLOW, "val_dataset": IMAGES, "progress": False}
    training.train(model, IMAGES, task, RECIPE, **options)
    assert same(model, constant)
    assert set(seen) == set(range(RECIPE.steps))
    other = RECIPE.build()
    training.train(other, IMAGES, lambda step: (K, 0.5), RECIPE, **options)
    assert not same(other, constant)


def test_batches_and_noise_follow_the_seed_and_the_step():
    images = (IMAGES * 255).round().to(torch.uint8)
    first = training._batch(images, K, RECIPE, 3)
    again = training._batch(images, K, RECIPE, 3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other_step, other_seed = (
        training._batch(images, K, RECIPE, 4),
        training._batch(images, K, replace(RECIPE, seed=1), 3),
    )
    assert not torch.equal(first[0], other_step[0]) and not torch.equal(first[0], other_seed[0])
    assert first[0].shape == first[1].shape == (4, 1, 16, 16)
    noise = [evaluation.measure(IMAGES, K, 0.1, seed=seed) for seed in (0, 1)]
    assert not torch.equal(*noise), "PyTorch ignores all but 32 bits of a CPU seed"


def test_a_crop_is_a_piece_of_the_measured_whole_image():
    image = (IMAGES[:1] * 255).round().to(torch.uint8)  # asymmetric: a wrong place would show
    recipe = replace(RECIPE, flips=False, noise_level=0.0)
    y_delta, x = training._batch(image, K, recipe, 0)
    measured = K(image.float() / 255)[0, 0].unfold(0, 16, 1).unfold(1, 16, 1)
    whole = (image.float() / 255)[0, 0].unfold(0, 16, 1).unfold(1, 16, 1)
    for y_crop, x_crop in zip(y_delta, x, strict=True):
        at = ((whole - x_crop[0]).abs().amax((2, 3)) == 0).nonzero()
        assert len(at) == 1
        torch.testing.assert_close(y_crop[0], measured[tuple(at[0])])


def test_flips_mirror_images_and_can_be_switched_off():
    image = (IMAGES[:1] * 255).round().to(torch.uint8)
    mirrored = {
        flips: {
            training._batch(image, K, replace(RECIPE, crop=None, flips=flips), step)[1]
            .numpy()
            .tobytes()
            for step in range(40)
        }
        for flips in (True, False)
    }
    assert {name: len(found) for name, found in mirrored.items()} == {True: 4, False: 1}


def test_another_loss_can_be_minimised_and_the_history_stays_squared():
    squared, absolute = fit(), fit(loss=nn.functional.l1_loss)
    assert not same(squared[0], absolute[0])
    assert absolute[1]["train_mse"][0] == pytest.approx(squared[1]["train_mse"][0], rel=0.5)


def test_an_unknown_choice_in_a_recipe_is_named():
    for name in ("init", "schedule"):
        with pytest.raises(ValueError, match=f"{name} 'other' is unknown; use '"):
            replace(RECIPE, **{name: "other"})


def test_float_images_and_uint8_images_are_the_same_data():
    assert same(fit()[0], fit(images=(IMAGES * 255).round().to(torch.uint8))[0])


class Stop(Exception):
    pass


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
import test_training as t
t.fit(t.replace(t.RECIPE, steps=40), checkpoint=t.Path(sys.argv[1]),
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


def test_a_checkpoint_of_another_run_or_a_torn_one_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    fit(checkpoint=path)
    with pytest.raises(ValueError, match="another recipe, data set or blur; delete it"):
        fit(replace(RECIPE, lr=5e-4), checkpoint=path, resume=True)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read, it may be torn; delete it"):
        fit(checkpoint=path, resume=True)


def test_images_that_are_no_images_are_refused():
    bad = IMAGES.clone()
    bad[2, 0, 5, 5] = float("nan")
    with pytest.raises(ValueError, match="contain NaN or infinity"):
        fit(images=bad)
    with pytest.raises(ValueError, match="must be uint8 or float"):
        fit(images=IMAGES.long())
    with pytest.raises(ValueError, match="image of the data set contains NaN or infinity"):
        fit(images=list(bad), val_dataset=None)


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
    assert training.fast_path()["precision"] == "float32"
    monkeypatch.setenv("IPPY_PRECISION", "float8")
    with pytest.raises(ValueError, match="IPPY_PRECISION is 'float8'; use 'float32' or 'bfloat16'"):
        training.fast_path()


@pytest.mark.parametrize("skip", [True, False])
def test_identity_initialisation_starts_as_the_identity_and_learns(skip):
    body = models.SimpleCNN(1, 1, 8)
    recipes.identity_init(body, residual=skip)
    net = studies.Chain(body, skip)
    x = torch.rand(2, 1, 20, 21)
    torch.testing.assert_close(net(x), x)
    (net(x) - x.roll(1, -1)).square().mean().backward()
    assert body.conv3.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["SimpleUNet", "ResidualUNet", "AttentionUNet", "UNetPP"])
def test_the_unet_family_can_start_close_to_the_identity(name):
    torch.manual_seed(0)
    net, x = getattr(models, name)(base_ch=8), torch.rand(1, 1, 32, 32)
    before = (net(x) - x).square().mean()
    recipes.identity_init(net)
    assert (net(x) - x).square().mean() < before / 2
    (net(x) - x.roll(1, -1)).square().mean().backward()
    first = next(p for p in net.parameters() if p.ndim == 4)
    assert first.grad.abs().sum() > 0 and net.out_conv.weight.grad.abs().sum() > 0
    scale = net.out_conv.weight[0, 0, 0, 0].item()  # 2 behind a gate that starts at one half
    assert scale == (2 if name == "AttentionUNet" else 1)
    with torch.no_grad():
        net.out_conv.weight[:, 1:], net.out_conv.bias[:] = 0, 0
    torch.testing.assert_close(net(x), x)
    with pytest.raises(TypeError, match="no identity initialisation for ResCNN"):
        recipes.identity_init(models.ResCNN(1, 1, 8))


@pytest.mark.parametrize("kind", studies.KINDS)
def test_deep_chains_have_the_depth_they_claim(kind):
    net = studies.DeepChain(8, kind)
    assert net(torch.rand(1, 1, 16, 17)).shape == (1, 1, 16, 17)
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == 10


def test_recipes_name_real_networks_and_refuse_nonsense():
    for key, recipe in recipes.RECIPES.items():
        assert type(recipe.build()).__name__ == recipe.model, key
        rates = [recipe.learning_rate(step) for step in range(recipe.steps)]
        assert max(rates) == pytest.approx(recipe.lr) and min(rates) > 0 and rates[-1] < rates[0]
    for wrong in ({"schedule": "none"}, {"steps": 0}, {"lr": -1.0}, {"init": "random"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(RECIPE, **wrong)


# --- weights ---


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(0)
    model = models.ResCNN(1, 1, 4)
    card = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 4}}
    path = tmp_path / "w" / "Net.pth"
    weights.save(model, path, {**card, "recipe": {"steps": 3}, "history": {"step": []}})
    return model, path


def test_saved_weights_load_identically_by_key_and_by_path(stored):
    model, path = stored
    for loaded in (weights.load(path), weights.load("Net", weights_dir=path.parent)):
        assert same(model, loaded) and not loaded.training
    assert same(model, weights.load(path, models.ResCNN(1, 1, 4)))
    card = weights.read_card(path)
    assert card["parameters"] == 225 and card["machine"]["torch"] == torch.__version__
    assert sorted(p.name for p in path.parent.iterdir()) == ["Net.json", "Net.pth"]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_weights_are_refused_with_the_reason(stored):
    _, path = stored
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match="SHA-256 differs.*truncated or was altered"):
        weights.load(path)
    path.write_bytes(good)
    flip_a_bit(path)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        weights.load(path)
    assert "SHA-256" in weights.verify(path.parent)["Net"]
    path.write_bytes(good[: len(good) // 2])
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="cannot be read, it may be truncated"):
        weights.load(path, models.ResCNN(1, 1, 4))
    with pytest.raises(FileNotFoundError, match="Net.json is missing"):
        weights.load(path)
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match="cannot be read, it may be truncated or no weight file"):
        weights.load(path, models.ResCNN(1, 1, 4))
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(ValueError, match="Net.json is not the card of a weight file"):
        weights.load(path)
    path.unlink()
    for missing in (path, path.with_suffix("")):
        with pytest.raises(FileNotFoundError, match="no weights at Net.pth; train them with"):
            weights.load(missing)


def test_weights_of_another_architecture_are_refused(stored):
    _, path = stored
    with pytest.raises(ValueError, match="another architecture than SimpleUNet"):
        weights.load(path, models.SimpleUNet(base_ch=4))
    with pytest.raises(ValueError, match="another architecture than ResCNN"):
        weights.load(path, models.ResCNN(1, 1, 8))


def test_swapped_weights_and_weights_of_another_dtype_are_refused(tmp_path):
    for name, value in (("A", 0.1), ("B", 0.2)):
        model = models.ResCNN(1, 1, 4)
        nn.init.constant_(model.conv3.bias, value)
        card = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 4}}
        weights.save(model, tmp_path / f"{name}.pth", card)
    (tmp_path / "A.pth").rename(tmp_path / "C.pth")
    (tmp_path / "B.pth").rename(tmp_path / "A.pth")
    (tmp_path / "C.pth").rename(tmp_path / "B.pth")
    for name in "AB":  # the same architecture: only the hash can tell
        with pytest.raises(ValueError, match=f"{name}.pth is not the file its card describes"):
            weights.load(tmp_path / f"{name}.pth")
    for dtype in (torch.float64, torch.bfloat16):
        torch.save(models.ResCNN(1, 1, 4).to(dtype).state_dict(), tmp_path / "wide.pth")
        with pytest.raises(ValueError, match=f"wide.pth holds {dtype} where ResCNN has torch.fl"):
            weights.load(tmp_path / "wide.pth", models.ResCNN(1, 1, 4))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Malicious()}, "bad.pth")
    with pytest.raises(ValueError, match="bad.pth is refused: it holds more than tensors"):
        weights.load("bad.pth", models.ResCNN(1, 1, 4))
    assert not (tmp_path / "executed").exists()
    torch.load("bad.pth", weights_only=False)  # the check can fail: this file does run code
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_leaves_the_old_weights_and_card(stored, monkeypatch, fails_at):
    model, path = stored
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="could not write Net.pth and Net.json.*is unchanged: free"):
        weights.save(models.ResCNN(1, 1, 4), path, {"model": "ResCNN"})
    assert len(calls) == fails_at
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_shipped_weights_are_in_order():
    report = weights.verify()
    assert set(report.values()) == {"ok"}
    assert {"SimpleCNN", "ResCNN", "UNet"} <= set(report)
    for key in report:
        card = weights.read_card(key)
        assert card["recipe"] == recipes.RECIPES[key].as_dict(), "train it again"
        assert card["data"] == f"synthetic v{phantoms.GENERATOR_VERSION}"


# --- load_or_train and the command line ---


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "ResCNN", replace(RECIPE, quick_steps=2))


def test_load_or_train_trains_once_then_loads(tmp_path, tiny, capsys):
    model, history = training.load_or_train("ResCNN", weights_dir=tmp_path)
    assert "no weights" in capsys.readouterr().out
    again, history_again = training.load_or_train("ResCNN", weights_dir=tmp_path)
    assert capsys.readouterr().out == "ResCNN: 225 parameters, trained for 12 steps\n"
    assert same(model, again) and history == history_again
    flip_a_bit(tmp_path / "ResCNN.pth")
    before = (tmp_path / "ResCNN.pth").read_bytes()
    with pytest.raises(ValueError, match="SHA-256"):
        training.load_or_train("ResCNN", weights_dir=tmp_path)
    assert (tmp_path / "ResCNN.pth").read_bytes() == before


def test_quick_mode_trains_live_and_leaves_the_shipped_weights(tmp_path, tiny, monkeypatch, capsys):
    training.load_or_train("ResCNN", weights_dir=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.glob("ResCNN.*")}
    monkeypatch.setenv("IPPY_TRAIN", "quick")
    _, history = training.load_or_train("ResCNN", weights_dir=tmp_path)
    assert not list(tmp_path.rglob("*.pt")), "a live run must leave no checkpoint"
    said = capsys.readouterr().out
    assert history["val_step"][-1] == 2 and "trained live for 2 steps, 22.4 -> " in said
    assert {p.name: p.read_bytes() for p in tmp_path.glob("ResCNN.*")} == before
    monkeypatch.setenv("IPPY_TRAIN", "fast")
    with pytest.raises(ValueError, match="IPPY_TRAIN is 'fast'; set it to 'quick'"):
        training.load_or_train("ResCNN")


def test_a_callback_ends_the_run():
    _, whole = fit()
    seen = []
    _, short = fit(callback=lambda step, model, history: seen.append(step) or step == 8)
    assert seen == short["val_step"] == whole["val_step"][:2] == [4, 8]
    assert short["train_mse"] == whole["train_mse"][:2]


def test_a_live_run_keeps_to_its_time():
    x = IMAGES[:1]
    view = LiveView(x, K(x), seconds=0.0)
    model, history = fit(callback=view)
    assert history["step"] == [4] and len(view.psnrs) == 1
    patient = LiveView(x, K(x), seconds=60.0)
    _, history = fit(replace(RECIPE, steps=60), callback=patient)
    assert history["step"][-1] == 60 and patient.psnrs[-1] > patient.psnrs[0]
    figure = patient.draw(60, x, history)
    assert [axis.get_title() for axis in figure.axes][2] == f"step 60, {patient.psnrs[-1]:.1f} dB"
    assert list(figure.axes[0].lines[0].get_ydata()) == history["train_mse"]


@pytest.mark.slow
def test_a_live_run_in_a_notebook_draws_and_improves(tmp_path):
    code = """\
import os
os.environ["IPPY_TRAIN"] = "quick"
from ippy import live, training
drawn = []
draw = live.LiveView.draw
live.LiveView.draw = lambda self, *a: drawn.append(self.psnrs[-1]) or draw(self, *a)
_, history = training.load_or_train("ResCNN")
print(len(drawn), history["step"][-1], *drawn)"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    start = time.perf_counter()
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    assert time.perf_counter() - start < 60
    outputs = notebook.cells[0].outputs
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 1, "one figure, drawn again and again"
    said = "".join(o.text for o in outputs if o.get("name") == "stdout")
    count, steps, *drawn = map(float, said.splitlines()[-1].split())
    assert count >= 10 and steps == recipes.RECIPES["ResCNN"].quick_steps
    assert drawn[-1] > 22.8 > drawn[0], "no visible improvement over 22.4 dB"


def test_an_unknown_key_lists_the_known_ones():
    with pytest.raises(KeyError, match="no recipe 'VNet'; choose one of SimpleCNN, ResCNN, UNet"):
        training.load_or_train("VNet")


def test_cli_train_evaluate_and_verify(tmp_path, tiny, capsys):
    assert cli.main(["train", "ResCNN", "--out", str(tmp_path)]) == 0
    assert "validation MSE" in capsys.readouterr().out
    assert cli.main(["weights", "verify", "--weights-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "ResCNN: ok\n"
    flip_a_bit(tmp_path / "ResCNN.pth")
    assert cli.main(["weights", "verify", "--weights-dir", str(tmp_path)]) == 1
    assert "SHA-256" in capsys.readouterr().out


def test_cli_errors_are_one_clear_line(tmp_path, capsys):
    for argv, message in [
        (["train", "--out", str(tmp_path)], "name a network, or --all"),
        (["train", "ResCNN", "VNet"], "no recipe 'VNet'"),
        (["train", "ResCNN", "--data", str(tmp_path / "absent")], "absent"),
        (["evaluate", "VNet"], "no weights at VNet.pth"),
        (["evaluate", "ResCNN", "--data", str(tmp_path / "absent")], "absent"),
        (["evaluate", "ResCNN", "--noise-level", "-1"], "noise_level is -1.0"),
        (["evaluate", "ResCNN", "--kernel", str(tmp_path / "k.txt")], "k.txt cannot be read"),
        (["weights", "--weights-dir", str(tmp_path)], "there are no weights"),
    ]:
        assert cli.main(argv) == 1, argv
        error = capsys.readouterr().err
        assert error.startswith("ippy: ") and message in error and error.count("\n") == 1, argv


def test_measurements_do_not_depend_on_the_batch():
    whole = evaluation.measure(IMAGES, K, 0.05, seed=3)
    parts = [evaluation.measure(IMAGES[i : i + 2], K, 0.05, seed=3, first=i) for i in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-7)


REAL_DATA = os.environ.get("IPPY_DATA")  # read before the fixture hides it


def test_a_folder_trains_on_all_patients_but_the_last(tmp_path):
    for patient, n_images in (("A", 2), ("B", 3), ("C", 2)):
        (tmp_path / patient).mkdir()
        for i in range(n_images):
            image = Image.new("L", (40, 32), ord(patient))
            image.save(tmp_path / patient / f"{i}.png")
    train_set, val_set = training._training_images(RECIPE, tmp_path, (32, 32))
    greys = [[chr(int(x.flatten()[0])) for x in part] for part in (train_set, val_set)]
    assert greys == [["A", "A", "B", "B", "B"], ["C", "C"]]
    one_patient = tmp_path / "one"
    shutil.copytree(tmp_path / "B", one_patient / "B")
    train_set, val_set = training._training_images(RECIPE, one_patient, (32, 32))
    assert (len(train_set), len(val_set)) == (2, 1)
    for name in ("1.png", "2.png"):
        (one_patient / "B" / name).unlink()
    with pytest.raises(ValueError, match="1 image.*needs at least 2"):
        training._training_images(RECIPE, one_patient, (32, 32))


@pytest.mark.skipif(not REAL_DATA, reason="IPPY_DATA names no folder of CT slices")
def test_evaluate_runs_on_real_slices(capsys, tmp_path):
    for file in sorted(Path(REAL_DATA).glob("*/*.png"))[::5]:
        (tmp_path / file.parent.name).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / file.parent.name)
    assert cli.main(["evaluate", "UNet", "--data", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["per_image"]["UNet"]["psnr"]) == report["images"] > 3
    mean = {name: value["psnr"] for name, value in report["mean"].items()}
    assert mean["measurement"] < mean["Tikhonov"] < mean["TV"]
    assert mean["UNet"] > mean["measurement"] + 3
