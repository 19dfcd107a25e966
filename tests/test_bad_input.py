"""What readers hand in: odd images that must work, bad input that must be refused clearly."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ippy import (
    classical,
    datasets,
    evaluation,
    images,
    metrics,
    models,
    networks,
    training,
    weights,
)
from ippy.operators import Blurring, CTProjector, DownScaling, Gradient, Operator, gaussian_noise
from ippy.tasks import measure

GREY = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))  # a ramp, 48 x 64
RAMP = torch.from_numpy(GREY.astype(np.float32) / 255)


def picture(mode: str) -> Image.Image:
    """The ramp, stored in one of Pillow's modes."""
    if mode == "I;16":
        return Image.fromarray(GREY.astype(np.uint16) * 257)
    grey = Image.fromarray(GREY)
    if mode == "P":
        return grey.convert("P")
    return grey.convert("RGB").convert(mode)


@pytest.mark.parametrize(
    ("name", "mode", "exact"),
    [
        ("grey.png", "L", 1e-6),
        ("deep.png", "I;16", 1e-4),
        ("deep.tif", "I;16", 1e-4),
        ("palette.png", "P", 1e-2),
        ("alpha.png", "RGBA", 1e-2),
        ("grey with alpha.png", "LA", 1e-2),
        ("colour.jpg", "RGB", 3e-2),
        ("printing.jpg", "CMYK", 3e-2),
        ("bilevel.png", "1", None),
        ("Übung 1 – 図.png", "L", 1e-6),
        ("capital.PNG", "L", 1e-6),
        ("web.webp", "RGB", 3e-2),
        ("old.bmp", "L", 1e-6),
    ],
)
def test_images_that_people_have(tmp_path, name, mode, exact):
    picture(mode).save(tmp_path / name)
    x = images.read_grey(tmp_path / name)
    assert x.shape == (1, 48, 64) and x.dtype == torch.float32
    assert x.min() >= 0 and x.max() <= 1
    if exact is not None:
        assert (x[0] - RAMP).abs().max() <= exact
    assert images.read_grey(tmp_path / name, 32).shape == (1, 32, 32)


