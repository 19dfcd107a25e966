"""The experiments of the UNet chapters: networks that are compared, and what is measured."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ippy import models, recipes, training
from ippy.studies import family, networks

Y = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_networks_start_near_the_identity_where_their_name_does_not_say_otherwise():
    moved = {}
    for name in networks.BUILDERS:
        with torch.no_grad():
            moved[name] = (networks.build(name, 0).eval()(Y) - Y).abs().max().item()
    assert all(moved[name] == 0 for name in networks.BUILDERS if "global skip" in name)
    started = [n for n in networks.BUILDERS if "CNN" not in n and "default start" not in n]
    assert max(moved[n] for n in started) < moved["UNet, default start"]


def test_the_seed_decides_the_start():
    first, again, other = (networks.build("UNet, 16 channels", s) for s in (0, 0, 1))
    assert torch.equal(first(Y), again(Y)) and not torch.equal(first(Y), other(Y))


def test_a_unet_without_skips_is_not_smaller_and_does_not_look_at_them():
    up = networks.UpBlockWithoutSkip(8, 4, 4)
    x, skip = torch.rand(1, 8, 5, 5), torch.rand(1, 4, 10, 10)
    assert up(x, skip).shape == (1, 4, 10, 10)
    assert torch.equal(up(x, skip), up(x, 0 * skip))
    assert networks.build("UNet without skips + global skip", 0)(Y[..., 1:]).shape == (2, 1, 32, 31)
    sizes = [
        sum(p.numel() for p in networks.build(name, 0).parameters())
        for name in ("UNet, default start", "UNet without skips, default start")
    ]
    assert sizes[0] < sizes[1] < 1.1 * sizes[0]


def test_ranges_cover_what_they_say_and_are_a_function_of_seed_and_step():
    draw, again, other = networks.ranges(3), networks.ranges(3), networks.ranges(4)
    drawn = [draw(step) for step in range(60)]
    assert {K.kernel.shape[0] for K, _ in drawn} == set(networks.LENGTHS)
    levels = [level for _, level in drawn]
    assert 0 <= min(levels) < 0.02 and 0.08 < max(levels) <= 0.1
    assert torch.equal(again(7)[0].kernel, drawn[7][0].kernel) and again(7)[1] == levels[7]
    assert other(7)[1] != levels[7]


def test_a_network_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path))
    small = recipes.Recipe(
        "ResCNN", {"in_ch": 1, "out_ch": 1, "n_filters": 4}, steps=2, batch_size=2, crop=32,
        data={"n_images": 2, "kind": "dead_leaves"}, val_images=1, val_every=2,
    )  # fmt: skip
    monkeypatch.setattr(
        networks, "_recipe", lambda name, seed, lr: replace(small, seed=seed, lr=lr)
    )
    monkeypatch.setitem(networks.BUILDERS, "ResCNN", small.build)
    first, history = networks.trained("ResCNN", 5)
    before = networks.build("ResCNN", 5)
    assert not torch.equal(first.conv1.weight, before.conv1.weight)
    monkeypatch.setattr(training, "train", lambda *args, **options: pytest.fail("trained again"))
    again, history_again = networks.trained("ResCNN", 5)
    assert history_again == history and torch.equal(first(Y), again(Y))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        networks.trained("ResCNN", 6)


# --- measures ---


def test_silencing_a_level_is_what_the_decoder_sees_of_it():
    torch.manual_seed(0)
    model = models.SimpleUNet(base_ch=4).eval()
    whole = model(Y)
    for level in ("enc1", "enc2", "enc3", "bottleneck"):
        assert not torch.equal(family.without_level(model, level, Y), whole)
    with torch.no_grad():
        model.dec1.block.block[0].weight[:, :4] = 0  # the channels that come from the skip
    torch.testing.assert_close(family.without_level(model, "enc1", Y), model(Y))
    assert not torch.equal(model(Y), whole)


def test_mean_attention_replaces_the_weights_and_is_taken_back():
    torch.manual_seed(0)
    model = models.AttentionUNet(base_ch=4).eval()
    whole = model(Y)
    assert not torch.allclose(family.with_mean_attention(model, Y), whole)
    assert torch.equal(model(Y), whole)
    for block in (model.dec1, model.dec2, model.dec3):
        nn.init.zeros_(block.attn.psi.weight)  # the same weight everywhere
    torch.testing.assert_close(family.with_mean_attention(model, Y), model(Y))


def test_live_channels_count_what_is_not_zero_everywhere():
    torch.manual_seed(0)
    model = models.SimpleUNet(base_ch=4).eval()
    before = family.live_channels(model, Y)
    assert before["enc1"][1] == 4 and before["bottleneck"][1] == 32 and before["enc1"][0] > 0
    with torch.no_grad():
        model.bottleneck.block.block[2].bias.fill_(-100)
    assert family.live_channels(model, Y)["bottleneck"] == (0, 32)
    assert not model.bottleneck._forward_hooks


def test_error_by_frequency_is_relative_to_the_image():
    x = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    assert family.error_by_frequency(x, x) == [0] * 7
    assert family.error_by_frequency(0 * x, x) == pytest.approx([1] * 7)
    assert family.error_by_frequency(1.1 * x, x) == pytest.approx([0.01] * 7, rel=1e-4)


def test_inside_is_the_body_with_its_dark_parts():
    x = torch.zeros(1, 1, 20, 20)
    x[..., 4:16, 4:16] = 0.5
    x[..., 7:12, 7:12] = 0.0
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[4:16, 4:16] = True
    assert torch.equal(family.inside(x)[0, 0], expected)


def test_vessels_lie_in_dark_parts_apart_from_each_other():
    plain, drawn, places = family._vessel_images(0.04)
    added = drawn - plain
    assert added.max() == pytest.approx(0.04, abs=1e-6) and added.min() >= 0
    assert len(places) > 100
    assert all(added[i, 0, row, column] > 0.039 for i, row, column in places)
    assert all(
        plain[i, 0, row - 6 : row + 7, column - 6 : column + 7].max() < 0.2
        for i, row, column in places
    )
    for a, (i, r, c) in enumerate(places):
        assert all(i != j or max(abs(r - s), abs(c - d)) > 23 for j, s, d in places[:a])


def test_amplitude_is_one_for_the_truth_and_zero_without_a_vessel():
    plain = family._vessel_images(0.01)[0]
    truth = iter([plain, *(family._vessel_images(c)[1] for c in family.CONTRASTS)])
    found = family.vessels(lambda y_delta: next(truth))
    for values in found.values():
        assert values["with"] == pytest.approx([1] * len(values["with"]), abs=2e-3)
        assert values["without"] == [0] * len(values["without"])
    blind = family.vessels(lambda y_delta: plain)
    assert all(set(values["with"]) == {0} for values in blind.values())


def test_studies_name_networks_that_exist():
    for make in (family.skips, family.variants, family.comparison, family.robustness):
        for key in make():
            name = key.rsplit(", ", 1)[0]
            assert name in networks.BUILDERS or name in family.CLASSICAL, key
