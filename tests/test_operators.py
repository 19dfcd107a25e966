"""Every operator: exact adjoint, linearity, dtype, kernels, boundaries and messages."""

import math

import numpy as np
import pytest
import torch
from skimage.transform import iradon, radon
from torch import nn

from ippy import operators
from ippy.operators import (
    Blurring,
    CTProjector,
    DownScaling,
    Gradient,
    filters,
    gaussian_kernel,
    motion_kernel,
    tomography,
)

BOUNDARIES = ["zeros", "reflect", "circular"]
SKEW = torch.rand(3, 5, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
KERNELS = {
    "gaussian": {"kernel_type": "gaussian", "kernel_size": 5, "kernel_variance": 2.0},
    "motion": {"kernel_type": "motion", "kernel_size": 9, "motion_angle": 20},
    "own": {"kernel": SKEW},
}
BUILDERS = {
    f"blur-{name}-{boundary}": lambda shape, b=boundary, k=kernel: Blurring(shape, **k, boundary=b)
    for name, kernel in KERNELS.items()
    for boundary in BOUNDARIES
}
BUILDERS |= {
    f"scale-{mode}-{f}": lambda shape, f=f, m=mode: DownScaling(shape, f, mode=m)
    for mode in ("avg", "naive")
    for f in (1, 2, 3)
}
BUILDERS |= {
    f"gradient-{boundary}": lambda shape, b=boundary: Gradient(shape, boundary=b)
    for boundary in BOUNDARIES
}
BUILDERS["ct"] = lambda shape: CTProjector(shape, [0.0, 0.3, 0.8, 2.2, math.pi / 2, -5.0], 15)
BUILDERS["ct-fine"] = lambda shape: CTProjector(shape, [0.0, 0.3, 2.2], 15).refined()
BUILDERS |= {f"{name}-T": lambda shape, b=build: b(shape).T for name, build in BUILDERS.items()}
SHAPES = [(16, 16), (17, 13), (9, 12)]
every_operator = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def images(K, channels=1, dtype=torch.float64, n=2, seed=0):
    channels *= 2 if isinstance(K.T, Gradient) else 1  # the transpose takes pairs of channels
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, channels, *K.img_shape, generator=generator, dtype=torch.float64).to(
        dtype
    )


