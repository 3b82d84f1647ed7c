"""The recipe of largest expected improvement against grids, random search and another optimiser."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from bayes_infolaw.decisions import convex, kernel
from bayes_infolaw.decisions.ascent import ascend, guide_temperature, reweighted
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.improvement import best_improvement, incumbent_losses, maximise
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.starts import Search, best_of_each_part
from bayes_infolaw.errors import InputError

QUICK = Search(parts=3, screened=64)


def make_draws(n, n_buckets=4, seed=0, n_forms=1):
    """Scarce best buckets; a second form is flatter in quality and tires of repetition sooner."""
    rng = np.random.default_rng(seed)
    form = np.sort(np.arange(n) % n_forms)
    steps = np.where(form == 1, 0.5, 0.92) * np.exp(rng.normal(0, 0.12, n))
    exposure = np.where(form == 1, 0.5, 0.18) * np.exp(rng.normal(0, 0.1, n))
    share = np.linspace(0.2, 1.0, n_buckets)
    return TargetDraws(
        buckets=tuple("abcdefgh"[:n_buckets]),
        capacity=0.5 * share / share.sum(),
        tokens=1e12,
        density=np.exp(-steps[:, None] * np.arange(n_buckets)),
        exposure=exposure,
        log_level=rng.normal(1.0, 0.01, n),
        beta=rng.normal(0.05, 0.002, n),
        irreducible=rng.uniform(0, 0.5, n),
        weight=rng.dirichlet(np.full(n, 20.0)),
        form=form,
        forms=("one", "two")[:n_forms],
    )


def incumbents(draws):
    """An even recipe, the recipe of least mean loss (nothing beats it on average), a fixed loss."""
    least = convex.least_mean(draws, RecipeSet.free(draws)).recipe
    even = np.full(len(draws.buckets), 1 / len(draws.buckets))
    return {"even": even, "least": least, "fixed": float(draws.mean(draws.loss(least)))}


def grid(n_buckets, steps):
    """All recipes in steps of 1 / steps."""
    axes = np.meshgrid(*[np.arange(steps + 1)] * (n_buckets - 1), indexing="ij")
    first = np.stack([axis.ravel() for axis in axes], axis=1)
    first = first[first.sum(axis=1) <= steps]
    return np.concatenate([first, steps - first.sum(axis=1, keepdims=True)], axis=1) / steps


@pytest.mark.parametrize("n_forms", [1, 2])
@pytest.mark.parametrize("name", ["even", "least", "fixed"])
def test_no_point_of_a_fine_grid_is_better(name, n_forms):
    draws = make_draws(150, 3, seed=3, n_forms=n_forms)
    losses = incumbent_losses(draws, incumbents(draws)[name])
    found = maximise(draws, RecipeSet.free(draws), losses)
    everywhere = kernel.expected_improvement(draws, grid(3, 200), losses)
    assert found.value >= everywhere.max()
    assert found.value <= 1.01 * everywhere.max()  # the grid is fine: no number out of nowhere
    exact = np.maximum(losses - draws.loss(found.recipe), 0) @ draws.weight
    assert found.value == pytest.approx(exact, rel=1e-12)
    assert exact <= found.upper_bound


@pytest.mark.parametrize("ordering", [None, "shares"])
@pytest.mark.parametrize("name", ["even", "least"])
def test_never_below_the_best_of_many_random_recipes(name, ordering):
    draws = make_draws(300, 6, seed=5, n_forms=2)
    allowed = replace(RecipeSet.free(draws), ordering=ordering)
    losses = incumbent_losses(draws, incumbents(draws)[name])
    found = maximise(draws, allowed, losses, QUICK)
    assert allowed.contains(found.recipe[None])[0]
    random = allowed.random(50_000, 1)
    near = np.random.default_rng(2).dirichlet(1e3 * found.recipe + 1e-3, 20_000)
    for recipes in (random, near[allowed.contains(near)]):
        assert found.value >= kernel.expected_improvement(draws, recipes, losses).max()


def test_caps_and_floors_are_kept_and_used():
    draws = make_draws(200, 4, seed=6, n_forms=2)
    allowed = replace(
        RecipeSet.free(draws),
        floor=np.array([0.0, 0.0, 0.0, 0.1]),
        cap=np.array([0.2, 0.35, 1.0, 1.0]),
    )
    losses = incumbent_losses(draws, np.full(4, 0.25))
    found = maximise(draws, allowed, losses, QUICK)
    all_grid = grid(4, 40)
    kept = all_grid[allowed.contains(all_grid)]
    assert len(kept) > 500
    assert allowed.contains(found.recipe[None])[0]
    best = kernel.expected_improvement(draws, kept, losses).max()
    assert found.value >= best * (1 - 1e-12)  # a corner, which the grid has as well
    free = maximise(draws, RecipeSet.free(draws), losses, QUICK)
    assert free.value > 1.001 * found.value


def test_at_most_two_buckets_against_all_pairs_of_them():
    draws = make_draws(150, 4, seed=7, n_forms=2)
    allowed = replace(RecipeSet.free(draws), max_buckets=2)
    losses = incumbent_losses(draws, np.full(4, 0.25))
    found = maximise(draws, allowed, losses, QUICK)
    share = np.linspace(0, 1, 401)[:, None]
    edges = [share * np.eye(4)[i] + (1 - share) * np.eye(4)[j] for i in range(4) for j in range(i)]
    best = kernel.expected_improvement(draws, np.concatenate(edges), losses).max()
    assert (found.recipe > 1e-9).sum() <= 2
    assert found.value >= best
    assert found.value <= 1.01 * best
    assert best < found.upper_bound


def slsqp(draws, losses, start, temperature):
    """Exact EI that SLSQP reaches by the smoothed logEI's own gradient, on the simplex."""
    n = len(start)

    def negative(w):
        value, slope = kernel.value_and_gradient(
            draws, np.clip(w, 0, None)[None], losses, temperature
        )
        return -value[0], -slope[0]

    sums = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(n)}
    w = minimize(
        negative, start, jac=True, bounds=[(0, 1)] * n, constraints=[sums], method="SLSQP"
    ).x
    w = np.clip(w, 0, None) / np.clip(w, 0, None).sum()
    return kernel.expected_improvement(draws, w[None], losses)[0]


