"""The register of networks: entries that exist, recipes that make sense."""

from dataclasses import replace

import pytest
from small_runs import RECIPE

from ippy import networks


def test_recipes_name_real_networks_and_refuse_nonsense():
    for key, recipe in networks.RECIPES.items():
        assert type(recipe.build()).__name__ == recipe.model, key
        rates = [recipe.learning_rate(step) for step in range(recipe.steps)]
        assert max(rates) == pytest.approx(recipe.lr) and min(rates) > 0 and rates[-1] < rates[0]
    for wrong in ({"schedule": "none"}, {"steps": 0}, {"lr": -1.0}, {"init": "random"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(RECIPE, **wrong)


def test_an_unknown_choice_in_a_recipe_is_named():
    for name in ("init", "schedule", "task"):
        with pytest.raises(ValueError, match=f"{name} 'other' is unknown; use '"):
            replace(RECIPE, **{name: "other"})
