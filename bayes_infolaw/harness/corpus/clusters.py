"""Pairs of near-duplicates -> connected components -> what becomes of each document."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_infolaw.harness.corpus.chunks import EVALUATION, REFERENCE, TRAIN, read_column
from bayes_infolaw.harness.corpus.duplicates import pair_file
from bayes_infolaw.harness.corpus.work import Chunk, Work

__all__ = ["EXAMPLE", "FATES", "HELD_OUT", "KEPT", "connect", "decide"]

KEPT, HELD_OUT, EXAMPLE, DUPLICATE, NEAR_TEST, SHARES_TEST, TWIN, BAD_EXAMPLE, NEAR_EXAMPLE = range(
    9
)
FATES = (
    "training",
    "evaluation",
    "reference",
    "near-duplicates removed",
    "near-duplicates of the evaluation sets removed",
    "overlapping with the evaluation sets removed",
    "near-duplicates within the evaluation sets removed",
    "reference documents close to the evaluation sets removed",
    "near-duplicates of the reference removed",
)
PAIRS_AT_ONCE = 2**18
NOBODY = np.iinfo(np.int64).max


def connect(parent: np.ndarray, pairs: np.ndarray) -> None:
    """Join the two documents of each pair; the first document of a component is its root.

    Parameters
    ----------
    parent : (documents,) ndarray or memmap of int64
        Changed in place; at the start every document is its own parent.
    pairs : (n, 2) ndarray of int64
    """
    a, b = pairs[:, 0], pairs[:, 1]
    while len(a):
        a, b = roots(parent, a), roots(parent, b)
        apart = a != b
        low, high = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        np.minimum.at(parent, high, low)  # several at once: those that lost come round again
        a, b = low, high


def roots(parent: np.ndarray, documents: np.ndarray) -> np.ndarray:
    """The first document of each document's component; paths are halved on the way."""
    at = np.array(documents)
    while True:
        above = parent[at]
        if np.array_equal(above, at):
            return at
        parent[at] = parent[above]
        at = np.array(parent[at])


def decide(work: Work, n_ranges: int) -> dict[str, Any]:
    """Save what becomes of each document of each chunk, and count it.

    Returns
    -------
    dict
        ``fates``, documents by fate, and ``kept``, documents and bytes kept for training by chunk.
    """
    parent = _joined(work, n_ranges)
    first = _first_of_each(work, work.chunks, parent)
    fates: Counter[int] = Counter()
    kept: dict[str, list[int]] = {}
    for chunk in work.chunks:
        found, n_bytes = _fates(work, chunk, parent, first)
        work.save("fates", chunk, found)
        fates.update(found.tolist())
        own = found == KEPT
        kept[chunk.name] = [int(own.sum()), int(n_bytes[own].sum())]
    return {"fates": {FATES[i]: fates[i] for i in range(len(FATES))}, "kept": kept}


def _joined(work: Work, n_ranges: int) -> np.ndarray:
    """(documents,) parents, on disk, with all near-duplicates joined."""
    last = work.chunks[-1]
    parent = _memmap(work, "parent", last.first + last.documents)
    for chunk in work.chunks:
        parent[_span(chunk)] = np.arange(chunk.first, chunk.first + chunk.documents)
    for number in range(n_ranges):
        pairs = np.load(pair_file(work, number), mmap_mode="r")
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            connect(parent, np.array(pairs[start : start + PAIRS_AT_ONCE]))
    return parent


def _memmap(work: Work, name: str, n: int) -> np.memmap:
    return np.memmap(work.path("clusters", name), dtype=np.int64, mode="w+", shape=(n,))


def _span(chunk: Chunk) -> slice:
    return slice(chunk.first, chunk.first + chunk.documents)


def _first_of_each(
    work: Work, chunks: Sequence[Chunk], parent: np.ndarray
) -> dict[int, np.ndarray]:
    """The first document of each role in each component, by the component's root."""
    n = len(parent)
    first: dict[int, np.ndarray] = {
        role: _memmap(work, f"first-{role}", n) for role in (TRAIN, EVALUATION, REFERENCE)
    }
    for chunk in chunks:
        for array in first.values():
            array[_span(chunk)] = NOBODY
    for chunk in chunks:
        (roles,) = read_column(work.documents(chunk), "role")
        usable = ~work.array("overlaps", chunk) | (roles == EVALUATION)
        numbers = np.arange(chunk.first, chunk.first + chunk.documents)
        for role, array in first.items():
            mine = numbers[(roles == role) & usable]
            np.minimum.at(array, roots(parent, mine), mine)
    return first


def _fates(
    work: Work, chunk: Chunk, parent: np.ndarray, first: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """(documents,) uint8 fates and int64 bytes of a chunk."""
    settings = work.settings
    roles, n_bytes = read_column(work.documents(chunk), "role", "bytes")
    overlaps = work.array("overlaps", chunk)
    numbers = np.arange(chunk.first, chunk.first + chunk.documents)
    root = roots(parent, numbers)
    near_test = first[EVALUATION][root] != NOBODY
    near_example = first[REFERENCE][root] != NOBODY  # it taught the scorers: not to be scored
    repeated = (first[TRAIN][root] != numbers) & settings.dedup.enabled
    twin = (first[EVALUATION][root] != numbers) & bool(settings.heldout.fraction)
    train = np.select(
        [near_test, overlaps, near_example, repeated],
        [NEAR_TEST, SHARES_TEST, NEAR_EXAMPLE, DUPLICATE],
        KEPT,
    )
    example = np.where(near_test | overlaps, BAD_EXAMPLE, EXAMPLE)
    held_out = np.where(twin & settings.dedup.enabled, TWIN, HELD_OUT)
    fates = np.select([roles == TRAIN, roles == REFERENCE], [train, example], held_out)
    return fates.astype(np.uint8), n_bytes