@every_operator
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_adjoint_is_exact_and_is_the_gradient(build, shape, channels, dtype, bound):
    K = build(shape)
    x = images(K, channels, dtype).requires_grad_()
    Kx = K(x)
    y = torch.randn(Kx.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    KTy = K.adjoint(y)
    assert Kx.dtype == KTy.dtype == dtype
    assert Kx.shape[-2:] == K.out_shape
    assert KTy.shape == x.shape
    left, right = (Kx.double() * y.double()).sum(), (x.double() * KTy.double()).sum()
    assert Kx.norm() > 0
    assert abs(left - right) / (Kx.double().norm() * y.double().norm()) <= bound
    (vjp,) = torch.autograd.grad(Kx, x, y)
    torch.testing.assert_close(vjp, KTy, rtol=0, atol=20 * bound)
    y.requires_grad_()
    (vjp,) = torch.autograd.grad(K.adjoint(y), y, x.detach())
    torch.testing.assert_close(vjp, Kx.detach(), rtol=0, atol=20 * bound)


@every_operator
def test_linear_batch_independent_and_callable_three_ways(build):
    K = build((17, 13))
    a, b = images(K, seed=1), images(K, seed=2)
    torch.testing.assert_close(K(2 * a - 3 * b), 2 * K(a) - 3 * K(b), rtol=0, atol=1e-12)
    torch.testing.assert_close(K(a)[1:], K(a[1:]), rtol=0, atol=1e-14)
    assert torch.equal(K @ a, K(a))
    assert torch.equal(K.T(K(a)), K.adjoint(K(a)))
    assert torch.equal(K.T.T(a), K(a))
    assert K.T.img_shape == K.out_shape and K.T.out_shape == K.img_shape


def test_transpose_of_the_transpose_is_the_operator():
    K = DownScaling((8, 8), 2)
    assert K.T.T is K


def test_the_call_of_the_course():
    K = operators.Blurring(
        img_shape=(256, 256), kernel_type="gaussian", kernel_size=3, kernel_variance=1
    )
    x = torch.rand(1, 1, 256, 256)
    assert K(x).shape == x.shape and K(x).dtype == torch.float32


# Kernels


@pytest.mark.parametrize("size", [1, 3, 9, 15])
def test_motion_kernels_have_sum_one_and_do_not_shift(size):
    at = torch.arange(size, dtype=torch.float64) - size // 2
    for angle in range(181):
        k = motion_kernel(size, angle)
        assert k.dtype == torch.float64 and k.shape == (size, size) and (k >= 0).all()
        assert abs(k.sum() - 1) < 1e-12 and torch.equal(k, k.flip(0, 1))
        centroid = torch.stack([(k.sum(1) * at).sum(), (k.sum(0) * at).sum()])
        assert centroid.abs().max() < 1e-6
        # second moment of a uniform line of this length along (cos, -sin), within its pixels
        u = np.radians(angle)
        along = (k * (np.cos(u) * at[None, :] - np.sin(u) * at[:, None]) ** 2).sum()
        assert abs(along - size**2 / 12) <= 1 / 3


def test_motion_kernels_turn_counter_clockwise_as_displayed():
    torch.testing.assert_close(motion_kernel(9, 0)[4], torch.full((9,), 1 / 9).double())
    torch.testing.assert_close(motion_kernel(9, 90)[:, 4], torch.full((9,), 1 / 9).double())
    k = motion_kernel(9, 20)
    assert k[3, 7] > 0 and k[5, 7] == 0  # right of the centre the line is above it
    torch.testing.assert_close(motion_kernel(9, 160), k.flip(1))
    torch.testing.assert_close(motion_kernel(9, 110), k.rot90())
    torch.testing.assert_close(motion_kernel(9, 200), k)


@pytest.mark.parametrize("angle", [0, 20, 45, 77.7, 135])
def test_motion_weights_are_lengths_inside_the_pixels(angle):
    t = (np.arange(200_000) + 0.5) / 200_000 * 9 - 4.5
    column = np.rint(t * np.cos(np.radians(angle))).astype(int) + 4
    row = np.rint(-t * np.sin(np.radians(angle))).astype(int) + 4
    counted = np.zeros((9, 9))
    np.add.at(counted, (row, column), 1 / t.size)
    counted = (counted + counted[::-1, ::-1]) / 2
    np.testing.assert_allclose(motion_kernel(9, angle).numpy(), counted, atol=2e-5)


@pytest.mark.parametrize(("size", "variance"), [(1, 1.0), (3, 1.0), (41, 4.0)])
def test_gaussian_kernel(size, variance):
    k = gaussian_kernel(size, variance)
    assert k.dtype == torch.float64 and abs(k.sum() - 1) < 1e-12
    torch.testing.assert_close(k, k.flip(0).T)
    if size == 3:
        assert abs(k[1, 1] / k[0, 0] - np.e) < 1e-12
    if size == 41:  # wide enough to hold the whole Gaussian
        at = torch.arange(size) - size // 2
        assert abs((k.sum(0) * at**2).sum() - variance) < 1e-6


# Independent references


def outside(i, n, boundary):
    """Index of the pixel that stands at place i of a row of n, None for black."""
    if 0 <= i < n:
        return i
    if boundary == "circular":
        return i % n
    return None if boundary == "zeros" else (-i if i < 0 else 2 * (n - 1) - i)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_blurring_is_convolution_by_hand(boundary):
    x, k = images(Blurring((6, 7), SKEW), n=1)[0, 0].numpy(), SKEW.numpy()
    expected = np.zeros((6, 7))
    for i, j in np.ndindex(6, 7):
        for m in range(-1, 2):
            for n in range(-2, 3):
                a, b = outside(i - m, 6, boundary), outside(j - n, 7, boundary)
                if a is not None and b is not None:
                    expected[i, j] += k[m + 1, n + 2] * x[a, b]
    y = Blurring((6, 7), k, boundary=boundary)(torch.tensor(x)[None, None])
    np.testing.assert_allclose(y[0, 0].numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("filled", [(), (3, 3), (3, 8), (1, 4), (0, 0)], ids=str)
def test_rows_and_columns_of_zeros_cost_nothing_and_change_nothing(monkeypatch, boundary, filled):
    kernel = torch.zeros(7, 9, dtype=torch.float64)
    kernel[3, 4] = 0.5 if filled else 0
    if filled:
        kernel[filled] += 0.25
    K = Blurring((20, 17), kernel, boundary=boundary)
    x, applied, depthwise = images(K, channels=2), set(), filters._depthwise

    def listen(x, kernel):
        applied.add(tuple(kernel.shape))
        return depthwise(x, kernel)

    monkeypatch.setattr(filters, "_depthwise", listen)
    y, z = K(x), K.T(x)
    row, column = filled or (3, 4)
    assert applied == {(2 * abs(row - 3) + 1, 2 * abs(column - 4) + 1)}
    monkeypatch.setattr(K, "_empty", (0, 0))
    assert (y - K(x)).abs().max() == 0 and (z - K.T(x)).abs().max() < 1e-15
    assert torch.equal(K.kernel, kernel.float()) and K.margin == (3, 4)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_kernel_as_large_as_the_image(boundary):
    K = Blurring((9, 9), kernel_type="motion", kernel_size=9, boundary=boundary)
    x, y = images(K, seed=3), images(K, seed=4)
    assert abs((K(x) * y).sum() - (x * K.T(y)).sum()) < 1e-12


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-6), (torch.float64, 1e-14), (torch.bfloat16, 1e-2)]
)
def test_large_kernels_are_applied_by_spectra_with_the_same_result(
    monkeypatch, boundary, dtype, bound
):
    generator = torch.Generator().manual_seed(5)
    kernel = torch.rand(21, 23, generator=generator, dtype=torch.float64)
    K = Blurring((37, 29), kernel / kernel.sum(), boundary=boundary).to(dtype)
    x = images(K, channels=3).to(dtype).requires_grad_()
    y, z = K(x), K.T(x)
    (gradient,) = torch.autograd.grad(y, x, x.detach())
    monkeypatch.setattr(filters, "_correlate_by_fft", None)  # was it called at all?
    with pytest.raises(TypeError, match="not callable"):
        K(x)
    monkeypatch.setattr(filters, "LARGE", 10**9)
    for found, expected in ((y, K(x)), (z, K.T(x)), (gradient, z)):
        assert found.dtype == dtype
        assert (found - expected).abs().max() <= bound * 4


