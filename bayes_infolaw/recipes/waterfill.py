"""Free recipes: the exact optimum of every draw by water-filling, vectorised over draws.

At the price ``mu`` of a token bucket d is unused if ``f_d (1 - exp(-r)) < mu`` and otherwise
repeated ``max(1, ln(f_d r / mu) / r)`` times. In the level ``t = ln(r / mu) / r``, the repetition
of a bucket of density one, the packed share is piecewise linear: bucket d opens at ``t_d - delta``
(a jump of ``c_d``) and is repeated beyond ``t_d = 1 + ln(1 / f_d) / r`` (a slope of ``c_d``), with
``delta = 1 + ln((1 - exp(-r)) / r) / r`` from the kink at T = 1. Sorting those 2 D levels finds
the segment on which the shares sum to one; there the answer is closed form.
"""

import numpy as np

from bayes_infolaw.recipes.program import RecipeProgram

__all__ = ["water_fill"]

Array = np.ndarray

ROUNDING = 1e-14
"""Shares this close to a breakpoint count as on it, so that T = 1 comes out exactly."""
NEVER = 1e200
"""Level of a bucket of density zero: finite, so that differences of levels stay numbers."""


def water_fill(program: RecipeProgram) -> tuple[Array, Array]:
    """Shares that maximise each draw's gain over the simplex, and the price of a token.

    Returns
    -------
    shares : array of shape (J, D')
        At most one bucket of a draw is partly used: ``0 < w_d < c_d``.
    price : array of shape (J,)
        The multiplier mu of ``sum w = 1``, in units of gain.
    """
    repeat_at = _repeat_levels(program)
    r = program.exposure[:, None]
    open_at = repeat_at - (1.0 + np.log(program.first_slope[:, None] / r) / r)
    level, n_events, order = _water_level(open_at, repeat_at, program.capacity)
    passed = np.empty(order.shape, dtype=bool)
    np.put_along_axis(passed, order, np.arange(order.shape[1]) < n_events[:, None], axis=1)
    n_buckets = repeat_at.shape[1]
    opened, repeated = passed[:, :n_buckets], passed[:, n_buckets:]
    times = np.where(repeated, np.maximum(level[:, None] - repeat_at + 1.0, 1.0), 1.0)
    shares = np.where(opened, program.capacity * times, 0.0)
    partial = _partial_bucket(order, n_events, open_at, level, shares)
    shares = _spread_remainder(shares, repeated, partial, program.capacity)
    return shares, _price(program, level, partial)


def _repeat_levels(program: RecipeProgram) -> Array:
    """Level t_d beyond which each bucket is repeated, shape (J, D')."""
    with np.errstate(divide="ignore"):
        fall = -np.log(program.density)
    return np.minimum(1.0 + fall / program.exposure[:, None], NEVER)


def _water_level(open_at: Array, repeat_at: Array, capacity: Array) -> tuple[Array, Array, Array]:
    """Level at which the packed shares sum to one, events passed there, and the events' order."""
    events = np.concatenate([open_at, repeat_at], axis=1)
    order = np.argsort(events, axis=1, kind="stable")
    at = np.take_along_axis(events, order, axis=1)
    none = np.zeros_like(capacity)
    jump = np.concatenate([capacity, none])[order]
    slope = np.cumsum(np.concatenate([none, capacity])[order], axis=1)
    before = np.zeros_like(at)  # shares packed just below each event
    before[:, 1:] = np.cumsum(jump[:, :-1] + slope[:, :-1] * np.diff(at, axis=1), axis=1)
    n_events = (before + jump <= 1.0 + ROUNDING).sum(axis=1)
    return _level_in_segment(at, slope, before, jump, n_events), n_events, order


def _level_in_segment(at: Array, slope: Array, before: Array, jump: Array, n: Array) -> Array:
    """Level on the segment after the n-th event, not beyond the next event."""
    draws = np.arange(len(at))
    last, following = np.maximum(n - 1, 0), np.minimum(n, at.shape[1] - 1)
    packed = np.where(n > 0, before[draws, last] + jump[draws, last], 0.0)
    rate = np.where(n > 0, slope[draws, last], 0.0)
    start = np.where(n > 0, at[draws, last], at[draws, 0])
    end = np.where(n < at.shape[1], at[draws, following], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = start + np.maximum(1.0 - packed, 0.0) / rate
    # Without a repeated bucket nothing fills up on the segment: the next bucket opens at its end.
    return np.where(rate > 0, np.minimum(level, end), np.where(np.isfinite(end), end, start))


def _partial_bucket(
    order: Array, n_events: Array, open_at: Array, level: Array, shares: Array
) -> Array:
    """Bucket that opens at the level while shares are still missing, else -1, shape (J,)."""
    draws = np.arange(len(order))
    n_buckets = open_at.shape[1]
    following = order[draws, np.minimum(n_events, order.shape[1] - 1)]
    opens = (n_events < order.shape[1]) & (following < n_buckets)
    reached = open_at[draws, np.minimum(following, n_buckets - 1)] <= level
    missing = 1.0 - shares.sum(axis=1) > ROUNDING
    return np.where(opens & reached & missing, following, -1)


def _spread_remainder(shares: Array, repeated: Array, partial: Array, capacity: Array) -> Array:
    """Give what is missing to one to the partly used bucket, else (rounding) to repeated ones."""
    missing = 1.0 - shares.sum(axis=1)
    has_partial = partial >= 0
    draws = np.flatnonzero(has_partial)
    shares[draws, partial[draws]] += missing[draws]
    weight = np.where(repeated & ~has_partial[:, None], capacity, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    shares += missing[:, None] * weight / np.where(total > 0, total, 1.0)
    return shares / shares.sum(axis=1, keepdims=True)


def _price(program: RecipeProgram, level: Array, partial: Array) -> Array:
    """Multiplier mu: the slope of the partly used bucket, else of the repeated ones."""
    at_level = program.exposure * np.exp(-program.exposure * level)
    draws = np.arange(len(level))
    partly = program.density[draws, np.maximum(partial, 0)] * program.first_slope
    return np.where(partial >= 0, partly, at_level)
