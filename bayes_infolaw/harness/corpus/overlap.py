"""Overlap with the evaluation sets: their word n-grams on disk, and the documents that share them.

A long document overlaps where it shares enough runs of words. A document of few words can't share
so many, on either side: it overlaps where it is contained in the other whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.harness.corpus.chunks import EVALUATION, read_texts
from bayes_infolaw.harness.corpus.settings import Overlap
from bayes_infolaw.harness.corpus.words import Words, mix, read_words
from bayes_infolaw.harness.corpus.work import Chunk, Work

__all__ = ["EvaluationRuns", "collect_runs", "merge_runs", "overlapping"]

# The least words that tell where they come from: GPT-3's bounds were 8 and 13 (arXiv 2005.14165,
# appendix C). A shorter document overlaps only where a whole evaluation document is the same.
LEAST_WORDS = 8
KINDS = ("shingles", "short", "wholes")
LENGTHS = "lengths"
MERGED_PER_MB = 2**16  # numbers merged at once for each MiB of a chunk: 0.5 MiB, sorted beside it


def collect_runs(work: Work, chunk: Chunk) -> dict[str, Any]:
    """Save the word n-grams of a chunk's held-out documents; tell how many of each kind."""
    groups = [_runs_of(texts, work.settings.overlap) for texts in _held_out(work, chunk)]
    found: dict[str, int] = {}
    for kind in (*KINDS, LENGTHS):
        numbers = _union([group[kind] for group in groups])
        work.save(f"evaluation-{kind}", chunk, numbers)
        found[kind] = len(numbers)
    return found


def _held_out(work: Work, chunk: Chunk) -> Iterator[list[str]]:
    for group in read_texts(work.documents(chunk), ("role",)):
        pairs = zip(group["text"], group["role"], strict=True)
        texts = [text for text, role in pairs if role == EVALUATION]
        if texts:
            yield texts


def _runs_of(texts: Sequence[str], overlap: Overlap) -> dict[str, np.ndarray]:
    """Runs of n words, of the fewest words that tell, and short documents as one run."""
    words, longest = read_words(texts), _longest_short(overlap)
    *_, ends = words.runs(longest)
    start = np.cumsum(words.counts) - words.counts
    short = (words.counts >= _least_words(overlap)) & (words.counts <= longest)
    return {
        "shingles": words.shingles(overlap.ngram)[0],
        "short": words.shingles(_least_words(overlap))[0],
        "wholes": mix(ends[start[short]]),
        LENGTHS: words.counts[short].astype(np.uint64),
    }


def _least_words(overlap: Overlap) -> int:
    return min(LEAST_WORDS, overlap.ngram)


def _longest_short(overlap: Overlap) -> int:
    """Words of the longest evaluation document that is looked for whole.

    One of more words can share enough shingles, unless very many are asked for.
    """
    return overlap.ngram + min(overlap.least, overlap.ngram) - 2


