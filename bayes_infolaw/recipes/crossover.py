"""Interior point iterate -> the recipe with its active constraints exact, and prices that fit it.

The method ends a little inside: an unused bucket has 1e-12 tokens, tied shares differ in the last
digits. A constraint whose multiplier outweighs its slack is active and is put on its bound.
"""

import numpy as np

from bayes_infolaw.recipes.interior import InteriorPoint
from bayes_infolaw.recipes.program import RecipeProgram

__all__ = ["exact_shares", "fitted_prices", "interior_shares"]

Array = np.ndarray


def interior_shares(point: InteriorPoint, ordered: bool) -> Array:
    """The iterate's shares, summing to one and (if asked) ordered to the last digit, (P, D)."""
    return _feasible(point.shares.T, ordered)


def exact_shares(point: InteriorPoint, capacity: Array, ordered: bool) -> Array:
    """The iterate's shares with zeros, T = 1 and ties made exact, shape (P, D)."""
    n = len(capacity)
    with np.errstate(all="ignore"):
        active = (point.slack * point.price < point.multiplier).T
    y_zero, full, z_zero = active[:, :n], active[:, n : 2 * n], active[:, 2 * n : 3 * n]
    block = (
        _blocks(active[:, 3 * n :]) if ordered else np.arange(active.shape[0] * n).reshape(-1, n)
    )
    # Tied buckets share one level: zero or a kink if one of them is there, else their mean.
    zero = _block_any(block, y_zero & z_zero)
    kink = _block_max(block, np.where(full & z_zero, capacity, 0.0))
    level = np.where(kink > 0, kink, _block_mean(block, point.shares.T))
    free = ~zero & ~(kink > 0)
    return _feasible(_fill_free(np.where(zero, 0.0, level), free), ordered)


def _blocks(tied: Array) -> Array:
    """Number of each bucket's block of ties, unique over draws, shape (P, D)."""
    starts = np.ones((tied.shape[0], tied.shape[1] + 1), dtype=bool)
    starts[:, 1:] = ~tied
    return np.cumsum(starts.ravel()).reshape(starts.shape) - 1


def _block_any(block: Array, flag: Array) -> Array:
    return np.bincount(block.ravel(), weights=flag.ravel())[block] > 0


def _block_mean(block: Array, value: Array) -> Array:
    total = np.bincount(block.ravel(), weights=value.ravel())
    return (total / np.bincount(block.ravel()))[block]


def _block_max(block: Array, value: Array) -> Array:
    largest = np.zeros(block.max() + 1)
    np.maximum.at(largest, block.ravel(), value.ravel())
    return largest[block]


def _fill_free(level: Array, free: Array) -> Array:
    """Rescale the levels on no bound so that the shares sum to one."""
    fixed = np.where(free, 0.0, level).sum(axis=1, keepdims=True)
    total = np.where(free, level, 0.0).sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        factor = np.where(total > 0, (1.0 - fixed) / total, 1.0)
    return np.where(free, level * np.maximum(factor, 0.0), level)


def _feasible(shares: Array, ordered: bool) -> Array:
    shares = np.maximum(shares, 0.0)
    if ordered:
        shares = np.minimum.accumulate(shares, axis=1)
    with np.errstate(invalid="ignore"):  # nothing left: not-a-number, which no certificate passes
        return shares / shares.sum(axis=1, keepdims=True)


def fitted_prices(program: RecipeProgram, shares: Array, prices: Array) -> tuple[Array, Array]:
    """Multipliers of the sum and of the ordering that fit shares, from rough bucket prices.

    A bucket's price is moved into its supergradient at the shares; the ordering's multipliers are
    then sums of ``mu - p`` along each run of ties and zero at its end. Any result is a valid
    certificate; at an optimum it is a sharp one.

    Returns
    -------
    price : array of shape (J,)
    order_price : array of shape (J, D' - 1)
    """
    with np.errstate(all="ignore"):
        return _fitted_prices(program, shares, prices)


def _supergradient(program: RecipeProgram, shares: Array) -> tuple[Array, Array]:
    """Lowest and highest slope of every bucket's gain at the shares, each (J, D')."""
    r = program.exposure[:, None]
    repeated = program.density * r * np.exp(-r * np.maximum(shares / program.capacity, 1.0))
    first = program.density * program.first_slope[:, None]
    upper = np.where(shares > program.capacity, repeated, np.where(shares > 0, first, np.inf))
    return np.where(shares < program.capacity, first, repeated), upper


def _fitted_prices(program: RecipeProgram, shares: Array, prices: Array) -> tuple[Array, Array]:
    lower, upper = _supergradient(program, shares)
    fitted = np.clip(prices, lower, upper)
    block = _blocks(shares[:, :-1] <= shares[:, 1:])
    flexible = lower < upper
    rigid = ~_block_any(block, flexible)
    weight = shares * np.where(rigid.any(axis=1, keepdims=True), rigid, True)
    price = (weight * np.where(weight > 0, fitted, 0.0)).sum(axis=1) / weight.sum(axis=1)
    # A run of ties must sum to mu times its length: buckets at a kink have room for the rest.
    defect = _block_mean(block, price[:, None] - fitted) / _block_mean(block, flexible)
    fitted = np.where(flexible, np.clip(fitted + defect, lower, upper), fitted)
    return price, _run_sums(price[:, None] - fitted, block)


def _run_sums(excess: Array, block: Array) -> Array:
    """Cumulative sums within each block, zero at its end and never negative, (J, D' - 1)."""
    total = np.cumsum(excess, axis=1)
    ends = np.diff(block, axis=1) > 0
    position = np.maximum.accumulate(np.where(ends, np.arange(ends.shape[1]), -1), axis=1)
    at_end = np.take_along_axis(total, np.maximum(position, 0), axis=1)
    return np.maximum(total[:, :-1] - np.where(position >= 0, at_end, 0.0), 0.0)
