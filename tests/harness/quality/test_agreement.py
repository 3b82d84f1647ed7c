"""How far scorers agree, against tables made by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality import agreement, assign_buckets


def test_buckets_go_by_the_bulk_of_the_text():
    scores = np.array([0.1, 0.9, 0.5, 0.7])
    # Best first: 60 bytes, 10, 10, 20; their middles lie at 30, 65, 75 and 90 per cent.
    np.testing.assert_array_equal(
        assign_buckets(scores, np.array([20, 60, 10, 10]), [0, 50, 70, 100]), [2, 0, 2, 1]
    )


def test_a_cross_table_by_hand():
    scores = np.array([[4, 4], [3, 1], [2, 3], [1, 2]], dtype=float)
    found = agreement(scores, np.array([10, 10, 10, 10]), [0, 25, 50, 75, 100])["pairs"][0]
    table = np.zeros((4, 4))
    table[[0, 1, 2, 3], [0, 3, 1, 2]] = 0.25
    np.testing.assert_array_equal(found["cross_table"], table)
    assert found["same_bucket"] == 0.25
    assert found["within_one_bucket"] == 0.75
    assert found["spearman"] == pytest.approx(spearmanr(*scores.T).statistic)
    assert found["columns"] == [0, 1]


def test_independent_scorers_agree_by_chance_alone():
    rng = np.random.default_rng(3)
    n = 20_000
    found = agreement(rng.standard_normal((n, 3)), np.ones(n))
    assert [pair["columns"] for pair in found["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    share = np.diff(found["percentiles"]) / 100
    for pair in found["pairs"]:
        assert abs(pair["spearman"]) < 5 / np.sqrt(n)
        np.testing.assert_allclose(pair["cross_table"], np.outer(share, share), atol=0.01)
        assert pair["same_bucket"] == pytest.approx((share**2).sum(), abs=0.015)


def test_a_constant_scorer_has_no_rank_correlation():
    scores = np.stack([np.ones(5), np.arange(5)], axis=1)
    assert agreement(scores, np.ones(5))["pairs"][0]["spearman"] is None


def test_one_scorer_has_nobody_to_agree_with():
    assert agreement(np.ones((5, 1)), np.ones(5))["pairs"] == []


def test_shapes_must_fit():
    with pytest.raises(InputError, match=r"got \(3, 2\) and \(2,\)"):
        agreement(np.ones((3, 2)), np.ones(2))
