"""Tasks: what is measured and from which grid, what a network is given, how its answer ends."""

import math
from dataclasses import replace

import pytest
import torch
from small_runs import IMAGES

from ippy import evaluation
from ippy.datasets import FinePictures, SyntheticDataset
from ippy.images import quantise
from ippy.operators import Blurring, CTProjector
from ippy.tasks import TASKS, few_view_projector, measure, task_operator

SMALL = {key: replace(task, shape=(32, 32)) for key, task in TASKS.items()}
FINE = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def ellipse(n: int, spacing: float, inside: int = 8) -> torch.Tensor:
    """Covered part of every pixel of an n x n grid: axes 17 and 9, turned, off the middle."""
    place = (torch.arange(n * inside).double() + 0.5) * spacing / inside
    v, u = torch.meshgrid(place, place, indexing="ij")
    u, v = u - 32.5 - 6.3, v - 32.5 + 4.1  # from the middle of pixel 32 of 64
    along, across = u * math.cos(0.4) + v * math.sin(0.4), v * math.cos(0.4) - u * math.sin(0.4)
    covered = ((along / 17).square() + (across / 9).square() <= 1).double()
    return torch.nn.functional.avg_pool2d(covered[None, None], inside)


def its_sinogram(angles: torch.Tensor, size: int) -> torch.Tensor:
    """Length of each line inside that ellipse, the mean of 64 lines for each detector pixel."""
    line = (torch.arange(size * 64).double() + 0.5) / 64 - 0.5 - size // 2
    lengths = []
    for angle in angles:
        # u cos - v sin = t: the normal is (cos, -sin); in the ellipse's axes
        c, s = angle.cos(), -angle.sin()
        a, b = c * math.cos(0.4) + s * math.sin(0.4), s * math.cos(0.4) - c * math.sin(0.4)
        half = ((17 * a).square() + (9 * b).square()).sqrt()  # of the shadow
        t = line - (6.3 * c - 4.1 * s)
        chord = 2 * 17 * 9 * (half.square() - t.square()).clamp(min=0).sqrt() / half.square()
        lengths.append(chord.reshape(size, 64).mean(1))
    return torch.stack(lengths, 1)[None, None]


def test_the_sinogram_from_the_fine_grid_is_that_of_the_ellipse():
    K = few_view_projector((64, 64))
    exact = its_sinogram(K.angles, K.out_shape[0])
    fine = K.refined()(ellipse(128, 0.5)) - exact
    coarse = K(ellipse(64, 1.0)) - exact
    assert exact.max() > 30 and fine.square().mean().sqrt() < 0.05
    assert fine.square().mean() < coarse.square().mean() / 2, "it would share the grid's errors"


def test_an_image_with_doubled_pixels_has_the_sinogram_of_the_image():
    K = few_view_projector((32, 24), views=7)
    x = torch.rand(2, 1, 32, 24, dtype=torch.float64)
    fine = K.refined()
    assert fine.img_shape == (64, 48) and fine.out_shape == K.out_shape
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(fine(doubled), K(x), rtol=1e-5, atol=1e-5)
    assert K.refined() is fine, "made twice"
    mean = torch.nn.functional.avg_pool2d(fine.fbp(K(x)), 2)
    torch.testing.assert_close(mean, K.fbp(K(x)), rtol=1e-5, atol=1e-5)


def test_nothing_falls_beside_the_detector():
    for shape in [(32, 32), (31, 20)]:
        K = few_view_projector(shape, views=16)
        sums = K(torch.ones(1, 1, *shape, dtype=torch.float64)).sum(2)
        torch.testing.assert_close(sums, torch.full_like(sums, math.prod(shape)), rtol=1e-6, atol=0)


def test_number_of_views_can_be_changed_and_must_be_one():
    task = SMALL["few_view"]
    assert [task.operator(views=n).out_shape[1] for n in (15, 60)] == [15, 60]
    assert task.operator().out_shape[1] == 30
    with pytest.raises(ValueError, match="views is 0, expected a number of angles such as 30"):
        task.operator(views=0)
    with pytest.raises(ValueError, match="oversampling is 2, expected a positive number that"):
        CTProjector((9, 8), [0.0], oversampling=2)


def test_few_views_are_measured_on_the_fine_grid_and_given_as_backprojection():
    task, K = SMALL["few_view"], SMALL["few_view"].operator()
    y_delta, given, truth = task.simulate(FINE, seed=3)
    torch.testing.assert_close(truth, torch.nn.functional.avg_pool2d(FINE, 2))
    torch.testing.assert_close(y_delta, measure(FINE, K.refined(), 0.01, seed=3))
    assert not torch.allclose(y_delta, measure(truth, K, 0.01, seed=3), rtol=1e-3)
    torch.testing.assert_close(given, K.fbp(y_delta))
    grey = (FINE * 255).round().to(torch.uint8)
    torch.testing.assert_close(task.simulate(grey, seed=3)[1], given, atol=0.2, rtol=0)
    fine = SyntheticDataset(2, 32, version=3, noise=False)
    picture = FinePictures(fine)[1]
    assert picture.shape == (1, *task.image_shape) == (1, 64, 64)
    torch.testing.assert_close(task.simulate(picture[None])[2][0], fine[1])
    assert FinePictures(fine).cache_key() != fine.cache_key() and len(FinePictures(fine)) == 2


