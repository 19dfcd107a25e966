"""Where training starts: networks that carry their input through, and chains of a given depth."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ippy import models, studies
from ippy.models import he_identity_init, identity_init, zero_output_init
from ippy.networks import NETWORKS, taught
from ippy.studies.chains import carry_input


@pytest.mark.parametrize("skip", [True, False])
def test_identity_initialisation_starts_as_the_identity_and_learns(skip):
    body = models.SimpleCNN(1, 1, 8)
    identity_init(body, residual=skip)
    net = studies.Chain(body, skip)
    x = torch.rand(2, 1, 20, 21)
    torch.testing.assert_close(net(x), x)
    (net(x) - x.roll(1, -1)).square().mean().backward()
    assert body.conv3.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("key", [k for k, n in NETWORKS.items() if n.recipe.init == "identity"])
def test_a_network_starts_close_to_the_identity_where_its_recipe_says_so(key):
    torch.manual_seed(0)
    net, x = getattr(models, NETWORKS[key].recipe.model)(1, 1, 8), torch.rand(1, 1, 32, 32)
    before = (net(x) - x).square().mean()
    identity_init(net)
    assert (net(x) - x).square().mean() < before / 2
    (net(x) - x.roll(1, -1)).square().mean().backward()
    first = next(p for p in net.parameters() if p.ndim == 4)
    assert first.grad.abs().sum() > 0 and net.out_conv.weight.grad.abs().sum() > 0
    scale = net.out_conv.weight[0, 0, 0, 0].item()  # 2 behind a gate that starts at one half
    assert scale == (2 if any(isinstance(m, models.AttentionGate) for m in net.modules()) else 1)
    with torch.no_grad():
        net.out_conv.weight[:, 1:], net.out_conv.bias[:] = 0, 0
    torch.testing.assert_close(net(x), x)


def test_a_network_that_cannot_carry_its_input_is_named():
    with pytest.raises(TypeError, match="no identity initialisation for ResCNN"):
        identity_init(models.ResCNN(1, 1, 8))


@pytest.mark.parametrize("key", taught("unet"))
def test_a_unet_can_start_as_the_identity_with_a_signal_at_every_level(key):
    recipe = replace(NETWORKS[key].recipe, model_args={"base_ch": 8}, init="he_identity")
    torch.manual_seed(0)
    net, x = recipe.build(), torch.rand(2, 1, 32, 32)
    sizes = []
    for module in net.modules():
        if isinstance(module, models.DoubleConv | models.ResidualDoubleConv):
            module.register_forward_hook(lambda *given: sizes.append(given[2].std().item()))
    torch.testing.assert_close(net(x), x)
    assert min(sizes) > 0.05, "PyTorch's own start leaves a thousandth in the deepest level"
    (net(x) - x.roll(1, -1)).square().mean().backward()
    assert net.out_conv.weight.grad.abs().min() > 0, "all channels can be taken up"


@pytest.mark.parametrize("start", [he_identity_init, identity_init])
@pytest.mark.parametrize(
    ("net", "error", "words"),
    [
        (models.CorrectionUNet(base_ch=2), TypeError, "twice its input: it needs zero_output_init"),
        (models.SimpleUNet(3, 3, 2), ValueError, "SimpleUNet has 3 channels of input and 3 of"),
        (
            models.ResidualUNet(1, 2, 2),
            ValueError,
            "ResidualUNet has 1 channels of input and 2 of output",
        ),
        (models.AttentionUNet(2, 1, 2), ValueError, "use in_ch=1 and out_ch=1, or another init"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_network_that_would_not_start_as_the_identity_is_refused(start, net, error, words):
    before = [p.clone() for p in net.parameters()]
    with pytest.raises(error, match=words):
        start(net)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def test_a_cnn_of_colours_carries_none_of_them_but_can_stand_inside_a_skip():
    net, x = models.SimpleCNN(3, 3, 4), torch.rand(1, 3, 9, 9)
    with pytest.raises(ValueError, match="SimpleCNN has 3 channels"):
        identity_init(net)
    identity_init(net, residual=True)
    assert not net(x).any()


def test_a_start_for_levels_needs_levels():
    for net in (models.SimpleCNN(1, 1, 8), models.ResCNN(1, 1, 8)):
        with pytest.raises(TypeError, match="identity"):
            he_identity_init(net)


@pytest.mark.parametrize("kind", studies.KINDS)
def test_deep_chains_have_the_depth_they_claim(kind):
    net = studies.DeepChain(8, kind)
    assert net(torch.rand(1, 1, 16, 17)).shape == (1, 1, 16, 17)
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == 10


def test_a_chain_of_no_known_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'plian' is unknown; use 'plain' or 'residual' or"):
        studies.DeepChain(4, "plian")


def test_a_correction_can_start_as_nothing_with_a_signal_at_every_level():
    torch.manual_seed(0)
    net, x = models.CorrectionUNet(base_ch=8), torch.randn(2, 1, 32, 32)
    zero_output_init(net)
    sizes = []
    for module in net.modules():
        if isinstance(module, models.DoubleConv):
            module.register_forward_hook(lambda *given: sizes.append(given[2].std().item()))
    assert torch.equal(net(x), x), "negative values, too"
    assert len(sizes) == 7 and min(sizes) > 0.05
    (net(x) - x.roll(1, -1)).square().mean().backward()
    assert net.out_conv.weight.grad.abs().min() > 0, "all channels can be taken up"
    with pytest.raises(TypeError, match="ResCNN has no last layer out_conv"):
        zero_output_init(models.ResCNN(1, 1, 8))
    with pytest.raises(ValueError, match="in_ch must equal out_ch, got in_ch=1 and out_ch=2"):
        models.CorrectionUNet(1, 2)


@pytest.mark.parametrize("kind", studies.KINDS)
def test_chains_of_every_kind_can_carry_their_input_and_all_layers_learn(kind):
    torch.manual_seed(0)
    net, x = studies.DeepChain(8, kind, 4), torch.rand(2, 1, 16, 17)
    carry_input(net)
    torch.testing.assert_close(net(x), x)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):  # the last layer first: it ignores all other channels at the start
        optimizer.zero_grad()
        (net(x) - x.roll(1, -1)).square().mean().backward()
        optimizer.step()
    assert all(p.grad[1:].abs().sum() > 0 for conv in net.layers for p in (conv.weight,))
