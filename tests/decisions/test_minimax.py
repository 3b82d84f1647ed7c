"""The value of information over all weights: grids, the minimax recipe, one form."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.minimax import any_weights
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.value import perfect_information

from .conftest import _law


def by_grid(draws, recipes, weights):
    """Value of perfect information on a grid of recipes, for rows (P, F) of weights."""
    loss = draws.loss(recipes)
    regret = loss - loss.min(axis=0)
    each = np.array([regret[:, draws.form == i].mean(axis=1) for i in range(len(draws.forms))])
    return (weights @ each).min(axis=1), each


def test_two_forms_against_grids_of_weights_and_recipes(two_forms, grid):
    found = any_weights(two_forms, RecipeSet.free(two_forms))
    p = np.linspace(0, 1, 401)
    values, each = by_grid(two_forms, grid, np.column_stack([p, 1 - p]))
    assert found.evpi_largest == pytest.approx(values.max(), rel=0.02)
    assert found.weights["log"] == pytest.approx(p[values.argmax()], abs=0.03)
    assert found.evpi_equal == pytest.approx(values[200], rel=0.02)
    # No recipe promises less under every form, and the one found promises that.
    assert each.max(axis=0).min() >= found.evpi_largest * 0.98
    assert max(found.regret.values()) == pytest.approx(found.evpi_largest, rel=0.02)
    assert found.evpi_largest <= found.evpi_bound <= found.evpi_largest * 1.0011


def test_it_is_above_the_value_under_any_weights(two_forms):
    free = RecipeSet.free(two_forms)
    found = any_weights(two_forms, free)
    given = np.array([two_forms.weight[two_forms.form == i].sum() for i in range(2)])
    for p in (0.0001, 0.2, 0.5, 0.7, 0.9, 0.9999):
        share = np.array([p, 1 - p]) / given
        draws = replace(two_forms, weight=two_forms.weight * share[two_forms.form])
        value = perfect_information(draws, free).evpi.value
        assert value <= found.evpi_bound * (1 + 1e-6)
        if p == 0.5:
            assert value == pytest.approx(found.evpi_equal, rel=1e-6)


def test_three_forms_one_of_them_useless(grid):
    """Two alike forms and one of its own: the alike ones share their weight as they like."""
    laws = {"a": _law(60, 3, 2), "b": _law(60, 3, 2), "c": _law(60, 3, 3, normaliser=1.0, rate=0.1)}
    draws = pool(laws)
    found = any_weights(draws, RecipeSet.free(draws))
    p = np.linspace(0, 1, 201)
    values, _ = by_grid(draws, grid, np.column_stack([p, 0 * p, 1 - p]))
    assert found.evpi_largest == pytest.approx(values.max(), rel=0.02)
    assert sum(found.weights.values()) == pytest.approx(1.0)


def test_one_form_has_its_own_value(one_form):
    free = RecipeSet.free(one_form)
    found = any_weights(one_form, free)
    value = perfect_information(one_form, free).evpi.value
    assert found.evpi_equal == found.evpi_largest == pytest.approx(value, rel=1e-9)


def test_a_set_of_one_recipe_has_nothing_to_choose(two_forms):
    shares = np.array([0.2, 0.3, 0.5])
    fixed = replace(RecipeSet.free(two_forms), floor=shares, cap=shares)
    found = any_weights(two_forms, fixed)
    assert found.evpi_largest == pytest.approx(0.0, abs=1e-9)
