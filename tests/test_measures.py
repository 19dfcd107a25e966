"""The networks that studies compare, when they are trained again, and what is measured."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ippy import models, tasks, training
from ippy.networks import NETWORKS, Network, Recipe, taught
from ippy.studies import (
    channels,
    comparison,
    measures,
    robustness,
    skips,
    sources,
    starts,
    trained,
    variants,
)
from ippy.studies.chains import Chain
from ippy.tasks import TASKS

Y = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_networks_start_as_their_name_says():
    moved = {}
    for name in (*NETWORKS, *trained.VARIANTS):
        with torch.no_grad():
            moved[name] = (trained.build(name, 0).eval()(Y) - Y).abs().max().item()
    assert all(moved[name] == 0 for name, v in trained.VARIANTS.items() if v.global_skip)
    assert moved["UNet"] < moved["UNet, default start"] < moved["UNet, He start"]
    assert moved["UNet, old start"] < moved["UNet, default start"]


def std_of_the_bottleneck(name):
    found, model = [], trained.build(name, 0)
    unet = getattr(model, "body", model)
    unet.bottleneck.register_forward_hook(lambda *given: found.append(given[2].std().item()))
    model(Y)
    return found[0]


def test_he_reaches_the_deepest_level_inside_a_global_skip_too():
    for name in ("UNet, He start", "UNet + global skip", "UNet without skips + global skip"):
        assert std_of_the_bottleneck(name) > 0.05
    for name in ("UNet, default start", "UNet, old start", "UNet + global skip, default start"):
        assert std_of_the_bottleneck(name) < 0.02


def test_variants_are_what_they_say():
    assert trained.variant("UNet").settings() == {}
    assert trained.variant("UNet, two poolings").settings() == {"levels": 2}
    default = trained.variant("UNet without skips + global skip, default start")
    assert default.settings() == {"start": "default", "skips": False, "global_skip": True}
    assert default.base == "UNet"
    assert type(trained.build("UNet + global skip", 0).body) is models.SimpleUNet
    with pytest.raises(KeyError, match="no network 'VNet'"):
        trained.variant("VNet")


@pytest.mark.parametrize("budget", trained.BUDGETS)
@pytest.mark.parametrize("name", ["UNet", "ResidualUNet", "UNet, two poolings", "UNet, ranges"])
def test_networks_of_studies_are_trained_alike_on_the_images_of_the_book(name, budget):
    found = trained.recipe_of(name, 2, budget)
    base = NETWORKS[trained.variant(name).base].recipe
    settings = {**trained.BUDGETS[budget]}
    args = {**base.model_args, **settings.pop("model_args", {})}
    assert found.data == base.data and found.model_args == args and found.seed == 2
    assert all(getattr(found, setting) == value for setting, value in settings.items())
    assert found.steps // found.val_every == 12


def test_the_seed_decides_the_start():
    first, again, other = (trained.build("UNet, default start", s) for s in (0, 0, 1))
    assert torch.equal(first(Y), again(Y)) and not torch.equal(first(Y), other(Y))


def test_a_unet_without_skips_is_not_smaller_and_does_not_look_at_them():
    up = trained.UpBlockWithoutSkip(8, 4, 4)
    x, skip = torch.rand(1, 8, 5, 5), torch.rand(1, 4, 10, 10)
    assert up(x, skip).shape == (1, 4, 10, 10)
    assert torch.equal(up(x, skip), up(x, 0 * skip))
    assert trained.build("UNet without skips + global skip", 0)(Y[..., 1:]).shape == (2, 1, 32, 31)
    sizes = [
        sum(p.numel() for p in trained.build(name, 0).parameters())
        for name in ("UNet, default start", "UNet without skips, default start")
    ]
    assert sizes[0] < sizes[1] < 1.1 * sizes[0]


def test_ranges_cover_what_they_say_and_are_a_function_of_seed_and_step():
    draw, again, other = trained.ranges(3), trained.ranges(3), trained.ranges(4)
    drawn = [draw(step) for step in range(60)]
    assert {K.kernel.shape[0] for K, _ in drawn} == set(trained.LENGTHS)
    levels = [level for _, level in drawn]
    assert 0 <= min(levels) < 0.02 and 0.08 < max(levels) <= 0.1
    assert torch.equal(again(7)[0].kernel, drawn[7][0].kernel) and again(7)[1] == levels[7]
    assert other(7)[1] != levels[7]


# --- networks that are trained once ---


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A ResCNN that is trained in a second; counts the trainings."""
    monkeypatch.setenv("IPPY_CACHE", str(tmp_path))
    recipe = Recipe(
        "ResCNN", {"in_ch": 1, "out_ch": 1, "n_filters": 4}, steps=2, batch_size=2, crop=32,
        data={"n_images": 2, "kind": "dead_leaves"}, val_images=1, val_every=2,
    )  # fmt: skip
    monkeypatch.setitem(NETWORKS, "ResCNN", Network("ResCNN", recipe, "cnn"))
    monkeypatch.setitem(trained.BUDGETS, "short", {"steps": 2})
    trained._images.cache_clear()
    trainings, train = [], training.train
    monkeypatch.setattr(
        training, "train", lambda *a, **options: trainings.append(1) or train(*a, **options)
    )
    return trainings


