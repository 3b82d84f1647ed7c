"""A non-convex set -> convex ones whose union it is: an exact search over what is used and how.

A bucket is off, on (at least its minimum) or free; one with priced unique tokens is packed up to
its source, where the price is linear in its share, or exhausted, where it is constant.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.errors import InputError

__all__ = ["MAX_PIECES", "convex_pieces", "relaxed"]

Array = np.ndarray
MAX_PIECES = 20_000


@dataclass(frozen=True)
class _State:
    """What is chosen of one bucket: its bounds, whether it counts as used, and its price."""

    low: float
    high: float
    used: bool
    price: float  # per packed token, of its unique ones
    paid: float  # whatever its share


def relaxed[Set: RecipeConstraints](allowed: Set) -> Set:
    """The set without its non-convex constraints."""
    return replace(
        allowed, unique_price=None, unique_budget=None, min_if_used=None, max_buckets=None
    )


def convex_pieces[Set: RecipeConstraints](allowed: Set) -> Iterator[Set]:
    """Convex sets that cover the set and lie in it; those empty by their bounds are left out.

    Raises
    ------
    InputError
        More than 20,000 of them.
    """
    if allowed.convex:
        yield allowed
        return
    states = [_states(allowed, d) for d in range(len(allowed.buckets))]
    most = len(states) if allowed.max_buckets is None else allowed.max_buckets
    for count, chosen in enumerate(_choices(states, most)):
        if count >= MAX_PIECES:
            raise InputError(f"constraints: more than {MAX_PIECES} combinations to search")
        if not _wasteful(allowed, chosen, most):
            yield _piece(allowed, chosen)


def _states(allowed: RecipeConstraints, d: int) -> list[_State]:
    low, high = float(allowed.lower[d]), float(allowed.upper[d])
    least = 0.0 if allowed.min_if_used is None else float(allowed.min_if_used[d])
    capacity = float(allowed.capacity[d])
    price = _unique_price(allowed, d)
    few = allowed.max_buckets is not None and allowed.max_buckets < len(allowed.buckets)
    states = [_State(low, 0.0, False, 0.0, 0.0)] if (few or least > 0) and low <= 0 else []
    used_low = max(low, least)
    if price == 0.0 or high <= capacity:
        return [_State(used_low, high, True, price, 0.0), *states]
    exhausted = _State(max(used_low, capacity), high, True, 0.0, price * capacity)
    if used_low >= capacity:
        return [exhausted, *states]
    return [_State(used_low, capacity, True, price, 0.0), exhausted, *states]


def _unique_price(allowed: RecipeConstraints, d: int) -> float:
    if allowed.unique_price is None or allowed.unique_budget is None:
        return 0.0
    return float(allowed.unique_price[d])


def _choices(states: list[list[_State]], most: int) -> Iterator[tuple[_State, ...]]:
    """Combinations that use few enough buckets and whose bounds leave room for a sum of one."""
    after = np.cumsum([0.0, *(max(s.high for s in options) for options in states[::-1])])[::-1]

    def extend(chosen: tuple[_State, ...]) -> Iterator[tuple[_State, ...]]:
        lows, highs = sum(s.low for s in chosen), sum(s.high for s in chosen)
        used = sum(s.used for s in chosen)
        if used > most or lows > 1.0 + 1e-9 or highs + after[len(chosen)] < 1.0 - 1e-9:
            return
        if len(chosen) == len(states):
            yield chosen
            return
        for state in states[len(chosen)]:
            if state.high >= state.low - 1e-9:
                yield from extend((*chosen, state))

    return extend(())


def _wasteful(allowed: RecipeConstraints, chosen: tuple[_State, ...], most: int) -> bool:
    """Whether a bucket is off that could as well be free: another choice covers this one."""
    if sum(state.used for state in chosen) >= most:
        return False
    least = np.zeros(len(chosen)) if allowed.min_if_used is None else allowed.min_if_used
    return any(not s.used and q <= 0 for s, q in zip(chosen, least, strict=True))


def _piece[Set: RecipeConstraints](allowed: Set, chosen: tuple[_State, ...]) -> Set:
    low = np.array([state.low for state in chosen])
    high = np.array([state.high for state in chosen])
    linear = allowed.linear
    if allowed.unique_budget is not None:
        price = np.array([state.price for state in chosen])
        linear = (*linear, (price, allowed.unique_budget - sum(state.paid for state in chosen)))
    return replace(
        relaxed(allowed),
        floor=low,
        cap=np.minimum(allowed.cap, np.maximum(high, low)),
        linear=linear,
    )
