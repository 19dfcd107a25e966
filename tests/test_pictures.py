"""Pictures restored from the command line, and receptive fields of networks that are imported."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ippy import __main__ as cli
from ippy import commands, evaluation, weights
from ippy.pictures import read_picture

pytestmark = pytest.mark.usefixtures("own_cache")
DRAW = np.random.default_rng(0)


def picture(mode: str, size: tuple[int, int] = (37, 29)) -> Image.Image:
    """Random values in one of Pillow's modes; (height, width)."""
    if mode == "I;16":
        return Image.fromarray(DRAW.integers(0, 65536, size, dtype=np.uint16))
    if mode == "P":
        return picture("RGB", size).quantize(200)
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    values = DRAW.integers(0, 256, (*size, channels), dtype=np.uint8)
    return Image.fromarray(values[..., 0] if channels == 1 else values)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "P"])
def test_a_picture_that_is_not_changed_comes_back_bit_by_bit(tmp_path, mode, suffix):
    before = picture(mode)
    before.save(tmp_path / f"a{suffix}")
    (tmp_path / f"b{suffix}").write_bytes(read_picture(tmp_path / f"a{suffix}").encoded())
    with Image.open(tmp_path / f"b{suffix}") as after:
        assert after.format == {".png": "PNG", ".tif": "TIFF"}[suffix]
        assert after.mode == {"P": "RGB"}.get(mode, mode)
        expected = before.convert("RGB") if mode == "P" else before
        assert np.array_equal(np.asarray(after), np.asarray(expected))