@pytest.mark.parametrize("key", SMALL)
def test_noise_is_that_of_the_image_whatever_its_batch(key):
    images = torch.rand(3, 1, *SMALL[key].image_shape)
    whole = SMALL[key].simulate(images, seed=5)
    last = SMALL[key].simulate(images[2:], seed=5, first=2)
    for a, b in zip(whole, last, strict=True):
        torch.testing.assert_close(a[2:], b, rtol=1e-4, atol=1e-4)
    other = SMALL[key].simulate(images, noise_level=0.0)
    operator = SMALL[key].operator()
    torch.testing.assert_close(other.y_delta, SMALL[key].forward(operator)(images))


def test_the_method_that_is_told_the_blur_is_given_less_error():
    x = SyntheticDataset(1, 64, version=3)[0][None]
    task = replace(TASKS["told_deblurring"], shape=(64, 64))
    turned = task_operator((64, 64), motion_angle=70.0)
    y_delta, given, truth = task.simulate(x, turned)
    untold = task.given(task.operator(), y_delta)
    errors = [(image - truth).square().mean() for image in (given, y_delta, untold)]
    assert errors[0] < errors[1] / 2 and errors[0] < errors[2] / 2


def test_the_last_step_goes_to_the_data_as_far_as_its_weight_says():
    task, K = SMALL["told_deblurring"], SMALL["told_deblurring"].operator()
    x = IMAGES[:2].double()
    y_delta, x_hat = measure(x, K), x + 0.1 * torch.randn(x.shape, dtype=x.dtype)
    step = task.finish(K, y_delta, x_hat) - x_hat
    missing = y_delta - K(x_hat)
    # the gradient of |Kd - missing|^2 + 0.05 |d|^2
    gradient = K.adjoint(K(step) - missing) + 0.05 * step
    assert gradient.norm() < 1e-4 * K.adjoint(missing).norm()
    assert (missing - K(step)).norm() < missing.norm() / 2
    for key in ("deblurring", "few_view"):
        assert SMALL[key].finish(K, y_delta, x_hat) is x_hat


def test_which_tasks_have_the_same_measurements():
    told, plain, views = (TASKS[key] for key in ("told_deblurring", "deblurring", "few_view"))
    assert told.measures_like(plain) and not plain.measures_like(views)
    assert not plain.measures_like(replace(plain, noise_level=0.05))
    assert plain.gives_measurement and not (told.gives_measurement or views.gives_measurement)


def test_a_probe_changes_with_all_that_makes_a_task():
    for task in TASKS.values():
        changes = [{"noise_level": 0.02}, {"shape": (48, 48)}, {"finer": not task.finer}]
        changes += [{"given": lambda K, y, given=task.given: given(K, y) + 1}]
        changes += [{"finish": lambda K, y, x: x + 1}]
        probes = {task.probe(), *(replace(task, **change).probe() for change in changes)}
        assert len(probes) == 6 and task.probe() == task.probe()
    assert len({task.probe() for task in TASKS.values()}) == 3


def test_grey_values_that_are_not_those_of_images_are_refused():
    task = SMALL["deblurring"]
    for wrong in (IMAGES * 255, IMAGES - 0.5):
        with pytest.raises(ValueError, match="grey values from .*; divide 8-bit values by 255"):
            task.simulate(wrong)
        with pytest.raises(ValueError, match="grey values from .*; divide 8-bit values by 255"):
            evaluation.evaluate({}, wrong, task.operator())
    with pytest.raises(ValueError, match="grey values from nan to nan"):
        task.measured(IMAGES * math.nan)
    for value in (-2e-3, -5e-4, 1 + 5e-4, 1 + 2e-3, math.inf):  # what training takes, and no more
        images = torch.where(IMAGES < 0.5, IMAGES, value)
        if abs(value - 0.5) < 0.501:
            quantise(images)
            assert torch.equal(task.measured(images)[1], images)
            continue
        for refuse in (quantise, task.measured):
            with pytest.raises(ValueError, match="grey values|infinity"):
                refuse(images)


def test_what_belongs_to_another_task_is_refused_by_name():
    plain, views = SMALL["deblurring"], SMALL["few_view"]
    with pytest.raises(ValueError, match=r"images of \(32, 32\) pixels, expected \(64, 64\), twi"):
        views.simulate(IMAGES)
    with pytest.raises(ValueError, match=r"images of \(64, 64\) pixels, expected \(32, 32\): read"):
        plain.simulate(FINE)
    blur, projector = plain.operator(), views.operator()
    assert isinstance(blur, Blurring)
    with pytest.raises(ValueError, match="CTProjector measures .* choose a network of another tas"):
        plain.simulate(IMAGES, projector)
    with pytest.raises(ValueError, match="Blurring has no finer grid, on which the task 'Tomogra"):
        views.simulate(FINE, blur)
    with pytest.raises(ValueError, match="Blurring has no filtered backprojection"):
        views.given(blur, IMAGES)
