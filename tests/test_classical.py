"""Tikhonov and total variation against dense algebra, long runs and each other."""

import pytest
import torch

from ippy.classical import tikhonov, total_variation
from ippy.operators import Blurring, DownScaling, Gradient

MOTION = {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20}


def discs(n=2, size=32, channels=1):
    """Bright discs of several radii on grey, and a measurement's worth of noise."""
    at = torch.arange(size) - size / 2
    radius = (at[:, None] ** 2 + at[None, :] ** 2).sqrt()
    x = torch.stack([0.3 + 0.5 * (radius < size / (3 + i)) for i in range(n * channels)])
    x = x.reshape(n, channels, size, size)
    return x, 0.004 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


def psnr(a, b):
    return float(-10 * (a - b).square().mean().log10())


def dense(K):
    h, w = K.img_shape
    rows = K(torch.eye(h * w, dtype=torch.float64).reshape(-1, 1, h, w))
    return rows.reshape(h * w, -1).T


def objective(K, y, lam, x):
    d = Gradient(K.img_shape, boundary="reflect")(x)
    tv = d.unflatten(1, (2, -1)).square().sum(1).sqrt().sum()
    return float((K(x) - y).square().sum() / 2 + lam * tv)


@pytest.mark.parametrize("boundary", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("penalty", ["identity", "gradient"])
def test_tikhonov_solves_the_normal_equations(boundary, penalty):
    K = Blurring((11, 10), **{**MOTION, "kernel_size": 5}, boundary=boundary)
    L = None if penalty == "identity" else Gradient((11, 10), boundary="reflect")
    y = torch.randn(3, 1, 11, 10, generator=torch.Generator().manual_seed(0)).double()
    A, B = dense(K), torch.eye(110).double() if L is None else dense(L)
    expected = torch.linalg.solve(A.T @ A + 0.01 * B.T @ B, A.T @ y.reshape(3, 110).T).T
    x = tikhonov(K, y, 0.01, regulariser=L, n_iter=300, tol=1e-12)
    torch.testing.assert_close(x.reshape(3, 110), expected, rtol=0, atol=1e-9)


def test_dense_gradient_has_pairs_of_rows():
    assert dense(Gradient((11, 10))).shape == (220, 110)


def test_tikhonov_improves_on_the_measurement():
    x, e = discs()
    K = Blurring((32, 32), **MOTION)
    y = K(x) + e
    plain = tikhonov(K, y, 2e-3)
    smooth = tikhonov(K, y, 1e-3, regulariser=Gradient((32, 32), boundary="reflect"))
    assert plain.dtype == torch.float32
    assert psnr(plain, x) > psnr(y, x) + 3
    assert psnr(smooth, x) > psnr(plain, x)


def test_an_easy_image_is_frozen_while_the_others_go_on():
    K = Blurring((16, 16), **MOTION, boundary="circular")
    hard = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    easy, black = torch.ones_like(hard), torch.zeros_like(hard)  # done after one and no step
    batch = tikhonov(K, torch.cat([hard, easy, black, 1e3 * hard]), 1e-3)
    for i, y in enumerate([hard, easy, black, 1e3 * hard]):
        torch.testing.assert_close(batch[i : i + 1], tikhonov(K, y, 1e-3), rtol=1e-12, atol=1e-12)
    assert torch.equal(batch[2:3], black)
    assert torch.equal(tikhonov(K, easy, 1e-3, n_iter=1), tikhonov(K, easy, 1e-3, n_iter=50))


@pytest.mark.parametrize(
    ("K", "excess", "decibel"),  # unseen pixels take longer
    [
        (Blurring((32, 32), **MOTION), 1e-3, 0.05),
        (DownScaling((32, 32), 2), 0.01, 1.0),
        (DownScaling((32, 32), 2, "naive"), 0.05, 1.0),
    ],
    ids=["blur", "average", "naive"],
)
def test_total_variation_converges(K, excess, decibel):
    x, e = discs()
    y = K(x) + e[..., : K.out_shape[0], : K.out_shape[1]]
    lam = 5e-4
    runs = {n: total_variation(K, y, lam, n_iter=n) for n in (10, 50, 200, 600)}
    values = [objective(K, y, lam, run) for run in runs.values()]
    assert values[0] > values[1] > values[2] > values[3] * (1 - 1e-4)
    assert values[2] < values[3] * (1 + excess)
    assert abs(psnr(runs[200], x) - psnr(runs[600], x)) < decibel
    assert psnr(runs[200], x) > psnr(tikhonov(K, y, 1e-3), x) + 2


def test_total_variation_minimises():
    """No small change lowers the objective."""
    x, e = discs(1, 12)
    K = Blurring((12, 12), **{**MOTION, "kernel_size": 5})
    y = (K(x) + e).double()
    best = total_variation(K, y, 1e-2, n_iter=1000)
    at_best = objective(K, y, 1e-2, best)
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        step = 1e-3 * torch.randn(best.shape, generator=generator)
        assert objective(K, y, 1e-2, best + step) > at_best
    assert objective(K, y, 1e-2, best + 1e-3) > at_best
    assert objective(K, y, 1e-2, best - 1e-3) > at_best


def test_total_variation_of_a_pair_of_pixels():
    """Two pixels a < b of distance d > 2 lam move towards each other by lam each."""
    y = torch.tensor([[[[0.2, 0.8]]]], dtype=torch.float64)
    x = total_variation(Blurring((1, 2), [[1.0]]), y, 0.1, n_iter=500)
    torch.testing.assert_close(x, torch.tensor([[[[0.3, 0.7]]]], dtype=torch.float64))


def test_a_constant_image_stays():
    for K in (Blurring((32, 32), **MOTION, boundary="reflect"), DownScaling((32, 32), 2)):
        x = torch.full((1, 1, 32, 32), 0.4)
        torch.testing.assert_close(total_variation(K, K(x), 1e-3), x, rtol=0, atol=2e-3)


def test_total_variation_treats_images_and_channels_separately():
    x, e = discs(2, channels=3)
    K = Blurring((32, 32), **MOTION)
    y = K(x) + e
    both = total_variation(K, y, 5e-4, n_iter=50)
    alone = total_variation(K, y[1:], 5e-4, n_iter=50)
    grey = total_variation(K, y[1:, 2:], 5e-4, n_iter=50)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(both[1:, 2:], grey, rtol=0, atol=1e-4)


def test_bounds_are_kept():
    x, e = discs()
    K = Blurring((32, 32), **MOTION)
    y = K(x) + 10 * e
    free = total_variation(K, y, 1e-3, n_iter=50)
    held = total_variation(K, y, 1e-3, n_iter=50, bounds=(0.3, 0.8))
    assert free.min() < 0.3 and free.max() > 0.8
    assert held.min() >= 0.3 and held.max() <= 0.8
    assert psnr(held, x) > psnr(free, x)


@pytest.mark.parametrize("lam", [-1.0, float("nan"), float("inf")])
def test_wrong_weights(lam):
    K, y = Blurring((16, 16), **MOTION), torch.ones(1, 1, 16, 16)
    for method in (tikhonov, total_variation):
        with pytest.raises(ValueError, match=f"lam must be a finite number.*got {lam}"):
            method(K, y, lam)


def test_wrong_bounds_and_zero_weight():
    K, y = Blurring((16, 16), **MOTION), torch.ones(1, 1, 16, 16)
    with pytest.raises(ValueError, match="lam must be a finite number > 0, got 0"):
        total_variation(K, y, 0)
    with pytest.raises(ValueError, match=r"bounds must be.*got \(1, 0\)"):
        total_variation(K, y, 1e-3, bounds=(1, 0))
    assert tikhonov(K, y, 0).isfinite().all()  # least squares are allowed
