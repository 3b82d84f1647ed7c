"""Texts -> hashes of their word n-grams, in numpy: duplicates and overlap share one reading."""

import re
import sys
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np

__all__ = ["SHINGLING", "Words", "mix", "plain_text", "read_words"]

SHINGLING = 2  # version: it changes whenever a text is cut into other words; manifests name it
_ASCII = re.compile(rb"[0-9a-z]+")
_SPACED = re.compile(r"[^\W_]+")  # the same words, where there are no marks: much faster
# Scripts written without spaces, where a character is a word: Thai, Lao, Myanmar, Khmer and their
# neighbours, kana, bopomofo, Chinese characters. (Hangul and Tibetan mark their words.)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Words:
    """The words of several documents, one after another.

    Attributes
    ----------
    hashes : (words,) ndarray of uint64
        One a word, folded to lower case and to one spelling of each character.
    counts : (documents,) ndarray of int64
        Words of each document, at least 1: a text without a word counts as one.
    """

    hashes: np.ndarray
    counts: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """(words,) words from each one to the end of its document, itself included."""
        return np.repeat(np.cumsum(self.counts), self.counts) - np.arange(len(self.hashes))

    def shingles(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all runs of n words inside a document.

        Returns
        -------
        hashes : (shingles,) ndarray of uint64
        offsets : (documents + 1,) ndarray of uint64
            Shingles of document i are ``hashes[offsets[i]:offsets[i + 1]]``; a document of fewer
            than n words has one, itself.
        """
        *_, runs = self.runs(n)
        first = np.arange(len(runs)) == np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        offsets = np.concatenate([[0], np.cumsum(np.maximum(self.counts - n + 1, 1))])
        return mix(runs[(self.left >= n) | first]), offsets.astype(np.uint64)

    def runs(self, longest: int) -> Iterator[np.ndarray]:
        """For n = 1..longest, (words,) uint64 numbers of the n words from each word on.

        A run that meets the end of its document stops there, and has the number of what is left,
        whatever n. The numbers are not yet mixed, and the array is the same each time.
        """
        left, longest = self.left, max(longest, 1)
        padded = np.concatenate([self.hashes, np.zeros(longest, dtype=np.uint64)])
        combined = np.zeros(len(self.hashes), dtype=np.uint64)
        for i in range(longest):
            following = combined * np.uint64(_MULTIPLIER) + padded[i : i + len(combined)]
            np.copyto(combined, following, where=left > i)
            yield combined


def read_words(texts: Sequence[str]) -> Words:
    """Find and hash the words of documents."""
    split = [_split(text) for text in texts]
    counts = np.array([len(words) for words in split], dtype=np.int64)
    checksums = (zlib.crc32(word) for words in split for word in words)
    return Words(mix(np.fromiter(checksums, dtype=np.uint64, count=int(counts.sum()))), counts)


def plain_text(text: str) -> str:
    """The text in one spelling of each character (NFKC), lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _split(text: str) -> list[bytes]:
    """Words: runs of letters, digits and their marks; a character where words have no spaces."""
    if text.isascii():
        raw = text.lower().encode()
        return _ASCII.findall(raw) or [raw]
    folded = unicodedata.normalize("NFKC", text).casefold()
    pattern = _any_script() if _needs_more().search("".join(set(folded))) else _SPACED
    words = pattern.findall(folded) or [folded]
    return "\0".join(words).encode("utf-8", "replace").split(b"\0")


@cache
def _any_script() -> re.Pattern[str]:
    r"""``\w`` lacks the marks that many scripts write vowels with."""
    marks = _marks()
    return re.compile(rf"[{_UNSPACED}][{marks}]*|(?:(?![{_UNSPACED}_])[\w{marks}])+")


@cache
def _needs_more() -> re.Pattern[str]:
    return re.compile(f"[{_UNSPACED}{_marks()}]")


@cache
def _marks() -> str:
    """The combining marks of all scripts as ranges of a character class."""
    marked = (c for c in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(c))[0] == "M")
    runs = [[c for _, c in run] for _, run in groupby(enumerate(marked), lambda at: at[1] - at[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs)


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values one to one: the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + np.uint64(_MULTIPLIER)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
