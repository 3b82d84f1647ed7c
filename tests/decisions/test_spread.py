"""A few recipes that lie far apart."""

import numpy as np
import pytest

from bayes_infolaw.decisions.spread import spread_out, variation


def test_variation_is_half_the_shares_that_differ():
    recipes = np.array([[1.0, 0, 0], [0.5, 0.5, 0]])
    others = np.array([[1.0, 0, 0], [0, 0, 1.0], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(variation(recipes, others), [[0, 1, 0.8], [0.5, 1, 0.5]])


def test_away_from_one_the_farthest_comes_first_and_no_twin():
    recipes = np.array([[1.0, 0], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0, 1.0]])
    assert spread_out(recipes, 5, away_from=recipes[0]).tolist() == [4, 2, 1]
    assert spread_out(recipes, 2, away_from=recipes[0]).tolist() == [4, 2]
    assert spread_out(recipes[:1], 2, away_from=recipes[0]).tolist() == []


def test_without_one_it_starts_in_the_middle():
    corners = np.repeat(np.eye(3), 5, axis=0)
    assert sorted(corners[spread_out(corners, 7)].argmax(axis=1)) == [0, 1, 2]
    assert len(spread_out(corners, 2)) == 2
    line = np.array([[x, 1 - x] for x in (0.0, 0.45, 1.0)])
    assert spread_out(line, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize("away_from", [None, np.full(6, 1 / 6)])
def test_every_next_one_is_the_farthest_from_those_before(away_from):
    recipes = np.random.default_rng(0).dirichlet(np.ones(6), 300)
    chosen = spread_out(recipes, 12, away_from)
    assert len(set(chosen.tolist())) == 12
    for k in range(1, 12):
        before = recipes[chosen[:k]]
        before = before if away_from is None else np.vstack([before, away_from])
        nearest = variation(recipes, before).min(axis=1)
        assert nearest[chosen[k]] == nearest.max()
