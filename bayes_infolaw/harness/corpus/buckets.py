"""Scores on disk -> buckets: exact percentiles of the bytes, whatever their number."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Border", "assign", "find_borders"]

DIGITS, DIGIT_BITS = 8, 8
BASE = 2**DIGIT_BITS
Scored = tuple[int, np.ndarray, np.ndarray]  # first number, (n,) scores, (n,) bytes


@dataclass(frozen=True)
class Border:
    """Where a bucket ends: the last document of it in the order (score falling, number rising).

    Attributes
    ----------
    key : int
        Its score as an unsigned number, see `_keys`.
    number : int
        Its number among the documents; -1 where every document of this key lies behind the border.
    """

    key: int
    number: int


def find_borders(
    stream: Callable[[], Iterable[Scored]], percentiles: Sequence[float]
) -> list[Border]:
    """Find the borders between buckets by radix selection: ten passes, no sorting.

    Parameters
    ----------
    stream : callable
        Gives the documents in order, in pieces: number of the first, scores, bytes.
    percentiles : sequence of float
        From 0 to 100; a document belongs where its middle byte lies.

    Returns
    -------
    list of Border
        One for each inner percentile.
    """
    total = sum(int(n_bytes.sum()) for _, _, n_bytes in stream())
    cuts = [_Cut(total * cut / 100) for cut in percentiles[1:-1]]
    if not cuts:
        return []
    for digit in range(DIGITS):
        _narrow(cuts, digit, stream)
    _settle(cuts, stream)
    return [Border(cut.prefix, cut.last) for cut in cuts]


def assign(first: int, scores: np.ndarray, borders: Sequence[Border]) -> np.ndarray:
    """(n,) bucket of each document, 0 = best, by borders in order."""
    keys, numbers = _keys(scores), np.arange(first, first + len(scores))
    buckets = np.zeros(len(scores), dtype=np.int16)
    for border in borders:
        key = np.uint64(border.key)
        buckets += (keys > key) | ((keys == key) & (numbers > border.number))
    return buckets


class _Cut:
    """A place in the order, known by more and more digits of the key there."""

    def __init__(self, position: float) -> None:
        self.position = position  # bytes before the cut
        self.prefix = 0
        self.before = 0  # bytes with smaller keys than the prefix
        self.last = -1  # number of the last document of this key before the cut


def _keys(scores: np.ndarray) -> np.ndarray:
    """uint64 keys that rise where the score falls."""
    bits = np.ascontiguousarray(scores, dtype=np.float64) + 0.0  # no negative zero
    raw = bits.view(np.uint64)
    sign = np.uint64(1) << np.uint64(63)
    rising = np.where(raw & sign, ~raw, raw | sign)
    return ~rising


def _narrow(cuts: Sequence[_Cut], digit: int, stream: Callable[[], Iterable[Scored]]) -> None:
    """Find one more digit of the key at each cut."""
    shift = np.uint64(64 - DIGIT_BITS * (digit + 1))
    prefixes = np.unique(np.array([cut.prefix for cut in cuts], dtype=np.uint64))
    masses = np.zeros((len(prefixes), BASE), dtype=np.int64)
    for _, scores, n_bytes in stream():
        places = _keys(scores) >> shift
        above = places // np.uint64(BASE)
        row = np.minimum(np.searchsorted(prefixes, above), len(prefixes) - 1)
        own = prefixes[row] == above
        np.add.at(masses, (row[own], (places[own] % np.uint64(BASE)).astype(int)), n_bytes[own])
    for cut in cuts:
        mass = masses[np.searchsorted(prefixes, np.uint64(cut.prefix))]
        ends = cut.before + np.cumsum(mass)
        at = min(int(np.searchsorted(ends, cut.position, side="right")), BASE - 1)
        cut.before = int(ends[at] - mass[at])
        cut.prefix = cut.prefix * BASE + at


def _settle(cuts: Sequence[_Cut], stream: Callable[[], Iterable[Scored]]) -> None:
    """Among documents of equal score, find the last whose middle byte lies before each cut."""
    for first, scores, n_bytes in stream():
        keys = _keys(scores)
        for cut in cuts:
            ties = np.flatnonzero(keys == np.uint64(cut.prefix))
            ends = cut.before + np.cumsum(n_bytes[ties])
            inside = ties[ends - n_bytes[ties] / 2 < cut.position]
            cut.last = first + int(inside[-1]) if len(inside) else cut.last
            cut.before = int(ends[-1]) if len(ends) else cut.before
