"""Input that strangers tried and nobody had thought of: refused in words, or computed rightly."""

import json
import math
import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import IMAGES, RECIPE, SLOW, fit
from torch import nn
from torch.func import hessian, jacfwd, jacrev, jvp, vmap

from ippy import (
    classical,
    datasets,
    evaluation,
    images,
    metrics,
    models,
    pictures,
    plotting,
    weights,
)
from ippy.networks import NETWORKS, Recipe
from ippy.operators import (
    Blurring,
    CTProjector,
    DownScaling,
    Gradient,
    course_motion_kernel,
    gaussian_noise,
)
from ippy.receptive_field import receptive_field
from ippy.tasks import TASKS
from ippy.training import MeasuredCrops

X = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
K = Blurring((32, 32), kernel_type="gaussian", kernel_size=5)
Y = K(X)
NAN, INFINITE = Y.clone(), Y.clone()
NAN[1, 0, 3, 4], INFINITE[0, 0, 0, 0] = float("nan"), float("inf")
CARD = {"model": "ResCNN", "model_args": {"in_ch": 1, "out_ch": 1, "n_filters": 4}}
WIDE = {"precision": "float16", "channels_last": False}


def sinograms_as_images():
    projector = CTProjector((32, 32), torch.linspace(0, 3, 32))  # as many angles as rows
    MeasuredCrops(IMAGES, projector, RECIPE)


