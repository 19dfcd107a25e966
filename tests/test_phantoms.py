"""Tests of the procedural images: what a version promises, the finer grid, noise kept apart."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from ippy.datasets import SPLIT_SEEDS, SyntheticDataset, phantoms
from ippy.datasets.phantoms.fields import coloured_noise, frequency
from ippy.datasets.phantoms.textured_thorax import _slice
from ippy.datasets.phantoms.textures import Textures

KINDS_3 = tuple(phantoms.GENERATORS[3])


def fingerprint(x: torch.Tensor) -> float:
    """A number that changes when any pixel does."""
    weights = torch.cos(torch.arange(x.numel(), dtype=torch.float64) ** 1.5)
    return float(x.double().flatten() @ weights)


# --- versions ---------------------------------------------------------------------------------

FINGERPRINTS = {
    (2, "dead_leaves"): [-13.4958, -33.1674, -4.8857],
    (2, "thorax"): [-12.0419, -12.3764, -10.2195],
    (3, "dead_leaves"): [-8.9259, -17.7014, -16.2417],
    (3, "thorax"): [-18.9296, -10.6029, -36.9874],
    (3, "landscape"): [-24.6573, -10.4611, 0.5955],
}


@pytest.mark.parametrize("version, kind", list(FINGERPRINTS))
def test_images_of_a_version_never_change(version, kind):
    images = SyntheticDataset(3, (37, 64), kind=kind, version=version, split="val")
    found = [fingerprint(x) for x in images]
    expected = pytest.approx(FINGERPRINTS[version, kind], abs=1e-3)
    assert found == expected, "other images for the same seed: they belong to a new version"


def test_every_kind_has_a_fingerprint():
    assert set(FINGERPRINTS) == {(v, k) for v, kinds in phantoms.GENERATORS.items() for k in kinds}


def test_version_three_is_what_is_drawn_by_default():
    assert torch.equal(SyntheticDataset(1, 32)[0], SyntheticDataset(1, 32, version=3)[0])
    assert not torch.equal(SyntheticDataset(1, 32)[0], SyntheticDataset(1, 32, version=2)[0])


# --- version 3 --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS_3)
@pytest.mark.parametrize("shape", [(16, 16), (33, 50), (90, 31), (128, 128)])
def test_shape_type_and_range(kind, shape):
    dataset = SyntheticDataset(6, shape, kind=kind, version=3)
    for i, x in enumerate(dataset):
        fine = dataset.fine(i)
        assert x.shape == (1, *shape) and fine.shape == (1, 2 * shape[0], 2 * shape[1])
        assert x.dtype == fine.dtype == torch.float32
        for y in (x, fine):
            assert y.min() >= 0 and y.max() <= 1 and y.std() > 0.005


@pytest.mark.parametrize("kind", ["mixed", *KINDS_3])
def test_an_image_depends_on_seed_and_index_only(kind):
    dataset = SyntheticDataset(4, 48, kind=kind, seed=7, version=3)
    forward = [dataset[i] for i in range(4)]
    np.random.seed(1)  # noqa: NPY002  the global generators must not matter
    torch.manual_seed(1)
    backward = [SyntheticDataset(9, 48, kind=kind, seed=7, version=3)[i] for i in (3, 2, 1, 0)]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward[::-1], strict=True))
    assert len({x.numpy().tobytes() for x in forward}) == 4
    assert torch.equal(dataset.fine(2), dataset.fine(-2))


@pytest.mark.parametrize("kind", KINDS_3)
def test_splits_and_seeds_share_no_image(kind):
    images = {
        SyntheticDataset(2, 32, kind=kind, split=split, seed=seed, version=3)[i].numpy().tobytes()
        for split in SPLIT_SEEDS
        for seed in (0, 1)
        for i in range(2)
    }
    assert len(images) == 12


def test_mixed_holds_all_kinds():
    mixed = SyntheticDataset(60, 16, version=3)
    count = dict.fromkeys(KINDS_3, 0)
    for kind in KINDS_3:
        alone = SyntheticDataset(60, 16, kind=kind, version=3)
        count[kind] = sum(torch.equal(mixed[i], alone[i]) for i in range(60))
    assert sum(count.values()) == 60 and min(count.values()) >= 10


@pytest.mark.parametrize("kind", KINDS_3)
def test_without_noise_the_image_is_the_average_of_the_finer_one(kind):
    clean = SyntheticDataset(5, (40, 56), kind=kind, version=3, noise=False)
    for i, x in enumerate(clean):
        torch.testing.assert_close(x, avg_pool2d(clean.fine(i), 2), rtol=0, atol=1e-6)


def test_noise_is_all_that_differs():
    noisy = SyntheticDataset(12, 128, kind="thorax", version=3)
    clean = SyntheticDataset(12, 128, kind="thorax", version=3, noise=False)
    for i in range(12):
        assert torch.equal(noisy.fine(i), clean.fine(i))
        picture = noisy._draw(i)
        expected = (clean[i] + torch.from_numpy(picture.noise)).clamp(0, 1)
        assert torch.equal(noisy[i], expected)
        difference = noisy[i] - clean[i]
        assert 1e-4 < difference.std() < 0.3
        assert abs(difference.mean()) < 0.5 * difference.std()
    for kind in ("dead_leaves", "landscape"):  # no scanner, no noise
        images = [SyntheticDataset(1, 32, kind=kind, version=3, noise=n)[0] for n in (True, False)]
        assert torch.equal(*images)


def test_noise_is_hidden_where_the_window_is_black():
    hidden = 0
    for i in range(12):
        clean = SyntheticDataset(12, 96, kind="thorax", version=3, noise=False)[i]
        noise = torch.from_numpy(SyntheticDataset(12, 96, kind="thorax", version=3)._draw(i).noise)
        black = clean[0] == 0
        assert (noise[black] >= 0).all()
        hidden += (noise[black] == 0).float().mean() > 0.99
    assert hidden >= 1


def test_version_two_has_no_finer_grid():
    with pytest.raises(ValueError, match=r"version 2 have no finer grid; .*version=3"):
        SyntheticDataset(2, 16, version=2).fine(0)
    with pytest.raises(IndexError, match="image 2 of a data set of 2"):
        SyntheticDataset(2, 16, version=3).fine(2)


def test_the_thorax_has_textured_tissues():
    for seed in range(4):
        hu = _slice(np.random.default_rng(seed), (64, 64))
        inside = hu[hu > -950]
        assert len(np.unique(inside)) > 0.5 * len(inside)  # a flat drawing repeats its values


# --- fields and textures ----------------------------------------------------------------------


def test_coloured_noise_has_the_spectrum_asked_for():
    rng, shape = np.random.default_rng(0), (64, 96)
    f = frequency(shape)
    power = sum(np.abs(np.fft.rfft2(coloured_noise(rng, shape, 1 / f))) ** 2 for _ in range(200))
    inside = (f > 0.05) & (f < 0.45)
    slope = np.polyfit(np.log(f[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.05)
    assert coloured_noise(rng, shape, 1 / f).std() == pytest.approx(1, abs=1e-4)


KINDS_OF_TEXTURE = (
    "cloud", "marble", "islands", "veins", "stripes", "checks", "hair", "leaves",
)  # fmt: skip


@pytest.mark.parametrize("name", KINDS_OF_TEXTURE)
@pytest.mark.parametrize("shape", [(16, 16), (33, 50), (128, 96)])
def test_textures_have_size_mean_and_deviation(name, shape):
    for seed in range(8):
        texture = getattr(Textures(np.random.default_rng(seed), shape), name)()
        assert texture.shape == (2 * shape[0], 2 * shape[1]) and texture.dtype == np.float32
        assert np.isfinite(texture).all() and np.abs(texture).max() < 10
        assert abs(texture.mean()) < 1 and 0.02 < texture.std() < 2
