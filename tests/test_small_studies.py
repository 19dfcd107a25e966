"""Every study from beginning to end, with small networks, few images and a dozen steps."""

import functools
import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ippy import paths, studies
from ippy.networks import NETWORKS, taught
from ippy.studies import (
    baselines,
    comparison,
    depth,
    doublings,
    few_view_squares,
    few_views,
    fields,
    measures,
    recipe,
    recipe_long,
    skips,
    starts,
    trained,
    variants,
)

SMALL = taught("unet")
DATA = {"n_images": 4, "kind": "mixed", "version": 3}
CACHES = (measures.test_images, measures.test_pairs, starts._measured, trained._images,
          fields._clean, fields.pairs, fields._on_device)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Networks, images and recipes that take seconds; the real ones afterwards."""
    patch = pytest.MonkeyPatch()
    patch.setattr(measures, "N_TEST", 2)
    patch.setattr(trained, "_WATCHED", 1)
    for budget in trained.BUDGETS:
        patch.setitem(trained.BUDGETS, budget, {"steps": 12})
    patch.setenv("IPPY_CACHE", str(tmp_path_factory.mktemp("cache")))
    for key in SMALL:
        recipe = replace(
            NETWORKS[key].recipe, steps=48, model_args={"base_ch": 2}, data=DATA, val_images=2,
            batch_size=2, crop=32,
        )  # fmt: skip
        patch.setitem(NETWORKS, key, replace(NETWORKS[key], recipe=recipe))
    for name, variant in trained.VARIANTS.items():
        if "base_ch" in variant.model_args:
            patch.setitem(trained.VARIANTS, name, replace(variant, model_args={"base_ch": 1}))
    for cache in CACHES:
        cache.cache_clear()
    yield patch
    patch.undo()
    for cache in CACHES:
        cache.cache_clear()


def perform(name, tmp_path, keep):
    """Run those runs of a study that ``keep`` wants."""
    module = studies.STUDIES[name]
    runs = [run for run in module.runs() if keep(run.fields)]
    assert runs
    summarise = getattr(module, "summarise", None)
    found = studies.run(name, tmp_path, (lambda: runs, summarise))
    assert json.loads((tmp_path / f"{name}.json").read_text("utf-8")) == found
    assert all(math.isfinite(v) for run in found["runs"] for v in run.get("ssim", ()))
    return found


def seeds(fields):
    """Two of the three seeds, and no shipped network."""
    return fields.get("seed", 2) < 2


def curves(found):
    """A learning curve of every run with twelve points."""
    assert all(len(run["val_step"]) == len(run["val_mse"]) == 12 for run in found["runs"])


@pytest.mark.slow
def test_starts(tmp_path):
    found = perform("starts", tmp_path, seeds)
    curves(found)
    assert list(found["table"]) == list(starts.STARTS)
    new = found.run(network="UNet", seed=0)
    assert [entry["step"] for entry in new["active"]] == list(range(13))
    assert found["table"]["UNet, He start"]["output_before"] > 5
    assert {entry["group"] for entry in found["settled"]} == set(starts.STARTS[:-1])


@pytest.mark.slow
def test_skips(tmp_path):
    found = perform("skips", tmp_path, seeds)
    curves(found)
    names = ("dec1 skip", "dec1 below", "dec2 skip", "dec2 below", "dec3 skip", "dec3 below")
    assert tuple(found.run(network="UNet", seed=0)["lost"]) == names
    without = found.run(network="UNet without skips + global skip", seed=1)
    assert tuple(without["lost"]) == names[1::2] and without["shift"]["8"]["max"] < 1e-4
    assert len(found["settled"]) == len(skips.TRAINED) - 1


@pytest.mark.slow
def test_variants(tmp_path):
    found = perform("variants", tmp_path, seeds)
    curves(found)
    others = {*taught("unet"), *variants.OTHERS} - {"UNet"}
    assert set(found["table"]) == {entry["group"] for entry in found["settled"]} == others
    assert found["degrees_of_freedom"] == len(others) + 1
    assert len({entry["interval"] for entry in found["table"].values()}) == 1, "pooled"


def test_differences_to_the_unet_have_the_spread_of_seeds_inside_networks():
    psnr = {"UNet": (30, 31, 32), "ResidualUNet": (29, 30, 31), "AttentionUNet": (30, 30, 30)}
    curve = {"val_step": [1], "val_mse": [0.1]}
    runs = [
        {"network": name, "seed": seed, "psnr": [value - 1, value + 1], **curve}
        for name, values in psnr.items()
        for seed, value in enumerate(values)
    ]
    found = variants.summarise(runs)
    assert found["seed_spread"] == pytest.approx((4 / 6) ** 0.5, abs=1e-3)
    half = pytest.approx(2.447 * (4 / 6) ** 0.5 * (2 / 3) ** 0.5, abs=1e-3)
    assert found["table"] == {
        "ResidualUNet": {"gain": -1, "interval": half},
        "AttentionUNet": {"gain": -1, "interval": half},
    }


@pytest.fixture
def shallow(monkeypatch):
    """Chains that are trained in a second."""
    recipe = replace(
        depth.RECIPE, steps=12, val_every=1, batch_size=2, crop=32, data=DATA, val_images=1
    )
    monkeypatch.setattr(depth, "RECIPE", recipe)
    monkeypatch.setattr(depth, "WIDTH", 4)


@pytest.mark.slow
def test_depth(tmp_path, shallow):
    found = perform("depth", tmp_path, lambda f: f["seed"] < 2 and f["depth"] < 32)
    curves(found)
    compared = [(entry["depth"], entry["group"]) for entry in found["settled"]]
    assert compared == [(n, kind) for n in (8, 16) for kind in ("residual", "scaled")]


def test_depths_are_compared_one_by_one():
    def run(kind, n, seed, mse):
        curve = {"val_step": [1, 2, 3], "val_mse": [mse] * 3}
        return {"network": kind, "depth": n, "seed": seed, **curve}

    runs = [run("plain", n, seed, 0.1) for n in (8, 16) for seed in (0, 1)]
    runs += [run("scaled", n, seed, 0.8 / n) for n in (8, 16) for seed in (0, 1)]
    found = depth.summarise(runs)["settled"]
    assert [(entry["depth"], entry["difference"][-1]) for entry in found] == [(8, 0), (16, 3.01)]


def test_runs_in_threads_give_what_they_give_one_by_one(shallow):
    runs = [run for run in depth.runs() if run.fields["depth"] == 8]
    one_by_one = [run.compute() for run in runs]
    with ThreadPoolExecutor(len(runs)) as pool:
        together = list(pool.map(lambda run: run.compute(), runs))
    assert together == one_by_one
    assert len({run["val_mse"][-1] for run in together}) == len(runs)


@pytest.mark.slow
def test_recipe_long(tmp_path, monkeypatch):
    base = replace(recipe.BASE, data=DATA, val_images=2, batch_size=2, crop=32)
    for module in (recipe, recipe_long):
        monkeypatch.setattr(module, "BASE", base)
    monkeypatch.setattr(recipe_long, "_TIMED", 4)
    full = replace(recipe_long.RECIPES["UNet"], model_args={"base_ch": 8})
    monkeypatch.setitem(recipe_long.RECIPES, "UNet", full)
    for name in recipe_long.STEPS:
        monkeypatch.setitem(recipe_long.STEPS, name, 20)
    found = perform("recipe_long", tmp_path, lambda f: f["seed"] == 0)
    ours, first = found["runs"]
    assert ours["val_step"] == first["val_step"] == list(range(1, 21))
    assert ours["step_seconds"] > first["step_seconds"] > 0, "SOAP costs more than Adam"
    assert ours["val_mse"] != first["val_mse"]
    kept = paths.cache_dir() / "studies" / "recipe_long"
    assert kept.is_dir() and not list(kept.iterdir()), "a checkpoint is left"


@pytest.mark.slow
def test_doublings(tmp_path, monkeypatch):
    base = replace(recipe.BASE, data=DATA, val_images=2)
    for module in (recipe, doublings):
        monkeypatch.setattr(module, "BASE", base)
    full = replace(base, model_args={"base_ch": 2}, steps=80, batch_size=2, crop=32)
    monkeypatch.setitem(doublings.RECIPES, "UNet", full)
    found = perform("doublings", tmp_path, lambda f: f["seed"] == 0)
    assert [run["steps"] for run in found["runs"]] == [10, 20, 40, 80]
    assert [run["val_step"][-1] for run in found["runs"]] == [10, 20, 40, 80]
    first, *_, last = (run["psnr"] for run in found["runs"])
    assert last > first, "eight times the steps bring nothing"
    kept = paths.cache_dir() / "studies" / "doublings"
    assert kept.is_dir() and not list(kept.iterdir()), "a checkpoint is left"


@pytest.mark.slow
def test_fields(tmp_path, monkeypatch):
    recipe = replace(fields.RECIPE, steps=12, val_every=1, batch_size=2)
    monkeypatch.setattr(fields, "SEEDS", (0, 1))
    narrow = {n: (dilations, (16,) * 6) for n, (dilations, _) in fields.CHAINS.items()}
    monkeypatch.setattr(fields, "CHAINS", narrow)
    for name, value in (("RECIPE", recipe), ("N_TRAIN", 4), ("N_VAL", 2),
                        ("UNET_CH", 2), ("LINEAR", (7, 15, 31))):  # fmt: skip
        monkeypatch.setattr(fields, name, value)
    found = perform("fields", tmp_path, lambda f: f["task"] == "streaks")
    assert len(found["table"]) == 5 and len(found["settled"]) == 4
    reach = {run.get("field"): run["reach"] for run in found.runs(seed=0)}
    assert reach.pop(None) > 50 and all(field == reach[field] for field in reach)


@pytest.mark.slow
def test_baselines_and_comparison(tmp_path, monkeypatch):
    lambdas = {"Tikhonov": [0.001, 0.01, 1.0], "TV": [0.0001, 0.001, 0.1]}
    monkeypatch.setattr(baselines, "LAMBDAS", lambdas)
    monkeypatch.setattr(baselines, "N_IMAGES", 1)
    found = perform("baselines", tmp_path, lambda f: f["noise_level"] == 0.01)
    for kind in measures.FAMILIES:
        assert set(found["chosen_by_family"]["0.01"][kind]) == {"Tikhonov", "TV"}
    monkeypatch.setattr(comparison.results, "load", lambda name: found)
    monkeypatch.setattr(comparison, "vessels", lambda f: {})
    found = perform("comparison", tmp_path, lambda f: f["network"] in ("Tikhonov", "ResCNN"))
    assert [run["network"] for run in found["runs"]] == ["ResCNN", "Tikhonov"]
    for run in found["runs"]:
        assert set(run["psnr_families"]) == set(measures.FAMILIES)
        assert len(run["psnr_noise_free"]) == len(run["psnr"]) == 2
        faded = run["frequency_faded"]
        assert {world: len(rows) for world, rows in faded.items()} == {"mixed": 2, "foreign": 3}
        rows = [*run["frequency"], *faded["mixed"], *faded["foreign"]]
        assert {len(row) for row in rows} == {len(comparison.H_EDGES) - 1}
        assert len(run["frequency"]) == 2
        assert faded["mixed"] != run["frequency"] and faded["mixed"] != faded["foreign"]
    assert set(found["runs"][1]["psnr_families_own"]) == set(measures.FAMILIES)


@pytest.mark.slow
def test_few_views(tmp_path, monkeypatch):
    weights = (100.0, 1e6)
    few = dict.fromkeys(("N_TEST", "N_FAMILY", "N_AWAY", "N_TUNING"), 1)
    few |= {"N_VIEWS": (15, 30), "NOISE_LEVELS": (0.01, 0.1), "CONTRASTS": (0.16, 0.32)}
    for name, value in {**few, "WEIGHTS": weights}.items():
        monkeypatch.setattr(few_views, name, value)
    once = functools.cache(few_views.few_view_projector)  # three differ, dozens are asked for
    monkeypatch.setattr(few_views, "few_view_projector", once)
    few_views.test_pictures.cache_clear()
    found = perform("few_views", tmp_path, lambda f: f["network"] in ("FBP", "FewViewCNN"))
    few_views.test_pictures.cache_clear()
    fbp, cnn, stepped = found["runs"]
    assert fbp["psnr"][0] < cnn["psnr"][0]
    assert fbp["noise"][0] > fbp["noise"][1], "more noise, more error"
    assert fbp["views"][0] < fbp["views"][1], "more views, less error"
    # with a step the answer is nearer to the data; a large weight leaves it where it was
    assert stepped["residual"][0] < cnn["residual"][0]
    assert stepped["psnr_of_mu"][1] == pytest.approx(stepped["psnr_before"], abs=0.01)
    best = max(stepped["psnr_of_mu"])
    assert stepped["psnr_of_mu"][weights.index(stepped["mu"])] == best
    for amplitudes in fbp["vessels"].values():
        assert len(amplitudes["with"]) == len(amplitudes["without"]) > 0


@pytest.mark.slow
def test_squares_of_few_views(tmp_path, monkeypatch):
    full = replace(
        few_view_squares.RECIPES["FewViewUNet"], model_args={"base_ch": 2}, data=DATA, val_images=2
    )
    monkeypatch.setitem(few_view_squares.RECIPES, "FewViewUNet", full)
    monkeypatch.setattr(few_view_squares, "SQUARES", {64: (4, 24), 256: (1, 24)})
    monkeypatch.setattr(few_view_squares, "N_FAMILY", 1)
    monkeypatch.setattr(few_views, "N_TEST", 2)
    few_views.test_pictures.cache_clear()
    found = perform("few_view_squares", tmp_path, lambda f: f["seed"] == 0)
    few_views.test_pictures.cache_clear()
    small, whole = found["runs"]
    for run in (small, whole):
        assert run["val_step"] == [6, 12, 18, 24]
        assert run["val_mse"][-1] < run["val_mse"][0]
        # measured are the validation images, with noise of their own
        error = sum(10 ** (-psnr / 10) for psnr in run["psnr"]) / 2
        assert error == pytest.approx(run["val_mse"][-1], rel=0.05)
        families = run["psnr_families"]
        assert set(families) == set(measures.FAMILIES) and all(
            len(v) == 1 for v in families.values()
        )
        assert len({*map(tuple, families.values())}) == len(measures.FAMILIES)  # each its own image
    assert small["psnr"] != whole["psnr"]
    assert [few_view_squares._recipe(side, 0).crop for side in (64, 256)] == [64, None]
