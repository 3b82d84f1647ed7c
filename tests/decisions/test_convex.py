"""Certified optima over recipe sets: against brute force, scipy, closed forms and each other."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.optimize import minimize

from bayes_infolaw.decisions.convex import draw_optima, least_cvar, least_mean
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.tail_optimum import cvar
from bayes_infolaw.errors import InfeasibleError, InputError
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.certificate import GAP_TOLERANCE
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.recipes.optima import optimal_recipes

from .set_cases import CONVEX, NON_CONVEX, random_draws, random_set

MIXED = (
    ("ordered", "caps", "floors"),
    ("ordered repetition", "divergence"),
    ("floors", "repetition", "mean repetition", "budget"),
    ("divergence", "variation", "caps"),
    ("ordered", "divergence", "mean repetition", "repetition"),
    ("few buckets", "caps", "budget"),
    ("unique budget", "none or at least", "divergence"),
)
EVERY = [*((kind,) for kind in CONVEX | NON_CONVEX), *MIXED]
named = partial(pytest.mark.parametrize, "kinds", ids=" + ".join)


def law_of(draws):
    """The same draws as a target of `recipes`, whose solvers weigh all alike."""
    return LawAtTarget(
        buckets=draws.buckets,
        source=draws.capacity * draws.tokens,
        tokens=draws.tokens,
        token_unit=draws.tokens,
        density=draws.density,
        rate=draws.exposure,
        normaliser=np.ones(len(draws)),
        log_alpha=draws.log_level,
        beta=draws.beta,
        irreducible=draws.irreducible,
    )


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_free_and_ordered_agree_with_the_solvers_of_recipes(seed, ordered):
    rng = np.random.default_rng([1, seed])
    draws = random_draws(rng, int(rng.integers(2, 8)), 60, extreme=seed % 2 == 1)
    draws = replace(draws, weight=np.full(60, 1 / 60))
    allowed = replace(RecipeSet.free(draws), ordering="shares" if ordered else None)
    theirs = optimal_recipes(law_of(draws), ordered=ordered)
    ours = draw_optima(draws, allowed)
    at_theirs = np.array([draws.loss(w)[j] for j, w in enumerate(theirs.recipes)])
    np.testing.assert_allclose(ours.loss, at_theirs, rtol=3e-9)
    mean = expected_loss_recipe(law_of(draws), ordered=ordered)
    assert least_mean(draws, allowed).value == pytest.approx(mean.expected_loss, rel=1e-9)


@named(argvalues=EVERY)
def test_no_recipe_of_the_set_beats_the_optima(kinds):
    rng = np.random.default_rng([2, len(kinds), EVERY.index(kinds)])
    extreme = EVERY.index(kinds) % 2 == 1
    draws = random_draws(rng, int(rng.integers(3, 7)), 40, extreme=extreme)
    allowed = random_set(rng, draws, kinds)
    own, mean = draw_optima(draws, allowed), least_mean(draws, allowed)
    tail = least_cvar(draws, allowed, 0.2)
    assert allowed.contains(np.array([*own.recipes, mean.recipe, tail.recipe])).all()
    assert max(own.relative_gap.max(), mean.relative_gap, tail.relative_gap) < GAP_TOLERANCE
    np.testing.assert_allclose(
        own.loss, [draws.loss(w)[j] for j, w in enumerate(own.recipes)], rtol=1e-12
    )
    rivals = allowed.random(1000, 3)
    loss = draws.loss(np.concatenate([rivals, own.recipes, mean.recipe[None]]))
    assert (loss.min(axis=0) >= own.loss * (1 - GAP_TOLERANCE)).all()
    assert (loss @ draws.weight).min() >= mean.value * (1 - GAP_TOLERANCE)
    worst = min(cvar(row, draws.weight, 0.2) for row in loss)
    assert worst >= tail.value * (1 - GAP_TOLERANCE)


def scipy_constraints(allowed):
    """The convex constraints as SLSQP takes them, written out from their definitions."""
    c, rows = allowed.capacity, [{"type": "eq", "fun": lambda w: w.sum() - 1}]

    def add(fun):
        rows.append({"type": "ineq", "fun": fun})

    if allowed.ordering == "shares":
        add(lambda w: w[:-1] - w[1:])
    if allowed.ordering == "repetition":
        add(lambda w: (w / c)[:-1] - (w / c)[1:])
    if allowed.budget is not None:
        add(lambda w: allowed.budget - allowed.price @ w)
    if allowed.max_mean_repetition is not None:
        add(lambda w: np.minimum(w, c).sum() - 1 / allowed.max_mean_repetition)
    if allowed.kl_max is not None:
        q = allowed.reference
        add(lambda w: allowed.kl_max - np.sum(w * np.log(np.maximum(w, 1e-300) / q)))
    if allowed.tv_max is not None:
        add(lambda w: allowed.tv_max - np.abs(w - allowed.reference).sum() / 2)
    return rows


def scipy_minimum(objective, allowed, starts):
    """Best of SLSQP from several starts; only answers that lie in the set count."""
    bounds = list(zip(allowed.lower, allowed.upper, strict=True))
    rules = scipy_constraints(allowed)
    best = np.inf
    for start in starts:
        with np.errstate(all="ignore"):
            found = minimize(
                objective, start, bounds=bounds, constraints=rules, method="SLSQP",
                options={"ftol": 1e-14, "maxiter": 300},
            )  # fmt: skip
        if allowed.contains(found.x, 1e-7)[0]:
            best = min(best, float(objective(found.x)))
    return best


@named(argvalues=[kinds for kinds in EVERY if not set(kinds) & set(NON_CONVEX)])
def test_scipy_finds_the_same_optima(kinds):
    rng = np.random.default_rng([4, EVERY.index(kinds)])
    draws = random_draws(rng, 4, 5)
    allowed = random_set(rng, draws, kinds)
    starts = allowed.random(3, 1)
    mean = least_mean(draws, allowed)
    theirs = scipy_minimum(lambda w: draws.loss(w) @ draws.weight, allowed, starts)
    assert theirs == pytest.approx(mean.value, rel=2e-5)
    assert theirs >= mean.value * (1 - 1e-7)
    own = draw_optima(draws, allowed)
    for j in range(2):
        theirs = scipy_minimum(lambda w, j=j: draws.loss(w)[j], allowed, starts)
        assert theirs == pytest.approx(own.loss[j], rel=5e-5)
        assert theirs >= own.loss[j] * (1 - 1e-7)


@named(argvalues=[(kind,) for kind in CONVEX | NON_CONVEX])
def test_a_fine_grid_comes_as_near_as_its_step(kinds):
    rng = np.random.default_rng([5, EVERY.index(kinds)])
    draws = random_draws(rng, 3, 30)
    allowed = random_set(rng, draws, kinds)
    steps = np.arange(401)
    i, j = np.meshgrid(steps, steps)
    grid = np.column_stack([i[i + j <= 400], j[i + j <= 400]]) / 400
    grid = np.column_stack([grid, 1 - grid.sum(axis=1)])
    grid = grid[allowed.contains(grid, 2.5e-3)]
    loss = draws.loss(grid)
    own, mean = draw_optima(draws, allowed), least_mean(draws, allowed)
    tail = least_cvar(draws, allowed, 0.3)
    # Grid points may violate a constraint by a step, and lie a step from the optimum.
    slack = 4e-3
    np.testing.assert_allclose(loss.min(axis=0), own.loss, rtol=slack)
    assert (loss @ draws.weight).min() == pytest.approx(mean.value, rel=slack)
    best = min(cvar(row, draws.weight, 0.3) for row in loss)
    assert best == pytest.approx(tail.value, rel=slack)


def test_cvar_is_its_definition():
    rng = np.random.default_rng(6)
    loss, weight = rng.normal(size=30), rng.dirichlet(np.ones(30))
    for tail in (0.01, 0.2, 0.77, 1.0):
        by_definition = min(t + weight @ np.maximum(loss - t, 0) / tail for t in loss)
        assert cvar(loss, weight, tail) == pytest.approx(by_definition, rel=1e-12)
    assert cvar(loss, weight, 1.0) == pytest.approx(weight @ loss, rel=1e-12)
    assert cvar(loss, weight, 1e-9) == pytest.approx(loss.max(), rel=1e-12)


def test_cvar_runs_from_the_mean_to_the_worst_draw(two_forms):
    free = RecipeSet.free(two_forms)
    mean = least_mean(two_forms, free)
    values = [least_cvar(two_forms, free, tail).value for tail in (1.0, 0.5, 0.1, 0.01, 1e-6)]
    assert values[0] == mean.value
    assert np.all(np.diff(values) > 0)
    worst = min(two_forms.loss(w).max() for w in free.random(3000, 1))
    assert values[-1] == pytest.approx(worst, rel=1e-3)
    assert values[-1] <= worst


def test_weights_count_as_repeated_draws(one_form):
    some = one_form.take(np.arange(6))
    repeated = one_form.take(np.repeat(np.arange(6), [1, 2, 3, 1, 1, 2]))
    repeated = replace(repeated, weight=np.full(10, 0.1))
    weighted = replace(some, weight=np.array([1, 2, 3, 1, 1, 2]) / 10)
    free = RecipeSet.free(some)
    for search in (least_mean, partial(least_cvar, tail=0.25)):
        one, other = search(weighted, free), search(repeated, free)
        assert one.value == pytest.approx(other.value, rel=1e-8)


def test_sets_without_an_interior(six_buckets):
    free, d = RecipeSet.free(six_buckets), 6
    even = np.full(d, 1 / d)
    point = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    for allowed, recipe in (
        (replace(free, floor=point, cap=point), point),
        (replace(free, reference=point, kl_max=0.0), point),
        (replace(free, reference=point, tv_max=0.0), point),
        (replace(free, ordering="shares", cap=even), even),
        (replace(free, ordering="shares", floor=np.append(np.zeros(d - 1), 1 / d)), even),
    ):
        np.testing.assert_allclose(least_mean(six_buckets, allowed).recipe, recipe, atol=1e-9)
        own = draw_optima(six_buckets, allowed).recipes
        np.testing.assert_allclose(own, np.repeat(recipe[None], 400, axis=0), atol=1e-9)


def test_a_budget_that_only_an_edge_meets(six_buckets):
    """The price's least value: two buckets share it, and the set is the segment between them."""
    price = np.array([3.0, 2.0, 1.0, 1.0, 2.0, 3.0])
    allowed = replace(RecipeSet.free(six_buckets), price=price, budget=1.0)
    found = least_mean(six_buckets, allowed)
    assert found.recipe[[0, 1, 4, 5]].max() <= 1e-9
    segment = np.zeros((1_001, 6))
    segment[:, 2] = np.linspace(0, 1, len(segment))
    segment[:, 3] = 1 - segment[:, 2]
    best = (six_buckets.loss(segment) @ six_buckets.weight).min()
    assert found.value == pytest.approx(best, rel=1e-6)
    assert found.value <= best


