"""Regrets and probabilities against grids, closed forms and direct counts."""

import numpy as np
import pytest
from scipy import stats

from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.value import (
    expected_regret,
    held_out_losses,
    perfect_information,
    probability_best,
    probability_better,
    thompson,
)
from bayes_infolaw.errors import InputError


@pytest.fixture(scope="module")
def free(two_forms):
    return RecipeSet.free(two_forms)


def test_perfect_information_against_a_grid(two_forms, free, grid):
    loss = two_forms.loss(grid)
    by_grid = two_forms.mean(loss).min() - two_forms.mean(loss.min(axis=0))
    found = perfect_information(two_forms, free)
    assert found.evpi.value == pytest.approx(by_grid, rel=0.02)
    assert found.expected_loss.value <= two_forms.mean(loss).min() + 1e-12
    assert found.evpi_relative == pytest.approx(found.evpi.value / found.expected_loss.value)
    assert found.certified < 1e-3 * found.evpi.value
    assert found.evpi.se < 0.2 * found.evpi.value


def test_a_given_recipe_is_worth_its_expected_regret(two_forms, free, grid):
    equal = np.full(3, 1 / 3)
    optima = draw_optima(two_forms, free)
    found = perfect_information(two_forms, free, recipe=equal, optima=optima)
    best = perfect_information(two_forms, free, optima=optima, held_out=False)
    gap = two_forms.mean(two_forms.loss(equal)) - least_mean(two_forms, free).value
    assert found.held_out is None
    assert found.evpi.value - best.evpi.value == pytest.approx(gap, rel=1e-5)
    assert expected_regret(two_forms, equal, optima).value == found.evpi.value


def test_one_draw_leaves_nothing_to_learn(one_form):
    single = one_form.take(np.array([3]))
    found = perfect_information(single, RecipeSet.free(single))
    assert found.evpi.value == pytest.approx(0.0, abs=1e-7)
    assert found.evpi.se is None
    assert found.held_out is None


def test_held_out_regret_is_the_plain_one_with_many_draws_and_above_it_with_few(one_form):
    many = perfect_information(one_form, RecipeSet.free(one_form))
    assert many.held_out.value == pytest.approx(many.evpi.value, rel=0.15)
    excess = []
    for i in range(12):
        few = one_form.take(np.arange(8) + 8 * i)
        found = perfect_information(few, RecipeSet.free(few))
        excess.append(found.held_out.value - found.evpi.value)
    assert min(excess) > 0


def test_a_least_loss_found_too_high_by_a_rounding_makes_no_negative_regret(one_form):
    recipe = np.array([0.5, 0.3, 0.2])
    loss = one_form.loss(recipe)
    high = DrawOptima(np.tile(recipe, (len(one_form), 1)), loss * (1 + 1e-11), np.zeros(len(loss)))
    assert expected_regret(one_form, recipe, high).value == 0.0
    found = perfect_information(one_form, RecipeSet.free(one_form), recipe=recipe, optima=high)
    assert found.evpi.value == 0.0


def test_a_form_of_one_draw_has_no_halves(two_forms, free):
    one = np.append(np.flatnonzero(two_forms.form == 0), np.flatnonzero(two_forms.form == 1)[:1])
    assert held_out_losses(two_forms.take(one), free) is None
    losses = held_out_losses(two_forms, free)
    first, second = two_forms.half_positions()
    chosen = least_mean(two_forms.halves()[1], free).recipe
    np.testing.assert_allclose(losses[first], two_forms.loss(chosen)[first])
    assert losses[second] != pytest.approx(two_forms.loss(chosen)[second], rel=1e-9)


def test_stated_error_is_the_scatter_over_posteriors(one_form):
    """Resampled posteriors of 150 draws, each with its own recipe: 60 of them, so 9 % of error."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(60):
        again = one_form.take(rng.integers(0, len(one_form), len(one_form)))
        found.append(perfect_information(again, RecipeSet.free(again), held_out=False).evpi)
    values, errors = np.array([(e.value, e.se) for e in found]).T
    assert values.std(ddof=1) == pytest.approx(np.sqrt((errors**2).mean()), rel=0.35)


def two_bucket_draws(n, rng, mean, sd):
    """Bucket b's density is lognormal, so the sign of the difference is normal."""
    density = np.column_stack([np.ones(n), np.exp(rng.normal(mean, sd, n))])
    return TargetDraws(
        buckets=("a", "b"),
        capacity=np.ones(2),
        tokens=1e11,
        density=density,
        exposure=np.full(n, 0.3),
        log_level=rng.normal(0, 0.1, n),
        beta=np.full(n, 0.05),
        irreducible=np.zeros(n),
        weight=np.full(n, 1 / n),
        form=np.zeros(n, dtype=int),
        forms=("one",),
    )


def test_probability_better_in_closed_form():
    draws = two_bucket_draws(4000, np.random.default_rng(0), mean=-0.2, sd=0.3)
    a, b = np.eye(2)
    found = probability_better(draws, a, b)
    assert found.p_better == pytest.approx(stats.norm.cdf(0.2 / 0.3), abs=4 * found.se)
    assert found.p_tie == 0.0
    assert found.p_better + probability_better(draws, b, a).p_better == pytest.approx(1.0)


def test_a_recipe_ties_with_itself(two_forms):
    recipe = np.array([0.5, 0.3, 0.2])
    found = probability_better(two_forms, recipe, recipe.copy())
    assert (found.p_better, found.p_tie) == (pytest.approx(0.5), pytest.approx(1.0))
    nothing = probability_best(two_forms, np.stack([recipe, recipe, recipe]))
    assert [e.value for e in nothing] == pytest.approx([1 / 3] * 3)


def test_probability_best_is_a_count(two_forms):
    recipes = np.random.default_rng(1).dirichlet(np.ones(3) * 5, 9)
    loss = two_forms.loss(recipes)
    winner = loss.argmin(axis=0)
    by_hand = [two_forms.weight[winner == r].sum() for r in range(9)]
    found = probability_best(two_forms, recipes)
    assert [e.value for e in found] == pytest.approx(by_hand)
    assert sum(e.value for e in found) == pytest.approx(1.0)
    assert all(e.se > 0 for e in found if 0.01 < e.value < 0.99)


def test_thompson_draws_by_weight(two_forms, free):
    optima = draw_optima(two_forms, free)
    found = thompson(two_forms, free, 20_000, seed=5, optima=optima)
    np.testing.assert_array_equal(found.recipes, optima.recipes[found.draws])
    counts = np.bincount(found.draws, minlength=len(two_forms))
    assert stats.chisquare(counts, 20_000 * two_forms.weight).pvalue > 1e-4
    assert (found.expected_excess >= -1e-9).all()
    assert np.shape(found.to_dict()["recipes"]) == (20_000, 3)


def test_thompson_is_seeded_and_solves_only_what_it_draws(two_forms, free):
    first, again = (thompson(two_forms, free, 6, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.recipes, again.recipes)
    own = draw_optima(two_forms, free).recipes[first.draws]
    np.testing.assert_allclose(first.recipes, own, atol=1e-9)


def test_bad_requests(two_forms, free):
    with pytest.raises(InputError, match="n: must be a whole number >= 1, got 0"):
        thompson(two_forms, free, 0, seed=1)
    with pytest.raises(InputError, match="recipes: at least one is needed"):
        probability_best(two_forms, np.empty((0, 3)))
