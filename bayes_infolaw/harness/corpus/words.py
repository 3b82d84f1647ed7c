"""Texts -> hashes of their word n-grams, in numpy: duplicates and overlap share one reading."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Words", "mix", "read_words"]

# ASCII letters and digits; bytes of other letters stay together, whatever their script.
_WORD = re.compile(rb"[0-9a-z\x80-\xff]+")
_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Words:
    """The words of several documents, one after another.

    Attributes
    ----------
    hashes : (words,) ndarray of uint64
        One a word, lower-cased.
    counts : (documents,) ndarray of int64
        Words of each document, at least 1: a text without a word counts as one.
    """

    hashes: np.ndarray
    counts: np.ndarray

    def shingles(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all runs of n words inside a document.

        Returns
        -------
        hashes : (shingles,) ndarray of uint64
        offsets : (documents + 1,) ndarray of uint64
            Shingles of document i are ``hashes[offsets[i]:offsets[i + 1]]``; a document of fewer
            than n words has one, itself.
        """
        stop = np.cumsum(self.counts)
        padded = np.concatenate([self.hashes, np.zeros(n, dtype=np.uint64)])
        left = np.repeat(stop, self.counts) - np.arange(len(self.hashes))  # words to the end
        combined = np.zeros(len(self.hashes), dtype=np.uint64)
        for i in range(n):  # a run that meets the end of a short document stops there
            taken = np.where(left > i, padded[i : i + len(combined)], np.uint64(0))
            combined = combined * np.uint64(_MULTIPLIER) + taken
        first = np.arange(len(self.hashes)) == np.repeat(stop - self.counts, self.counts)
        offsets = np.concatenate([[0], np.cumsum(np.maximum(self.counts - n + 1, 1))])
        return mix(combined[(left >= n) | first]), offsets.astype(np.uint64)


def read_words(texts: Sequence[str]) -> Words:
    """Find and hash the words of documents."""
    split = [_split(text) for text in texts]
    counts = np.array([len(words) for words in split], dtype=np.int64)
    checksums = (zlib.crc32(word) for words in split for word in words)
    return Words(mix(np.fromiter(checksums, dtype=np.uint64, count=int(counts.sum()))), counts)


def _split(text: str) -> list[bytes]:
    raw = text.lower().encode("utf-8", "replace")
    return _WORD.findall(raw) or [raw]


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values one to one: the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + np.uint64(_MULTIPLIER)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
