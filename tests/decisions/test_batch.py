"""Batches of recipes against brute force over all pairs, and against their own greedy start."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions import convex
from bayes_infolaw.decisions.batch import (
    batch_improvement,
    best_batch,
    greedy_batch,
    joint_batch,
)
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.improvement import maximise
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.starts import Search, candidates
from bayes_infolaw.errors import InputError

QUICK = Search(parts=3, screened=64)


def make_draws(n, n_buckets=3, seed=0):
    """Draws that disagree widely on quality and repetition, so that a second recipe pays."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0.3, 1.0, n_buckets)
    return TargetDraws(
        buckets=tuple("abcdef"[:n_buckets]),
        capacity=0.5 * share / share.sum(),
        tokens=1e12,
        density=np.exp(-rng.uniform(0.2, 1.5, (n, 1)) * np.arange(n_buckets)),
        exposure=rng.uniform(0.1, 1.0, n),
        log_level=rng.normal(1.0, 0.01, n),
        beta=np.full(n, 0.05),
        irreducible=np.zeros(n),
        weight=rng.dirichlet(np.full(n, 20.0)),
        form=np.zeros(n, dtype=int),
        forms=("one",),
    )


def ternary_grid(steps):
    a, b = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    pairs = np.stack([a.ravel(), b.ravel()], axis=1)
    pairs = pairs[pairs.sum(axis=1) <= steps]
    return np.concatenate([pairs, steps - pairs.sum(axis=1, keepdims=True)], axis=1) / steps


def best_pair(draws, losses, recipes):
    """Largest expected improvement of two recipes of a list, by trying all pairs."""
    gains = np.maximum(losses - draws.loss(recipes), 0)
    return max(float((np.maximum(gains, row) @ draws.weight).max()) for row in gains)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_recipes_of_three_buckets_against_all_pairs(seed):
    draws = make_draws(80, seed=seed)
    allowed = RecipeSet.free(draws)
    incumbent = convex.least_mean(draws, allowed).recipe
    batch = best_batch(draws, allowed, incumbent, 2, QUICK)
    choosing, telling = draws.halves()
    brute = best_pair(choosing, choosing.loss(incumbent), ternary_grid(50))
    assert batch.chosen_at >= brute
    assert batch.chosen_at <= 1.05 * brute
    recipes = np.array([list(one.values()) for one in batch.recipes])
    by_hand = np.maximum(telling.loss(incumbent) - telling.loss(recipes).min(axis=0), 0)
    ours = batch.expected_improvement.value
    assert ours == pytest.approx(by_hand @ telling.weight, rel=1e-12)


def test_joint_is_never_below_greedy_and_larger_batches_gain():
    draws = make_draws(300, 5, seed=4)
    allowed = RecipeSet.free(draws)
    batches = [best_batch(draws, allowed, np.full(5, 0.2), q, QUICK) for q in (1, 2, 4)]
    for batch in batches:
        assert batch.greedy_at <= batch.chosen_at <= batch.upper_bound
        assert list(batch.by_size) == sorted(batch.by_size)
        assert batch.by_size[-1] == batch.expected_improvement.value
        json.dumps(batch.to_dict(), allow_nan=False)
    assert batches[0].chosen_at < batches[1].chosen_at < batches[2].chosen_at
    assert batches[1].chosen_at > batches[1].greedy_at  # there is something to gain jointly


def test_rounds_raise_any_batch_of_draws_own_optima():
    draws = make_draws(150, 4, seed=5)
    allowed = RecipeSet.free(draws)
    losses = draws.loss(np.full(4, 0.25))
    own = convex.draw_optima(draws, allowed).recipes
    for seed in range(6):
        start = own[np.random.default_rng(seed).choice(150, 3, replace=False)]
        before = batch_improvement(draws, start, losses)
        after = batch_improvement(draws, joint_batch(draws, allowed, losses, start), losses)
        assert after > before


def test_a_batch_keeps_the_constraints():
    draws = make_draws(100, 4, seed=6)
    allowed = replace(RecipeSet.free(draws), cap=np.array([0.3, 0.3, 1.0, 1.0]))
    batch = best_batch(draws, allowed, np.full(4, 0.25), 3, QUICK)
    recipes = np.array([list(one.values()) for one in batch.recipes])
    assert len(recipes) == 3
    assert allowed.contains(recipes).all()


def test_one_recipe_is_the_single_search():
    draws = make_draws(100, 4, seed=7)
    allowed = RecipeSet.free(draws)
    choosing, _ = draws.halves()
    losses = choosing.loss(np.full(4, 0.25))
    found = maximise(choosing, allowed, losses, QUICK)
    batch = best_batch(draws, allowed, np.full(4, 0.25), 1, QUICK)
    assert batch.chosen_at == pytest.approx(found.value, rel=1e-12)


def test_no_recipe_is_added_that_adds_nothing():
    """Draws that agree on the best recipe need one."""
    draws = make_draws(1, 4, seed=8).take(np.zeros(6, dtype=int))
    allowed = RecipeSet.free(draws)
    batch = best_batch(draws, allowed, np.full(4, 0.25), 3, QUICK)
    assert len(batch.recipes) == 1
    assert batch.chosen_at == pytest.approx(batch.upper_bound, rel=1e-6)


def test_greedy_adds_the_best_next_one():
    draws = make_draws(60, seed=9)
    allowed = RecipeSet.free(draws)
    losses = draws.loss(np.full(3, 1 / 3))
    known = candidates(draws, allowed, QUICK)
    first, second = greedy_batch(draws, allowed, losses, 2, known, QUICK)
    everywhere = ternary_grid(100)
    alone = np.maximum(losses - draws.loss(everywhere), 0) @ draws.weight
    assert batch_improvement(draws, first[None], losses) >= alone.max()
    left = np.minimum(losses, draws.loss(first))
    added = np.maximum(left - draws.loss(everywhere), 0) @ draws.weight
    assert batch_improvement(draws, second[None], left) >= added.max()


def test_a_batch_of_none_is_refused():
    draws = make_draws(10)
    with pytest.raises(InputError, match="q must be a number of recipes >= 1, got 0"):
        best_batch(draws, RecipeSet.free(draws), 3.0, 0)