def _union(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.unique(np.concatenate([np.empty(0, dtype=np.uint64), *arrays]))


def merge_runs(work: Work, found: dict[str, int]) -> dict[str, Any]:
    """Save the runs of all evaluation sets as one rising array a kind, a range at a time.

    Parameters
    ----------
    work : Work
    found : dict of str to int
        How many numbers of each kind the chunks hold in all.
    """
    tests = [chunk for chunk in work.chunks if chunk.held_out]
    at_once = work.settings.chunk_mb * MERGED_PER_MB
    merged = {}
    for kind in (*KINDS, LENGTHS):
        pieces = max(1, -(-found[kind] // at_once))
        # Lengths are small numbers and few; all others are spread evenly over 64 bits.
        edges = [2**64 * i // pieces for i in range(pieces)] if kind != LENGTHS else [0]
        with work.path("evaluation", kind).open("wb") as file:
            for low, high in zip(edges, [*edges[1:], 2**64], strict=True):
                parts = [_between(work, kind, chunk, low, high) for chunk in tests]
                file.write(_union(parts).tobytes())
            merged[kind] = file.tell() // 8
    return merged


def _between(work: Work, kind: str, chunk: Chunk, low: int, high: int) -> np.ndarray:
    numbers = np.load(work.path(f"evaluation-{kind}", f"{chunk.name}.npy"), mmap_mode="r")
    ends = np.array([low, high - 1], dtype=np.uint64)
    start = np.searchsorted(numbers, ends[0], side="left")
    return np.array(numbers[start : np.searchsorted(numbers, ends[1], side="right")])


@dataclass(frozen=True)
class EvaluationRuns:
    """What the evaluation sets hold: rising uint64 arrays, on disk.

    Attributes
    ----------
    shingles : ndarray
        Runs of n words; documents of fewer are one run.
    short : ndarray
        Runs of the fewest words that tell where they come from.
    wholes : ndarray
        Documents too short to share enough shingles, each as one run.
    lengths : ndarray
        The numbers of words of those.
    """

    shingles: np.ndarray
    short: np.ndarray
    wholes: np.ndarray
    lengths: np.ndarray

    @classmethod
    def open(cls, work: Work) -> "EvaluationRuns":
        """Map what `merge_runs` saved: pages are read where they are needed."""
        return cls(*(_mapped(work, kind) for kind in (*KINDS, LENGTHS)))

    @classmethod
    def of(cls, texts: Sequence[str], overlap: Overlap) -> "EvaluationRuns":
        """Those of a few documents, in memory."""
        return cls(**{kind: np.unique(runs) for kind, runs in _runs_of(texts, overlap).items()})


def _mapped(work: Work, kind: str) -> np.ndarray:
    path = work.path("evaluation", kind)
    empty = not path.stat().st_size
    return np.empty(0, np.uint64) if empty else np.memmap(path, dtype=np.uint64, mode="r")


def overlapping(words: Words, evaluation: EvaluationRuns, overlap: Overlap) -> np.ndarray:
    """(documents,) bool: documents that share too much with an evaluation set."""
    if not len(evaluation.shingles):
        return np.zeros(len(words.counts), dtype=bool)
    found, total = _shared(words, evaluation.shingles, overlap.ngram)
    # A document of fewer shingles than `least` overlaps where all of them are shared.
    enough = (found >= np.minimum(overlap.least, total)) & (found >= overlap.share * total)
    return enough | _inside(words, evaluation, overlap) | _holding(words, evaluation, overlap)


def _shared(words: Words, known: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(documents,) shingles of each document that are known, and all of them."""
    hashes, offsets = words.shingles(n)
    starts = offsets[:-1].astype(np.int64)
    found = np.add.reduceat(_is_in(hashes, known).astype(np.int64), starts)
    return found, np.diff(offsets).astype(np.int64)


def _inside(words: Words, evaluation: EvaluationRuns, overlap: Overlap) -> np.ndarray:
    """Documents of too few words for a shingle, all of whose short runs are known."""
    least = _least_words(overlap)
    short = (words.counts >= least) & (words.counts < overlap.ngram)
    if not short.any():
        return short
    found, total = _shared(words, evaluation.short, least)
    return short & (found == total)


def _holding(words: Words, evaluation: EvaluationRuns, overlap: Overlap) -> np.ndarray:
    """Documents that hold a short evaluation document whole."""
    lengths = set(evaluation.lengths.tolist())
    places = np.zeros(len(words.hashes), dtype=bool)
    if lengths:
        left = words.left
        for n, runs in enumerate(words.runs(_longest_short(overlap)), start=1):
            if n in lengths:
                places |= (left >= n) & _is_in(mix(runs), evaluation.wholes)
    starts = np.cumsum(words.counts) - words.counts
    return np.logical_or.reduceat(places, starts)


def _is_in(numbers: np.ndarray, known: np.ndarray) -> np.ndarray:
    at = np.searchsorted(known, numbers)
    return np.asarray(known[np.minimum(at, len(known) - 1)] == numbers)