def test_a_network_is_trained_once(small):
    first, history = trained.trained("ResCNN", 5)
    before = trained.build("ResCNN", 5)
    assert not torch.equal(first.conv1.weight, before.conv1.weight)
    again, history_again = trained.trained("ResCNN", 5)
    assert len(small) == 1
    assert history_again == history and torch.equal(first(Y), again(Y))
    trained.trained("ResCNN", 6)
    assert len(small) == 2


READ = sources.read


@pytest.mark.parametrize(
    ("module", "old", "new", "again"),
    [
        ("ippy.models.cnn", "class ResCNN", "# a comment\nclass ResCNN", False),
        ("ippy.models.unet", "self.psi", "self.chi", False),
        ("ippy.models.cnn", "torch.relu", "torch.tanh", True),
        ("ippy.training.loop", "zero_grad()", "zero_grad(False)", True),
        ("ippy.datasets.phantoms.landscape", "rng.uniform", "rng.normal", True),
        ("ippy.datasets.phantoms.dead_leaves", "rng.uniform", "rng.normal", False),
    ],
)
def test_a_network_is_trained_again_when_its_code_changes(
    small, monkeypatch, module, old, new, again
):
    trained.trained("ResCNN", 5)
    assert old in READ(module)
    changed = READ(module).replace(old, new)
    monkeypatch.setattr(sources, "read", lambda m: changed if m == module else READ(m))
    trained.trained("ResCNN", 5)
    assert len(small) == 1 + again


def test_a_network_is_trained_again_for_another_task_recipe_or_precision(small, monkeypatch):
    monkeypatch.setenv("IPPY_PRECISION", "float32")
    trained.trained("ResCNN", 5)
    monkeypatch.setitem(trained.BUDGETS, "short", {"steps": 1})
    trained.trained("ResCNN", 5)
    assert len(small) == 2
    monkeypatch.setenv("IPPY_PRECISION", "bfloat16")
    trained.trained("ResCNN", 5)
    assert len(small) == 3
    task = replace(TASKS["deblurring"], noise_level=0.02)
    monkeypatch.setitem(TASKS, "deblurring", task)
    trained.trained("ResCNN", 5)
    assert len(small) == 4


# --- measures ---


def test_what_can_be_silenced_is_what_a_decoder_looks_at():
    found = {name: skips.parts(trained.build(name, 0)) for name in ("UNet", "UNet, two poolings")}
    assert len(found["UNet"]) == 6 and len(found["UNet, two poolings"]) == 4
    without = skips.parts(trained.build("UNet without skips + global skip", 0))
    assert without == [("dec1", "below"), ("dec2", "below"), ("dec3", "below")]
    assert skips.parts(models.UNetPP(base_ch=4)) == []


def test_silencing_what_comes_from_below_leaves_the_skip_alone():
    torch.manual_seed(0)
    model = models.SimpleUNet(base_ch=4).eval()
    below = skips.silenced(model, "dec1", "below", Y)
    assert torch.equal(below, skips.silenced(model, "dec1", "below", Y))
    assert not torch.equal(below, skips.silenced(model, "dec1", "skip", Y))
    with torch.no_grad():
        model.bottleneck.block.block[2].weight.normal_()  # nothing of it can be seen
    assert not torch.equal(model(Y), below)
    assert torch.equal(skips.silenced(model, "dec1", "below", Y), below)
    assert not model.dec1._forward_pre_hooks
    with pytest.raises(ValueError, match="part 'blow' is unknown; use 'skip' or 'below'"):
        skips.silenced(model, "dec1", "blow", Y)