def test_colours_keep_their_differences_and_transparency_stays(tmp_path):
    values = DRAW.integers(80, 176, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", dpi=(300, 300))
    found = read_picture(tmp_path / "a.png")
    luminance = values[..., :3] @ np.array([0.299, 0.587, 0.114]) / 255
    assert np.allclose(found.luminance[0, 0], luminance, atol=1e-6)
    brighter = found.with_luminance(found.luminance + 20 / 255).encoded()
    (tmp_path / "b.png").write_bytes(brighter)
    with Image.open(tmp_path / "b.png") as after:
        array = np.asarray(after).astype(int)
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert np.array_equal(array[..., :3], values[..., :3] + 20)
    assert np.array_equal(array[..., 3], values[..., 3])
    with pytest.raises(ValueError, match=r"shape \(1, 1, 3, 3\), expected that of the picture"):
        found.with_luminance(torch.zeros(1, 1, 3, 3))


def test_big_endian_and_16_bits_keep_their_last_digit(tmp_path):
    values = DRAW.integers(0, 65536, (5, 7)).astype(">u2")
    Image.frombytes("I;16B", (7, 5), values.tobytes()).save(tmp_path / "a.tif")
    found = read_picture(tmp_path / "a.tif")
    assert np.array_equal((found.luminance[0, 0].double() * 65535).round().numpy(), values)


def unreadable(folder, kind):
    """A file that is refused."""
    path = folder / "bad.png"
    if kind == "text":
        path.write_text("no picture")
    elif kind == "truncated":
        picture("L", (200, 200)).save(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "jpeg":
        picture("L").save(path, "JPEG")
    elif kind == "pages":
        first, *rest = (picture("L") for _ in range(3))
        first.save(path, "TIFF", save_all=True, append_images=rest)
    elif kind == "float":
        Image.fromarray(np.ones((4, 4), np.float32)).save(path, "TIFF")
    elif kind == "negative":
        Image.fromarray(np.full((4, 4), -7, np.int32)).save(path, "TIFF")
    elif kind == "cmyk":
        picture("RGB").convert("CMYK").save(path, "TIFF")
    elif kind == "deep colours":
        tifffile = pytest.importorskip("tifffile")
        tifffile.imwrite(path, np.ones((4, 4, 3), np.uint16), photometric="rgb")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "cannot identify"),
        ("truncated", "truncated"),
        ("jpeg", "it is a JPEG file"),
        ("pages", "holds 3 pictures"),
        ("float", "its mode is 'F'"),
        ("negative", "run from -7 to -7"),
        ("cmyk", "its mode is 'CMYK'"),
        ("deep colours", "colours with 16 bits; convert"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(tmp_path, kind, words):
    with pytest.raises(OSError, match=f"bad.png.*{words}.*expected a complete PNG or TIFF"):
        read_picture(unreadable(tmp_path, kind))


def test_the_command_restores_pictures_of_all_kinds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, mode in {"a.png": "L", "b.png": "RGB", "c.tif": "I;16"}.items():
        picture(mode, (48, 40)).save(name)
    files = ["a.png", "b.png", "c.tif"]
    assert cli.main(["reconstruct", "ResCNN", *files, "--out", "out"]) == 0
    assert "3 of 3 pictures restored by ResCNN in out\n" in capsys.readouterr().out
    model = weights.load("ResCNN")
    for file in files:
        before, after = read_picture(file), read_picture(f"out/{file}")
        assert (before.depth, before.format) == (after.depth, after.format)
        expected = evaluation.reconstruct(model, before.luminance)
        if before.chroma is None:
            error = (after.luminance - expected.clamp(0, 1)).abs().max()
            assert error < 0.51 / (65535 if after.depth == 16 else 255) + 1e-5
        else:
            expected = (expected[0] + before.chroma).clamp(0, 1)
            found = after.luminance[0] + after.chroma
            assert (found - expected).abs().max() < 0.51 / 255 + 1e-5
    # nothing is overwritten unless asked
    kept = (tmp_path / "out" / "a.png").read_bytes()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    assert cli.main(["reconstruct", "ResCNN", *files, "--out", "out"]) == 1
    assert "a.png is there already in 'out'" in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert cli.main(["reconstruct", "ResCNN", *files, "--out", "out", "--force"]) == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == kept
    assert "pictures: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["VNet", "a.png", "--out", "out"], "no network 'VNet'"),
        (["ResCNN", "no.png", "--out", "out"], "no picture file 'no.png'"),
        (["ResCNN", "a.png", "--out", "."], "is the folder of a.png itself"),
        (["ResCNN", "a.png", "--out", ".", "--force"], "is the folder of a.png itself"),
        (["ResCNN", "a.png", "sub/a.png", "--out", "out"], "two pictures are called a.png"),
        (["ResCNN", "a.png", "--out", "text"], "--out 'text' is no folder"),
        (["ResCNN", "text", "--out", "out"], "cannot read the picture 'text'"),
        (["UNet", "a.png", "--out", "out"], "a.png: expected images"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_command_says_what_is_wrong_in_one_line(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/a.png"):
        picture("L", (12, 40)).save(name)
    (tmp_path / "text").write_text("no picture")
    assert cli.main(["reconstruct", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ippy: ") and words in said and said.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_a_network_of_sinograms_restores_no_pictures(tmp_path, monkeypatch, capsys):
    picture("L", (40, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(commands.weights, "task_of", lambda card: "few_view")
    command = ["reconstruct", "ResCNN", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert cli.main(command) == 1
    assert "is trained for another kind of measurement (Tomography" in capsys.readouterr().err


# --- receptive fields of networks that are imported ---

NETWORK = """
from torch import nn
ready = nn.Conv2d(1, 1, 3)
def whole(): return nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2))
def flipped():
    class Flipped(nn.Module):
        def forward(self, x): return x.flip(3)
    return Flipped()
def chain():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 1, 3))
def needs(width): return nn.Conv2d(1, width, 3)
number = 3
def broken(): raise RuntimeError("two\\nlines")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text(NETWORK)
    (tmp_path / "wrong.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)


def test_the_field_of_a_stranger_as_text_table_and_json(here, capsys):
    command = ["receptive-field", "stranger:chain", "--input", "1,3,64,60"]
    assert cli.main(command) == 0
    text = capsys.readouterr().out
    assert "field     8 × 8 pixels" in text and "31 × 30" not in text
    assert "outputs   30 × 28, every 2 × 2 pixels" in text
    assert "overlap by 8 × 8 pixels" in text and "multiples of 2 × 2" in text
    assert cli.main([*command, "--table"]) == 0
    table = capsys.readouterr().out
    assert [line.split()[1] for line in table.splitlines()[:4]] == [
        "operation", "conv2d", "max_pool2d", "conv2d",
    ]  # fmt: skip
    assert cli.main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["height"], data["stride"], data["output"]) == ([8, 8], ["2", "2"], [30, 28])
    assert data["tiles"]["height"]["pixels"] == 8
    assert [row["operation"] for row in data["layers"]] == ["conv2d", "max_pool2d", "conv2d"]


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        ("stranger:chain", 3),
        ("torchvision.models:resnet18", 3),  # the example of the command's own help
        ("ippy.models:SimpleUNet", 1),
        ("torch.nn:Identity", 1),
    ],
)
def test_without_a_shape_the_channels_are_those_of_the_first_convolution(
    here, capsys, network, channels
):
    assert cli.main(["receptive-field", network]) == 0
    assert f"{network} on an input of 1 × {channels} × 256 × 256\n" in capsys.readouterr().out


def test_what_sees_everything_is_named_and_not_cut_into_tiles(here, capsys):
    assert cli.main(["receptive-field", "stranger:whole", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["global_layers"] == ["1"] and "sees the whole image" in data["tiles"]["refused"]
    assert cli.main(["receptive-field", "stranger:whole"]) == 0
    assert "global    1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stranger"], "expected MODULE:CALLABLE"),
        (["no_such_module:f"], "cannot import 'no_such_module'"),
        (["wrong:f"], "cannot import 'wrong' (division by zero)"),
        (["stranger:f"], "module 'stranger' has no 'f'"),
        (["stranger:needs"], "cannot be called without arguments"),
        (["stranger:broken"], "(two lines); write a function"),
        (["stranger:number"], "cannot be called without arguments"),
        (["builtins:dict"], "gives a dict, expected a torch.nn.Module"),
        (["stranger:ready", "--input", "1,3"], "--input is '1,3', expected four numbers"),
        (["stranger:ready", "--input", "1,3,x,4"], "expected four numbers N,C,H,W"),
        (["stranger:ready", "--input", "1,3,64,64"], "cannot trace Conv2d"),
        (["stranger:flipped"], "no rule for aten.flip"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_network_without_a_field_is_refused_in_one_line(here, capsys, arguments, words):
    assert cli.main(["receptive-field", *arguments]) == 1
    said = capsys.readouterr().err
    assert said.startswith("ippy: ") and words in said and said.count("\n") == 1


def test_a_network_that_is_there_already_is_taken_as_it_is(here):
    assert isinstance(commands.imported_network("stranger:ready"), nn.Conv2d)
