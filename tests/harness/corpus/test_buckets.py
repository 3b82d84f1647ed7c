"""Radix selection against a sort, ties and borders included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_infolaw.harness.corpus.buckets import assign, find_borders
from bayes_infolaw.harness.quality import assign_buckets

pytestmark = pytest.mark.train

PAPER = (0, 5, 20, 40, 60, 80, 100)


def pieces(scores, n_bytes, size):
    return [
        (start, scores[start : start + size], n_bytes[start : start + size])
        for start in range(0, len(scores), size)
    ]


def streamed(scores, n_bytes, percentiles, size=7):
    stream = pieces(scores, n_bytes, size)
    borders = find_borders(lambda: iter(stream), percentiles)
    return np.concatenate([assign(first, s, borders) for first, s, _ in stream])


def sorted_buckets(scores, n_bytes, percentiles):
    """The rule in integers: twice the middle byte against twice the cut."""
    order = np.lexsort((np.arange(len(scores)), -scores))
    ends = np.cumsum(n_bytes[order])
    middle = 2 * ends - n_bytes[order]
    buckets = np.empty(len(scores), dtype=int)
    cuts = [2 * ends[-1] * cut / 100 for cut in percentiles[1:-1]]
    buckets[order] = [sum(m >= cut for cut in cuts) for m in middle]
    return buckets


@pytest.mark.parametrize("distinct", [1, 3, 20, 10**6])
@pytest.mark.parametrize("percentiles", [PAPER, (0, 50, 100), (0, 100), tuple(range(0, 101, 4))])
def test_buckets_are_those_of_a_sort(distinct, percentiles):
    rng = np.random.default_rng(distinct)
    scores = rng.integers(distinct, size=400) / distinct - 0.3
    n_bytes = rng.integers(1, 5000, size=400)
    found = streamed(scores, n_bytes, percentiles)
    np.testing.assert_array_equal(found, sorted_buckets(scores, n_bytes, percentiles))
    np.testing.assert_array_equal(found, assign_buckets(scores, n_bytes, percentiles))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, -1e300, 2.0**-1074]),
            st.integers(1, 20),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_hard_scores_and_small_documents(documents):
    scores = np.array([score for score, _ in documents])
    n_bytes = np.array([size for _, size in documents])
    found = streamed(scores, n_bytes, PAPER, size=3)
    np.testing.assert_array_equal(found, sorted_buckets(scores, n_bytes, PAPER))


def test_shares_are_the_percentiles_to_a_document():
    rng = np.random.default_rng(0)
    n_bytes = rng.integers(1, 100, size=20_000)
    found = streamed(rng.normal(size=20_000), n_bytes, PAPER, size=999)
    shares = np.bincount(found, weights=n_bytes) / n_bytes.sum()
    np.testing.assert_allclose(shares, np.diff(PAPER) / 100, atol=100 / n_bytes.sum())