def test_a_shift_commutes_with_a_convolution_and_with_pooling_only_on_its_grid():
    images = torch.rand(1, 1, 160, 160, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 1, 3, padding=1)
    assert skips.shift_error(conv, images, 4)["max"] < 1e-6
    pool = nn.Sequential(nn.MaxPool2d(8), nn.Upsample(scale_factor=8))
    assert skips.shift_error(pool, images, 8) == {"max": 0, "mean": 0}
    four = skips.shift_error(pool, images, 4)
    assert 0 < four["mean"] < four["max"]


def test_silencing_a_level_is_what_the_decoder_sees_of_it():
    torch.manual_seed(0)
    model = models.SimpleUNet(base_ch=4).eval()
    whole = model(Y)
    for level in ("enc1", "enc2", "enc3", "bottleneck"):
        assert not torch.equal(skips.without_level(model, level, Y), whole)
    with torch.no_grad():
        model.dec1.block.block[0].weight[:, :4] = 0  # the channels that come from the skip
    torch.testing.assert_close(skips.without_level(model, "enc1", Y), model(Y))
    assert not torch.equal(model(Y), whole)


def test_mean_attention_replaces_the_weights_and_is_taken_back():
    torch.manual_seed(0)
    model = models.AttentionUNet(base_ch=4).eval()
    whole = model(Y)
    assert not torch.allclose(variants.with_mean_attention(model, Y), whole)
    assert torch.equal(model(Y), whole)
    for block in (model.dec1, model.dec2, model.dec3):
        nn.init.zeros_(block.attn.psi.weight)  # the same weight everywhere
    torch.testing.assert_close(variants.with_mean_attention(model, Y), model(Y))


def test_live_channels_count_what_is_not_zero_everywhere():
    torch.manual_seed(0)
    model = models.SimpleUNet(base_ch=4).eval()
    before = skips.live_channels(model, Y)
    assert before["enc1"][1] == 4 and before["bottleneck"][1] == 32 and before["enc1"][0] > 0
    with torch.no_grad():
        model.bottleneck.block.block[2].bias.fill_(-100)
    assert skips.live_channels(model, Y)["bottleneck"] == (0, 32)
    assert not model.bottleneck._forward_hooks


def test_a_channel_is_active_if_it_is_positive_in_more_than_a_hundredth_of_the_pixels():
    torch.manual_seed(0)
    model, images = models.SimpleUNet(base_ch=4).eval(), torch.zeros(1, 1, 32, 32)
    images[..., 0, 0] = images[..., 16, 16] = 1
    with torch.no_grad():
        for conv in (model.enc1.block[0], model.enc1.block[2]):
            nn.init.zeros_(conv.weight), nn.init.zeros_(conv.bias)
        model.enc1.block[0].weight[0, 0, 1, 1] = 1
        model.enc1.block[2].weight[0, 0, 1, 1] = 1  # 2 pixels
        model.enc1.block[2].weight[1, 0] = 1  # 13 pixels
    assert channels.live_channels(model, images)["enc1"] == (2, 4)
    assert channels.live_channels(model, images, channels.ACTIVE)["enc1"] == (1, 4)
    assert channels.active_channels(model, images)["enc1"] == 0.25
    assert channels.active_channels(Chain(model, True), images)["enc1"] == 0.25
    assert list(channels.active_channels(models.UNetPP(base_ch=4), Y)) == ["x0_0", "x1_0", "x2_0"]


def test_reach_of_an_identity_is_one_pixel_and_it_has_no_correction():
    model = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(model.weight)
    assert starts.radii(model, Y) == {"output": 0, "correction": None}
    wide = nn.Conv2d(1, 1, 9, padding=4)
    assert 3 < starts.radii(wide, Y)["output"] < 6


