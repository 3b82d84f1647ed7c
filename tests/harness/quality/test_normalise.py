"""Ranks of scores in [0, 1]."""

import json

import numpy as np
import pytest
from scipy.stats import rankdata

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality import Normaliser, fit_normaliser


@pytest.fixture
def raw() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.standard_normal(500), rng.integers(0, 6, 500)], axis=1)


def test_ranks_of_the_sample_itself(raw):
    ranks = (rankdata(raw, method="average", axis=0) - 0.5) / len(raw)
    normaliser = fit_normaliser(raw)
    np.testing.assert_allclose(normaliser.apply(raw), ranks, rtol=1e-12)
    np.testing.assert_allclose(normaliser.mean(raw), ranks.mean(axis=1), rtol=1e-12)


def test_weights_count_as_repetition():
    raw, weights = np.array([[1.0], [2.0], [5.0]]), np.array([1, 3, 2])
    repeated = fit_normaliser(np.repeat(raw, weights, axis=0))
    points = np.linspace(0, 6, 25)[:, None]
    np.testing.assert_allclose(
        fit_normaliser(raw, weights).apply(points), repeated.apply(points), rtol=1e-12
    )


def test_scores_beyond_the_sample(raw):
    beyond = np.array([[-100.0, -1.0], [100.0, 6.0]])
    np.testing.assert_array_equal(fit_normaliser(raw).apply(beyond), [[0, 0], [1, 1]])


def test_a_large_sample_is_thinned_without_loss_of_order():
    rng = np.random.default_rng(1)
    sample = rng.lognormal(size=(50_000, 1))
    normaliser = fit_normaliser(sample)
    assert len(normaliser.values[0]) <= 4096
    fresh = np.sort(rng.lognormal(size=(2000, 1)), axis=0)
    ranks = normaliser.apply(fresh)[:, 0]
    assert (np.diff(ranks) > 0).all()
    exact = np.searchsorted(np.sort(sample[:, 0]), fresh[:, 0]) / 50_000
    assert np.abs(ranks - exact).max() < 1e-3


def test_it_survives_json(raw):
    normaliser = fit_normaliser(raw)
    again = Normaliser.from_dict(json.loads(json.dumps(normaliser.to_dict())))
    np.testing.assert_array_equal(again.apply(raw + 0.1), normaliser.apply(raw + 0.1))


def test_one_value_is_the_middle():
    np.testing.assert_array_equal(fit_normaliser(np.ones((4, 1))).apply(np.ones((2, 1))), 0.5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.array([[1.0, np.nan]]), "must be finite, got nan in row 0, column 1"),
        (np.array([1.0, 2.0]), r"must be a table \(documents, scorers\), got shape \(2,\)"),
        (np.empty((0, 2)), "need documents with positive weights, got 0 documents"),
    ],
)
def test_bad_samples_are_named(bad, message):
    with pytest.raises(InputError, match=message):
        fit_normaliser(bad)


def test_a_table_of_another_width_is_an_error(raw):
    with pytest.raises(InputError, match="must have 2 columns, got 1"):
        fit_normaliser(raw).apply(raw[:, :1])