BAD = {
    "degrees": (
        lambda: CTProjector((16, 16), torch.arange(0, 180.0)),
        ValueError, "in radians, and 179 is more than two turns: these look like degrees",
    ),
    "Tikhonov of NaN": (lambda: classical.tikhonov(K, NAN, 0.1), ValueError, "y have NaN"),
    "Tikhonov of inf": (lambda: classical.tikhonov(K, INFINITE, 0.1), ValueError, "infinite"),
    "TV of NaN": (lambda: classical.total_variation(K, NAN, 0.1), ValueError, "y have NaN"),
    "no iteration": (
        lambda: classical.total_variation(K, Y, 0.1, n_iter=0), ValueError, "n_iter is 0"
    ),
    "no iteration of CG": (lambda: classical.tikhonov(K, Y, 0.1, n_iter=-1), ValueError, "is -1"),
    "negative tolerance": (lambda: classical.tikhonov(K, Y, 0.1, tol=-1), ValueError, "got -1"),
    "NaN tolerance": (lambda: classical.tikhonov(K, Y, 1, tol=math.nan), ValueError, "got nan"),
    "SSIM of 5 x 5": (
        lambda: metrics.ssim(X[..., :5, :5], X[..., :5, :5]), ValueError, r"at least 11 x 11.*5, 5"
    ),
    "SSIM of 10 x 32": (lambda: metrics.ssim(X[..., :10, :], X[..., :10, :]), ValueError, "11"),
    "PSNR of bytes": (
        lambda: metrics.psnr((X * 255).byte(), (X * 255).byte()), TypeError, "torch.uint8.*x / 255"
    ),
    "MSE of arrays": (
        lambda: metrics.mse(X.numpy(), X.numpy()), TypeError, r"float32; .*torch.as_tensor\(x\)"
    ),
    "no crop": (lambda: Recipe("SimpleUNet", crop=0), ValueError, "crop is 0, expected a side"),
    "misspelt": (
        lambda: Recipe("SimpelUNet").build(), ValueError, "no network 'SimpelUNet'.*SimpleUNet"
    ),
    "UNet without channels": (lambda: models.SimpleUNet(base_ch=0), ValueError, "base_ch is 0"),
    "CNN without channels": (lambda: models.ResCNN(1, 1, -3), ValueError, "n_filters is -3"),
    "volume without channels": (lambda: models.UNet3D(in_ch=0), ValueError, "in_ch is 0"),
    "nothing to show": (lambda: plotting.show_images([]), ValueError, "images is empty"),
    "field of a function": (
        lambda: receptive_field(lambda x: x, (1, 1, 8, 8)), TypeError, "function, expected a torch"
    ),
    "complex kernel": (lambda: Blurring((9, 9), np.eye(3) * 1j), TypeError, "complex128"),
    "kernel of words": (lambda: Blurring((9, 9), np.array([["a"]])), TypeError, "real numbers"),
    "crops of sinograms": (sinograms_as_images, ValueError, "CTProjector maps.*crops of both"),
    "a side, not a shape": (lambda: Blurring(9), ValueError, r"integers \(H, W\), .*9"),
    "a shape of words": (lambda: Blurring(("a", 3)), ValueError, r"integers.*\('a', 3\)"),
    "half a pixel": (lambda: Blurring((9, 8.5)), ValueError, r"integers.*8\.5"),
    "a projector's side": (lambda: CTProjector(64, [0.0]), ValueError, "two positive integers.*64"),
    "float16": (lambda: fit(fast=WIDE), ValueError, "'float16' is unknown; use 'float32' or"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_refused_by_name(name):
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=f"(?s){message}"):
        call()


@pytest.mark.parametrize("name", sorted({n.recipe.model for n in NETWORKS.values()}))
def test_every_network_refuses_to_be_without_outputs(name):
    with pytest.raises(ValueError, match="out_ch(=| is )0"):
        getattr(models, name)(1, 0, 4)


@pytest.mark.parametrize(
    "K", [K, Blurring((9, 9), kernel_type="motion", boundary="reflect"), DownScaling((9, 9), 2),
          Gradient((9, 9)), CTProjector((9, 9), [0.0, 1.0])], ids=lambda K: type(K).__name__,
)  # fmt: skip
def test_an_empty_batch_is_an_empty_result(K):
    x = torch.zeros(0, 1, *K.img_shape, requires_grad=True)
    y = K(x)
    assert y.shape == (0, K(torch.zeros(1, 1, *K.img_shape)).shape[1], *K.out_shape)
    assert K.adjoint(y).shape == x.shape
    assert classical.tikhonov(K, y, 0.1).shape == x.shape
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_metrics_of_an_empty_batch_are_empty():
    for metric in (metrics.mse, metrics.psnr, metrics.relative_error, metrics.ssim):
        assert metric(X[:0], X[:0]).shape == (0,)


def test_a_network_without_parameters_is_evaluated():
    table = evaluation.evaluate({"nothing": nn.Identity()}, X, K)
    assert table["nothing"] == table["measurement"]


@pytest.mark.parametrize("key", ["deblurring", "told_deblurring", "few_view"])
def test_images_of_64_bits_are_evaluated_with_a_network_of_32(key):
    task = replace(TASKS[key], shape=(32, 32))
    torch.manual_seed(0)
    x, model = torch.rand(2, 1, *task.image_shape), models.SimpleUNet(base_ch=2)
    methods, operator = {"net": model}, task.operator()
    wide = evaluation.evaluate(methods, x.double(), operator, 0.0, task=task)["net"]
    usual = evaluation.evaluate(methods, x, operator, 0.0, task=task)["net"]
    for name in usual:
        assert wide[name] == pytest.approx(usual[name], rel=1e-3)


@pytest.mark.parametrize("tile", [16, None])
def test_a_network_is_given_numbers_of_its_own_type_whole_or_in_tiles(tile):
    model, wide = models.ResCNN(1, 1, 4), models.ResCNN(1, 1, 4).double()
    wide.load_state_dict(model.state_dict())
    x_hat = evaluation.reconstruct(model, X, tile=tile)
    assert torch.equal(evaluation.reconstruct(model, X.double(), tile=tile), x_hat)
    found = evaluation.reconstruct(wide, X, tile=tile)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), x_hat)
    with pytest.raises((RuntimeError, ValueError)):  # bytes are no grey values in [0, 1]
        evaluation.reconstruct(model, (X * 255).byte(), tile=tile)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_errors_and_noise_of_16_bits_are_computed_with_32(dtype):
    x, x_true = torch.zeros(1, 1, 16, 16), torch.full((1, 1, 16, 16), 2e-4).to(dtype)
    for metric in (metrics.mse, metrics.psnr, metrics.relative_error, metrics.ssim):
        found = metric(x.to(dtype), x_true)
        assert found.dtype == torch.float32 and torch.equal(found, metric(x, x_true.float()))
    assert metrics.psnr(x.to(dtype), x_true).item() == pytest.approx(73.98, abs=0.02)
    y = torch.full((2, 1, 512, 512), 200.0).to(dtype)
    y[1] /= 1e7  # squares underflow
    noise = gaussian_noise(y, 0.01, generator=torch.Generator().manual_seed(0))
    assert noise.dtype == dtype
    level = noise.float().flatten(1).norm(dim=1) / y.float().flatten(1).norm(dim=1)
    assert level[0].item() == pytest.approx(0.01, rel=1e-2)
    assert noise.isfinite().all()


# --- Tikhonov in every range of numbers ---


