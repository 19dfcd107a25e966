"""A UNet taken apart: ones change nothing, zeros do what the studies call silencing."""

import pytest
import torch

from ippy import models
from ippy.models.opened import OpenedUNet
from ippy.studies.skips import parts, silenced, without_level

OTHERS = (models.UNet3D(), models.ResCNN(1, 1, 2), None)
VARIANTS = (models.SimpleUNet, models.ResidualUNet, models.AttentionUNet, models.CorrectionUNet)


@pytest.fixture(params=VARIANTS, ids=lambda network: network.__name__)
def unet(request) -> models.SimpleUNet:
    """A small network whose biases are not zero, so that silence differs from no input."""
    torch.manual_seed(0)
    network = request.param(1, 1, 4).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.02, 0.15)
    return network


def images() -> torch.Tensor:
    return torch.rand(2, 1, 48, 40, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_a_zero_silences_and_ones_change_nothing(unet):
    opened, y_delta = OpenedUNet(unet), images()
    assert opened.switches == [f"{step}_{part}" for step, part in parts(unet)]
    ones = torch.ones(len(opened.switches), 1)
    whole = opened(y_delta, *ones)[0]
    assert torch.equal(whole, unet(y_delta)), "the network is as it was, hooks and all"
    for k, (step, part) in enumerate(parts(unet)):
        factors = ones.clone()
        factors[k] = 0
        found = opened(y_delta, *factors)[0]
        assert torch.equal(found, silenced(unet, step, part, y_delta)), (step, part)
        assert (found - whole).abs().max() > 1e-6, f"{step} {part} changes nothing"
        factors[k] = 0.5
        half = opened(y_delta, *factors)[0]
        assert not torch.equal(half, found) and not torch.equal(half, whole)
    factors = dict.fromkeys(opened.switches, torch.ones(1)) | {"dec3_below": torch.zeros(1)}
    found = opened(y_delta, *factors.values())[0]
    assert torch.equal(found, without_level(unet, "bottleneck", y_delta))


@torch.no_grad()
def test_maps_are_those_of_the_blocks_and_gates_those_of_attention(unet):
    opened, y_delta = OpenedUNet(unet), images()
    found = opened(y_delta, *torch.ones(6, 1))[1:]
    named = dict(zip([*opened.maps, *opened.gates], found, strict=True))
    assert torch.equal(named["enc1"], unet.enc1(y_delta))
    assert torch.equal(named["enc2"], unet.enc2(named["enc1"]))
    assert torch.equal(named["dec3"], unet.dec3(named["bottleneck"], named["enc3"]))
    assert named["dec1"].shape == (2, 4, 48, 40)
    gated = isinstance(unet, models.AttentionUNet)
    assert opened.gates == (["gate_dec3", "gate_dec2", "gate_dec1"] if gated else [])
    if gated:
        up = unet.dec2.up(named["dec3"])
        assert torch.equal(named["gate_dec2"], unet.dec2.attn.alpha(up, named["enc2"]))


def test_every_switch_wants_its_factor(unet):
    with pytest.raises(ValueError, match="5 factors for 6 switches.*dec1_skip, dec1_below"):
        OpenedUNet(unet)(images(), *torch.ones(5, 1))


@pytest.mark.parametrize("network", OTHERS, ids=lambda network: type(network).__name__)
def test_what_cannot_be_opened_is_named_beside_what_can(network):
    with pytest.raises(TypeError, match=f"{type(network).__name__} cannot be opened; expected a S"):
        OpenedUNet(network)