def test_pieces_are_searched_to_the_same_end_as_one_by_one():
    rng = np.random.default_rng(8)
    draws = random_draws(rng, 6, 40)
    allowed = random_set(rng, draws, ("few buckets", "none or at least", "unique budget"))
    pieces = list(allowed.pieces())
    assert len(pieces) > 5
    by_hand = min(least_mean(draws, piece).value for piece in pieces)
    assert least_mean(draws, allowed).value == pytest.approx(by_hand, rel=1e-10)
    by_hand = min(least_cvar(draws, piece, 0.2).value for piece in pieces)
    assert least_cvar(draws, allowed, 0.2).value == pytest.approx(by_hand, rel=1e-10)
    by_hand = np.min([draw_optima(draws, piece).loss for piece in pieces], axis=0)
    np.testing.assert_allclose(draw_optima(draws, allowed).loss, by_hand, rtol=1e-9)


def test_a_bucket_without_tokens_gets_nothing(six_buckets):
    draws = replace(six_buckets, capacity=six_buckets.capacity * [1, 0, 1, 1, 0, 1])
    caps = replace(RecipeSet.free(draws), cap=np.full(6, 0.4))
    for recipe in (*draw_optima(draws, caps).recipes, least_mean(draws, caps).recipe):
        assert recipe[[1, 4]].tolist() == [0.0, 0.0]
    ordered = replace(RecipeSet.free(draws), ordering="shares")
    np.testing.assert_allclose(least_mean(draws, ordered).recipe, np.eye(6)[0], atol=1e-12)