def test_another_optimiser_by_the_gradient_finds_nothing_better():
    draws = make_draws(200, 4, seed=8, n_forms=2)
    losses = incumbent_losses(draws, incumbents(draws)["least"])
    found = maximise(draws, RecipeSet.free(draws), losses)
    begin = np.random.default_rng(0).dirichlet(np.ones(4), 10)
    theirs = [slsqp(draws, losses, start, found.temperature) for start in begin]
    assert max(theirs) <= found.value
    assert max(theirs) >= 0.8 * found.value  # it does climb: the comparison says something


def test_a_climb_never_lowers_and_starts_from_where_nothing_improves():
    draws = make_draws(200, 4, seed=9)
    allowed = RecipeSet.free(draws)
    least = incumbents(draws)["least"]
    losses = incumbent_losses(draws, least)
    temperature = guide_temperature(losses - draws.loss(np.eye(4)), draws.weight)
    for start in (np.eye(4)[3], np.full(4, 0.25), least, *allowed.random(5, 3)):
        before = kernel.expected_improvement(draws, start[None], losses)[0]
        recipe, value = ascend(draws, allowed, losses, start, temperature)
        assert value >= before - 1e-15  # rounding, where a recipe meets itself
        again = kernel.expected_improvement(draws, recipe[None], losses)[0]
        assert value == pytest.approx(again, rel=1e-9)
    start = np.eye(4)[3]
    assert kernel.expected_improvement(draws, start[None], losses)[0] == 0
    assert ascend(draws, allowed, losses, start, temperature)[1] > 0


def test_no_improvement_anywhere_is_a_tie_for_the_least_mean_loss():
    draws = make_draws(100, 4, seed=10)
    allowed = RecipeSet.free(draws)
    unbeatable = float(draws.loss(np.eye(4)).min()) / 2
    told = best_improvement(draws, allowed, unbeatable, QUICK)
    assert told.tie
    assert told.expected_improvement.value == told.chosen_at == told.upper_bound == 0
    assert np.isfinite(told.log_expected_improvement)
    choosing, _ = draws.halves()
    least = convex.least_mean(choosing, allowed).recipe
    np.testing.assert_allclose(list(told.recipe.values()), least, atol=1e-7)


def test_one_draws_own_optimum_beats_itself_by_nothing():
    draws = make_draws(1, 4, seed=11)
    allowed = RecipeSet.free(draws)
    own = convex.draw_optima(draws, allowed).recipes[0]
    assert maximise(draws, allowed, draws.loss(own), QUICK).tie
    even = draws.loss(np.full(4, 0.25))
    found = maximise(draws, allowed, even, QUICK)
    assert found.value == pytest.approx((even - draws.loss(own))[0], rel=1e-9)
    assert found.value == pytest.approx(found.upper_bound, rel=1e-6)


def test_the_half_that_tells_has_no_part_in_the_choice():
    draws = make_draws(120, 4, seed=12)
    _, there = draws.half_positions()
    level = draws.log_level.copy()
    level[there] += np.random.default_rng(0).normal(0.1, 0.3, len(there))
    other = replace(draws, log_level=level)
    allowed = RecipeSet.free(draws)
    first, second = (best_improvement(d, allowed, np.full(4, 0.25), QUICK) for d in (draws, other))
    assert first.recipe == second.recipe
    assert first.chosen_at == second.chosen_at
    assert first.expected_improvement != second.expected_improvement
    telling = draws.halves()[1]
    recipe = np.array(list(first.recipe.values()))
    gain = np.maximum(telling.loss(np.full(4, 0.25)) - telling.loss(recipe), 0)
    assert first.expected_improvement.value == pytest.approx(gain @ telling.weight, rel=1e-12)
    json.dumps(first.to_dict(), allow_nan=False)


