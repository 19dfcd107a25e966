"""Batches: functions of seed and step, cut from measured images; what is no image is refused."""

from dataclasses import replace

import pytest
import torch
from small_runs import IMAGES, RECIPE, K, fit, same

from ippy.images import quantise
from ippy.operators import Blurring, CTProjector, DownScaling
from ippy.tasks import measure, task_operator
from ippy.training import MeasuredCrops, validation_pairs
from ippy.training.batches import CropsOnGPU


def test_batches_and_noise_follow_the_seed_and_the_step():
    first = MeasuredCrops(IMAGES, K, RECIPE)(3)
    again = MeasuredCrops(IMAGES, K, RECIPE)(3)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other_step = MeasuredCrops(IMAGES, K, RECIPE)(4)
    other_seed = MeasuredCrops(IMAGES, K, replace(RECIPE, seed=1))(3)
    assert not torch.equal(first[0], other_step[0]) and not torch.equal(first[0], other_seed[0])
    assert first[0].shape == first[1].shape == (4, 1, 16, 16)
    noise = [measure(IMAGES, K, 0.1, seed=seed) for seed in (0, 1)]
    assert not torch.equal(*noise), "PyTorch ignores all but 32 bits of a CPU seed"


def test_a_crop_is_a_piece_of_the_measured_whole_image():
    image = (IMAGES[:1] * 255).round().to(torch.uint8)  # asymmetric: a wrong place would show
    recipe = replace(RECIPE, flips=False, noise_level=0.0)
    y_delta, x = MeasuredCrops(image, K, recipe)(0)
    measured = K(image.float() / 255)[0, 0].unfold(0, 16, 1).unfold(1, 16, 1)
    whole = (image.float() / 255)[0, 0].unfold(0, 16, 1).unfold(1, 16, 1)
    for y_crop, x_crop in zip(y_delta, x, strict=True):
        at = ((whole - x_crop[0]).abs().amax((2, 3)) == 0).nonzero()
        assert len(at) == 1
        torch.testing.assert_close(y_crop[0], measured[tuple(at[0])])


def test_flips_mirror_images_and_can_be_switched_off():
    image = (IMAGES[:1] * 255).round().to(torch.uint8)
    for flips, number in ((True, 4), (False, 1)):
        batch = MeasuredCrops(image, K, replace(RECIPE, crop=None, flips=flips))
        assert len({batch(step)[1].numpy().tobytes() for step in range(40)}) == number


def test_float_images_and_uint8_images_are_the_same_data():
    assert same(fit()[0], fit(images=(IMAGES * 255).round().to(torch.uint8))[0])


def test_measurements_do_not_depend_on_the_batch():
    whole = measure(IMAGES, K, 0.05, seed=3)
    parts = [measure(IMAGES[i : i + 2], K, 0.05, seed=3, first=i) for i in (0, 2, 4)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=0, atol=1e-7)


def test_images_that_are_no_images_are_refused():
    bad = IMAGES.clone()
    bad[2, 0, 5, 5] = float("nan")
    with pytest.raises(ValueError, match="contain NaN or infinity"):
        fit(images=bad)
    with pytest.raises(ValueError, match="must be uint8 or float"):
        fit(images=IMAGES.long())
    with pytest.raises(ValueError, match="the images contain NaN or infinity; check how"):
        fit(images=list(bad), validation=None)


@pytest.mark.parametrize(
    "operator",
    [DownScaling((32, 32), 2), CTProjector((32, 32), [0.0, 0.8, 1.6])],
    ids=["DownScaling", "CTProjector"],
)
def test_crops_refuse_measurements_of_another_size_by_name(operator):
    name = type(operator).__name__
    said = rf"{name} maps images of \(32, 32\) pixels to .*write a function batch\(step\)"
    for forward in (operator, lambda step: (operator, 0.01)):
        with pytest.raises(ValueError, match=said):
            MeasuredCrops(IMAGES, forward, RECIPE)


def test_a_batch_of_one_image_or_none_is_told_from_a_data_set():
    for wrong in (IMAGES[0], IMAGES[:0]):
        with pytest.raises(ValueError, match=r"training images must be \(N, C, H, W\), got"):
            MeasuredCrops(wrong, K, RECIPE)


def test_validation_is_the_first_images_whole_and_measured_once():
    given, x = validation_pairs(IMAGES, K, RECIPE)
    assert torch.equal(x, quantise(IMAGES[:2]).float() / 255)
    assert torch.equal(given, measure(x, K, RECIPE.noise_level, seed=RECIPE.seed))
    varying = validation_pairs(IMAGES, lambda step: (K, 0.5 + step), RECIPE)
    assert torch.equal(varying[0], measure(x, K, 0.5, seed=RECIPE.seed))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES * 255, r"grey values from .* to 25\d.*, expected \[0, 1\]; divide 8-bit values"),
        (IMAGES * 2 - 1, r"grey values from -0\.99.* to .*subtract the least"),
        (IMAGES + 0.01, r"grey values from 0\.01.* to 1\.0"),
        ((IMAGES * 255).long(), r"images must be uint8 or float in \[0, 1\], not torch.int64"),
        (IMAGES > 0.5, "not torch.bool"),
        (IMAGES / 0, "contain NaN or infinity; check how they are read"),
        (IMAGES.log().sqrt(), "contain NaN or infinity"),
    ],
    ids=["255", "signed", "above", "int64", "bool", "infinite", "NaN"],
)
def test_quantise_says_what_is_wrong_with_grey_values(images, message):
    with pytest.raises(ValueError, match=message):
        quantise(images)


