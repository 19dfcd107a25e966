"""The experiments on the width of the field: closed-form filters, networks, tasks."""

import pytest
import torch
import torch.nn.functional as F

from ippy.receptive_field import receptive_field
from ippy.studies import width


def error(y: torch.Tensor, h: torch.Tensor, x: torch.Tensor) -> float:
    """Squared error over the whole plane, on which images are zero outside."""
    r = h.shape[-1] // 2
    pad = [r] * 4
    return (F.conv2d(F.pad(y, pad), h.double(), padding=r) - F.pad(x, pad)).square().sum().item()


def test_the_best_linear_filter_is_best():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 1, 20, 17, generator=generator, dtype=torch.float64)
    y = x + 0.5 * x.roll(2, -1) + 0.1 * torch.randn(x.shape, generator=generator).double()
    filters = width.best_linear(y, x, (1, 3, 7))
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
    h = width.best_linear(y, x, (3,))[3]
    expected = torch.zeros(1, 1, 3, 3)
    expected[0, 0, 1, 2] = 0.5
    torch.testing.assert_close(h, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("w", [4, 0, 17, -3])
def test_widths_without_a_middle_are_refused(w):
    with pytest.raises(ValueError, match=f"width {w} must be odd and smaller than the images"):
        width.best_linear(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), (w,))


def test_dilated_chains_differ_in_their_field_alone():
    nets = {field: width.chain(d).eval() for field, d in width.DILATIONS.items()}
    shape = (1, 1, 160, 160)
    assert [receptive_field(net, shape).height[0] for net in nets.values()] == list(nets)
    assert len({sum(p.numel() for p in net.parameters()) for net in nets.values()}) == 1
    assert max(nets) < width.SHAPE[0]
    for dilations in width.DILATIONS.values():  # no gaps: every layer reaches what lies before it
        before = 1
        for d in dilations:
            assert d <= before
            before += 2 * d


@pytest.mark.parametrize(("network", "size"), width.NETWORKS)
def test_networks_start_as_the_identity_and_all_layers_learn(network, size):
    net, x = width.NETWORKS[network, size](), torch.rand(1, 1, 64, 64)
    torch.testing.assert_close(net(x), x)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (net(x) - x.roll(1, -1)).square().mean().backward()
        optimizer.step()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters() if p.ndim == 4)


@pytest.mark.parametrize("task", width.TASKS)
def test_tasks_are_reproducible_and_solvable(task, monkeypatch):
    monkeypatch.setattr(width, "N_TRAIN", 2)
    monkeypatch.setattr(width, "N_VAL", 2)
    width.pairs.cache_clear()
    y, x = width.pairs(task, "val")
    width.pairs.cache_clear()
    assert torch.equal(y, width.pairs(task, "val")[0])
    assert y.shape == x.shape == (2, 1, *width.SHAPE)
    assert not x[..., 0, 0].any()
    assert 0 < (y - x).square().mean() < x.square().mean()
    found = width.linear_psnr(task, (1, 9))
    assert found[9] > found[1]
    width.pairs.cache_clear()
