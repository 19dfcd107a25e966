"""The command line: what it does, and the one line in which it says what is wrong."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import flip_a_bit

from ippy import __main__ as cli

pytestmark = pytest.mark.usefixtures("own_cache")


REAL_DATA = os.environ.get("IPPY_DATA")  # read before the fixture hides it


def test_cli_train_evaluate_and_verify(tmp_path, tiny, capsys):
    assert cli.main(["train", "ResCNN", "--out", str(tmp_path)]) == 0
    assert "validation MSE" in capsys.readouterr().out
    assert cli.main(["weights", "verify", "--weights-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "ResCNN: ok\n"
    flip_a_bit(tmp_path / "ResCNN.pth")
    assert cli.main(["weights", "verify", "--weights-dir", str(tmp_path)]) == 1
    assert "SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "nowhere"], "name a network, or --all"),
        (["train", "ResCNN", "VNet"], "there is no network 'VNet'"),
        (["train", "UNet", "--data", "nowhere"], "'nowhere' does not exist"),
        (["train", "ResCNN", "--out", __file__], "is no folder that can be written"),
        (["train", "ResCNN", "--out", __file__ + "/new"], "is no folder that can be written"),
        (["evaluate", "VNet"], "there is no network 'VNet'; choose one of SimpleCNN"),
        (["evaluate", "nowhere/VNet.pth"], "no weights at VNet.pth"),
        (["evaluate", "."], "'.' is neither a key"),
        (["evaluate", "ResCNN", "--images", "0"], "--images is 0"),
        (["evaluate", "ResCNN", "--data", "nowhere"], "'nowhere' does not exist"),
        (["evaluate", "ResCNN", "--noise-level", "-1"], "noise_level is -1.0"),
        (["evaluate", "ResCNN", "--noise-level", "inf"], "noise_level is inf, expected a finite"),
        (["evaluate", "ResCNN", "--noise-level", "nan"], "noise_level is nan, expected a finite"),
        (["evaluate", "ResCNN", "--kernel", "no.txt"], "kernel file no.txt cannot be read"),
        (["evaluate", "ResCNN", "--kernel", "words.npy"], "holds no matrix of real numbers"),
        (["weights", "verify", "--weights-dir", "nowhere"], "there are no weights"),
        (["weights", "table", "--weights-dir", "nowhere"], "there are no weights in 'nowhere'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_command_line_says_what_is_wrong_in_one_line(
    capsys, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    np.save("words.npy", np.array([["a", "b"]]))
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("ippy: ") and message in said and said.count("\n") == 1


def test_the_folder_of_images_may_stand_in_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("IPPY_DATA", "nowhere")
    assert cli.main(["evaluate", "ResCNN"]) == 1
    assert "'nowhere' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["fly"], ["study", "nothing"], ["train", "--steps"], []])
def test_the_command_line_shows_its_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2 and "usage: python -m ippy" in capsys.readouterr().err


def test_errors_that_are_infinite_are_null_in_json(capsys, tmp_path):
    (tmp_path / "none.txt").write_text("1")  # no blur
    command = ["evaluate", "ResCNN", "--images", "1", "--kernel", str(tmp_path / "none.txt")]
    assert cli.main([*command, "--noise-level", "0", "--json"]) == 0

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    report = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert report["per_image"]["measurement"]["psnr"] == [None]
    assert report["mean"]["measurement"] == {"mse": 0, "psnr": None, "ssim": 1}
    assert report["mean"]["ResCNN"]["psnr"] > 0


def test_a_code_page_without_a_letter_prints_another_in_its_place(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1251")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["receptive-field", "torch.nn:Identity"]) == 0
    out.flush()
    assert b"field     1 ? 1 pixels (height ? width)" in out.buffer.getvalue()


@pytest.mark.skipif(not REAL_DATA, reason="IPPY_DATA names no folder of CT slices")
def test_evaluate_runs_on_real_slices(capsys, tmp_path):
    for file in sorted(Path(REAL_DATA).glob("*/*.png"))[::7]:
        (tmp_path / file.parent.name).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / file.parent.name)
    assert cli.main(["evaluate", "UNet", "--data", str(tmp_path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["per_image"]["UNet"]["psnr"]) == report["images"] > 3
    mean = {name: value["psnr"] for name, value in report["mean"].items()}
    assert mean["measurement"] < mean["Tikhonov"] < mean["TV"]
    assert mean["UNet"] > mean["measurement"] + 3
