"""The benchmarks: they compare what they claim to compare, and their table shows what is stored."""

import json
import sys
from pathlib import Path

import pytest
import torch

from ippy import metrics, models
from ippy.operators import CTProjector

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import bench
import blur
import lecture
import projector


def test_things_are_measured_by_turns_after_one_call_to_warm_up():
    calls = []
    found = bench.alternate({"a": lambda: calls.append("a"), "b": lambda: float(len(calls))}, 3)
    assert calls == ["a"] * 4 and len(found["a"]) == 3
    assert found["b"] == [2, 3, 4], "a float is the function's own measurement"


def test_the_first_step_that_is_good_enough():
    run = {"val_step": [25, 50, 75], "val_mse": [0.3, 0.1, 0.2]}
    assert bench.steps_until(run, 0.1) == 50 and bench.steps_until(run, 0.01) is None


def test_all_recipes_are_measured_on_the_same_images():
    assert len({json.dumps([r.data, r.val_images]) for r in bench.QUALITY.values()}) == 1


def test_the_loop_of_the_course_learns_from_files(tmp_path):
    bench.write_pngs(tmp_path, 8)
    assert bench.PNGFolder(tmp_path)[0].shape == (1, 256, 256)
    torch.manual_seed(0)
    model = models.SimpleCNN(1, 1, 2)
    step, before = bench.course_step(model, tmp_path), model.conv1.weight.detach().clone()
    step()
    assert (model.conv1.weight - before).abs().max() > 1e-4


def test_floating_point_operations_of_one_convolution():
    conv = torch.nn.Conv2d(1, 2, 3, padding=1)
    forward = 2 * 9 * 2 * 8 * 16 * 16
    assert bench.flop(conv, 16) == 2 * forward, "the input needs no gradient"


def test_the_alternative_projector_agrees():
    angles = torch.tensor([0.2, 1.0, 2.5])
    x = torch.zeros(1, 1, 64, 64)
    x[:, :, 20:40, 15:35] = torch.rand(20, 20)
    found, expected = projector.rotate_and_sum(x, angles), CTProjector((64, 64), angles)(x)
    assert found.shape == expected.shape
    assert (found - expected).norm() < 0.05 * expected.norm()
    assert projector.disc_error(CTProjector((256, 256), angles), angles) < 0.1
    assert projector.disc_error(CTProjector((256, 256), -angles), angles) > 1


def test_the_blur_is_compared_with_one_of_the_same_values():
    kernel = torch.rand(5, 3)  # without the symmetry of a motion, for which K is its own adjoint
    K, old = (kind((16, 20), kernel) for kind in (blur.Blurring, blur.PaddedByConv))
    y = torch.rand(2, 1, 16, 20)
    assert (K.adjoint(y) - old.adjoint(y)).abs().max() < 1e-6
    assert (K(y) - old(y)).abs().max() < 1e-6
    assert (K(y) - old.adjoint(y)).abs().max() > 0.01


def test_a_short_training_is_judged_by_what_its_network_is_given():
    given = {key: metrics.psnr(*lecture.phantom_of(key)).item() for key in ("UNet", "FewViewUNet")}
    assert 20 < given["UNet"] < 25, "the measurement"
    assert given["FewViewUNet"] < 18, "its FBP"


def stored(name: str) -> dict:
    """The stored result of a benchmark."""
    return json.loads((bench.RESULTS / f"{name}.json").read_text("utf-8"))


def test_the_table_shows_every_stored_result(capsys):
    bench.table()
    text = capsys.readouterr().out
    for key in stored("speed")["networks"]:
        assert f"{key}: step, ours, crops" in text
    assert all(f"time to quality, seed {seed}" in text for seed in range(bench.SEEDS["course"]))
    assert all(f"chapter {name}" in text for name in stored("lecture")["cells"])
    assert "adjoint of a blur, 31 pixels, batch 8" in text
    assert "CTProjector  " in text and "rotate and sum  " in text


def test_an_unknown_benchmark_is_named(capsys):
    with pytest.raises(SystemExit):
        bench.main(["spead"])
    assert (
        "no benchmark spead; there are speed, projector, blur, lecture, quality"
        in capsys.readouterr().err
    )
