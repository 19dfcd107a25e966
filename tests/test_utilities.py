"""Noise, seeds, loading and showing images, metrics."""

import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from ippy import metrics, operators, plotting, utilities

matplotlib.use("Agg")


@pytest.mark.parametrize("shape", [(3, 1, 16, 17), (2, 3, 8, 8), (1, 16, 16), (16, 16)])
@pytest.mark.parametrize("level", [0.0, 0.01, 0.2])
def test_noise_has_the_relative_norm_of_every_image(shape, level):
    y = torch.rand(shape, dtype=torch.float64) + torch.arange(shape[0]).view(
        -1, *[1] * (len(shape) - 1)
    )
    e = utilities.gaussian_noise(y, level)
    per_image = (lambda t: t.flatten(1).norm(dim=1)) if len(shape) == 4 else torch.norm
    assert e.shape == y.shape and e.dtype == y.dtype
    torch.testing.assert_close(per_image(e), level * per_image(y))


def test_noise_of_an_image_does_not_depend_on_its_batch_mates():
    y = torch.rand(2, 1, 16, 16)
    other = torch.cat([y[:1], 100 * y[1:]])
    draw = [utilities.gaussian_noise(t, 0.1, generator=utilities.set_seed(3)) for t in (y, other)]
    torch.testing.assert_close(draw[0][0], draw[1][0], rtol=0, atol=0)
    assert draw[1][1].norm() > 50 * draw[0][1].norm()


def test_noise_follows_the_global_seed_and_the_generator():
    y = torch.ones(1, 1, 8, 8)
    utilities.set_seed(1)
    first = utilities.gaussian_noise(y, 0.1)
    generator = utilities.set_seed(1)
    assert torch.equal(first, utilities.gaussian_noise(y, 0.1))
    assert torch.equal(first, utilities.gaussian_noise(y, 0.1, generator=generator))
    assert not torch.equal(first, utilities.gaussian_noise(y, 0.1))


@pytest.mark.parametrize("level", [-0.1, float("nan"), float("inf")])
def test_a_noise_level_that_makes_no_sense_is_named(level):
    with pytest.raises(ValueError, match=f"noise_level is {level}, expected a finite number >= 0"):
        utilities.gaussian_noise(torch.ones(1, 1, 4, 4), level)


def test_noise_needs_a_floating_point_tensor():
    with pytest.raises(
        TypeError, match=r"floating point tensor; convert it with y.float\(\) / 255"
    ):
        utilities.gaussian_noise(torch.ones(1, 1, 4, 4, dtype=torch.uint8), 0.1)


def test_the_courses_own_code_runs():
    device = utilities.get_device()
    assert device in ("cuda", "mps", "cpu")
    K = operators.Blurring(
        img_shape=(256, 256), kernel_type="gaussian", kernel_size=3, kernel_variance=1
    ).to(device)
    x = torch.rand(2, 1, 256, 256, device=device)
    y = K(x)
    y_delta = y + utilities.gaussian_noise(y, noise_level=0.2)
    assert y_delta.shape == x.shape
    error = (y_delta - y).flatten(1).norm(dim=1) / y.flatten(1).norm(dim=1)
    torch.testing.assert_close(error.cpu(), torch.tensor([0.2, 0.2]))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace open files")
def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "sub" / "file"
    utilities.atomic_write({path: b"old"})
    with path.open("rb") as reader:
        utilities.atomic_write({path: b"new content"})
        assert reader.read() == b"old", "the file was rewritten in place"
    assert path.read_bytes() == b"new content" and len(list(path.parent.iterdir())) == 1


def test_load_image_gives_a_grey_batch_of_one(tmp_path):
    Image.new("RGB", (30, 20), (255, 255, 255)).save(tmp_path / "white.png")
    x = utilities.load_image(tmp_path / "white.png")
    assert x.shape == (1, 1, 20, 30) and x.dtype == torch.float32 and x.min() == 1
    assert utilities.load_image(tmp_path / "white.png", 16).shape == (1, 1, 16, 16)
    with pytest.raises(FileNotFoundError, match="absent.png"):
        utilities.load_image(tmp_path / "absent.png")


def test_show_errors_has_a_scale_for_images_and_one_for_errors():
    truth = torch.rand(1, 1, 20, 30)
    answers = {"one": truth + 0.2, "two": truth - 0.1}
    figure = plotting.show_errors(answers, truth, piece=(2, 5, 8), limit=0.25)
    drawn = [axis.images[0] for axis in figure.axes if axis.images]
    assert [image.get_clim() for image in drawn] == [(0, 1)] * 3 + [(-0.25, 0.25)] * 2
    assert all(image.get_array().shape == (8, 8) for image in drawn)
    means = [image.get_array().mean() for image in drawn[3:]]
    assert means == pytest.approx([0.2, -0.1], abs=1e-6)
    with pytest.raises(ValueError, match="two has shape"):
        plotting.show_errors({"one": truth, "two": truth[..., :8]}, truth)


def test_show_images_shares_one_grey_scale_and_zooms():
    images = {"a": torch.rand(1, 1, 32, 32), "b": torch.rand(32, 32)}
    figure = utilities.show_images(images, zoom=(4, 4, 8))
    shown = [axis.images[0] for axis in figure.axes]
    assert len(shown) == 4 and {image.get_clim() for image in shown} == {(0.0, 1.0)}
    assert shown[2].get_array().shape == (8, 8)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b"]
    with pytest.raises(ValueError, match=r"must be \(H, W\) after squeezing, got \(3, 8, 8\)"):
        utilities.show_images([torch.rand(3, 8, 8)])


def test_plot_history_draws_both_curves():
    history = {"step": [1, 2], "train_mse": [0.2, 0.1], "val_step": [2], "val_mse": [0.1]}
    axis = utilities.plot_history({"net": history}).axes[0]
    assert axis.get_yscale() == "log" and len(axis.lines) == 2


def test_metrics_against_their_definitions():
    x, truth = torch.rand(2, 3, 1, 24, 20, dtype=torch.float64)
    assert x.shape == (3, 1, 24, 20)
    square = ((x - truth).numpy() ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(metrics.mse(x, truth), square)
    np.testing.assert_allclose(metrics.psnr(x, truth), -10 * np.log10(square))
    np.testing.assert_allclose(metrics.psnr(x, truth, data_range=2.0), 10 * np.log10(4 / square))
    norms = np.linalg.norm(truth.reshape(3, -1), axis=1)
    np.testing.assert_allclose(metrics.relative_error(x, truth), (square * 480) ** 0.5 / norms)
    assert metrics.ssim(truth, truth).tolist() == pytest.approx([1, 1, 1])
    each = torch.cat([metrics.ssim(x[i : i + 1], truth[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(metrics.ssim(x, truth), each)


def test_a_mask_selects_the_pixels_that_count():
    x, truth = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    x[..., 0, 0], truth[..., 0, 0] = 1.0, 0.5
    assert metrics.mse(x, truth, mask=truth > 0.1).item() == 0.25
    with pytest.raises(ValueError, match="leaves no pixel"):
        metrics.psnr(x, truth, mask=truth > 2)


def test_metrics_refuse_different_shapes():
    with pytest.raises(ValueError, match=r"one shape \(N, C, H, W\)"):
        metrics.mse(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
    with pytest.raises(ValueError, match=r"x\[None\]"):
        metrics.psnr(torch.zeros(4, 4), torch.zeros(4, 4))