def test_a_point_becomes_the_kernel():
    x = torch.zeros(1, 1, 7, 9, dtype=torch.float64)
    x[0, 0, 3, 4] = 1
    assert torch.equal(Blurring((7, 9), SKEW)(x)[0, 0, 2:5, 2:7], SKEW)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gradient_by_hand(boundary):
    x = images(Gradient((4, 5)), channels=3, n=1)
    d = Gradient((4, 5), boundary=boundary)(x)
    assert d.shape == (1, 6, 4, 5)
    last_h = {"zeros": 0 * x[:, :, 0], "reflect": x[:, :, -1], "circular": x[:, :, 0]}[boundary]
    last_w = {"zeros": 0 * x[..., 0], "reflect": x[..., -1], "circular": x[..., 0]}[boundary]
    assert torch.equal(d[:, :3, :-1], x[:, :, 1:] - x[:, :, :-1])
    assert torch.equal(d[:, :3, -1], last_h - x[:, :, -1])
    assert torch.equal(d[:, 3:, :, :-1], x[..., 1:] - x[..., :-1])
    assert torch.equal(d[:, 3:, :, -1], last_w - x[..., -1])


def test_downscaling_by_hand():
    x = images(DownScaling((7, 8), 3))
    naive, average = DownScaling((7, 8), 3, "naive")(x), DownScaling((7, 8), 3)(x)
    assert naive.shape == average.shape == (2, 1, 2, 2)
    for i, j in np.ndindex(2, 2):
        block = x[:, :, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
        assert torch.equal(naive[..., i, j], block[..., 0, 0])
        torch.testing.assert_close(average[..., i, j], block.mean((-2, -1)))


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_transfer_function_is_that_of_the_circular_operator(kernel):
    K = Blurring((16, 13), **kernel, boundary="circular")
    x = images(K)
    H = K.transfer_function()
    assert H.shape == (16, 13) and H.dtype == torch.complex128
    torch.testing.assert_close(torch.fft.fft2(K(x)), H * torch.fft.fft2(x))
    assert K.transfer_function((32, 64)).shape == (32, 64)
    torch.testing.assert_close(K.transfer_function((32, 26))[::2, ::2], H)


def test_operator_norm():
    K = Blurring((12, 12), SKEW)
    matrix = K(torch.eye(144, dtype=torch.float64).reshape(144, 1, 12, 12)).reshape(144, 144)
    exact = float(torch.linalg.matrix_norm(matrix, 2))
    assert abs(operators.operator_norm(K, n_iter=200) / exact - 1) < 1e-3
    assert operators.operator_norm(K) == operators.operator_norm(K)
    assert operators.operator_norm(Blurring((12, 12), [[0.0]])) == 0


# Precision, devices, modules


def test_dtype_conversion_keeps_full_precision():
    K = Blurring((16, 16), **KERNELS["motion"])
    x = images(K)
    exact = K(x)
    assert K.kernel.dtype == torch.float32
    for converted in (K.double(), K.float().to(torch.float64), K.float()):
        assert torch.equal(converted(x), exact)
    assert torch.equal(K.double().kernel, motion_kernel(9, 20))
    assert K(x.float()).dtype == torch.float32  # a float64 operator follows its input
    torch.testing.assert_close(K(x.float()), exact.float(), rtol=0, atol=1e-6)


def test_operators_follow_the_device():
    K = Blurring((16, 16), **KERNELS["gaussian"])
    assert [name for name, _ in K.named_buffers()] == ["kernel"]
    assert K.to("meta").kernel.device.type == "meta"


def test_autocast_leaves_measurements_alone():
    K = Blurring((16, 16), **KERNELS["motion"])
    x = images(K, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert nn.functional.conv2d(x, x[:1]).dtype == torch.bfloat16  # autocast is really on
        assert torch.equal(K(x), K.T.T(x)) and K(x).dtype == torch.float32
        assert K.T(x).dtype == torch.float32


def test_an_operator_adds_nothing_to_a_state_dict():
    net = nn.Sequential(Blurring((16, 16), **KERNELS["motion"]), nn.Conv2d(1, 1, 3))
    other = nn.Sequential(Blurring((16, 16), **KERNELS["gaussian"]), nn.Conv2d(1, 1, 3))
    assert list(net.state_dict()) == ["1.weight", "1.bias"]
    other.load_state_dict(net.state_dict())
    assert torch.equal(other[0].kernel, gaussian_kernel(5, 2.0).float())


# Messages


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Blurring((16, 16), kernel_type="gaussian", kernel_size=4), "odd.*got 4"),
        (lambda: Blurring((16, 16), kernel_type="motion", kernel_size=4), "odd.*got 4"),
        (lambda: Blurring((16, 16), kernel_type="motion", kernel_size=-3), "odd.*got -3"),
        (lambda: Blurring((16, 16), kernel_type="motion", kernel_size=3.5), "odd.*got 3.5"),
        (lambda: Blurring((16, 16), torch.ones(2, 3)), r"odd sides, got \(2, 3\)"),
        (lambda: Blurring((16, 16), torch.ones(3)), r"matrix.*got \(3,\)"),
        (lambda: Blurring((16, 16), kernel_type="box"), "kernel_type 'box'.*'gaussian', 'motion'"),
        (lambda: Blurring((16, 16), SKEW, boundary="wrap"), "'wrap'.*'zeros', 'reflect', 'circ"),
        (lambda: Gradient((16, 16), boundary="wrap"), "'wrap'.*'zeros', 'reflect', 'circular'"),
        (lambda: Blurring((8, 16), kernel_type="motion", kernel_size=9), r"\(9, 9\).*\(8, 16\)"),
        (lambda: Blurring((16, 16)), "either kernel or kernel_type"),
        (lambda: Blurring((16, 16), SKEW, "motion"), "either kernel or kernel_type"),
        (lambda: gaussian_kernel(3, 0.0), "positive.*got 0.0"),
        (lambda: gaussian_kernel(3, float("nan")), "positive.*got nan"),
        (lambda: Blurring((16, 16), [[float("nan")]]), "NaN or infinite"),
        (lambda: Blurring((16, 16), kernel_type="motion", motion_angle=np.inf), "NaN or infinite"),
        (lambda: Blurring((1, 16, 16), SKEW), r"\(H, W\), got \(1, 16, 16\)"),
        (lambda: Gradient((0, 16)), r"positive integers.*got \(0, 16\)"),
        (lambda: DownScaling((16, 12), 0), r"\[1, 12\], got 0"),
        (lambda: DownScaling((16, 12), 13), r"\[1, 12\], got 13"),
        (lambda: DownScaling((16, 12), 1.5), r"integer.*got 1.5"),
        (lambda: DownScaling((16, 12), 2, "bicubic"), "'bicubic'.*'avg', 'naive'"),
        (lambda: Gradient((16, 16))(torch.ones(16, 16)), r"\(N, C, 16, 16\), got shape \(16, 16\)"),
        (lambda: Gradient((16, 16))(torch.ones(1, 1, 16, 15)), r"got shape \(1, 1, 16, 15\)"),
        (lambda: DownScaling((16, 16), 2).T(torch.ones(1, 1, 16, 16)), r"\(N, C, 8, 8\), got"),
        (lambda: Gradient((16, 16)).T(torch.ones(1, 3, 16, 16)), "even number of channels, got 3"),
        (lambda: Blurring((16, 16), SKEW).transfer_function((3, 4)), r"larger.*\(3, 4\)"),
    ],
)
def test_wrong_values(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (torch.ones(1, 1, 16, 16, dtype=torch.uint8), "torch.uint8"),
        (torch.ones(1, 1, 16, 16, dtype=torch.complex64), "torch.complex64"),
        (np.ones((1, 1, 16, 16)), "float64"),
        ([[1.0]], "list"),
    ],
)
def test_wrong_types(x, found):
    for apply in (Gradient((16, 16)), Gradient((16, 16)).adjoint):
        with pytest.raises(TypeError, match=f"expected a float tensor.*got {found}; convert"):
            apply(x)


