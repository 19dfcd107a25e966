"""The registry of networks, walked: every entry builds, is found, shown and told about."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT
from small_runs import RECIPE

from ippy import commands, evaluation, models, networks, paths, report, training, weights
from ippy.networks import GROUPS, NETWORKS, Network, Recipe, taught
from ippy.tasks import TASKS, measure


@pytest.mark.parametrize("key", NETWORKS)
def test_an_entry_builds_what_it_says(key: str) -> None:
    network = NETWORKS[key]
    assert networks.find(key) is network
    assert network.recipe.model in models.__all__
    model = network.recipe.build()
    assert type(model) is getattr(models, network.recipe.model)
    assert network.task is TASKS[network.recipe.task]
    assert network.group in GROUPS
    quick = network.recipe.quick()
    assert quick.steps == network.recipe.quick_steps and quick.model == network.recipe.model
    assert (quick.crop, quick.batch_size) == (64, 4), "a lecture has no time for whole slices"


def test_titles_are_unique() -> None:
    titles = [network.title for network in NETWORKS.values()]
    assert len(set(titles)) == len(titles)
    assert set(titles) & {"Image", "Measurement", "Tikhonov", "TV"} == set(), "a panel's name"


@pytest.mark.parametrize("key", [key for key in NETWORKS if NETWORKS[key].chapter])
def test_a_chapter_explains_the_network(key: str) -> None:
    network = NETWORKS[key]
    page = (ROOT / "book" / f"{network.chapter}.ipynb").read_text(encoding="utf-8")
    assert network.recipe.model in page


@pytest.mark.parametrize("key", NETWORKS)
def test_weights_are_there_or_reported(key: str) -> None:
    network, table = NETWORKS[key], report.weights_table()
    if not (paths.WEIGHTS / f"{key}.pth").is_file():
        assert f"`{key}`" in table.split("Not trained yet:")[1]
        return
    assert f"| {network.title} | `{key}` | `{network.recipe.task}` |" in table
    card = weights.read_card(key)
    assert (card["model"], card["model_args"]) == (network.recipe.model, network.recipe.model_args)
    operator = network.task.operator((64, 64))
    y_delta = measure(torch.rand(1, 1, 64, 64), operator, network.task.noise_level)
    given = network.task.given(operator, y_delta)
    assert evaluation.reconstruct(weights.load(key), given).shape == given.shape


def test_the_table_has_the_order_of_the_registry_and_names_what_is_missing(tmp_path) -> None:
    trained = [key for key in NETWORKS if (paths.WEIGHTS / f"{key}.pth").is_file()]
    missing, *kept = trained
    for key in kept:
        for suffix in (".pth", ".json"):
            shutil.copyfile(paths.WEIGHTS / f"{key}{suffix}", tmp_path / f"{key}{suffix}")
    own = tmp_path / "AnOwnNetwork.pth"  # a reader's file, whose key is in no registry
    shutil.copyfile(tmp_path / f"{kept[0]}.pth", own)
    card = json.loads((tmp_path / f"{kept[0]}.json").read_text(encoding="utf-8"))
    card["recipe"].pop("task", None)  # as in the first edition
    own.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    table = report.weights_table(tmp_path)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[1].strip("`") for row in rows] == [*kept, own.stem]
    assert rows[-1][0] == f"| {own.stem}" and rows[-1][2] == "`deblurring`"
    assert f"`{missing}`" in table.split("Not trained yet: ")[1].splitlines()[0]


def test_a_card_that_says_little_has_a_row_and_can_be_loaded(tmp_path, capsys) -> None:
    model = NETWORKS["SimpleCNN"].recipe.build()
    card = {"model": "SimpleCNN", "model_args": NETWORKS["SimpleCNN"].recipe.model_args}
    weights.save(model, tmp_path / "SimpleCNN.pth", card)
    (row,) = [r for r in report.weights_table(tmp_path).splitlines() if "| `SimpleCNN` |" in r]
    assert row.split(" | ")[4:6] == ["–", "–"]
    _, history = training.load_or_train("SimpleCNN", weights_dir=tmp_path)
    assert history == {} and capsys.readouterr().out.endswith(" parameters\n")
    weights.save(model, tmp_path / "SimpleCNN.pth", {**card, "recipe": {"task": "unknown"}})
    with pytest.raises(ValueError, match="card of SimpleCNN names the task 'unknown', not one of"):
        commands.load_network("SimpleCNN", tmp_path)


def test_pages_compare_what_a_chapter_explains() -> None:
    assert taught() == [*taught("cnn"), *taught("unet")]
    assert set(taught()) == {key for key, network in NETWORKS.items() if network.chapter}


def test_a_network_without_a_chapter_changes_no_page(monkeypatch) -> None:
    before = taught()
    extra = Network("Another", NETWORKS["UNet"].recipe, "unet")
    monkeypatch.setitem(NETWORKS, "Another", extra)
    assert taught() == before


@pytest.mark.parametrize("wrong", [{"group": "gan"}, {"task": "segmentation"}])
def test_an_unknown_choice_is_named(wrong: dict) -> None:
    (name, value), *_ = wrong.items()
    with pytest.raises(ValueError, match=f"{name} '{value}' is unknown; use '"):
        taught(**wrong)


def test_an_unknown_group_of_an_entry_is_named() -> None:
    with pytest.raises(ValueError, match="group 'gan' of Another is unknown; use 'cnn' or 'unet'"):
        Network("Another", NETWORKS["UNet"].recipe, "gan")


def test_an_unknown_key_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(KeyError, match="there is no network 'UNett'; choose one of SimpleCNN, "):
        networks.find("UNett")


def test_recipes_name_real_networks_and_refuse_nonsense():
    for key, recipe in networks.RECIPES.items():
        assert type(recipe.build()).__name__ == recipe.model, key
        rates = [recipe.learning_rate(step) for step in range(recipe.steps)]
        assert max(rates) == pytest.approx(recipe.lr) and min(rates) > 0 and rates[-1] < rates[0]
    for wrong in ({"schedule": "none"}, {"steps": 0}, {"lr": -1.0}, {"init": "random"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(RECIPE, **wrong)


def test_a_recipe_holds_plain_numbers_and_its_short_version_is_valid():
    recipe = Recipe("SimpleUNet", lr=np.float32(1e-3), steps=np.int64(8), crop=128, margin=40)
    assert json.loads(json.dumps(recipe.as_dict()))["steps"] == 8
    assert (recipe.quick().crop, recipe.quick().margin) == (64, 31)
    for side in (0, -8):
        with pytest.raises(ValueError, match=f"last_crop is {side}, expected a side in pixels"):
            Recipe("SimpleUNet", last_crop=side)


def test_an_unknown_choice_in_a_recipe_is_named():
    for name in ("init", "schedule", "task"):
        with pytest.raises(ValueError, match=f"{name} 'other' is unknown; use '"):
            replace(RECIPE, **{name: "other"})
