"""Weight files: loaded identically, or refused with the reason; the shipped ones are in order."""

import os

import pytest
import torch
from small_runs import flip_a_bit, same
from torch import nn

from ippy import datasets, models, networks, weights


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


def test_a_point_in_a_name_is_no_ending(stored, tmp_path, monkeypatch):
    model, path = stored
    card = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 4}}
    other = models.ResCNN(1, 1, 4)
    folder = tmp_path / "rates"
    for net, name in ((model, "lr0.001"), (other, "lr0.002"), (other, "net.pt")):
        weights.save(net, folder / name, card)
    names = ["lr0.001.json", "lr0.001.pth", "lr0.002.json", "lr0.002.pth", "net.json", "net.pt"]
    assert sorted(p.name for p in folder.iterdir()) == names
    for loaded in (
        weights.load(folder / "lr0.001"),
        weights.load(folder / "lr0.001.pth"),
        weights.load("lr0.001", weights_dir=folder),
    ):
        assert same(model, loaded)
    assert same(other, weights.load(folder / "lr0.002"))
    assert same(other, weights.load(folder / "net.pt"))
    assert weights.read_card(folder / "lr0.001")["key"] == "lr0.001"
    assert weights.verify(folder) == dict.fromkeys(["lr0.001", "lr0.002", "net.pt"], "ok")
    # what somebody else wrote is read under the name it has
    monkeypatch.chdir(folder)
    torch.save(model.state_dict(), "foreign.ckpt")
    assert same(model, weights.load("foreign.ckpt", models.ResCNN(1, 1, 4)))


def test_verify_names_the_file_that_lacks_a_card_and_the_card_that_lacks_a_file(stored):
    model, path = stored
    torch.save(model.state_dict(), path.with_name("alone.pt"))
    path.unlink()
    found = weights.verify(path.parent)
    assert list(found) == ["Net", "alone.pt"]
    assert "no weights at Net.pth" in found["Net"]
    assert "nothing says which network alone.pt belongs to" in found["alone.pt"]


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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_network_of_another_dtype_is_refused_before_it_is_filled(stored, dtype):
    _, path = stored
    model = models.ResCNN(1, 1, 4).to(dtype)
    before = [p.clone() for p in model.parameters()]
    said = rf"Net.pth holds torch.float32 where ResCNN has {dtype} .*: load them into a float32 "
    with pytest.raises(ValueError, match=rf"{said}network, .* with .to\({dtype}\)$"):
        weights.load(path, model)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


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
        card = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 4}}
        weights.save(models.ResCNN(1, 1, 4), path, card)
    assert len(calls) == fails_at
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_shipped_weights_are_in_order():
    report = weights.verify()
    assert set(report.values()) == {"ok"}
    assert {"SimpleCNN", "ResCNN", "UNet"} <= set(report)
    for key in report:
        card = weights.read_card(key)
        # a card older than a setting was made with what became the setting's default
        assert networks.Recipe(**card["recipe"]) == networks.RECIPES[key], "train it again"
        assert card["data"] == f"synthetic v{datasets.GENERATOR_VERSION}"
