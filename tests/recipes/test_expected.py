"""One recipe for all draws: least mean loss, certified; for one draw the draw's own optimum."""

import dataclasses

import numpy as np
import pytest
from scipy.optimize import linprog

from bayes_infolaw.recipes.expected import _weighted_gram, expected_loss_recipe
from bayes_infolaw.recipes.optima import optimal_recipes


def repeated_draws(target, n_draws):
    fields = ("density", "rate", "normaliser", "log_alpha", "beta", "irreducible")
    return dataclasses.replace(
        target, **{f: np.repeat(getattr(target, f), n_draws, axis=0) for f in fields}
    )


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n_buckets", [1, 2, 3, 6, 12, 64])
def test_gap_on_extreme_posteriors(random_target, n_buckets, ordered):
    rng = np.random.default_rng(n_buckets)
    for problem in range(12):
        n_draws = (2, 30, 300)[problem % 3]
        target = random_target(rng, n_buckets, n_draws, extreme=True, at_kink=problem % 2 == 0)
        best = expected_loss_recipe(target, ordered=ordered)
        assert best.relative_gap < 5e-9
        assert (best.recipe >= 0).all()
        assert abs(best.recipe.sum() - 1) < 1e-14
        assert not ordered or (np.diff(best.recipe) <= 0).all()
        assert best.expected_loss == pytest.approx(target.loss(best.recipe).mean(), rel=1e-13)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("n_buckets", [1, 2, 6, 12])
def test_one_draw_is_its_own_optimum(random_target, n_buckets, ordered):
    """The closed form, and the many-draw program given the same draw three times."""
    rng = np.random.default_rng(40 + n_buckets)
    for _ in range(5):
        target = random_target(rng, n_buckets)
        own = optimal_recipes(target, ordered=ordered).recipes[0]
        single = expected_loss_recipe(target, ordered=ordered)
        thrice = expected_loss_recipe(repeated_draws(target, 3), ordered=ordered)
        np.testing.assert_array_equal(single.recipe, own)
        np.testing.assert_allclose(thrice.recipe, own, atol=1e-6)
        assert thrice.expected_loss == pytest.approx(single.expected_loss, rel=1e-12)


@pytest.mark.parametrize("ordered", [False, True])
def test_not_worse_than_random_recipes_or_any_draws_optimum(posterior_target, ordered):
    rng = np.random.default_rng(5)
    best = expected_loss_recipe(posterior_target, ordered=ordered)
    search = rng.dirichlet(np.full(6, 0.5), 20_000)
    search = -np.sort(-search, axis=1) if ordered else search
    own = optimal_recipes(posterior_target, ordered=ordered).recipes
    near = 0.99 * best.recipe + 0.01 * search[:1000]
    near = -np.sort(-near, axis=1) if ordered else near
    for recipes in (search[:5000], own, near):
        assert posterior_target.loss(recipes).mean(axis=1).min() >= best.expected_loss * (1 - 1e-14)


@pytest.mark.parametrize("ordered", [False, True])
def test_gap_agrees_with_a_linear_program(posterior_target, ordered):
    """The Frank-Wolfe gap by HiGHS with numerical slopes, against the certificate's claim."""
    target, n = posterior_target, 6
    best = expected_loss_recipe(target, ordered=ordered)
    capacity = target.source / target.tokens
    step = 1e-6

    def slope(d, sign):
        moved = best.recipe.copy()
        moved[d] += sign * step  # information does not need the shares to sum to one
        return sign * (target.loss(moved).mean() - target.loss(best.recipe).mean()) / step

    above = np.array([slope(d, 1) for d in range(n)])
    below = np.array([slope(d, -1) if best.recipe[d] > step else above[d] for d in range(n)])
    full = best.recipe >= capacity - 1e-9
    slopes = np.concatenate([np.where(full, np.minimum(below, above), above), above])
    falls = np.diff(np.hstack([np.eye(n), np.eye(n)]), axis=0)
    solved = linprog(
        slopes,
        A_ub=falls if ordered else None,
        b_ub=np.zeros(n - 1) if ordered else None,
        A_eq=np.ones((1, 2 * n)),
        b_eq=[1.0],
        bounds=[(0, c) for c in capacity] + [(0, 1)] * n,
    )
    y = np.minimum(best.recipe, capacity)
    gap = slopes @ np.concatenate([y, best.recipe - y]) - solved.fun
    assert gap < 1e-6 * best.expected_loss


def test_hedges_between_disagreeing_draws(posterior_target):
    """The one recipe loses to each draw's own, but least on average."""
    best = expected_loss_recipe(posterior_target)
    own = optimal_recipes(posterior_target)
    assert (posterior_target.information(best.recipe) <= own.information * (1 + 1e-12)).all()
    spread = own.recipes.std(axis=0)
    assert (np.abs(best.recipe - own.recipes.mean(axis=0)) < spread + 1e-9).all()


@pytest.mark.parametrize(("n_draws", "n_buckets"), [(1, 3), (7, 128), (5000, 12), (100, 600)])
def test_weighted_gram_in_pieces(n_draws, n_buckets):
    rng = np.random.default_rng(0)
    rows, weight = rng.normal(size=(n_draws, n_buckets)), rng.uniform(size=n_draws)
    whole = np.einsum("j,ja,jb->ab", weight, rows, rows, optimize=True)
    np.testing.assert_allclose(_weighted_gram(rows, weight), whole, atol=1e-10)
