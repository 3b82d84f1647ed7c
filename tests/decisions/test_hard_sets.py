"""Certified optima where sets are nearly points, buckets many, or slopes far apart."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bayes_infolaw.decisions.convex import draw_optima, least_cvar, least_mean
from bayes_infolaw.decisions.dense import SmallSystems
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.mean_optimum import mean_optimum
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.tail_optimum import cvar
from bayes_infolaw.errors import InfeasibleError


def make_draws(rng, n_buckets, n_draws, **changes):
    """Wide draws of many or few buckets: log level of sd 1, beta from 1e-6 to 1."""
    source = rng.dirichlet(np.full(n_buckets, rng.choice([0.3, 1.0, 5.0])))
    step = rng.uniform(0, 2, (n_draws, 1)) * 6 / max(n_buckets, 6)
    fields = {
        "buckets": tuple(f"b{d}" for d in range(n_buckets)),
        "capacity": np.maximum(source, 1e-6) * 10 ** rng.uniform(-1.5, 1),
        "tokens": 1e11,
        "density": np.exp(-step * np.arange(n_buckets)),
        "exposure": 10 ** rng.uniform(-3, 0.3, n_draws),
        "log_level": rng.normal(1.0, rng.choice([0.003, 1.0]), n_draws),
        "beta": rng.choice([1e-6, 0.05, 1.0]) * np.exp(rng.normal(0, 0.1, n_draws)),
        "irreducible": rng.uniform(0, 1, n_draws),
        "weight": rng.dirichlet(np.ones(n_draws)),
        "form": np.zeros(n_draws, dtype=int),
        "forms": ("one",),
    }
    return TargetDraws(**fields | changes)


def answers(draws, allowed):
    """Losses that the three searches reach: of the draws, on average, of the worst fifth."""
    mean, tail = least_mean(draws, allowed), least_cvar(draws, allowed, 0.2)
    return draw_optima(draws, allowed).loss, mean.value, tail.value


@pytest.mark.parametrize("n_buckets", [2, 6, 64])
def test_caps_that_sum_to_one_leave_one_recipe(n_buckets):
    for seed in range(20):
        rng = np.random.default_rng([n_buckets, seed])
        draws = make_draws(rng, n_buckets, 5)
        only = rng.dirichlet(np.ones(n_buckets))  # sums to one but for rounding
        for bounds in ({"cap": only}, {"floor": only}, {"floor": only, "cap": only}):
            allowed = replace(RecipeSet.free(draws), **bounds)
            np.testing.assert_allclose(least_mean(draws, allowed).recipe, only, atol=1e-10)
            own = draw_optima(draws, allowed).recipes
            np.testing.assert_allclose(own, np.repeat(only[None], 5, axis=0), atol=1e-10)


@pytest.mark.parametrize("limit", ["none", "caps", "ordered repetition", "variation"])
def test_buckets_outside_the_set_have_no_say(limit):
    """Six that are 1e-8 as informative as those that cannot be packed: as if there were only six.

    With their density taken from their own best, and the units of information into the level.
    """
    rng = np.random.default_rng(3)
    whole = make_draws(rng, 12, 50, beta=np.full(50, 0.05))
    capacity = np.where(np.arange(12) < 6, 0.0, whole.capacity)
    density = np.where(np.arange(12) < 6, 1.0, 1e-8) * whole.density
    whole = replace(whole, capacity=capacity, density=density)
    scale = whole.density[:, 6:].max(axis=1)
    alone = replace(
        whole,
        buckets=whole.buckets[6:],
        capacity=capacity[6:],
        density=whole.density[:, 6:] / scale[:, None],
        log_level=whole.log_level - whole.beta * np.log(scale),
    )
    even = np.full(6, 1 / 6)
    fields = {
        "none": {},
        "caps": {"cap": np.full(6, 0.3)},
        "ordered repetition": {"ordering": "repetition"},
        "variation": {"reference": even, "tv_max": 0.2},
    }[limit]
    padded = {
        key: np.append(np.zeros(6), value) if isinstance(value, np.ndarray) else value
        for key, value in fields.items()
    }
    theirs = answers(alone, replace(RecipeSet.free(alone), **fields))
    ours = answers(whole, replace(RecipeSet.free(whole), **padded))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)


def test_slopes_at_the_centre_far_above_those_at_the_answer():
    """64 buckets repeated tens of times, beta 3: scaled by the centre alone the gap stays 6e-4."""
    rng = np.random.default_rng(5)
    source = rng.dirichlet(np.full(64, 0.3)) * 0.1
    one = make_draws(rng, 64, 1, capacity=source, exposure=np.array([5.0]), beta=np.array([3.0]))
    free = RecipeSet.free(one)
    recipe, gap = mean_optimum(one, free)
    least = draw_optima(one, free).loss[0]
    assert gap < 1e-6 * least
    assert one.loss(recipe)[0] == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_two_buckets_against_a_line_search(seed):
    rng = np.random.default_rng([6, seed])
    n_draws = int(rng.choice([1, 2, 30]))
    draws = make_draws(rng, 2, n_draws)
    low, high = np.sort(rng.uniform(0, 1, 2))
    allowed = replace(RecipeSet.free(draws), floor=np.array([low, 0]), cap=np.array([high, 1.0]))

    def least(value):
        ends = [draws.capacity[0], 1 - draws.capacity[1], low, high]
        bends = np.unique(np.clip(ends, low, high))  # the loss is smooth between its kinks
        found = [value(np.array([w, 1 - w])) for w in bends]
        for a, b in itertools.pairwise(bends):
            tried = minimize_scalar(
                lambda w: value(np.array([w, 1 - w])),
                bounds=(a, b),
                method="bounded",
                options={"xatol": 1e-12},
            )
            found.append(float(tried.fun))
        return min(found)

    own, mean, tail = answers(draws, allowed)
    assert mean == pytest.approx(least(lambda w: float(draws.mean(draws.loss(w)))), rel=1e-8)
    theirs = least(lambda w: cvar(draws.loss(w), draws.weight, 0.2))
    assert tail == pytest.approx(theirs, rel=1e-8)
    assert own[0] == pytest.approx(least(lambda w: float(draws.loss(w)[0])), rel=1e-8)


def rivals(rng, recipe, allowed, n):
    """Recipes of the set that move a share from one bucket to another."""
    at, (giving, taking) = np.arange(n), rng.integers(0, len(recipe), (2, n))
    moved = np.repeat(recipe[None], n, axis=0)
    share = np.minimum(10 ** rng.uniform(-7, -0.3, n), moved[at, giving])
    moved[at, giving] -= share
    moved[at, taking] += share
    return moved[allowed.contains(moved, 1e-12)]


def hard_set(rng, draws):
    n = len(draws.buckets)
    used = draws.capacity > 0
    inside = np.where(used, rng.dirichlet(np.ones(n)), 0.0)
    inside = inside / inside.sum()
    price = np.round(rng.random(n), 1)
    kinds = (
        {},
        {"ordering": "repetition"},
        {"floor": np.where(rng.random(n) < 0.5, inside, 0.0), "cap": np.minimum(1, 1.001 * inside)},
        {
            "max_repetition": np.where(used, inside / np.where(used, draws.capacity, 1), 1)
            * 1.000001
        },
        {"max_mean_repetition": max(1.0, 1.1 / np.minimum(inside, draws.capacity).sum())},
        {"reference": inside, "kl_max": float(rng.choice([1e-4, 0.1]))},
        {"reference": inside, "tv_max": float(rng.choice([1e-3, 0.2]))},
        {"price": price, "budget": float(price[used].min())},
    )
    return replace(RecipeSet.free(draws), **kinds[rng.integers(len(kinds))])


@pytest.mark.slow
def test_hard_sets_are_certified_and_no_neighbour_is_better():
    for seed in range(150):
        rng = np.random.default_rng([7, seed])
        draws = make_draws(rng, int(rng.choice([2, 3, 6, 64])), int(rng.choice([1, 2, 60])))
        empty = rng.random(len(draws.buckets)) < 0.3
        if not empty.all():
            draws = replace(draws, capacity=np.where(empty, 0.0, draws.capacity))
        allowed = hard_set(rng, draws)
        own, mean = draw_optima(draws, allowed), least_mean(draws, allowed)
        tail = least_cvar(draws, allowed, 0.2)
        for recipe in (own.recipes[0], mean.recipe, tail.recipe):
            loss = draws.loss(rivals(rng, recipe, allowed, 300))
            assert (loss.min(axis=0, initial=np.inf) >= own.loss * (1 - 2e-8)).all(), seed
            assert (loss @ draws.weight).min(initial=np.inf) >= mean.value * (1 - 2e-8), seed
            worst = min((cvar(row, draws.weight, 0.2) for row in loss), default=np.inf)
            assert worst >= tail.value * (1 - 2e-8), seed


def test_pieces_are_bounded_whatever_the_unit_of_loss():
    """A loss of 1e25 is as good as one of 1: its slopes are no infinite costs."""
    rng = np.random.default_rng(10)
    draws = make_draws(rng, 4, 20, beta=np.full(20, 0.1))
    large = replace(draws, log_level=draws.log_level + 60, irreducible=np.zeros(20))
    draws = replace(draws, irreducible=np.zeros(20))
    inside = np.full(4, 0.25)
    budget = 0.7 * float(np.arange(4) @ np.minimum(inside, draws.capacity))
    priced = {"unique_price": np.arange(4.0), "unique_budget": budget}
    ours, theirs = (least_mean(d, replace(RecipeSet.free(d), **priced)) for d in (large, draws))
    assert ours.value == pytest.approx(theirs.value * np.exp(60), rel=1e-8)


def test_no_information_anywhere_is_said():
    rng = np.random.default_rng(8)
    draws = make_draws(rng, 3, 4)
    draws = replace(draws, density=draws.density * [1.0, 1.0, 0.0])
    only_last = replace(RecipeSet.free(draws), cap=np.array([0.0, 0.0, 1.0]))
    for search in (draw_optima, least_mean, lambda d, s: least_cvar(d, s, 0.1)):
        with pytest.raises(InfeasibleError, match="no recipe is informative"):
            search(draws, only_last)


@pytest.mark.parametrize("n", [1, 3, 70])
@pytest.mark.parametrize("columns", [1, 4])
def test_small_systems_are_solved(n, columns):
    rng = np.random.default_rng([9, n])
    half = rng.normal(size=(columns, n, n + 3))
    matrices = np.einsum("pij,pkj->ikp", half, half)
    systems = SmallSystems(matrices)
    one, many = rng.normal(size=(n, columns)), rng.normal(size=(n, 2, columns))
    back = np.einsum("ijp,jp->ip", matrices, systems.solve(one))
    np.testing.assert_allclose(back, one, atol=1e-9)
    back = np.einsum("ijp,jqp->iqp", matrices, systems.solve(many))
    np.testing.assert_allclose(back, many, atol=1e-9)
    broken = matrices.copy()
    broken[..., 0] -= 2.0 * np.diag(np.diag(broken[..., 0])) * (n > 1)
    if n > 1:
        with np.errstate(invalid="ignore"):
            assert np.isnan(SmallSystems(broken).solve(one)[:, 0]).all()
