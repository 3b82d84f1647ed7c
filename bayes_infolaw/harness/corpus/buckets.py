"""Scores on disk -> buckets: exact percentiles of the bytes, whatever their number."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Border", "assign", "find_borders"]

DIGITS, DIGIT_BITS = 4, 16
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
    """Find the borders between buckets by radix selection: five passes, no sorting.

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
    for digit in range(DIGITS):
        _narrow(cuts, digit, stream)
    return [_settle(cut, stream) for cut in cuts]


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
    masses = {cut.prefix: np.zeros(2**DIGIT_BITS, dtype=np.int64) for cut in cuts}
    for _, scores, n_bytes in stream():
        places = _keys(scores) >> shift
        prefixes = places >> np.uint64(DIGIT_BITS)
        for prefix, mass in masses.items():
            own = prefixes == np.uint64(prefix)
            at = (places[own] & np.uint64(2**DIGIT_BITS - 1)).astype(np.int64)
            np.add.at(mass, at, n_bytes[own])
    for cut in cuts:
        ends = cut.before + np.cumsum(masses[cut.prefix])
        at = min(int(np.searchsorted(ends, cut.position, side="right")), len(ends) - 1)
        cut.before = int(ends[at] - masses[cut.prefix][at])
        cut.prefix = (cut.prefix << DIGIT_BITS) | at


def _settle(cut: _Cut, stream: Callable[[], Iterable[Scored]]) -> Border:
    """Among documents of equal score, find the last whose middle byte lies before the cut."""
    before, last = cut.before, -1
    for first, scores, n_bytes in stream():
        ties = np.flatnonzero(_keys(scores) == np.uint64(cut.prefix))
        ends = before + np.cumsum(n_bytes[ties])
        inside = ties[ends - n_bytes[ties] / 2 < cut.position]
        if len(inside):
            last = first + int(inside[-1])
        if len(ends):
            before = int(ends[-1])
    return Border(cut.prefix, last)
