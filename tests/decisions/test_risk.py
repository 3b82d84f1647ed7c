"""Tails and quantiles against closed forms, grids and bounds."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.convex import least_cvar, least_mean
from bayes_infolaw.decisions.monte_carlo import inverse_cdf
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.risk import least_quantile, loss_cvar, loss_quantile
from bayes_infolaw.errors import InputError

RECIPE = np.array([0.4, 0.4, 0.2])


def test_cvar_is_the_mean_of_the_worst_draws(two_forms):
    loss, weight = two_forms.loss(RECIPE), two_forms.weight
    order = np.argsort(-loss)
    left, total = 0.15, 0.0
    for j in order:  # the last one only in part
        share = min(weight[j], left)
        total, left = total + share * loss[j], left - share
    found = loss_cvar(two_forms, RECIPE, 0.15)
    assert found.value == pytest.approx(total / 0.15, rel=1e-12)
    assert found.value > loss_quantile(two_forms, RECIPE, 0.85).value
    assert found.se > 0


def test_cvar_agrees_with_the_convex_program(one_form):
    free = RecipeSet.free(one_form)
    optimum = least_cvar(one_form, free, 0.2)
    assert loss_cvar(one_form, optimum.recipe, 0.2).value == pytest.approx(optimum.value, rel=1e-8)
    mean = least_mean(one_form, free).recipe
    assert optimum.value <= loss_cvar(one_form, mean, 0.2).value + 1e-12


@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_least_quantile_against_a_grid(two_forms, grid, prob):
    by_grid = inverse_cdf(two_forms, two_forms.loss(grid), prob).min()
    found = least_quantile(two_forms, RecipeSet.free(two_forms), prob)
    assert found.quantile.value <= by_grid * (1 + 1e-8)
    assert found.lower_bound <= found.quantile.value
    assert found.relative_gap < 1e-3
    assert found.recipe.sum() == pytest.approx(1.0)
    exact = loss_quantile(two_forms, found.recipe, prob).value
    assert found.to_dict()["quantile"]["value"] == exact


def test_least_quantile_is_not_worse_than_random_recipes(six_buckets):
    free = RecipeSet.free(six_buckets)
    found = least_quantile(six_buckets, free, 0.9)
    random = free.random(5000, 9)
    quantiles = np.concatenate(
        [inverse_cdf(six_buckets, six_buckets.loss(part), 0.9) for part in np.split(random, 10)]
    )
    assert found.quantile.value < quantiles.min()
    assert free.contains(found.recipe[None])[0]


@pytest.mark.parametrize(
    "constraint",
    [
        {"max_buckets": 2},
        {"min_if_used": np.array([0.0, 0.0, 0.3])},
        {"ordering": "repetition"},
        {"reference": np.array([0.3, 0.4, 0.3]), "tv_max": 0.05},
    ],
    ids=lambda constraint: next(iter(constraint)),
)
def test_least_quantile_over_constrained_sets(two_forms, grid, constraint):
    allowed = replace(RecipeSet.free(two_forms), **constraint)
    inside = grid[allowed.contains(grid, 1e-9)]
    found = least_quantile(two_forms, allowed, 0.9)
    assert found.quantile.value <= inverse_cdf(two_forms, two_forms.loss(inside), 0.9).min() + 1e-7
    assert allowed.contains(found.recipe[None], 1e-6)[0]
    assert found.lower_bound <= found.quantile.value


def test_bad_probabilities(one_form):
    with pytest.raises(InputError, match="prob: must lie between 0 and 1, got 1"):
        least_quantile(one_form, RecipeSet.free(one_form), 1.0)
    with pytest.raises(InputError, match=r"tail: must lie between 0 and 1, got -0.1"):
        loss_cvar(one_form, RECIPE, -0.1)
