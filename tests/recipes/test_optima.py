"""Every draw's optimum: certified, better than search and SLSQP, and shaped as theory says."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from bayes_infolaw.errors import InfeasibleError
from bayes_infolaw.recipes.optima import optimal_recipes

SIZES = (1, 2, 3, 6, 12, 30, 64)


def assert_feasible(recipes, ordered):
    assert (recipes >= 0).all()
    np.testing.assert_allclose(recipes.sum(axis=1), 1.0, rtol=0, atol=1e-14)
    if ordered:
        assert (np.diff(recipes, axis=1) <= 0).all()


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n_buckets", SIZES)
def test_gap_on_thousands_of_extreme_draws(random_target, n_buckets, ordered):
    rng = np.random.default_rng(n_buckets)
    worst = 0.0
    for problem in range(10):
        target = random_target(rng, n_buckets, 250, extreme=True, at_kink=problem % 2 == 0)
        optima = optimal_recipes(target, ordered=ordered)
        assert_feasible(optima.recipes, ordered)
        worst = max(worst, optima.relative_gap.max())
    assert worst < 5e-9 if ordered else worst < 1e-13


def slsqp(target, ordered, rng):
    """Best information of SLSQP over the smooth split w = y + z from several starts."""
    n, capacity = len(target.buckets), target.source / target.tokens
    density, r = target.density[0], target.rate[0] / target.normaliser[0]

    def loss(x):
        y, z = x[:n], x[n:]
        kept = np.exp(-r * np.minimum(z / capacity, 700.0))
        gain = density * (-np.expm1(-r) * y + np.exp(-r) * capacity * (1 - kept))
        slope = np.concatenate([density * -np.expm1(-r), density * np.exp(-r) * r * kept])
        return -gain.sum(), -slope

    total = {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: np.ones(2 * n)}
    falls = -np.diff(np.hstack([np.eye(n), np.eye(n)]), axis=0)
    order = {"type": "ineq", "fun": lambda x: falls @ x, "jac": lambda x: falls}
    bounds = [(0, c) for c in capacity] + [(0, 1)] * n
    best = 0.0
    for _ in range(3):
        start = -np.sort(-rng.dirichlet(np.ones(n)))
        y = np.minimum(start, capacity)
        constraints = [total, order] if ordered and n > 1 else [total]
        found = minimize(
            loss,
            np.concatenate([y, start - y]),
            jac=True,
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-13},
        )
        recipe = np.clip(found.x[:n] + found.x[n:], 0, None)
        recipe = np.minimum.accumulate(recipe) if ordered else recipe
        best = max(best, float(target.information(recipe / recipe.sum())[0]))
    return best


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n_buckets", [1, 2, 3, 6])
def test_agrees_with_slsqp(random_target, n_buckets, ordered):
    rng = np.random.default_rng(100 + n_buckets)
    for _ in range(6):
        target = random_target(rng, n_buckets)
        ours = optimal_recipes(target, ordered=ordered).information[0]
        theirs = slsqp(target, ordered, rng)
        assert ours >= theirs * (1 - 1e-12)
        assert theirs >= ours * (1 - 1e-5)


def linear_bound(target, ordered):
    """Information of a linear program whose buckets lie above the law: 400 tangents each."""
    n, capacity = len(target.buckets), target.source / target.tokens
    density, r = target.density[0], target.rate[0] / target.normaliser[0]
    at = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 399)])  # shares beyond the kink
    above, below, largest = [], [], []
    for d in range(n):
        kept = np.exp(-r * (1 + at / capacity[d]))
        slope = np.concatenate([[density[d] * -np.expm1(-r)], density[d] * r * kept])
        level = density[d] * capacity[d] * (1 - kept) - slope[1:] * (capacity[d] + at)
        rows = np.zeros((len(slope), 2 * n))
        rows[:, d], rows[:, n + d] = -slope, 1.0
        above.append(rows)
        below.append(np.concatenate([[0.0], level]))
        largest.append((0, None))
    order = np.hstack([-np.eye(n)[:-1] + np.eye(n)[1:], np.zeros((n - 1, n))])
    upper = np.vstack(above + ([order] if ordered else []))
    limits = np.concatenate([*below, np.zeros(n - 1 if ordered else 0)])
    solved = linprog(
        np.concatenate([np.zeros(n), -np.ones(n)]),
        A_ub=upper,
        b_ub=limits,
        A_eq=np.concatenate([np.ones(n), np.zeros(n)])[None],
        b_eq=[1.0],
        bounds=largest + largest,
    )
    return -solved.fun * target.normaliser[0] * target.tokens / target.token_unit


@pytest.mark.parametrize("ordered", [False, True])
def test_agrees_with_a_linear_program_from_above(random_target, ordered):
    rng = np.random.default_rng(13)
    for n_buckets in (3, 12, 12, 30):
        target = random_target(rng, n_buckets)
        ours = optimal_recipes(target, ordered=ordered).information[0]
        bound = linear_bound(target, ordered)
        assert bound * (1 - 1e-3) <= ours <= bound * (1 + 1e-6)


@pytest.mark.parametrize("ordered", [False, True])
def test_never_worse_than_100_000_random_recipes(random_target, ordered):
    rng = np.random.default_rng(3)
    for n_buckets in (2, 3, 6):
        target = random_target(rng, n_buckets, extreme=True)
        recipes = rng.dirichlet(np.full(n_buckets, 0.7), 100_000)
        recipes = -np.sort(-recipes, axis=1) if ordered else recipes
        best = target.information(recipes).max()
        assert optimal_recipes(target, ordered=ordered).information[0] >= best * (1 - 1e-14)


@pytest.mark.parametrize("ordered", [False, True])
def test_information_is_that_of_the_recipe(random_target, ordered):
    target = random_target(np.random.default_rng(4), 6, 20)
    optima = optimal_recipes(target, ordered=ordered)
    own = np.diag(target.information(optima.recipes))
    np.testing.assert_allclose(optima.information, own, rtol=1e-13)


def test_free_optimum_is_water_filling(random_target):
    """Exhausted buckets have T_d = T_0 - d theta l / lambda and at most one is partly used."""
    rng = np.random.default_rng(5)
    for _ in range(30):
        target = random_target(rng, 6)
        packed = optimal_recipes(target).recipes[0] * target.tokens
        repetition = packed / target.source
        theta = -np.log(target.density[0, 1])
        step = theta * target.normaliser[0] / target.rate[0]
        exhausted = repetition > 1 + 1e-9
        expected = repetition[0] - np.arange(6) * step
        np.testing.assert_allclose(repetition[exhausted], expected[exhausted], rtol=1e-9)
        assert ((repetition > 1e-12) & (repetition < 1 - 1e-9)).sum() <= 1
        assert (np.diff(repetition) <= 1e-12).all()


def test_ordering_only_costs_information(random_target):
    rng, costly = np.random.default_rng(6), 0
    for problem in range(10):
        target = random_target(rng, 6, 100, extreme=True, at_kink=problem % 2 == 0)
        free, ordered = optimal_recipes(target), optimal_recipes(target, ordered=True)
        assert (ordered.information <= free.information * (1 + 1e-14)).all()
        already = (np.diff(free.recipes, axis=1) <= 0).all(axis=1)
        np.testing.assert_array_equal(ordered.recipes[already], free.recipes[already])
        loses = ordered.information < free.information * (1 - 1e-9)
        assert not loses[already].any()
        costly += loses.sum()
    assert costly > 100


def test_kink_is_hit_exactly(random_target):
    """K = s_0 + s_1 with a steep density: two buckets once, nothing else."""
    target = random_target(np.random.default_rng(7), 4)
    source = np.array([2.0, 1.0, 3.0, 4.0]) * 1e11
    density = np.exp(-2.0 * np.arange(4))[None]
    ones = np.ones(1)
    target = dataclasses.replace(
        target, source=source, tokens=3e11, density=density, rate=4.0 * ones, normaliser=ones
    )
    for ordered in (False, True):
        recipe = optimal_recipes(target, ordered=ordered).recipes[0]
        np.testing.assert_allclose(recipe, [2 / 3, 1 / 3, 0, 0], rtol=0, atol=1e-15)


def test_equal_densities_are_filled_one_after_the_other(random_target):
    target = random_target(np.random.default_rng(8), 3)
    source = np.array([1.0, 1.0, 1.0]) * 1e11
    target = dataclasses.replace(target, source=source, tokens=1.5e11, density=np.ones((1, 3)))
    np.testing.assert_allclose(optimal_recipes(target).recipes[0], [2 / 3, 1 / 3, 0], atol=1e-15)


def test_a_bucket_without_tokens_gets_no_share(random_target):
    target = random_target(np.random.default_rng(9), 4, 5)
    source = target.source.copy()
    source[1] = 0.0
    target = dataclasses.replace(target, source=source)
    assert (optimal_recipes(target).recipes[:, 1] == 0).all()
    np.testing.assert_array_equal(optimal_recipes(target, ordered=True).recipes, np.eye(4)[[0] * 5])


def test_no_packable_bucket_is_an_error(random_target):
    target = random_target(np.random.default_rng(10), 2)
    empty_best = dataclasses.replace(target, source=np.array([0.0, 1e9]))
    np.testing.assert_array_equal(optimal_recipes(empty_best).recipes, [[0.0, 1.0]])
    with pytest.raises(InfeasibleError, match="'bucket 0' has 0 source tokens"):
        optimal_recipes(empty_best, ordered=True)
    with pytest.raises(InfeasibleError, match="every bucket has 0 source tokens"):
        optimal_recipes(dataclasses.replace(target, source=np.zeros(2)))


def test_units_do_not_matter(random_target):
    """Only theta, lambda / l and s / K decide: other units give the same recipe."""
    target = random_target(np.random.default_rng(12), 6, 10)
    scaled = dataclasses.replace(
        target,
        source=target.source / 1e6,
        tokens=target.tokens / 1e6,
        token_unit=1.0,
        rate=7 * target.rate,
        normaliser=7 * target.normaliser,
    )
    for ordered in (False, True):
        ours, other = (optimal_recipes(t, ordered=ordered).recipes for t in (target, scaled))
        np.testing.assert_allclose(ours, other, atol=1e-7)
