"""No random recipe of the set is better than the search's: the paper's way of searching, beaten."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions import kernel
from bayes_infolaw.decisions.convex import least_cvar, least_mean
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.improvement import incumbent_losses, maximise
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.tail_optimum import cvar
from bayes_infolaw.laws.target import LawAtTarget

MILLION, FEW = 1_000_000, 20_000
SETS = {
    "free": lambda d: {},
    "ordered and capped": lambda d: {"ordering": "shares", "cap": np.full(d, 1.4 / d)},
}


def law(n_draws, n_buckets, seed, normaliser, rate):
    """Scarce best buckets, repeated up to twenty times."""
    rng = np.random.default_rng(seed)
    source = np.linspace(1.0, 4.0, n_buckets)
    step = rng.normal(0.92, 0.12, (n_draws, 1))
    return LawAtTarget(
        buckets=tuple("abcdef"[:n_buckets]),
        source=1e11 * source / source.sum(),
        tokens=4e11,
        token_unit=1e9,
        density=np.exp(-step * np.arange(n_buckets)),
        rate=rate * np.exp(rng.normal(0, 0.15, n_draws)),
        normaliser=np.full(n_draws, normaliser),
        log_alpha=rng.normal(1.32, 0.003, n_draws),
        beta=rng.normal(0.0441, 0.0012, n_draws),
        irreducible=np.zeros(n_draws),
    )


def two_forms(n_buckets):
    """250 draws of two forms that disagree on repetition."""
    laws = {"log": law(150, n_buckets, 1, 2.6, 0.5), "flat": law(100, n_buckets, 2, 1.0, 0.6)}
    return pool(laws, {"log": 0.6, "flat": 0.4})


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("n_buckets", [3, 6])
def test_expected_improvement_is_never_below_the_best_of_a_million(n_buckets, kind):
    draws = two_forms(n_buckets)
    allowed = replace(RecipeSet.free(draws), **SETS[kind](n_buckets))
    recipes = allowed.random(MILLION, 1)
    assert len(recipes) == MILLION
    assert allowed.contains(recipes).all()
    even = np.full(n_buckets, 1 / n_buckets)
    for incumbent in (even, least_mean(draws, allowed).recipe, float(draws.mean(draws.loss(even)))):
        losses = incumbent_losses(draws, incumbent)
        found = maximise(draws, allowed, losses)
        best = kernel.expected_improvement(draws, recipes, losses).max()
        assert best > 0
        assert found.value >= best
        assert found.value <= found.upper_bound
        assert allowed.contains(found.recipe[None])[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("n_buckets", [3, 6])
def test_the_mean_is_never_above_the_best_of_a_million(n_buckets, kind):
    draws = two_forms(n_buckets)
    allowed = replace(RecipeSet.free(draws), **SETS[kind](n_buckets))
    least = kernel.mean_loss(draws, allowed.random(MILLION, 1)).min()
    assert least_mean(draws, allowed).value <= least


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("n_buckets", [3, 6])
def test_improvement_mean_and_tail_against_thousands(n_buckets, kind):
    draws = two_forms(n_buckets)
    allowed = replace(RecipeSet.free(draws), **SETS[kind](n_buckets))
    mean = least_mean(draws, allowed)
    near = np.random.default_rng(3).dirichlet(1e3 * mean.recipe + 1e-3, FEW // 4)
    recipes = np.concatenate([allowed.random(FEW, 2), near[allowed.contains(near)]])
    loss = draws.loss(recipes)
    assert mean.value <= (loss @ draws.weight).min()
    for tail in (0.3, 0.02):
        worst = min(cvar(row, draws.weight, tail) for row in loss)
        assert least_cvar(draws, allowed, tail).value <= worst
    losses = incumbent_losses(draws, mean.recipe)
    best = kernel.expected_improvement(draws, recipes, losses).max()
    assert maximise(draws, allowed, losses).value >= best
