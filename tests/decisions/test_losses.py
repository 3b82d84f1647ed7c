"""Losses of a search step are the draws' own losses, and a limit on them one on gains."""

from dataclasses import replace

import numpy as np

from bayes_infolaw.decisions.losses import gain_for, gain_matrix, loss_matrix, regret


def varied(two_forms):
    """Recipes on both sides of every kink and on it, and an irreducible loss in some draws."""
    rng = np.random.default_rng(0)
    recipes = np.concatenate([rng.dirichlet(np.ones(3), 40), np.eye(3), two_forms.capacity[None]])
    return replace(two_forms, irreducible=rng.uniform(0, 2, len(two_forms))), recipes


def test_gains_and_losses_are_the_draws_own(two_forms):
    draws, recipes = varied(two_forms)
    np.testing.assert_allclose(gain_matrix(draws, recipes), draws.gain(recipes), rtol=1e-13)
    np.testing.assert_allclose(loss_matrix(draws, recipes), draws.loss(recipes), rtol=1e-13)
    np.testing.assert_allclose(loss_matrix(draws, recipes[0])[0], draws.loss(recipes[0]))


def test_a_bucket_without_tokens_teaches_nothing(two_forms):
    draws = replace(two_forms, capacity=np.array([0.0, 0.4, 0.6]))
    recipes = np.array([[1.0, 0, 0], [0.2, 0.5, 0.3]])
    loss = loss_matrix(draws, recipes)
    assert np.isinf(loss[0]).all()
    np.testing.assert_allclose(loss, draws.loss(recipes))


def test_a_limit_on_losses_is_one_on_gains(two_forms):
    draws, recipes = varied(two_forms)
    loss = draws.loss(recipes)
    limit = np.median(loss, axis=0)
    within = draws.gain(recipes) >= gain_for(draws, limit * (1 + 1e-12))
    np.testing.assert_array_equal(within, loss <= limit * (1 + 1e-12))
    assert np.isinf(gain_for(draws, draws.irreducible)).all()


def test_regret_below_zero_is_rounding_or_true():
    least = np.array([3.0, 3.0, 3.0, 3.0, 3.0])
    loss = least * np.array([1.0 - 1e-12, 1.0 - 1e-9, 1.0, 1.0 + 1e-12, 1.0 - 1e-6])
    found = regret(loss, least)
    assert found[:3].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(found[3:], [3e-12, -3e-6], rtol=1e-3)