def test_quantise_rounds_and_leaves_bytes_alone():
    x = torch.linspace(0, 1, 256).reshape(16, 16)
    assert quantise(x).flatten().tolist() == list(range(256))
    bytes_ = quantise(x)
    assert quantise(bytes_) is bytes_
    assert quantise(torch.tensor([-5e-4, 1 + 5e-4])).tolist() == [0, 255], "rounding is forgiven"
    assert quantise(torch.zeros(0, 1, 4, 4)).shape == (0, 1, 4, 4)


SQUARES = {"crop": 12, "batch_size": 3, "noise_level": 0.0}


@pytest.mark.parametrize(
    "settings",
    [{}, {"borders": True, "margin": 3}, {"last_crop": 16, "steps": 40}, {"crop": None}],
    ids=["plain", "borders", "larger at the end", "whole"],
)
def test_what_a_gpu_makes_at_once_is_what_the_cpu_makes_step_by_step(settings):
    recipe = replace(RECIPE, **{**SQUARES, **settings})
    crops = MeasuredCrops(IMAGES, K, recipe)
    at_once = CropsOnGPU(crops, torch.device("cpu"))  # nothing in it needs a GPU
    for step in (0, 7, 31, 33, 39):
        for made, expected in zip(at_once(step), crops(step), strict=True):
            torch.testing.assert_close(made, expected)


class Vignette(Blurring):
    """Measures otherwise than the blur that it is made from."""

    def _forward(self, x):
        return 0.5 * super()._forward(x)


@pytest.mark.parametrize("double", [False, True])
def test_what_is_made_from_a_blur_measures_in_its_own_way_on_a_gpu(double):
    kind = Blurring if double else Vignette
    operator = kind((48, 40), kernel_type="gaussian")
    operator = operator.double() if double else operator
    recipe, images = replace(RECIPE, noise_level=0.0), torch.rand(4, 1, 48, 40)
    crops = MeasuredCrops(images, operator, recipe)
    on_gpu = CropsOnGPU(crops, torch.device("cpu"))
    for mine, theirs in zip(crops(0), on_gpu(0), strict=True):
        torch.testing.assert_close(theirs, mine, check_dtype=False)


def test_noise_on_a_gpu_has_the_level_of_the_whole_measurement():
    recipe = replace(RECIPE, crop=12, batch_size=64, noise_level=0.2)
    crops = MeasuredCrops(IMAGES, K, recipe)
    clean = MeasuredCrops(IMAGES, K, replace(recipe, noise_level=0.0))
    at_once, size = CropsOnGPU(crops, torch.device("cpu")), K(IMAGES).square().mean().sqrt()
    noise = torch.cat([at_once(step)[0] - clean(step)[0] for step in (0, 1)])
    assert noise.std() == pytest.approx(0.2 * size.item(), rel=0.1)
    assert not torch.equal(noise[:64], noise[64:])


def test_forward_models_that_change_with_the_step_do_so_on_a_gpu():
    def forward(step):
        return (K if step < 5 else other), 0.0

    other = task_operator((32, 32), motion_angle=70.0)
    crops = MeasuredCrops(IMAGES, forward, replace(RECIPE, **SQUARES))
    at_once = CropsOnGPU(crops, torch.device("cpu"))
    for step in (4, 5, 6):
        torch.testing.assert_close(at_once(step)[0], crops(step)[0])


def test_forward_models_that_are_made_anew_in_each_step_work_on_a_gpu():
    def forward(step):
        return task_operator((32, 32), motion_angle=10.0 * step), 0.0

    crops = MeasuredCrops(IMAGES, forward, replace(RECIPE, **SQUARES))
    at_once = CropsOnGPU(crops, torch.device("cpu"))
    for step in (4, 5, 6):
        torch.testing.assert_close(at_once(step)[0], crops(step)[0])


def test_a_function_of_the_step_is_never_asked_for_steps_after_the_last():
    asked = []

    def forward(step):
        asked.append(step)
        return K, 0.0

    recipe = replace(RECIPE, **SQUARES, steps=40)
    at_once = CropsOnGPU(MeasuredCrops(IMAGES, forward, recipe), torch.device("cpu"))
    for step in range(recipe.steps):
        at_once(step)
    assert set(asked) == set(range(recipe.steps))


def test_the_loss_is_taken_inside_a_margin_and_at_the_border_of_the_image():
    recipe = replace(RECIPE, crop=12, margin=3, borders=True, batch_size=200)
    _, x, where = MeasuredCrops(IMAGES, K, recipe)(0)
    assert where.shape == (200, 1, 12, 12) and set(where.unique().tolist()) == {0.0, 1.0}
    assert where[..., 3:-3, 3:-3].all(), "the interior always counts"
    at_the_top = where[:, 0, 0].any(1).float().mean().item()
    # 21 places inside, and 8 beyond each side that are pushed back to it
    assert at_the_top == pytest.approx(9 / 37, abs=0.1)
    plain = MeasuredCrops(IMAGES, K, replace(recipe, borders=False))(0)[2]
    assert plain[:, 0, 0].any(1).float().mean() < at_the_top / 2
