"""``load_or_train``: trains what is missing, loads what is there; the folders that it trains on."""

import shutil

import pytest
from PIL import Image
from small_runs import RECIPE, flip_a_bit, same

from ippy import training
from ippy.training import runs

pytestmark = pytest.mark.usefixtures("own_cache")


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


@pytest.mark.filterwarnings("ignore:cannot cache the images")
def test_without_a_cache_that_can_be_written_training_goes_on(tmp_path, tiny, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="no checkpoints are kept.*; set IPPY_CACHE to a folder"):
        training.train_and_save("ResCNN", weights_dir=tmp_path / "new" / "weights")
    assert (tmp_path / "new" / "weights" / "ResCNN.pth").is_file()


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path, tiny, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(runs, "train_recipe", lambda *_, **__: pytest.fail("it has trained"))
    with pytest.raises(OSError, match="file"):
        training.train_and_save("ResCNN", weights_dir=tmp_path / "file" / "weights")


def test_an_unknown_key_lists_the_known_ones():
    with pytest.raises(KeyError, match="no network 'VNet'; choose one of SimpleCNN, ResCNN, UNet"):
        training.load_or_train("VNet")


def test_a_folder_trains_on_all_patients_but_the_last(tmp_path):
    for patient, n_images in (("A", 2), ("B", 3), ("C", 2)):
        (tmp_path / patient).mkdir()
        for i in range(n_images):
            image = Image.new("L", (40, 32), ord(patient))
            image.save(tmp_path / patient / f"{i}.png")
    train_set, val_set = runs._training_images(RECIPE, tmp_path, (32, 32))
    greys = [[chr(int(x.flatten()[0])) for x in part] for part in (train_set, val_set)]
    assert greys == [["A", "A", "B", "B", "B"], ["C", "C"]]
    one_patient = tmp_path / "one"
    shutil.copytree(tmp_path / "B", one_patient / "B")
    train_set, val_set = runs._training_images(RECIPE, one_patient, (32, 32))
    assert (len(train_set), len(val_set)) == (2, 1)
    for name in ("1.png", "2.png"):
        (one_patient / "B" / name).unlink()
    with pytest.raises(ValueError, match="1 image.*needs at least 2"):
        runs._training_images(RECIPE, one_patient, (32, 32))
