"""How low a linear cost can be over a lifted set: a bound by duality, whatever the multipliers.

Together with convexity, ``F(x') >= F(x) + F'(x) (x' - x)``, it certifies a recipe without trusting
the solver that found it.
"""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.interior_point import Iterate
from bayes_infolaw.decisions.lifted import Lifted

__all__ = ["Multipliers", "lower_bound", "multipliers_of"]

Array = np.ndarray


@dataclass(frozen=True)
class Multipliers:
    """Prices of the linear rows (m, P) and of the divergence (P,), all >= 0; equations (e, P)."""

    rows: Array
    divergence: Array
    price: Array


def multipliers_of(point: Iterate, lifted: Lifted) -> Multipliers:
    """An iterate's own multipliers, those below zero cut off."""
    n, m = point.x.shape[0], len(lifted.rows)
    hard = np.maximum(point.multiplier, 0.0)
    rows = hard[2 * n : 2 * n + m]
    none = np.zeros(point.x.shape[1])
    divergence = hard[2 * n + m] if lifted.kl_max is not None else none
    return Multipliers(rows, divergence, point.price)


def lower_bound(lifted: Lifted, cost: Array, prices: Multipliers) -> Array:
    """A number that ``cost . x`` does not fall below on the set, (P,).

    The Lagrangian's least value over the bounds alone: it parts into one closed form a bucket.

    Parameters
    ----------
    cost : array of shape (n, P)
    prices : Multipliers
        Any; those of the optimum make the bound sharp.
    """
    reduced = cost + lifted.rows.T @ prices.rows + lifted.equal.T @ prices.price
    constant = -(lifted.limit @ prices.rows) - lifted.level @ prices.price
    excess = ~lifted.share.any(axis=0)
    ends = np.minimum(reduced * lifted.lower[:, None], reduced * lifted.upper[:, None])
    if lifted.kl_max is None:
        return constant + ends.sum(axis=0)
    constant = constant - lifted.kl_max * prices.divergence + ends[excess].sum(axis=0)
    return constant + sum(
        _bucket_least(lifted, d, reduced, prices.divergence) for d in range(len(lifted.fixed))
    )


def _bucket_least(lifted: Lifted, d: int, reduced: Array, price: Array) -> Array:
    """Least of ``reduced . x + price w ln(w / q)`` over one bucket's bounds, (P,)."""
    assert lifted.reference is not None
    own = np.flatnonzero(lifted.share[d])
    q, low = lifted.reference[d], lifted.fixed[d] + lifted.lower[own].sum()
    if not len(own):
        return price * _entropy(np.full_like(price, low), q)
    base = lifted.lower[own] @ reduced[own]
    # The cheaper part fills first: the cost of w is then convex, with one bend.
    order = np.argsort(reduced[own], axis=0)
    slope = np.take_along_axis(reduced[own], order, axis=0)
    width = (lifted.upper - lifted.lower)[own][order]
    bend = low + width[0]
    high = low + width.sum(axis=0)
    lows, highs = [np.full_like(bend, low), bend], [bend, high]
    with np.errstate(all="ignore"):
        best = np.full(len(price), np.inf)
        for i in range(len(own)):
            free = q * np.exp(-slope[i] / np.maximum(price, 1e-300) - 1.0)
            for w in (np.clip(free, lows[i], highs[i]), lows[i], highs[i]):
                value = slope[0] * np.minimum(w - low, width[0]) + price * _entropy(w, q)
                best = np.minimum(best, value + slope[-1] * np.maximum(w - bend, 0.0))
    return base + best


def _entropy(w: Array, q: float) -> Array:
    """``w ln(w / q)``, zero at w = 0; a bucket outside the reference cannot be packed."""
    if q <= 0:
        return np.zeros_like(w)
    return w * np.log(np.where(w > 0, w, 1.0) / q) * (w > 0)