# --- tomography ---


def half_turn(n_angles: int) -> torch.Tensor:
    return torch.arange(n_angles, dtype=torch.float64) * math.pi / n_angles


def blobs(n: int) -> torch.Tensor:
    """Smooth spots (1, 1, n, n), away from the middle and inside the inscribed circle."""
    i = torch.arange(n) - n // 2
    spots = [(0.2, -0.15, 0.12, 1.0), (-0.1, 0.25, 0.06, 0.5), (0.05, 0.02, 0.2, 0.3)]
    image = sum(
        a * torch.exp(-((i[:, None] - r * n) ** 2 + (i - c * n) ** 2) / (2 * (s * n / 2) ** 2))
        for r, c, s, a in spots
    )
    return (image * ((i[:, None] ** 2 + i**2) < (0.45 * n) ** 2))[None, None].float()


@pytest.mark.parametrize("n", [63, 64])
def test_projection_agrees_with_scikit_image(n):
    image, theta = blobs(n), half_turn(40)
    K = CTProjector((n, n), theta)
    sinogram = K(image)
    expected = radon(image[0, 0].double().numpy(), theta.rad2deg().numpy(), circle=True)
    assert sinogram.shape == (1, 1, *expected.shape)
    expected = torch.from_numpy(expected)
    assert (sinogram[0, 0] - expected).norm() < 2e-3 * expected.norm()


