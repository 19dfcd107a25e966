"""Properties that hold for all inputs: of operators, noise, data, networks, metrics and files."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.utils.data import DataLoader

from ippy import datasets, metrics, models, weights
from ippy.networks import NETWORKS
from ippy.operators import Blurring, CTProjector, DownScaling, Gradient, gaussian_noise

settings.register_profile(
    "ippy",
    max_examples=40,
    deadline=None,
    derandomize=True,  # the same inputs on every machine
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("ippy")
pytestmark = pytest.mark.slow
sides = st.integers(9, 24)
boundaries = st.sampled_from(["zeros", "reflect", "circular"])


@st.composite
def operators(draw):
    """An operator of any kind for images of any small size."""
    h, w = draw(sides), draw(sides)
    kind = draw(st.sampled_from(["gaussian", "motion", "own", "down", "gradient", "ct"]))
    boundary = draw(boundaries)
    if kind == "gradient":
        return Gradient((h, w), boundary=boundary)
    if kind == "down":
        return DownScaling((h, w), draw(st.integers(1, 4)), draw(st.sampled_from(["avg", "naive"])))
    if kind == "ct":
        angles = sorted(draw(st.lists(st.floats(0, 3.1), min_size=1, max_size=5, unique=True)))
        return CTProjector((h, h), torch.tensor(angles))
    if kind == "own":
        sizes = draw(st.tuples(*[st.sampled_from([1, 3, 5, 7])] * 2))
        return Blurring((h, w), random(draw(st.integers(0, 99)), *sizes), boundary=boundary)
    options = {"kernel_size": draw(st.sampled_from([1, 3, 5, 9])), "boundary": boundary}
    options |= {"kernel_variance": draw(st.floats(0.1, 9))} if kind == "gaussian" else {}
    options |= {"motion_angle": draw(st.floats(-720, 720))} if kind == "motion" else {}
    return Blurring((h, w), kernel_type=kind, **options)


def random(seed: int, *shape: int) -> Tensor:
    """Normal numbers in float64, a function of the seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@given(K=operators(), seed=st.integers(0, 999), a=st.floats(-5, 5), channels=st.integers(1, 3))
def test_operators_are_linear_and_have_their_adjoint(K, seed, a, channels):
    K = K.double()
    x, z = random(seed, 2, channels, *K.img_shape), random(seed + 1, 2, channels, *K.img_shape)
    y = K(x)
    torch.testing.assert_close(K(a * x + z), a * y + K(z), rtol=1e-9, atol=1e-9)
    u = random(seed + 2, *y.shape)
    left, right = (y * u).sum(), (x * K.T(u)).sum()
    assert abs(left - right) <= 1e-10 * (y.norm() * u.norm() + 1)


@given(K=operators(), seed=st.integers(0, 999))
def test_operators_treat_images_alone_and_keep_the_type(K, seed):
    x = random(seed, 3, 1, *K.img_shape).float()
    y = K(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(K(x[1:2]), y[1:2], rtol=1e-4, atol=1e-4)
    assert not torch.equal(y[0], y[1])
    exact = K.double()(x.double())
    assert exact.dtype == torch.float64
    assert (exact - y).abs().max() <= 1e-4 * (1 + exact.abs().max())


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), sides, sides),
    level=st.floats(0, 3),
    seed=st.integers(0, 10**6),
)
def test_noise_has_its_level_in_every_image(shape, level, seed):
    y = random(seed, *shape)
    generator = torch.Generator().manual_seed(seed)
    e = gaussian_noise(y, level, generator=generator)
    norms = e.flatten(1).norm(dim=1), level * y.flatten(1).norm(dim=1)
    torch.testing.assert_close(*norms, rtol=1e-9, atol=1e-12)


@settings(max_examples=12)
@given(
    kind=st.sampled_from(datasets.KINDS),
    seed=st.integers(0, 999),
    order=st.permutations(range(5)),
    side=st.integers(16, 40),
)
def test_images_depend_on_seed_and_index_alone(kind, seed, order, side):
    images = datasets.SyntheticDataset(5, side, kind=kind, seed=seed)
    first = {i: images[i] for i in range(5)}
    again = datasets.SyntheticDataset(5, side, kind=kind, seed=seed)
    for i in order:
        assert torch.equal(again[i], first[i])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_images_do_not_depend_on_the_workers(workers):
    images = datasets.SyntheticDataset(6, 32, seed=7)
    loader = DataLoader(images, batch_size=2, num_workers=workers)
    assert torch.equal(torch.cat(list(loader)), torch.stack([images[i] for i in range(6)]))


@settings(max_examples=20)
@given(seed=st.integers(0, 999), h=st.integers(12, 40), w=st.integers(12, 40))
def test_metrics_are_those_of_scikit_image(seed, h, w):
    x = torch.rand(1, 1, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z = (x + 0.1 * random(seed, 1, 1, h, w)).clamp(0, 1)
    a, b = x[0, 0].numpy(), z[0, 0].numpy()
    expected = peak_signal_noise_ratio(a, b, data_range=1)
    assert metrics.psnr(z, x).item() == pytest.approx(expected, rel=1e-9)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    a, b = (np.pad(image, 5, mode="reflect") for image in (a, b))  # as torchmetrics has it
    _, full = structural_similarity(a, b, data_range=1, full=True, **options)
    assert metrics.ssim(z, x).item() == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)


@settings(max_examples=12)
@given(key=st.sampled_from(sorted(NETWORKS)), seed=st.integers(0, 999))
def test_saved_is_loaded(tmp_path, key, seed):
    torch.manual_seed(seed)
    recipe = NETWORKS[key].recipe
    width = {name: 2 for name in recipe.model_args if name in ("n_filters", "base_ch")}
    assert width, "no argument is known to make this network narrow"
    arguments = recipe.model_args | width
    model = getattr(models, recipe.model)(**arguments).eval()
    path = tmp_path / f"{key}-{seed}.pth"
    weights.save(model, path, {"model": recipe.model, "model_args": arguments})
    x = torch.rand(1, 1, 32, 24)
    assert torch.equal(weights.load(path)(x), model(x))
    assert weights.verify(tmp_path)[path.stem] == "ok"
