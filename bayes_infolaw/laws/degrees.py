"""Overtraining degrees as clusters of ln m: the rule that models and baselines share."""

import numpy as np

__all__ = [
    "MAX_DEGREES",
    "MIN_RUNS_PER_DEGREE",
    "SAME_DEGREE",
    "degree_clusters",
    "degree_of",
    "form_clusters",
]

SAME_DEGREE = 0.05
"""Widest span of ln m within one degree."""
MAX_DEGREES, MIN_RUNS_PER_DEGREE = 6, 3


def degree_clusters(log_degree: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cluster ln m; a cluster spans at most 0.05.

    Returns
    -------
    centres : array of shape (c,), increasing
    counts : array of shape (c,)
    member : array of shape (n,)
        Index of each run's cluster.
    """
    order = np.argsort(log_degree, kind="stable")
    member, start, cluster = np.zeros(len(order), dtype=int), log_degree[order[0]], 0
    for i in order:
        if log_degree[i] - start > SAME_DEGREE:
            start, cluster = log_degree[i], cluster + 1
        member[i] = cluster
    counts = np.bincount(member)
    return np.bincount(member, log_degree) / counts, counts, member


def degree_of(log_degree: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre within 0.05 of ln m, -1 where there is none; shape (n,).

    Clusters span at most 0.05, but two centres may lie closer than twice that.
    """
    distance = np.abs(log_degree[:, None] - centres)
    nearest = distance.argmin(axis=1)
    return np.where(distance.min(axis=1) <= SAME_DEGREE, nearest, -1)


def form_clusters(counts: np.ndarray) -> bool:
    """Whether degrees are few and well filled: at most 6, each of at least 3 runs."""
    return len(counts) <= MAX_DEGREES and bool(counts.min() >= MIN_RUNS_PER_DEGREE)
