"""Signatures and bands of each chunk, and the near-duplicate pairs of each range of bands."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.harness.corpus.chunks import read_texts
from bayes_infolaw.harness.corpus.overlap import EvaluationRuns, overlapping
from bayes_infolaw.harness.corpus.settings import Dedup
from bayes_infolaw.harness.corpus.words import Words, mix, read_words
from bayes_infolaw.harness.corpus.work import Chunk, Work
from bayes_infolaw.harness.requires import require

__all__ = ["BandRange", "band_ranges", "find_pairs", "pair_file", "sign"]

MOST_LEADERS = 64


def sign(work: Work, chunk: Chunk) -> dict[str, Any]:
    """Save signatures, band keys and overlap with the evaluation sets of a chunk's documents."""
    dedup, evaluation = work.settings.dedup, EvaluationRuns.open(work)
    keys, shared, first = [], [], chunk.first
    with work.path("signatures", f"{chunk.name}.bin").open("wb") as file:
        for group in read_texts(work.documents(chunk)):
            words = read_words(group["text"])
            signatures = _signatures(words, dedup, work.settings.seed)
            file.write(signatures.tobytes())
            keys.append(_band_keys(signatures, dedup, first))
            shared.append(overlapping(words, evaluation, work.settings.overlap))
            first += len(signatures)
    rows = np.concatenate(keys)
    work.save("bands", chunk, rows[np.argsort(rows[:, 0], kind="stable")])
    work.save("overlaps", chunk, np.concatenate(shared))
    return {"band_keys": len(rows)}


def _signatures(words: Words, dedup: Dedup, seed: int) -> np.ndarray:
    """(documents, permutations) uint32 MinHash signatures."""
    rensa = require("rensa")
    hashes, offsets = words.shingles(dedup.ngram)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes, offsets, dedup.permutations, seed
    )
    return np.array(matrix.to_rows(), dtype=np.uint32)


def _band_keys(signatures: np.ndarray, dedup: Dedup, first: int) -> np.ndarray:
    """(documents x bands, 2) uint64: key of a band, number of the document."""
    used = signatures[:, : dedup.bands * dedup.rows].astype(np.uint64)
    bands = used.reshape(len(used), dedup.bands, dedup.rows)
    keys = np.broadcast_to(np.arange(dedup.bands, dtype=np.uint64), bands.shape[:2])
    for row in range(dedup.rows):
        keys = mix(keys ^ mix(bands[:, :, row]))
    numbers = np.arange(first, first + len(used), dtype=np.uint64)
    return np.stack([keys.ravel(), np.repeat(numbers, dedup.bands)], axis=1)


@dataclass(frozen=True)
class BandRange:
    """Band keys in ``[low, high]`` of all chunks: as many as are sorted at once."""

    number: int
    low: int
    high: int


def band_ranges(n_keys: int, at_once: int) -> list[BandRange]:
    """Cut the space of keys evenly, so that about ``at_once`` keys fall into each range."""
    pieces = max(1, -(-n_keys // at_once))
    edges = [2**64 * i // pieces for i in range(pieces + 1)]
    return [BandRange(i, edges[i], edges[i + 1] - 1) for i in range(pieces)]


def find_pairs(work: Work, band_range: BandRange) -> dict[str, Any]:
    """Save the pairs of documents that share a band key and are similar enough."""
    rows = np.concatenate([_rows_between(work, chunk, band_range) for chunk in work.chunks])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    similar = _Similar(work)
    found = [pair for group in _groups(rows) for pair in _pairs(group, similar)]
    pairs = np.unique(np.array(found, dtype=np.int64).reshape(-1, 2), axis=0)
    np.save(pair_file(work, band_range.number), pairs)
    return {"pairs": len(pairs)}


def pair_file(work: Work, number: int) -> Path:
    """Where the pairs of a range of bands are."""
    return work.path("pairs", f"{number:06d}.npy")


def _rows_between(work: Work, chunk: Chunk, band_range: BandRange) -> np.ndarray:
    rows = np.load(work.path("bands", f"{chunk.name}.npy"), mmap_mode="r")
    start = np.searchsorted(rows[:, 0], np.uint64(band_range.low), side="left")
    stop = np.searchsorted(rows[:, 0], np.uint64(band_range.high), side="right")
    return np.array(rows[start:stop])


def _groups(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the documents that share a key, rising, for each key with more than one."""
    edges = np.flatnonzero(np.concatenate([[True], rows[1:, 0] != rows[:-1, 0], [True]]))
    for i in np.flatnonzero(np.diff(edges) > 1):
        yield np.unique(rows[edges[i] : edges[i + 1], 1]).astype(np.int64)


def _pairs(group: np.ndarray, similar: "_Similar") -> Iterator[tuple[int, int]]:
    """Pair each document with the first similar one; those left over start a round of their own."""
    for _ in range(MOST_LEADERS):
        if len(group) < 2:
            return
        leader, others = int(group[0]), group[1:]
        alike = similar(leader, others)
        yield from ((leader, int(other)) for other in others[alike])
        group = others[~alike]


class _Similar:
    """Compares signatures on disk."""

    def __init__(self, work: Work) -> None:
        self._work, self._chunks = work, work.chunks
        self._width = work.settings.dedup.permutations
        self._threshold = work.settings.dedup.threshold
        self._first = np.array([chunk.first for chunk in self._chunks])

    def __call__(self, leader: int, others: np.ndarray) -> np.ndarray:
        reference = self._read(leader)
        shares = [float(np.mean(self._read(int(other)) == reference)) for other in others]
        return np.array(shares) >= self._threshold

    def _read(self, number: int) -> np.ndarray:
        which = int(np.searchsorted(self._first, number, side="right")) - 1
        chunk, size = self._chunks[which], 4 * self._width
        path = self._work.path("signatures", f"{chunk.name}.bin")
        handle = os.open(path, os.O_RDONLY)
        try:
            raw = os.pread(handle, size, (number - chunk.first) * size)
        finally:
            os.close(handle)
        return np.frombuffer(raw, dtype=np.uint32)
