"""What a corpus build is asked to do; everything here decides the result."""

import json
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.words import SHINGLING

__all__ = ["Columns", "CorpusSettings", "Dedup", "HeldOut", "Overlap", "TokenizerSettings"]

MIB = 2**20


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; None means the usual name where there is one.

    Attributes
    ----------
    text : str
        The document.
    id, source, licence : str, optional
        Default: ``id``, ``source``, ``licence`` or ``license`` where the input has them, else file
        name and row, the input's name, and ``unknown``.
    scores : tuple of str
        Quality scores, higher is better; default: the columns that are known by name.
    """

    text: str = "text"
    id: str | None = None
    source: str | None = None
    licence: str | None = None
    scores: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dedup:
    """Near-duplicates: MinHash over word n-grams, candidates by bands, checked by similarity.

    Attributes
    ----------
    enabled : bool
        Without it duplicates stay; overlap with the evaluation sets is removed all the same.
    permutations, bands, rows : int
        Length of a signature; it is cut into ``bands`` keys of ``rows`` values each.
    ngram : int
        Words in a shingle.
    threshold : float
        Least estimated Jaccard similarity of two near-duplicates, in (0, 1].
    """

    enabled: bool = True
    permutations: int = 112
    bands: int = 16
    rows: int = 7
    ngram: int = 5
    threshold: float = 0.75

    def __post_init__(self) -> None:
        for name in ("permutations", "bands", "rows", "ngram"):
            _require(getattr(self, name) >= 1, f"dedup {name}", "at least 1", getattr(self, name))
        needed = self.bands * self.rows
        rule = f"at least bands x rows = {needed}"
        _require(self.permutations >= needed, "dedup permutations", rule, self.permutations)
        _require(0 < self.threshold <= 1, "dedup threshold", "in (0, 1]", self.threshold)


@dataclass(frozen=True)
class Overlap:
    """When a document overlaps with the evaluation sets: shared word n-grams.

    Attributes
    ----------
    ngram : int
        Words in a shingle.
    least : int
        Least number of a document's shingles that occur in an evaluation set ...
    share : float
        ... and their least share in the document.

    A document too short for so many overlaps where it is contained whole, from 8 words on; one of
    fewer words where it is equal to an evaluation document.
    """

    ngram: int = 13
    least: int = 8
    share: float = 0.005

    def __post_init__(self) -> None:
        _require(self.ngram >= 1, "overlap ngram", "at least 1", self.ngram)
        _require(self.least >= 1, "overlap least", "at least 1", self.least)
        _require(0 <= self.share <= 1, "overlap share", "in [0, 1]", self.share)


@dataclass(frozen=True)
class HeldOut:
    """How the evaluation sets are made.

    Attributes
    ----------
    fraction : float
        Share of the documents that is held out by a seeded hash of their ids; 0 with given files.
    by_source : bool
        One set for each source, instead of one for all.
    """

    fraction: float = 0.0
    by_source: bool = False

    def __post_init__(self) -> None:
        _require(0 <= self.fraction < 1, "heldout fraction", "in [0, 1)", self.fraction)


@dataclass(frozen=True)
class TokenizerSettings:
    """A byte-level BPE tokenizer trained on a sample, or one that is given.

    Attributes
    ----------
    vocab_size : int
        Number of ids, the end-of-text token included; at least 257.
    sample_mb : int
        MiB of text that it is trained on.
    given : str, optional
        SHA-256 of the given tokenizer file.
    end_of_text : str, optional
        Token that ends a document in a given tokenizer; default: the usual ones.
    """

    vocab_size: int = 32768
    sample_mb: int = 128
    given: str | None = None
    end_of_text: str | None = None

    def __post_init__(self) -> None:
        _require(257 <= self.vocab_size < 2**31, "vocab size", "at least 257", self.vocab_size)
        _require(self.sample_mb >= 1, "tokenizer sample", "at least 1 MiB", self.sample_mb)


@dataclass(frozen=True)
class CorpusSettings:
    """Everything that decides what is built.

    Attributes
    ----------
    percentiles : tuple of float
        Cuts of the buckets, best first, in percent of the UTF-8 bytes; from 0 to 100.
    reference_sources : tuple of str
        Documents of these sources are the reference of good text and leave the training pool.
    train_scorers : bool
        Train the scorers even where the input has score columns.
    chunk_mb : int
        MiB of text in a unit of work; memory grows with it, the number of files falls.
    seed : int
        Draws the split, the samples and the hash functions.
    quality : dict
        Settings of the scorers, as `quality.QualitySettings.to_dict` gives them.
    shingling : int
        Version of the way texts are cut into words, for near-duplicates and overlap; not a choice.
    """

    percentiles: tuple[float, ...] = (0, 5, 20, 40, 60, 80, 100)
    columns: Columns = field(default_factory=Columns)
    dedup: Dedup = field(default_factory=Dedup)
    overlap: Overlap = field(default_factory=Overlap)
    heldout: HeldOut = field(default_factory=HeldOut)
    tokenizer: TokenizerSettings = field(default_factory=TokenizerSettings)
    reference_sources: tuple[str, ...] = ()
    train_scorers: bool = False
    chunk_mb: int = 16
    seed: int = 0
    quality: dict[str, Any] = field(default_factory=dict)
    shingling: int = SHINGLING

    def __post_init__(self) -> None:
        cuts = self.percentiles
        rising = all(a < b for a, b in pairwise(cuts))
        fine = len(cuts) >= 2 and cuts[0] == 0 and cuts[-1] == 100 and rising
        _require(fine, "percentiles", "rising from 0 to 100", cuts)
        _require(self.chunk_mb >= 1, "chunk", "at least 1 MiB", self.chunk_mb)
        _require(self.seed >= 0, "seed", "at least 0", self.seed)

    @property
    def bucket_names(self) -> tuple[str, ...]:
        """The best first: "0", "1", ..."""
        return tuple(str(d) for d in range(len(self.percentiles) - 1))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of text in a chunk."""
        return self.chunk_mb * MIB

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return json.loads(json.dumps(asdict(self)))


def _require(fine: bool, what: str, rule: str, value: object) -> None:
    if not fine:
        raise InputError(f"{what}: must be {rule}, got {value!r}")
