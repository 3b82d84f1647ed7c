"""Pooled draws give the laws' own losses, and keep what a decision needs of them."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget

D = 4


def make_law(n_draws, seed, irreducible=0.0):
    rng = np.random.default_rng(seed)
    return LawAtTarget(
        buckets=tuple("abcd"),
        source=np.array([20.0, 80.0, 150.0, 250.0]) * 1e9,
        tokens=4e11,
        token_unit=1e9,
        density=np.exp(-rng.uniform(0.5, 1.2, (n_draws, 1)) * np.arange(D)),
        rate=rng.uniform(0.2, 0.5, n_draws),
        normaliser=rng.uniform(1.5, 3.0, n_draws),
        log_alpha=rng.normal(1.3, 0.05, n_draws),
        beta=rng.uniform(0.03, 0.1, n_draws),
        irreducible=np.full(n_draws, irreducible),
    )


@pytest.fixture
def laws():
    return {"a": make_law(50, 1), "b": make_law(30, 2, irreducible=0.7)}


def test_losses_are_the_laws_own(laws):
    draws = pool(laws)
    recipes = np.random.default_rng(3).dirichlet(np.ones(D), 7)
    expected = np.concatenate([laws["a"].loss(recipes), laws["b"].loss(recipes)], axis=1)
    np.testing.assert_allclose(draws.loss(recipes), expected, rtol=1e-12)
    np.testing.assert_allclose(draws.loss(recipes[0]), expected[0], rtol=1e-12)


def test_weights_are_spread_over_a_forms_draws(laws):
    draws = pool(laws, {"a": 3.0, "b": 1.0})
    assert draws.weight.sum() == pytest.approx(1.0)
    assert draws.weight[draws.form == 0].sum() == pytest.approx(0.75)
    loss = draws.loss(np.full(D, 0.25))
    by_hand = 0.75 * loss[:50].mean() + 0.25 * loss[50:].mean()
    assert draws.mean(loss) == pytest.approx(by_hand, rel=1e-12)
    assert pool(laws, {"a": 1, "b": 0}).forms == ("a",)


def test_halves_are_disjoint_whole_and_keep_the_forms_weights(laws):
    draws = pool(laws, {"a": 3.0, "b": 1.0})
    left, right = draws.halves()
    assert sorted([*left.log_level, *right.log_level]) == sorted(draws.log_level)
    for half in (left, right):
        assert half.weight.sum() == pytest.approx(1.0)
        assert half.weight[half.form == 0].sum() == pytest.approx(0.75)
    np.testing.assert_array_equal(draws.of_form("b").beta, laws["b"].beta)


@pytest.mark.parametrize("counts", [(3, 2), (51, 30), (2, 7), (5, 5)])
def test_odd_counts_leave_either_half_every_forms_weight(counts):
    laws = {"a": make_law(counts[0], 1), "b": make_law(counts[1], 2)}
    draws = pool(laws, {"a": 0.3, "b": 0.7})
    uneven = np.random.default_rng(4).uniform(0.5, 2.0, len(draws)) * draws.weight
    draws = replace(draws, weight=uneven / uneven.sum())
    whole = np.bincount(draws.form, draws.weight)
    for half, at in zip(draws.halves(), draws.half_positions(), strict=True):
        np.testing.assert_allclose(np.bincount(half.form, half.weight), whole, rtol=1e-14)
        for form in (0, 1):  # within a form the draws weigh as they did beside each other
            mine, before = half.weight[half.form == form], draws.weight[at][half.form == form]
            np.testing.assert_allclose(mine / mine[0], before / before[0], rtol=1e-12)


def test_a_form_that_lost_all_its_draws_is_left_out(laws):
    draws = pool(laws, {"a": 3.0, "b": 1.0})
    some = draws.take_by_form(np.arange(0, 50, 7))
    assert some.weight.sum() == pytest.approx(1.0)
    assert set(some.form) == {0}


def test_a_bucket_without_tokens_gives_nothing(laws):
    law = replace(laws["a"], source=np.array([0.0, 8e10, 1.5e11, 2.5e11]))
    draws = pool({"a": law})
    assert np.isinf(draws.loss(np.array([1.0, 0, 0, 0]))).all()
    assert draws.repetition(np.array([0.0, 0.5, 0.5, 0.0])).tolist() == [
        0.0,
        2.5,
        0.5 * 4 / 1.5,
        0.0,
    ]


@pytest.mark.parametrize(
    ("change", "weights", "message"),
    [
        ({"tokens": 5e11}, None, "tokens must agree; 'a' has"),
        ({"loss_unit": "bits per byte"}, None, "loss_unit must agree"),
        ({"source": np.full(D, 1e11)}, None, "source tokens by bucket differ"),
        ({}, {"a": 1.0}, "must name exactly a, b; off at 'b'"),
        ({}, {"a": 1.0, "b": -1.0}, "weight of 'b' must be a number >= 0, got -1.0"),
        ({}, {"a": 0.0, "b": 0.0}, "at least one must be > 0"),
    ],
)
def test_bad_input_is_named(laws, change, weights, message):
    with pytest.raises(InputError, match=message):
        pool(laws | {"b": replace(laws["b"], **change)}, weights)


def test_weights_must_be_a_distribution(laws):
    draws = pool(laws)
    with pytest.raises(InputError, match="weight: must be > 0 and sum to 1, got a sum of 3"):
        replace(draws, weight=3 * draws.weight)


def test_a_recipe_of_the_target_is_told_from_another(laws):
    draws = pool({"a": replace(laws["a"], source=np.array([0.0, 8e10, 1.5e11, 2.5e11]))})
    draws.require_recipe("today", np.array([0.0, 0.5, 0.5, 0.0]))
    with pytest.raises(InputError, match=r"today: bucket 'a' has no tokens, got share 0\.5"):
        draws.require_recipe("today", np.array([0.5, 0.5, 0.0, 0.0]))