def test_the_first_image_of_an_animation(tmp_path):
    frames = [Image.fromarray(GREY // n) for n in (1, 2, 4)]
    frames[0].save(tmp_path / "moves.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "moves.gif") as animation:
        assert animation.n_frames == 3
    assert (images.read_grey(tmp_path / "moves.gif")[0] - RAMP).abs().max() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (10000, 1), (1, 10000)])
def test_images_of_absurd_shape(tmp_path, size):
    Image.new("L", size, 51).save(tmp_path / "odd.png")
    for x in (images.read_grey(tmp_path / "odd.png"), images.read_grey(tmp_path / "odd.png", 16)):
        torch.testing.assert_close(x, torch.full_like(x, 0.2), rtol=0, atol=1e-5)


def damaged(folder, name: str):
    """A file that is no whole image."""
    path = folder / name
    Image.fromarray(GREY).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    content = {
        "empty.png": b"",
        "truncated.png": whole[: len(whole) // 2],
        "text.png": b"no image",
        "flipped.png": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        "header.png": whole[:33],
    }[name]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name", ["empty.png", "truncated.png", "text.png", "flipped.png", "header.png"]
)
def test_damaged_images_are_named(tmp_path, name):
    path = damaged(tmp_path, name)
    with pytest.raises(OSError, match=rf"cannot read the image .*{name}.*copy or download"):
        images.read_grey(path)


def test_images_of_floating_point_numbers_are_refused(tmp_path):
    Image.fromarray(RAMP.numpy()).save(tmp_path / "float.tif")
    with pytest.raises(OSError, match="float.tif.*floating point numbers.*16 bit"):
        images.read_grey(tmp_path / "float.tif")


X = torch.rand(1, 1, 32, 32)
K = Blurring((32, 32), kernel_type="gaussian")
UNET = models.SimpleUNet(base_ch=2)
TWO = {"kernel_type": "gaussian", "kernel_size": 3}


class Half(Operator):
    """An operator whose author forgot the adjoint."""

    def _forward(self, x):
        return x / 2


BAD = {
    "no data folder": (lambda p: datasets.MayoDataset(p / "none", 32), FileNotFoundError, "none"),
    "no PNG": (lambda p: datasets.MayoDataset(p, 32), FileNotFoundError, "holds no file"),
    "no image": (lambda p: images.read_grey(p / "no.png"), FileNotFoundError, "check the path"),
    "unknown sample": (lambda p: images.sample_image("dog"), ValueError, "choose one of thorax"),
    "unknown kind": (lambda p: datasets.SyntheticDataset(1, kind="x"), ValueError, "mixed"),
    "three channels": (lambda p: UNET(torch.rand(1, 3, 32, 32)), ValueError, "channel"),
    "no batch": (lambda p: UNET(torch.rand(32, 32)), ValueError, "2 dimensions, not 4"),
    "too small": (lambda p: UNET(torch.rand(1, 1, 2, 2)), ValueError, "at least|small"),
    "even kernel": (
        lambda p: Blurring((9, 9), kernel_type="motion", kernel_size=4), ValueError, "odd.*3 or 9"
    ),
    "even kernel of a network": (lambda p: models.ResCNN(1, 1, 4, 2), ValueError, "odd"),
    "unknown kernel": (lambda p: Blurring((9, 9), kernel_type="box"), ValueError, "gaussian"),
    "large kernel": (
        lambda p: Blurring((4, 4), kernel_type="motion", kernel_size=9), ValueError, "larger than"
    ),
    "no kernel": (lambda p: Blurring((9, 9)), ValueError, "give one"),
    "two kernels": (lambda p: Blurring((9, 9), [[1.0]], **TWO), ValueError, "give one"),
    "NaN kernel": (lambda p: Blurring((9, 9), [[float("nan")]]), ValueError, "NaN"),
    "unknown boundary": (lambda p: Gradient((9, 9), boundary="x"), ValueError, "zeros"),
    "flat image shape": (lambda p: Gradient((0, 9)), ValueError, "0"),
    "wrong image size": (lambda p: K(torch.rand(1, 1, 9, 9)), ValueError, "32"),
    "scale by nothing": (lambda p: DownScaling((9, 9), 0), ValueError, "downscale_factor"),
    "no angles": (lambda p: CTProjector((9, 9), []), ValueError, "angle"),
    "negative noise": (lambda p: gaussian_noise(X, -1), ValueError, "noise_level is -1"),
    "NaN noise": (lambda p: gaussian_noise(X, float("nan")), ValueError, "nan"),
    "noise on bytes": (lambda p: gaussian_noise(X.byte(), 0.1), TypeError, "y.float"),
    "negative weight": (lambda p: classical.tikhonov(K, X, -1), ValueError, "lam must be"),
    "no TV weight": (lambda p: classical.total_variation(K, X, 0), ValueError, "lam must be"),
    "bounds": (lambda p: classical.total_variation(K, X, 1, bounds=(1, 0)), ValueError, "bounds"),
    "misspelt method": (
        lambda p: evaluation.classical_method("Tikhonv", K, 1), ValueError, "'Tikhonv'; choose 'Tik"
    ),
    "method in small letters": (
        lambda p: evaluation.classical_method("tv", K, 1), ValueError, "choose 'Tikhonov' or 'TV'"
    ),
    "two shapes": (lambda p: metrics.psnr(X, X[..., :9]), ValueError, "one shape"),
    "empty mask": (lambda p: metrics.mse(X, X, X > 2), ValueError, "no pixel"),
    "NaN images": (
        lambda p: training.MeasuredCrops(X * float("nan"), K, networks.Recipe("SimpleUNet")),
        ValueError, "NaN",
    ),
    "no weights": (lambda p: weights.load("VNet"), FileNotFoundError, "train them with"),
    "no network": (lambda p: training.load_or_train("VNet"), KeyError, "choose one of"),
    "no identity": (lambda p: models.identity_init(nn.Linear(1, 1)), TypeError, "Linear"),
    "batch is no function": (
        lambda p: training.train(UNET, X, networks.Recipe("SimpleUNet")), TypeError, "MeasuredCrops"
    ),
    "no adjoint": (lambda p: Half((32, 32)).T(X), NotImplementedError, "Half has no adjoint.*def"),
    "no levels": (lambda p: measure(X, K, -0.1), ValueError, "noise_level"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words_that_help(tmp_path, name):
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        call(tmp_path)
    assert type(caught.value) is kind or issubclass(type(caught.value), kind)
    assert len(str(caught.value)) > 20, "a sentence, not a word"
