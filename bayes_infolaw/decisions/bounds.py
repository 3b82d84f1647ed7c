"""Constraints -> the tightest simple bounds on every share that follow from them one by one."""

import numpy as np
from scipy.optimize import brentq

from bayes_infolaw.decisions.constraints import RecipeConstraints

__all__ = ["share_bounds"]

Array = np.ndarray
ROUNDS = 4
ROUNDING = 1e-12


def share_bounds(allowed: RecipeConstraints) -> tuple[Array, Array]:
    """Least and largest share of each bucket, each (D,); lower > upper where the set is empty.

    They follow from floors, caps and repetition, from the distance to the reference, from the
    ordering and from the sum. Every recipe of the set keeps them; not all that keep them are in it.
    """
    low, high = _near_reference(allowed, allowed.lower.copy(), allowed.upper.copy())
    for _ in range(ROUNDS):
        low, high = _ordered(allowed, low, high)
        low, high = _closed(
            np.maximum(low, 1.0 - (high.sum() - high)),
            np.minimum(high, 1.0 - (low.sum() - low)),
        )
    return low, high


def _closed(low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds that cross by rounding made one: the next rounds would drive them apart D-fold."""
    crossed = (low > high) & (low <= high + ROUNDING)
    middle = 0.5 * (low + high)
    return np.where(crossed, middle, low), np.where(crossed, middle, high)


def _ordered(allowed: RecipeConstraints, low: Array, high: Array) -> tuple[Array, Array]:
    """A bucket has at most what its betters have, and at least what its worse ones have."""
    if allowed.ordering is None:
        return low, high
    shares = allowed.ordering == "shares"
    kept = np.arange(len(low)) if shares else np.flatnonzero(allowed.capacity > 0)
    size = np.ones(len(kept)) if shares else allowed.capacity[kept]
    low, high = low.copy(), high.copy()
    high[kept] = np.minimum.accumulate(high[kept] / size) * size
    # The first d buckets hold at least the d-th one's repetition, and no more than everything.
    high[kept] = np.minimum(high[kept], size / np.cumsum(size))
    low[kept] = np.maximum.accumulate((low[kept] / size)[::-1])[::-1] * size
    return low, high


def _near_reference(allowed: RecipeConstraints, low: Array, high: Array) -> tuple[Array, Array]:
    reference = allowed.reference
    if reference is None:
        return low, high
    if allowed.tv_max is not None:
        low = np.maximum(low, reference - allowed.tv_max)
        high = np.minimum(high, reference + allowed.tv_max)
    if allowed.kl_max is not None:
        ends = np.array([_binary_ends(q, allowed.kl_max) for q in reference])
        low, high = np.maximum(low, ends[:, 0]), np.minimum(high, ends[:, 1])
    return low, high


def _binary_ends(q: float, most: float) -> tuple[float, float]:
    """Shares whose own part of the divergence is within the limit, by data processing.

    Merging all other buckets into one cannot increase the divergence.
    """
    if q <= 0.0:
        return 0.0, 0.0
    if q >= 1.0:
        return 1.0, 1.0

    def excess(p: float) -> float:
        terms = [a * np.log(a / b) for a, b in ((p, q), (1.0 - p, 1.0 - q)) if a > 0]
        return float(sum(terms)) - most

    if most <= 0.0:
        return q, q
    low = 0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, q, xtol=1e-14)
    high = 1.0 if excess(1.0) <= 0 else brentq(excess, q, 1.0, xtol=1e-14)
    # Outwards by the root's own error, so that nothing allowed is cut off.
    return max(low - 1e-13, 0.0), min(high + 1e-13, 1.0)
