"""The experiments on receptive fields: closed-form filters, networks, tasks, batches."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ippy.receptive_field import receptive_field
from ippy.studies import fields
from ippy.studies.linear import best_linear


def error(y: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> float:
    """Squared error over the whole plane, on which images are zero outside."""
    r = h.shape[-1] // 2
    pad = [r] * 4
    return (F.conv2d(F.pad(y, pad), h.double(), padding=r) - F.pad(x, pad)).square().sum().item()


def test_the_best_linear_filter_is_best():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 20, 17, generator=generator, dtype=torch.float64)
    y = x + 0.5 * x.roll(2, -1) + 0.1 * torch.randn(x.shape, generator=generator).double()
    filters = best_linear(y, x, (1, 3, 7))
    errors = [error(y, h, x) for h in filters.values()]
    assert errors[0] > errors[1] > errors[2]
    for w, h in filters.items():
        assert h.shape == (1, 1, w, w)
        for _ in range(5):
            other = h + 0.01 * torch.randn(h.shape, generator=generator)
            assert error(y, other, x) > error(y, h, x)


def test_the_best_linear_filter_of_a_scaled_and_shifted_image():
    x = torch.rand(2, 1, 16, 16)
    y = F.pad(x, (1, -1)) * 2  # to the right by one pixel
    x[..., -1] = 0
    h = best_linear(y, x, (3,))[3]
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 1, 2] = 0.5
    torch.testing.assert_close(h, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("w", [4, 0, 17, -3])
def test_widths_without_a_middle_are_refused(w):
    with pytest.raises(ValueError, match=f"width {w} must be odd and smaller than the images"):
        best_linear(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), (w,))


def test_dilated_chains_differ_in_their_field_alone():
    nets = {field: fields.dilated(field).eval() for field in fields.CHAINS}
    shape = (1, 1, 160, 160)
    assert [receptive_field(net, shape).height[0] for net in nets.values()] == list(nets)
    sizes = [sum(p.numel() for p in net.parameters()) for net in nets.values()]
    assert max(sizes) < 1.005 * min(sizes)
    assert {sum(isinstance(m, nn.Conv2d) for m in net.modules()) for net in nets.values()} == {7}
    assert max(nets) < fields.SHAPE[0]
    for dilations, channels in fields.CHAINS.values():
        before = 1  # no gaps: every layer reaches what lies before it
        for d in dilations:
            assert d <= before
            before += 2 * d
        multiple = 16 if max(dilations) > 1 else 8
        assert all(c % multiple == 0 for c in channels)


@pytest.mark.parametrize(
    "build", [*(partial(fields.dilated, f) for f in fields.CHAINS), fields.unet]
)
def test_networks_start_as_the_identity_and_all_layers_learn(build):
    net, x = build(), torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(net(x), x)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) - x.roll(1, -1)).square().mean().backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters() if p.ndim == 4)


@pytest.fixture
def few(monkeypatch):
    """Few images, and none of them kept afterwards."""
    caches = (fields._clean, fields.pairs, fields._on_device)
    monkeypatch.setattr(fields, "N_TRAIN", 3)
    monkeypatch.setattr(fields, "N_VAL", 2)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("task", fields.TASKS)
def test_tasks_are_reproducible_and_solvable(task, few):
    y, x = fields.pairs(task, "val")
    fields.pairs.cache_clear()
    assert torch.equal(y, fields.pairs(task, "val")[0])
    assert y.shape == x.shape == (2, 1, *fields.SHAPE)
    assert not x[..., 0, 0].any()
    assert 0 < (y - x).square().mean() < x.square().mean()
    assert sum(fields.filtered(task, 9)) > sum(fields.filtered(task, 1))


def test_every_image_has_noise_of_its_own_in_every_chunk(few):
    x = fields._clean("train")[:1].repeat(101, 1, 1, 1)
    y = fields.TASKS["streaks"](x, 1)
    assert not torch.equal(y[0], y[1]) and not torch.equal(y[0], y[100])


def test_batches_are_the_same_for_all_networks_and_differ_from_step_to_step(few):
    batch, again = fields._Batches("noise"), fields._Batches("noise")
    given, truth = batch(5)
    assert given.shape == truth.shape == (fields.RECIPE.batch_size, 1, *fields.SHAPE)
    assert torch.equal(given, again(5)[0]) and not torch.equal(given, batch(6)[0])
    y, x = fields.pairs("noise", "train")
    where = [int((x == image).flatten(1).all(1).nonzero()[0]) for image in truth]
    assert torch.equal(given, y[where]), "what is given belongs to the truth beside it"
    assert batch.y_delta is again.y_delta, "runs share the images"