def tikhonov_error(y, scale=1.0, lam=1e-3, **options) -> float:
    """Relative error of the solution, beside that of float64."""
    exact = classical.tikhonov(K, y.double(), lam, n_iter=5000, tol=1e-14)
    found = classical.tikhonov(K, y * scale, lam, **options)
    assert found.dtype == y.dtype
    return float((found.double() / scale - exact).norm() / exact.norm())


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e18, 1e30])
def test_tikhonov_of_any_size_of_numbers(scale):
    assert tikhonov_error(Y, scale) < 1e-3


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
def test_tikhonov_and_tv_of_16_bits_are_computed_with_32(dtype, bound):
    assert tikhonov_error(Y.to(dtype)) < bound
    wide = classical.total_variation(K, Y.to(dtype).float(), 1e-3)
    found = classical.total_variation(K, Y.to(dtype), 1e-3)
    assert found.dtype == dtype and (found.float() - wide).norm() < bound * wide.norm()


@pytest.mark.parametrize("lam", [1e-3, 1e-1])
@pytest.mark.parametrize("n_iter", [500, 3000])
def test_tikhonov_without_tolerance_ends_where_rounding_does(lam, n_iter):
    assert tikhonov_error(Y, lam=lam, tol=0.0, n_iter=n_iter) < 1e-3


