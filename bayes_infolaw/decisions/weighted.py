"""Weighted draws -> quantiles, for pooled fits whose draws do not all weigh the same."""

import numpy as np

__all__ = ["equal_tailed", "weighted_quantile"]

Array = np.ndarray


def weighted_quantile(values: Array, weight: Array, levels: Array | list[float]) -> Array:
    """Quantiles of weighted draws, linear between them.

    A draw stands at the weight below it and half its own, stretched so that the smallest stands at
    0 and the largest at 1: symmetric in the values' sign, and with equal weights numpy's own
    default (Hyndman and Fan, type 7).

    Parameters
    ----------
    values : array of shape (J,)
    weight : array of shape (J,)
        Positive, summing to one.
    levels : array of shape (q,)
        Between 0 and 1.

    Returns
    -------
    array of shape (q,)
    """
    order = np.argsort(values, kind="stable")
    ranked, mass = np.asarray(values)[order], np.asarray(weight)[order]
    if len(ranked) == 1:
        return np.full(len(np.atleast_1d(levels)), ranked[0])
    middle = np.cumsum(mass) - 0.5 * mass
    return np.interp(levels, (middle - middle[0]) / (middle[-1] - middle[0]), ranked)


def equal_tailed(values: Array, weight: Array, prob: float) -> tuple[float, float]:
    """Ends of the equal-tailed interval of weighted draws (J,) that has probability `prob`."""
    low, high = weighted_quantile(values, weight, [0.5 * (1.0 - prob), 0.5 * (1.0 + prob)])
    return float(low), float(high)
