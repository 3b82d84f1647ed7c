"""Normalised scores of several scorers -> how far they agree."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from bayes_infolaw.errors import InputError

__all__ = ["PERCENTILES", "agreement", "assign_buckets"]

PERCENTILES = (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 100.0)


def agreement(
    scores: np.ndarray, weights: np.ndarray, percentiles: Sequence[float] = PERCENTILES
) -> dict[str, Any]:
    """Compare scorers two by two.

    Parameters
    ----------
    scores : ndarray, shape (n, k)
        Higher is better.
    weights : ndarray, shape (n,)
        Bytes of each document.
    percentiles : sequence of float
        Bucket borders, best first, from 0 to 100 per cent of the bytes.

    Returns
    -------
    dict
        ``percentiles`` and ``pairs``, a list with one dict a pair of columns: ``columns``,
        ``spearman`` (over documents; None where a scorer is constant), ``same_bucket`` and
        ``within_one_bucket`` (shares of the bytes), ``cross_table`` (shares of the bytes; rows are
        buckets by the first scorer, columns by the second).
    """
    scores, weights = np.asarray(scores, dtype=float), np.asarray(weights, dtype=float)
    if scores.ndim != 2 or len(scores) < 2 or weights.shape != (len(scores),):
        shapes = f"{scores.shape} and {weights.shape}"
        raise InputError(f"agreement: needs scores (n, k) and weights (n,), n > 1, got {shapes}")
    buckets = [assign_buckets(column, weights, percentiles) for column in scores.T]
    pairs = combinations(range(scores.shape[1]), 2)
    found = [
        {"columns": [i, j], "spearman": _spearman(scores[:, i], scores[:, j])}
        | _overlap(_cross_table(buckets[i], buckets[j], weights, len(percentiles) - 1))
        for i, j in pairs
    ]
    return {"percentiles": list(percentiles), "pairs": found}


def assign_buckets(
    scores: np.ndarray, weights: np.ndarray, percentiles: Sequence[float] = PERCENTILES
) -> np.ndarray:
    """Bucket of each document, 0 = best, by its middle byte's place in the order of scores.

    Equal scores keep the order given.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    mass = np.asarray(weights, dtype=float)[order]
    middle = (np.cumsum(mass) - mass / 2) / mass.sum() * 100
    buckets = np.empty(len(order), dtype=int)
    buckets[order] = np.searchsorted(percentiles[1:-1], middle, side="right")
    return buckets


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def _cross_table(a: np.ndarray, b: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    table = np.zeros((n, n))
    np.add.at(table, (a, b), weights)
    return table / weights.sum()


def _overlap(table: np.ndarray) -> dict[str, Any]:
    apart = np.abs(np.subtract.outer(np.arange(len(table)), np.arange(len(table))))
    return {
        "same_bucket": float(table[apart == 0].sum()),
        "within_one_bucket": float(table[apart <= 1].sum()),
        "cross_table": table.tolist(),
    }