def test_small_and_large_images_share_a_batch():
    y = torch.cat([Y[:1] * 1e-20, Y[:1], 0 * Y[:1], Y[:1] * 1e20])
    small, usual, none, large = classical.tikhonov(K, y, 1e-2).split(1)
    torch.testing.assert_close(small * 1e20, usual, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(large / 1e20, usual, rtol=1e-4, atol=1e-5)
    assert not none.any()


# --- the projector ---


def test_a_projector_has_all_of_torch_func():
    K = CTProjector((8, 8), torch.linspace(0, 3, 5))
    x, v = torch.rand(2, 2, 1, 8, 8)
    forward, backward = jacfwd(K)(x), jacrev(K)(x)
    assert forward.shape == (2, 1, 8, 5, 2, 1, 8, 8) and forward.any()
    torch.testing.assert_close(forward, backward)
    torch.testing.assert_close(jvp(K, (x,), (v,))[1], K(v))
    many = torch.rand(2, 3, 1, 8, 8)  # three batches of two
    expected = torch.stack([K(part) for part in many.unbind(1)])
    torch.testing.assert_close(vmap(K, in_dims=1)(many), expected)
    torch.testing.assert_close(vmap(K.T)(expected), torch.stack([K.T(y) for y in expected]))
    squares = hessian(lambda x: K(x).square().sum() / 2)(x[:1])  # K^T K, column by column
    torch.testing.assert_close((squares * v[:1]).flatten(4).sum(-1), K.T(K(v[:1])))


def test_a_projector_that_was_halved_is_whole_again():
    K = CTProjector((16, 16), torch.linspace(0, 3, 7))
    x = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    before = K(x.float()), K(x)
    for there_and_back in (K.half().float(), K.bfloat16().double(), K.half().double()):
        assert torch.equal(there_and_back(x.float()), before[0])
        assert torch.equal(there_and_back(x), before[1])
    assert K.half()(x.half()).dtype == torch.float16


# --- the course's own blur ---


@pytest.mark.parametrize(("length", "angle"), [(9, 20.0), (7, 45.0), (5, -70.0), (3, 0.0)])
def test_the_blur_of_the_courses_library_is_there_by_name(length, angle):
    # As that library computes it: steps of one pixel from the middle, cut to whole numbers, and
    # conv2d, which correlates.
    kernel = np.zeros((length, length))
    for i in range(length):
        along = i - length // 2
        turn = math.radians(angle)
        column = int(length // 2 + along * math.cos(turn))
        row = int(length // 2 + along * math.sin(turn))
        kernel[row, column] = 1
    weight = torch.from_numpy(kernel / kernel.sum()).float()[None, None]
    expected = nn.functional.conv2d(X, weight, padding="same")
    options = {"kernel_size": length, "motion_angle": angle}
    found = Blurring((32, 32), kernel_type="course_motion", **options)(X)
    torch.testing.assert_close(found, expected)
    own = Blurring((32, 32), course_motion_kernel(length, angle))(X)
    assert torch.equal(found, own)


def test_it_is_another_blur_than_ours_and_the_documentation_says_so():
    x = images.sample_image("thorax")
    options = {"kernel_size": 9, "motion_angle": 20}
    ours, theirs = (
        Blurring((256, 256), kernel_type=name, **options)(x) for name in ("motion", "course_motion")
    )
    assert float((ours - theirs).norm() / ours.norm()) == pytest.approx(0.128, abs=0.001)
    assert "course_motion" in Blurring.__doc__


# --- weight files ---


def test_what_weights_save_writes_can_be_loaded(tmp_path):
    half = models.ResCNN(1, 1, 4).half()
    weights.save(half, tmp_path / "half", CARD)  # without an ending
    loaded = weights.load(tmp_path / "half")
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    pairs = zip(loaded.parameters(), half.parameters(), strict=True)
    assert all(torch.equal(p, q.float()) for p, q in pairs)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["half.json", "half.pth"]


@pytest.mark.parametrize(
    ("name", "card", "words"),
    [
        ("net.json", CARD, "net.json is the name of a card; store weights as net.pth"),
        ("net.pth", {}, "nobody could load net.pth .it has no 'model'"),
        ("net.pth", {"model": "ResCNN"}, "it has no 'model_args'"),
        ("net.pth", {**CARD, "model": "MyNet"}, "unknown network 'MyNet'.*torch.save"),
        ("net.pth", {**CARD, "model": "identity_init"}, "unknown network 'identity_init'"),
        ("net.pth", {**CARD, "model_args": [1, 1, 4]}, r"model_args is \[1, 1, 4\], not a dict"),
    ],
)
def test_weights_that_nobody_could_load_are_not_written(tmp_path, name, card, words):
    with pytest.raises(ValueError, match=words):
        weights.save(models.ResCNN(1, 1, 4), tmp_path / name, card)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_args": {"filters": 4}}, "Net.json does not fit ResCNN.*filters"),
        ({"model_args": None}, "not the card of a weight file.*model_args is None"),
        ({"model": "identity_init"}, "not the card of a weight file.*unknown network"),
        ({"model": "__name__"}, "not the card of a weight file.*unknown network"),
    ],
)
def test_verify_says_what_is_wrong_with_a_card(tmp_path, changes, words):
    weights.save(models.ResCNN(1, 1, 4), tmp_path / "Good.pth", CARD)
    card = weights.save(models.ResCNN(1, 1, 4), tmp_path / "Net.pth", CARD)
    (tmp_path / "Net.json").write_text(json.dumps({**card, **changes}))
    found = weights.verify(tmp_path)
    assert found["Good"] == "ok"
    assert re.search(words, found["Net"]), found["Net"]


# --- files of images ---


def test_numpys_integers_are_sizes():
    assert images.as_shape(np.int64(8)) == (8, 8)
    assert images.as_shape((np.int32(8), 9)) == (8, 9)
    assert images.sample_image("cat", np.int16(16)).shape == (1, 1, 16, 16)
    for wrong in (8.0, "88", (8, 9.5), (1, 2, 3), 0, np.int64(-1), None):
        with pytest.raises(ValueError, match="expected a positive int or a pair"):
            images.as_shape(wrong)


def test_files_in_capitals_are_slices_too(tmp_path):
    (tmp_path / "p").mkdir()
    for name in ("a.png", "b.PNG", "c.txt"):
        Image.new("L", (16, 16)).save(tmp_path / "p" / name, "PNG")
    names = [file.name for file in datasets.MayoDataset(tmp_path, 16).files]
    assert names == ["a.png", "b.PNG"]


def test_hounsfield_units_are_refused_and_not_cut_to_black(tmp_path):
    values = np.arange(-1000, 1000, dtype=np.int32).reshape(40, 50)
    Image.fromarray(values).save(tmp_path / "hu.tif")
    with pytest.raises(OSError, match="hu.tif.*from -1000 to 999; store them as 16 bit"):
        images.read_grey(tmp_path / "hu.tif")
    Image.fromarray(values + 1000).save(tmp_path / "shifted.tif")
    assert images.read_grey(tmp_path / "shifted.tif").max() == pytest.approx(1999 / 65535)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("read", [images.read_grey, pictures.read_picture])
def test_a_pipe_that_is_called_a_picture_does_not_hang(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    said = []

    def ask():
        try:
            read(tmp_path / "pipe.png")
        except OSError as error:
            said.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    assert said and "pipe.png" in said[0] and "a pipe or a device" in said[0]


def test_a_run_in_bfloat16_is_still_one():
    fit(replace(RECIPE, steps=1), fast={**SLOW, "precision": "bfloat16"})