def test_the_choosing_half_flatters_and_the_telling_half_does_not():
    """60 posteriors of 30 draws from one population, whose EI for the chosen recipe is known."""
    population = make_draws(4000, 3, seed=13)
    allowed = RecipeSet.free(population)
    incumbent = convex.least_mean(population, allowed).recipe
    rng = np.random.default_rng(14)
    told, chosen = [], []
    for _ in range(60):
        some = population.take(rng.choice(4000, 30, replace=False))
        some = replace(some, weight=np.full(30, 1 / 30))
        found = best_improvement(some, allowed, incumbent, Search(parts=2, screened=16))
        recipe = np.array(list(found.recipe.values()))[None]
        even = replace(population, weight=np.full(4000, 1 / 4000))
        true = kernel.expected_improvement(even, recipe, even.loss(incumbent))[0]
        told.append(found.expected_improvement.value - true)
        chosen.append(found.chosen_at - true)
    error = np.std(told, ddof=1) / np.sqrt(60)
    assert abs(np.mean(told)) < 4 * error
    assert np.mean(chosen) > 4 * np.std(chosen, ddof=1) / np.sqrt(60)


def test_reweighted_draws_leave_out_what_does_not_count():
    draws = make_draws(10)
    factor = np.array([0.0, 1e-20, 2.0, 1.0, 0, 0, 0, 0, 0, 0])
    some = reweighted(draws, factor)
    np.testing.assert_array_equal(some.beta, draws.beta[[2, 3]])
    ratio = 2 * draws.weight[2] / draws.weight[3]
    np.testing.assert_allclose(some.weight, np.array([ratio, 1]) / (ratio + 1), rtol=1e-12)


def test_the_best_of_each_part():
    corners = np.repeat(np.eye(3), 5, axis=0)
    height = np.tile([0.0, 3.0, 1.0, 2.0, -np.inf], 3) + np.repeat([0, 10, 20], 5)
    best = best_of_each_part(corners + 1e-3 * np.tile(np.arange(5), 3)[:, None], height, 3)
    np.testing.assert_allclose(sorted(best.max(axis=1)), [1.001] * 3)


def test_a_guide_has_the_scale_of_the_differences():
    weight = np.full(4, 0.25)
    differences = np.array([[3.0, -3.0, 3.0, -3.0]])
    assert guide_temperature(differences, weight) == pytest.approx(0.15)
    assert guide_temperature(7 * differences, weight) == pytest.approx(1.05)
    assert guide_temperature(0 * differences, weight) > 0


@pytest.mark.parametrize(
    ("incumbent", "n_draws", "message"),
    [
        (np.ones(3), 20, r"incumbent: must have shape \(4,\), got \(3,\)"),
        (np.nan, 20, "incumbent: a fixed loss must be a number > 0, got nan"),
        (np.zeros(4), 20, "incumbent: shares must sum to 1, got 0"),
        (3.0, 1, "needs 2 draws or more of 'one', got 1"),
    ],
)
def test_bad_input_is_named(incumbent, n_draws, message):
    draws = make_draws(n_draws)
    with pytest.raises(InputError, match=message):
        best_improvement(draws, RecipeSet.free(draws), incumbent)


def random_problem(seed):
    """Draws of 2 to 6 buckets (some without tokens), a set of some kind, and an incumbent."""
    rng = np.random.default_rng(seed)
    n_buckets, n = int(rng.integers(2, 7)), int(rng.integers(4, 120))
    capacity = rng.dirichlet(np.ones(n_buckets)) * 10 ** rng.uniform(-1, 1)
    if n_buckets > 2 and seed % 3 == 0:
        capacity[-1] = 0.0
    draws = replace(
        make_draws(n, n_buckets, seed, n_forms=2),
        capacity=capacity,
        density=np.exp(-rng.uniform(0, 2, (n, 1)) * np.arange(n_buckets)),
        exposure=10 ** rng.uniform(-2, 0.5, n),
    )
    even = (capacity > 0) / (capacity > 0).sum()
    kinds = (
        {},
        {"ordering": "shares"},
        {"cap": np.full(n_buckets, max(0.5, 1.2 * even.max()))},
        {"reference": even, "tv_max": 0.3},
        {"max_buckets": 2},
    )
    allowed = replace(RecipeSet.free(draws), **kinds[seed % len(kinds)])
    typical = allowed.random(1, 0)[0]
    return draws, allowed, typical if seed % 2 else float(draws.mean(draws.loss(typical)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_random_problems_against_random_recipes(seed):
    draws, allowed, incumbent = random_problem(seed)
    losses = incumbent_losses(draws, incumbent)
    found = maximise(draws, allowed, losses, QUICK)
    near = np.random.default_rng(seed).dirichlet(300 * found.recipe + 1e-3, 5000)
    for recipes in (allowed.random(5000, 7), near[allowed.contains(near)]):
        rivals = kernel.expected_improvement(draws, recipes, losses)
        assert found.value >= rivals.max(initial=0.0) * (1 - 1e-9)
    assert allowed.contains(found.recipe[None])[0]
    assert found.value <= found.upper_bound * (1 + 1e-9)
