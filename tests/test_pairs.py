"""Tasks in which a network is given a reconstruction: pairs, their crops, training, evaluation."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import flip_a_bit

from ippy import __main__ as cli
from ippy import evaluation, networks, training, weights
from ippy.datasets import FinePictures, SyntheticDataset
from ippy.images import quantise
from ippy.models import CorrectionUNet
from ippy.networks import NETWORKS, taught
from ippy.tasks import TASKS
from ippy.training import PairedCrops, batches_of, given_pairs, pairs

pytestmark = pytest.mark.usefixtures("own_cache")

KEYS = ("TikhonovUNet", "FewViewUNet", "FewViewCNN")
GIVEN = torch.rand(5, 1, 40, 32, generator=torch.Generator().manual_seed(0)).half()
TRUTH = (GIVEN.float() * 255).round().to(torch.uint8)
RECIPE = replace(networks.RECIPES["FewViewUNet"], batch_size=6, crop=16)
IMAGES = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make tasks of 64 x 64 pixels, and networks that are trained for a second."""
    for key, task in TASKS.items():
        patch.setitem(TASKS, key, replace(task, shape=(64, 64)))
    for key in (*KEYS, "UNet"):
        recipe = NETWORKS[key].recipe
        name = "n_filters" if recipe.model == "ResCNN" else "base_ch"
        changes = {"steps": 6, "val_every": 3, "val_images": 2, "crop": 32, "quick_steps": 2}
        changes |= {"model_args": {"in_ch": 1, "out_ch": 1, name: 4}, "batch_size": 2}
        changes |= {"data": {"n_images": 4, "kind": "mixed", "version": 3}}
        recipe = replace(recipe, **changes)
        patch.setitem(NETWORKS, key, replace(NETWORKS[key], recipe=recipe))


@pytest.fixture
def small(monkeypatch) -> None:
    """The small tasks and networks."""
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory) -> Path:
    """A folder with weights of those networks, to be copied."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPPY_CACHE", str(folder / "cache"))
        patch.delenv("IPPY_DATA", raising=False)
        shrink(patch)
        for key in (*KEYS, "UNet"):
            training.train_and_save(key, weights_dir=folder / "weights")
    return folder / "weights"


@pytest.fixture
def trained(small, trained_once, tmp_path) -> Path:
    """A folder of the test's own with weights of those networks."""
    return shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize("setting", [{"margin": 2}, {"borders": True}, {"last_crop": 32}])
def test_settings_that_pairs_do_not_have_are_refused(setting):
    with pytest.raises(ValueError, match="margin, borders and last_crop are settings of Measured"):
        PairedCrops(GIVEN, TRUTH, replace(RECIPE, **setting))


def test_both_squares_are_cut_at_one_place_and_mirrored_alike():
    batch, orders = PairedCrops(GIVEN, TRUTH, RECIPE), set()
    for step in range(8):
        given, truth = batch(step)
        assert given.shape == truth.shape == (6, 1, 16, 16)
        assert given.dtype == truth.dtype == torch.float32
        torch.testing.assert_close(given, truth, atol=0.003, rtol=0)
        for square in truth:
            for axes in [(), (1,), (2,), (1, 2)]:
                windows = (TRUTH / 255)[:, 0].unfold(1, 16, 1).unfold(2, 16, 1)
                found = (windows - square.flip(axes)[0]).abs().amax((3, 4)) < 1e-6
                if found.any():
                    orders.add(axes)
                    break
            else:
                pytest.fail("no piece of any image")
    assert len(orders) == 4, "each image is mirrored on its own, in either direction"


def test_a_batch_is_a_function_of_seed_and_step():
    first, again = (PairedCrops(GIVEN, TRUTH, RECIPE)(3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], PairedCrops(GIVEN, TRUTH, RECIPE)(4)[0])
    other = PairedCrops(GIVEN, TRUTH, replace(RECIPE, seed=1))
    assert not torch.equal(first[0], other(3)[0])