def test_an_empty_set_and_a_bad_tail_are_errors(one_form):
    empty = replace(RecipeSet.free(one_form), floor=np.array([0.6, 0.6, 0.0]))
    for search in (draw_optima, least_mean, partial(least_cvar, tail=0.1)):
        with pytest.raises(InfeasibleError, match=r"floor of 'a' 0\.6; floor of 'b' 0\.6"):
            search(one_form, empty)
    with pytest.raises(InputError, match=r"tail must lie in \(0, 1\], got 0"):
        least_cvar(one_form, empty, 0)


@pytest.mark.slow
def test_optima_of_many_random_sets_are_certified():
    rng = np.random.default_rng(9)
    kinds = list(CONVEX)
    for _ in range(150):
        draws = random_draws(rng, int(rng.integers(2, 8)), 40, extreme=rng.random() < 0.5)
        chosen = [kind for kind in kinds if rng.random() < 0.3]
        if {"ordered", "ordered repetition"} <= set(chosen):
            chosen.remove("ordered")
        allowed = random_set(rng, draws, tuple(chosen))
        own = draw_optima(draws, allowed)
        mean, tail = least_mean(draws, allowed), least_cvar(draws, allowed, 0.1)
        assert draws.mean(own.loss) <= mean.value * (1 + 1e-12)
        assert mean.value <= tail.value


@pytest.mark.parametrize("seed", range(4))
def test_closed_form_between_bounds_agrees_with_the_interior_point_method(seed):
    """A divergence limit that never binds sends the same set to the other solver."""
    rng = np.random.default_rng([10, seed])
    n_buckets = int(rng.integers(2, 8))
    draws = random_draws(rng, n_buckets, 200, extreme=seed % 2 == 1)
    boxed = random_set(rng, draws, ("floors", "caps"))
    even = np.full(n_buckets, 1 / n_buckets)
    curved = replace(boxed, reference=even, kl_max=5.0)
    closed, iterated = draw_optima(draws, boxed), draw_optima(draws, curved)
    np.testing.assert_allclose(closed.loss, iterated.loss, rtol=3e-9)
    assert np.median(closed.relative_gap) < 1e-13