@pytest.mark.parametrize(("filter", "bound"), [("ramp", 0.02), ("hann", 0.06)])
def test_filtered_backprojection_agrees_with_scikit_image_and_the_image(filter, bound):
    image, theta = blobs(64), half_turn(90)
    K = CTProjector((64, 64), theta)
    sinogram = K(image)
    found = K.fbp(sinogram, filter)[0, 0].double()
    degrees = theta.rad2deg().numpy()
    expected = torch.from_numpy(iradon(sinogram[0, 0].numpy(), degrees, filter_name=filter))
    i = torch.arange(64) - 32
    inside = (i[:, None] ** 2 + i**2) < 28**2
    assert (found - expected)[inside].norm() < 5e-3 * expected[inside].norm()
    assert (found - image[0, 0])[inside].norm() < bound * image.norm()


def test_projection_of_a_disc_is_its_chord():
    n, radius, row, column = 201, 55.0, 12.0, -20.0
    fine = torch.arange(n * 8).double().add(0.5).div(8).sub(0.5 + n // 2)  # 8 x 8 points a pixel
    inside = (fine[:, None] - row) ** 2 + (fine - column) ** 2 <= radius**2
    disc = inside.double().reshape(n, 8, n, 8).mean((1, 3))[None, None]
    theta = half_turn(36)
    K = CTProjector((n, n), theta)
    middle = column * theta.cos() - row * theta.sin()
    t = torch.arange(n).double()[:, None] - n // 2 - middle
    expected = 2 * (radius**2 - t**2).clamp(min=0).sqrt()  # (n, angles)
    error = (K(disc)[0, 0] - expected).abs()
    assert error.mean() < 0.1  # of 110
    assert error[t.abs() < radius - 2].max() < 1


def test_strips_hold_all_of_an_image():
    x = torch.rand(1, 1, 9, 14, dtype=torch.float64)
    sums = CTProjector((9, 14), torch.linspace(-4, 4, 33), 25)(x).sum(2)
    torch.testing.assert_close(sums, x.sum().expand(1, 1, 33), rtol=1e-6, atol=0)


def test_projector_refuses_what_it_cannot_project():
    for angles in ([], [float("nan")]):
        with pytest.raises(ValueError, match="angles must be finite numbers, at least one"):
            CTProjector((8, 8), angles)
    with pytest.raises(ValueError, match="det_size must be a positive number of pixels, got 0"):
        CTProjector((8, 8), [0.0], 0)
    K = CTProjector((8, 8), [0.0])
    with pytest.raises(ValueError, match="unknown filter 'shepp': use one of 'ramp', 'hann'"):
        K.fbp(torch.zeros(1, 1, 8, 1), "shepp")
    with pytest.raises(ValueError, match=r"expected a float tensor \(N, C, 8, 1\)"):
        K.fbp(torch.zeros(1, 1, 9, 1))


def test_a_large_matrix_keeps_the_place_of_every_entry():
    """Beyond 2^24 entries, numbers in float32 are no longer whole numbers one by one."""
    offsets = tomography._offsets(torch.tensor([2**24 + 1, 2, 0]))
    assert offsets.tolist() == [0, 2**24 + 1, 2**24 + 3, 2**24 + 3]
    assert offsets.dtype == torch.int32