def test_other_truths_and_families(monkeypatch):
    monkeypatch.setattr(measures, "N_TEST", 6)
    caches = (measures.test_images, measures.test_pairs)
    for cache in caches:
        cache.cache_clear()
    measured, x = measures.test_pairs()
    clean = measures.test_images(None, "mixed", False)
    assert len(x) == 6 and not torch.equal(x, clean), "one of them is a thorax"
    found = measures.truths(lambda y: clean if y is measured else y)
    assert found["psnr_noise_free"] == [float("inf")] * 6 and len(found["psnr_inside"]) == 6
    families = measures.families(lambda y: y)
    assert list(families) == ["dead_leaves", "thorax", "landscape"] == list(measures.FAMILIES)
    assert families["thorax"] == measures.family(lambda y: y, "thorax") != families["dead_leaves"]
    for cache in caches:
        cache.cache_clear()


def test_error_by_frequency_is_relative_to_the_image():
    x = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    assert comparison.error_by_frequency(x, x) == [0] * (len(comparison.H_EDGES) - 1)
    assert comparison.error_by_frequency(0 * x, x) == pytest.approx(
        [1] * (len(comparison.H_EDGES) - 1)
    )
    assert comparison.error_by_frequency(1.1 * x, x) == pytest.approx(
        [0.01] * (len(comparison.H_EDGES) - 1), rel=1e-4
    )


def test_inside_is_the_body_with_its_dark_parts():
    x = torch.zeros(1, 1, 20, 20)
    x[..., 4:16, 4:16] = 0.5
    x[..., 7:12, 7:12] = 0.0
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[4:16, 4:16] = True
    assert torch.equal(measures.inside(x)[0, 0], expected)


def test_vessels_lie_in_dark_parts_apart_from_each_other():
    plain, drawn, places = comparison._vessel_images(0.04)
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
    plain = comparison._vessel_images(0.01)[0]
    truth = iter([plain, *(comparison._vessel_images(c)[1] for c in comparison.CONTRASTS)])
    found = comparison.vessels(lambda y_delta: next(truth))
    for values in found.values():
        assert values["with"] == pytest.approx([1] * len(values["with"]), abs=2e-3)
        assert values["without"] == [0] * len(values["without"])
    blind = comparison.vessels(lambda y_delta: plain)
    assert all(set(values["with"]) == {0} for values in blind.values())


def test_a_network_that_is_told_the_blur_is_one_network_of_measurements():
    shape = (32, 32)
    y_delta = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    task, network = TASKS["told_deblurring"], models.SimpleUNet(base_ch=2).eval()
    answers = []
    for angle in (20.0, 60.0):
        K = tasks.task_operator(shape, motion_angle=angle)
        answers.append(measures.apply(measures.Told(network, K, task), y_delta))
        with torch.no_grad():
            expected = task.finish(K, y_delta, network(task.given(K, y_delta)))
        torch.testing.assert_close(answers[-1], expected)
    assert not torch.allclose(*answers, atol=1e-3), "it does not listen"


def test_what_is_told_comes_after_what_is_taught():
    assert measures.compared() == [*taught(), "TikhonovUNet"]


def test_methods_are_told_each_setting(monkeypatch):
    told = []

    def method(name, K, level):
        told.append((tuple(K.kernel.shape), level))
        return lambda y_delta: y_delta

    x = torch.rand(1, 1, 256, 256)
    monkeypatch.setattr(robustness, "_told", method)
    monkeypatch.setattr(robustness, "test_pairs", lambda n: (x, x))
    monkeypatch.setattr(robustness, "_world", lambda world: x)
    subject = replace(measures.classical("TV"), fields={"network": "TV", "told": True})
    found = robustness._measure(subject)
    assert [level for _, level in told[: len(robustness.NOISE_LEVELS)]] == list(
        robustness.NOISE_LEVELS
    )
    assert len({shape for shape, _ in told}) == len(robustness.LENGTHS)
    assert [len(found[knob]) for knob in ("noise", "angle", "length")] == [8, 11, 5]
    assert "world" not in found
    told.clear()
    subject = replace(subject, fields={"network": "measurement"}, load=lambda: (lambda y: y, None))
    assert len(robustness._measure(subject)["world"]) == len(robustness.WORLDS) and not told
