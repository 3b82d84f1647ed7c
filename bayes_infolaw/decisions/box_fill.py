"""Floors and caps only: the exact optimum of every draw, by filling to a common level.

As in `recipes.waterfill`, at the level t (the repetition of a bucket of density one at the price
``r exp(-r t)``) a bucket is at its floor until it opens, jumps to its source and is repeated
``t - t_d + 1`` times beyond; here each stays between its floor and its cap. The sum of shares never
falls with t, and is linear between the levels at which a bucket opens, starts or ends repeating.
"""

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.lifted import Lifted

__all__ = ["box_fill"]

Array = np.ndarray
NEVER = 1e9
"""Level of a bucket of density zero, beyond all others."""


def box_fill(draws: TargetDraws, lifted: Lifted) -> tuple[Array, Array]:
    """Best recipes (J, D) between bounds, and prices (J,) of the sum over ``1 - exp(-r)``.

    Where rounding spoils an answer its certificate says so; no answer is promised here.
    """
    low, high = _bounds(lifted)
    used = draws.capacity > 0
    c = np.where(used, draws.capacity, 1.0)
    r = draws.exposure[:, None]
    with np.errstate(all="ignore"):
        repeat_at = np.where(used, np.minimum(1.0 - np.log(draws.density) / r, NEVER), NEVER)
        open_at = repeat_at - (1.0 + np.log(-np.expm1(-r) / r) / r)
        filled = _Filled(low, high, c, open_at, repeat_at)
        level, opening = filled.level_of_sum_one()
        recipes = filled.with_rest(level, opening)
        at_level = draws.exposure * np.exp(-draws.exposure * level) / -np.expm1(-draws.exposure)
        partly = np.take_along_axis(draws.density, np.maximum(opening, 0)[:, None], axis=1)[:, 0]
    return recipes, np.where(opening >= 0, partly, at_level)


def _bounds(lifted: Lifted) -> tuple[Array, Array]:
    return lifted.fixed + lifted.share @ lifted.lower, lifted.fixed + lifted.share @ lifted.upper


class _Filled:
    """Shares of every draw as functions of the level."""

    def __init__(self, low: Array, high: Array, c: Array, open_at: Array, repeat_at: Array) -> None:
        self.low, self.high, self.c = low, high, c
        self.open_at, self.repeat_at = open_at, repeat_at
        self.first = np.maximum(low, np.minimum(c, high))  # once open, before it is repeated

    def shares(self, level: Array, *, opened: bool = True) -> Array:
        """Shares (J, K, D) at levels (J, K), buckets that open there open or not."""
        t, open_at = level[:, :, None], self.open_at[:, None]
        ramp = np.clip(self.c * (t - self.repeat_at[:, None] + 1.0), self.first, self.high)
        return np.where(t >= open_at if opened else t > open_at, ramp, self.low)

    def level_of_sum_one(self) -> tuple[Array, Array]:
        """Levels (J,), and the bucket that opens there and takes the rest, else -1."""
        starts = self.repeat_at - 1.0 + self.first / self.c
        ends = self.repeat_at - 1.0 + self.high / self.c
        events = np.sort(np.concatenate([self.open_at, starts, ends], axis=1), axis=1)
        after = self.shares(events).sum(axis=2)
        rows, last = np.arange(len(events)), events.shape[1] - 1
        following = np.minimum((after < 1.0).sum(axis=1), last)
        before = np.maximum(following - 1, 0)
        end = events[rows, following]
        reached = self.shares(end[:, None], opened=False).sum(axis=2)[:, 0]
        packed = np.where(following > 0, after[rows, before], self.low.sum())
        start = np.where(following > 0, events[rows, before], end)
        part = np.clip((1.0 - packed) / (reached - packed), 0.0, 1.0)
        jumps = ~(reached >= 1.0)
        level = np.where(jumps, end, start + np.where(reached > packed, part, 0.0) * (end - start))
        return level, np.where(jumps, self._opening_at(end), -1)

    def _opening_at(self, level: Array) -> Array:
        opens = self.open_at == level[:, None]
        return np.where(opens.any(axis=1), opens.argmax(axis=1), -1)

    def with_rest(self, level: Array, opening: Array) -> Array:
        """Shares at the level, what is missing to one in the bucket that opens or in ramps."""
        partly = np.arange(len(self.low)) == opening[:, None]
        shares = np.where(partly, self.low, self.shares(level[:, None])[:, 0])
        missing = 1.0 - shares.sum(axis=1, keepdims=True)
        room = np.where((shares > self.first) & (shares < self.high), self.c, 0.0)
        room = np.where(opening[:, None] >= 0, partly, room)
        total = room.sum(axis=1, keepdims=True)
        return shares + missing * room / np.where(total > 0, total, 1.0)
