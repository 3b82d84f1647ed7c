"""Interior iterates -> recipes with their active bounds exact.

The method ends a little inside: an unused bucket has 1e-12 tokens. A bound whose multiplier
outweighs its slack is active, and the share is put on it.
"""

import numpy as np

from bayes_infolaw.decisions.interior_point import Iterate
from bayes_infolaw.decisions.lifted import Lifted

__all__ = ["feasible_points", "snapped_points"]

Array = np.ndarray
NEAR = 1e-6
"""A variable further than this from a bound is not put on it."""


def snapped_points(lifted: Lifted, point: Iterate) -> Array:
    """Points (n, P) with active bounds exact, the rest moved so that shares sum to one."""
    n = len(lifted.lower)
    slack, price = point.slack[: 2 * n], point.multiplier[: 2 * n]
    active = (slack < price) & (slack < NEAR)
    low, high = active[:n], active[n:] & ~active[:n]
    x = np.where(low, lifted.lower[:, None], np.where(high, lifted.upper[:, None], point.x))
    return _summing_to_one(lifted, x, low | high)


def feasible_points(lifted: Lifted, point: Iterate) -> Array:
    """The iterate's own points (n, P), within bounds."""
    x = np.clip(point.x, lifted.lower[:, None], lifted.upper[:, None])
    return _summing_to_one(lifted, x, np.zeros(x.shape, dtype=bool))


def _summing_to_one(lifted: Lifted, x: Array, held: Array) -> Array:
    """Spread what is missing over free variables, by their distance to the nearer bound."""
    in_share = lifted.share.any(axis=0)[:, None]
    missing = 1.0 - lifted.recipes(x).sum(axis=0)
    room = np.minimum(x - lifted.lower[:, None], lifted.upper[:, None] - x)
    room = np.where(in_share & ~held, np.maximum(room, 0.0), 0.0)
    total = room.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(total > np.abs(missing), room / total, 0.0)
    return x + part * missing