def test_without_a_crop_or_flips_whole_images_come_as_they_are():
    whole = PairedCrops(GIVEN, TRUTH, replace(RECIPE, crop=None, flips=False, batch_size=20))
    given, truth = whole(0)
    assert given.shape == (20, 1, 40, 32)
    assert {x.numpy().tobytes() for x in given} == {x.float().numpy().tobytes() for x in GIVEN}
    assert PairedCrops(GIVEN, TRUTH, replace(RECIPE, crop=36))(0)[1].shape == (6, 1, 36, 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_on_a_device_are_those_on_the_cpu():
    here, there = PairedCrops(GIVEN, TRUTH, RECIPE), PairedCrops(GIVEN, TRUTH, RECIPE).to("cuda")
    for a, b in zip(here(2), there(2), strict=True):
        assert b.is_cuda
        torch.testing.assert_close(a, b.cpu(), rtol=0, atol=1e-6)
    assert here.identity() == there.identity()


def test_pairs_that_are_none_are_refused():
    for given, truth, said in [
        (GIVEN, TRUTH[:4], "given and truth have the shapes"),
        (GIVEN[0], TRUTH[0], "given and truth have the shapes"),
        (GIVEN[:0], TRUTH[:0], "given and truth have the shapes"),
        (GIVEN, TRUTH / 255, r"given is torch.float16 and truth torch.float32, expected"),
        (TRUTH, TRUTH, r"given is torch.uint8"),
    ]:
        with pytest.raises(ValueError, match=said):
            PairedCrops(given, truth, RECIPE)


def test_a_run_is_known_by_what_is_given_and_by_the_truth():
    own = PairedCrops(GIVEN, TRUTH, RECIPE).identity()
    assert own == PairedCrops(GIVEN.clone(), TRUTH.clone(), RECIPE).identity()
    louder = PairedCrops(GIVEN * 1.1, TRUTH, RECIPE).identity()
    other = PairedCrops(GIVEN, TRUTH.flip(0), RECIPE).identity()
    assert {name for name in own if own[name] != louder[name]} == {"forward model"}
    assert {name for name in own if own[name] != other[name]} == {"set of images"}


def test_pairs_are_those_of_the_task_and_computed_once(small, own_cache, monkeypatch):
    task = TASKS["few_view"]
    images = torch.rand(3, 1, 128, 128)
    given, truth = given_pairs(task, images)
    _, exact, x = task.simulate(images, seed=1)
    assert given.dtype == torch.float16 and torch.equal(given, exact.half())
    assert torch.equal(truth, quantise(x))
    (file,) = own_cache.glob("pairs-*.npz")
    flip_a_bit(file)
    assert torch.equal(given_pairs(task, images)[0], given), "a damaged file is made again"
    before = file.stat().st_mtime_ns
    monkeypatch.setattr(pairs, "_render", lambda *_: pytest.fail("computed again"))
    assert torch.equal(given_pairs(task, images)[0], given)
    assert file.stat().st_mtime_ns == before


def test_pairs_of_other_images_noise_or_tasks_are_others(small, own_cache):
    told = TASKS["told_deblurring"]
    sets = [SyntheticDataset(2, 64, version=3, split=split) for split in ("train", "val")]
    found = [given_pairs(told, images)[0] for images in sets]
    found += [given_pairs(told, IMAGES[:2])[0], given_pairs(told, IMAGES[1:])[0]]
    found += [given_pairs(told, IMAGES[:2], noise_level=0.05)[0]]
    found += [given_pairs(told, IMAGES[:2], seed=2)[0]]
    found += [given_pairs(replace(told, given=lambda K, y: y), IMAGES[:2])[0]]
    assert len(list(own_cache.glob("pairs-*.npz"))) == 7
    assert len({given.numpy().tobytes() for given in found}) == 7
    # images that cannot say what they depend on are computed each time
    torch.testing.assert_close(given_pairs(told, list(IMAGES[:2])), given_pairs(told, IMAGES[:2]))
    assert len(list(own_cache.glob("pairs-*.npz"))) == 7


def test_workers_compute_what_one_process_computes(small):
    task, images = TASKS["told_deblurring"], SyntheticDataset(11, 64, version=3)
    exact = task.simulate(torch.stack([images[i] for i in range(11)]), seed=1)
    for workers in (0, 2):  # eleven images are two batches: the last knows its first index
        given, truth = given_pairs(task, images, cache=False, workers=workers)
        torch.testing.assert_close(given.float(), exact.given, atol=2e-3, rtol=0)
        torch.testing.assert_close(truth / 255, exact.truth, atol=3e-3, rtol=0)


@pytest.mark.parametrize("key", KEYS)
def test_batches_fit_the_task(small, key):
    recipe, task = NETWORKS[key].recipe, NETWORKS[key].task
    train_set, val_set = training.runs._training_images(recipe, None, task.shape)
    batch, (given, truth) = batches_of(recipe, train_set, val_set)
    assert isinstance(batch, PairedCrops) and batch(0)[0].shape == (2, 1, 32, 32)
    assert given.shape == truth.shape == (2, 1, 64, 64)
    exact = task.simulate(val_set[0][None], seed=2)
    torch.testing.assert_close(given[:1], exact.given, atol=0.01, rtol=0)
    torch.testing.assert_close(truth[:1], exact.truth, atol=0.003, rtol=0)
    other, _ = batches_of(NETWORKS["UNet"].recipe, IMAGES, IMAGES)
    assert isinstance(other, training.MeasuredCrops)


def test_networks_train_store_and_are_measured_by_their_task(trained):
    for key in KEYS:
        card = weights.read_card(key, trained)
        assert weights.task_of(card) == NETWORKS[key].recipe.task
        assert ("measurement" in card["metrics"]) == (key == "TikhonovUNet")
        history = card["history"]
        assert history["val_mse"][-1] < history["val_mse"][0]
    model = weights.load("FewViewUNet", weights_dir=trained)
    task, operator = TASKS["few_view"], TASKS["few_view"].operator()
    images = evaluation.images_of(task, n_images=2)
    assert images.shape == (2, 1, 128, 128)
    table = evaluation.evaluate({"net": model}, images, operator, task=task)
    y_delta, given, truth = task.simulate(images)
    error = (evaluation.reconstruct(model, given) - truth).square().mean((1, 2, 3))
    assert table["net"]["mse"] == pytest.approx(error.tolist(), rel=1e-3)


def test_a_folder_trains_and_tests_at_twice_the_resolution(trained, tmp_path, capsys):
    pictures = FinePictures(SyntheticDataset(2, 64, kind="thorax", version=3))
    for patient in ("A", "B"):
        (tmp_path / "png" / patient).mkdir(parents=True)
        for i in range(2):
            grey = quantise(pictures[i][0]).numpy()
            Image.fromarray(grey).save(tmp_path / "png" / patient / f"{i}.png")
    folder = str(tmp_path / "png")
    model, history = training.train_recipe(NETWORKS["FewViewCNN"].recipe, data=folder)
    assert len(history["val_mse"]) == 2
    arguments = ["evaluate", "FewViewCNN", "FewViewUNet", "--data", folder, "--json"]
    assert cli.main([*arguments, "--weights-dir", str(trained)]) == 0
    report = json.loads(capsys.readouterr().out)
    names = ["FBP", "FBP (Hann)", "Tikhonov", "TV", "FewViewCNN", "FewViewUNet"]
    assert list(report["mean"]) == names
    assert report["images"] == 4 and "kernel" not in report
    psnr = {name: value["psnr"] for name, value in report["mean"].items()}
    assert psnr["FBP"] < psnr["FBP (Hann)"] < psnr["TV"]


def test_a_network_that_is_told_the_blur_stands_beside_those_that_are_not(trained, capsys):
    np.savetxt(trained / "kernel.txt", np.eye(3) / 3)
    arguments = ["evaluate", "UNet", "TikhonovUNet", "--json", "--weights-dir", str(trained)]
    found = []
    for more in ([], ["--kernel", str(trained / "kernel.txt")]):
        assert cli.main([*arguments, "--images", "2", *more]) == 0
        found.append(json.loads(capsys.readouterr().out)["mean"])
        assert list(found[-1]) == ["measurement", "Tikhonov", "TV", "UNet", "TikhonovUNet"]
    # as good as the method that is told the blur: it is told the other one, too
    for mean in found:
        assert mean["TikhonovUNet"]["psnr"] > mean["measurement"]["psnr"] + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["UNet", "FewViewUNet"], "UNet is trained for another task than FewViewUNet"),
        (["FewViewCNN", "TikhonovUNet"], "their measurements differ, evaluate them one by one"),
        (["FewViewUNet", "--kernel", "k.txt"], "--kernel is a blur, and FewViewUNet is trained"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_networks_of_another_task_are_refused_in_one_line(trained, capsys, arguments, said):
    assert cli.main(["evaluate", *arguments, "--weights-dir", str(trained)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("ippy: ") and said in printed and printed.count("\n") == 1


def test_a_network_asked_for_on_data_of_another_task_says_so():
    task, model = TASKS["few_view"], CorrectionUNet(base_ch=2)
    images = torch.rand(1, 1, 64, 64)
    with pytest.raises(ValueError, match="CTProjector measures .* choose a network of another tas"):
        evaluation.evaluate({"net": model}, images, task.operator((64, 64)))
    blur = TASKS["deblurring"].operator((64, 64))
    with pytest.raises(ValueError, match="Blurring has no finer grid, on which the task"):
        evaluation.evaluate({"net": model}, torch.rand(1, 1, 128, 128), blur, task=task)


def test_a_live_run_shows_what_the_network_is_given(small, monkeypatch, capsys):
    monkeypatch.setenv("IPPY_TRAIN", "quick")
    monkeypatch.setattr(networks.Recipe, "quick", lambda self: replace(self, steps=2, val_every=1))
    _, history = training.load_or_train("FewViewUNet")
    assert history["val_step"] == [1, 2]
    assert "FewViewUNet: trained live for 2 steps" in capsys.readouterr().out


def test_studies_compare_networks_of_one_task():
    assert not set(KEYS) & {*taught("cnn"), *taught("unet")}
    assert NETWORKS["TikhonovUNet"].recipe.task == "told_deblurring"
    assert {NETWORKS[key].recipe.task for key in KEYS[1:]} == {"few_view"}
