"""The recipes as good as the best: against grids, a solver, and their own definition."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.equivalent import EquivalentSettings, equivalent_set
from bayes_infolaw.decisions.membership import loss_gradient, membership
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError


def ends(found):
    return np.array(list(found.ranges.values())).T


def as_arrays(found):
    return np.array([list(example.recipe.values()) for example in found.examples])


@pytest.mark.parametrize("epsilon", [3e-4, 1e-3, 1e-2])
def test_ranges_against_a_grid(two_forms, grid, epsilon):
    free = RecipeSet.free(two_forms)
    best = least_mean(two_forms, free).recipe
    found = equivalent_set(two_forms, free, settings=EquivalentSettings(epsilon=epsilon))
    within = two_forms.loss(grid) <= (1 + epsilon) * two_forms.loss(best)
    members = grid[two_forms.mean(within) >= 0.9]
    low, high = ends(found)
    assert (low <= members.min(axis=0) + 1e-3).all()
    assert (high >= members.max(axis=0) - 1e-3).all()
    assert (low >= members.min(axis=0) - 0.01 - 1e-3).all()  # the next step of the grid is none
    assert (high <= members.max(axis=0) + 0.01 + 1e-3).all()
    assert found.range_gap < 0.01


def test_one_draw_against_a_solver(six_buckets):
    """With one draw the set is convex: every end is the optimum of a smooth program."""
    draw = six_buckets.take(np.array([7]))
    free = RecipeSet.free(draw)
    best = least_mean(draw, free).recipe
    limit = 1.004 * draw.loss(best)[0]
    low, high = ends(equivalent_set(draw, free, settings=EquivalentSettings(0.004, 1.0)))
    for d in range(6):
        for sign, end in ((1.0, low[d]), (-1.0, high[d])):
            # w = y + z about the kink at w = c, where the loss is smooth in y and z
            by_solver = sign * extreme_share(draw, d, sign, limit, best)
            assert sign * end <= by_solver + 1.5e-3
            assert sign * end >= by_solver - 1e-5


def extreme_share(draw, d, sign, limit, start):
    capacity, r, density = draw.capacity, draw.exposure[0], draw.density[0]

    def loss(x):
        y, z = np.split(x, 2)
        rest = np.exp(-r) * capacity * -np.expm1(-r * z / capacity)
        gain = density @ (-np.expm1(-r) * y + rest)
        return np.exp(draw.log_level[0] - draw.beta[0] * np.log(gain))

    y = np.minimum(start, capacity)
    solution = minimize(
        lambda x: sign * (x[d] + x[6 + d]),
        np.concatenate([y, start - y]),
        bounds=[(0, c) for c in capacity] + [(0, 1)] * 6,
        constraints=[
            {"type": "eq", "fun": lambda x: x.sum() - 1},
            {"type": "ineq", "fun": lambda x: 100 * (limit - loss(x))},
        ],
        method="SLSQP",
        options={"ftol": 1e-10, "maxiter": 500},
    )
    assert solution.success
    return solution.x[d] + solution.x[6 + d]


def test_everything_shown_is_equivalent_and_in_the_set(six_buckets):
    free = RecipeSet.free(six_buckets)
    best = least_mean(six_buckets, free).recipe
    found = equivalent_set(six_buckets, free, settings=EquivalentSettings(examples=7))
    recipes = as_arrays(found)
    assert len(recipes) == 7
    assert free.contains(recipes, 1e-9).all()
    loss, reference = six_buckets.loss(recipes), six_buckets.loss(best)
    np.testing.assert_array_less(0.9 - 1e-9, six_buckets.mean(loss <= 1.001 * reference + 1e-12))
    for example, gap in zip(found.examples, six_buckets.mean(loss - reference), strict=True):
        assert example.loss_gap.value == pytest.approx(gap)
        assert example.probability.value >= 0.9 - 1e-9
    apart = np.abs(recipes[:, None] - recipes[None]).sum(axis=-1) / 2
    assert apart[np.triu_indices(7, 1)].min() > 0.02
    low, high = ends(found)
    assert (recipes >= low - 1e-12).all()
    assert (recipes <= high + 1e-12).all()


def test_a_wider_tolerance_only_adds(six_buckets):
    free = RecipeSet.free(six_buckets)
    narrow, wide = (
        equivalent_set(six_buckets, free, settings=EquivalentSettings(epsilon=e))
        for e in (1e-4, 1e-3)
    )
    assert (ends(wide)[0] <= ends(narrow)[0] + 1e-9).all()
    assert (ends(wide)[1] >= ends(narrow)[1] - 1e-9).all()


def test_no_tolerance_leaves_the_best_and_a_boundless_one_leaves_the_set(two_forms):
    free = RecipeSet.free(two_forms)
    best = least_mean(two_forms, free).recipe
    none = equivalent_set(two_forms, free, settings=EquivalentSettings(epsilon=0.0))
    np.testing.assert_allclose(ends(none), [best, best], atol=2e-3)
    everything = equivalent_set(two_forms, free, settings=EquivalentSettings(epsilon=10.0))
    np.testing.assert_allclose(ends(everything), [[0, 0, 0], [1, 1, 1]], atol=1e-9)
    assert everything.fraction.value == 1.0


def test_a_bucket_without_tokens_gets_none(six_buckets):
    draws = replace(six_buckets, capacity=np.array([0.0, 0.3, 0.4, 0.0, 0.2, 0.1]))
    found = equivalent_set(draws, RecipeSet.free(draws))
    assert found.ranges["a"] == found.ranges["d"] == (0.0, 0.0)
    for example in found.examples:
        assert np.isfinite(list(example.repetition.values())).all()
    assert found.fraction.se > 0


def test_caps_hold(two_forms):
    capped = replace(RecipeSet.free(two_forms), cap=np.array([0.4, 0.5, 1.0]))
    found = equivalent_set(two_forms, capped, settings=EquivalentSettings(epsilon=0.01))
    assert (ends(found)[1][:2] <= np.array([0.4, 0.5]) + 1e-9).all()
    assert capped.contains(as_arrays(found), 1e-9).all()


SETS = {
    "at most two buckets": {"max_buckets": 2},
    "none or at least": {"min_if_used": np.array([0.35, 0.0, 0.25])},
    "ordered": {"ordering": "shares"},
    "near today's": {"reference": np.array([0.3, 0.4, 0.3]), "kl_max": 0.08},
    "mean repetition": {"max_mean_repetition": 1.5},
    "dear": {"price": np.array([3.0, 1.0, 0.5]), "budget": 1.3},
}


@pytest.mark.parametrize("kind", SETS)
def test_ranges_over_constrained_sets_against_a_grid(two_forms, grid, kind):
    """Non-convex ones too, in pieces; slender corners fall between the points of the grid."""
    allowed = replace(RecipeSet.free(two_forms), **SETS[kind])
    best = least_mean(two_forms, allowed).recipe
    found = equivalent_set(two_forms, allowed, settings=EquivalentSettings(epsilon=0.004))
    fine = grid[allowed.contains(grid, 1e-9)]
    within = two_forms.loss(fine) <= 1.004 * two_forms.loss(best)
    members = fine[two_forms.mean(within) >= 0.9]
    low, high = ends(found)
    assert len(members) > 3
    assert (low <= members.min(axis=0) + 1e-3).all()
    assert (high >= members.max(axis=0) - 1e-3).all()
    assert (low >= members.min(axis=0) - 0.03).all()
    assert (high <= members.max(axis=0) + 0.03).all()
    assert allowed.contains(as_arrays(found), 1e-6).all()


def test_gradient_by_differences(two_forms):
    rng = np.random.default_rng(0)
    for recipe in rng.dirichlet(np.ones(3), 5):
        step = 1e-6 * np.eye(3)
        numeric = (two_forms.loss(recipe + step) - two_forms.loss(recipe - step)) / 2e-6
        np.testing.assert_allclose(loss_gradient(two_forms, recipe), numeric.T, rtol=1e-5)


def test_lines_from_the_best_recipe_leave_once(two_forms):
    """Star-shaped: along a line the probability only falls, and `reach` is where it crosses."""
    best = least_mean(two_forms, RecipeSet.free(two_forms)).recipe
    members = membership(two_forms, best, 1e-3, 0.9)
    targets = np.random.default_rng(1).dirichlet(np.ones(3), 6)
    t = np.linspace(0, 1, 101)[:, None]
    for target, end in zip(targets, members.reach(best, targets), strict=True):
        probability = members.probability(best + t * (target - best))
        assert (np.diff(probability) <= 1e-12).all()
        assert members.holds(end[None])[0]
        beyond = end + 2e-5 * (target - best)
        assert not members.holds(beyond[None])[0]


def test_the_set_and_settings_are_told_plainly(two_forms):
    found = equivalent_set(two_forms, RecipeSet.free(two_forms)).to_dict()
    assert found["ranges"].keys() == found["best"].keys() == set("abc")
    assert found["ranges"]["a"]["lo"] < found["best"]["a"] < found["ranges"]["a"]["hi"]
    capped = replace(RecipeSet.free(two_forms), cap=np.array([0.4, 0.5, 1.0]))
    with pytest.raises(InputError, match="best: must lie in the recipe set"):
        equivalent_set(two_forms, capped, best=np.array([0.5, 0.5, 0.0]))
    for field, value in (("epsilon", -1.0), ("prob", 0.0), ("examples", 0)):
        with pytest.raises(InputError, match=f"{field}: must"):
            EquivalentSettings(**{field: value})
