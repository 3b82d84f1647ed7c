"""LayerMix: corpus and recipe -> the packed training set, exactly as the law counts it.

Paper section 3.1 and appendix C (algorithm 1): downsample the source to S tokens, draw
``n_d = w_d K`` tokens from bucket d, repeat whole buckets as evenly as possible, shuffle, one pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.store import Corpus

__all__ = ["BucketCount", "PackSettings", "PackedSet", "matching_source", "pack"]

SHARES_TOLERANCE = 1e-6
BY_SOURCE, BY_ORDER, BY_SEQUENCE = 1, 2, 3  # which stream of random numbers
WORD_BITS = 32
DRAWN_AT_ONCE = 2**18  # units looked up together: a small source of a large bucket needs few


@dataclass(frozen=True)
class PackSettings:
    """What to pack.

    Attributes
    ----------
    recipe : mapping of str to float
        Packed shares w_d by bucket name, summing to 1; absent buckets have 0.
    tokens : int
        K, tokens to pack; a multiple of ``seq_len``.
    source_tokens : int
        S, tokens that the source is downsampled to, every bucket in proportion.
    subsample : int
        Seed of the source's subsample. Subsamples of one seed are nested in S, and what is drawn
        from them is nested in K, whatever the recipe.
    order_seed : int
        Seed of the shuffle.
    seq_len : int
        Tokens a sequence.
    unit_tokens : int or None
        Subsample and repeat documents whole (None), or in pieces of so many tokens: a small source
        is then spread over more documents, and one subsample differs less from another.
    """

    recipe: Mapping[str, float]
    tokens: int
    source_tokens: int
    subsample: int
    order_seed: int
    seq_len: int
    unit_tokens: int | None = None

    def __post_init__(self) -> None:
        for name, share in self.recipe.items():
            if not 0 <= share <= 1:
                raise InputError(f"recipe: share of {name!r} must be in [0, 1], got {share}")
        total = sum(self.recipe.values())
        if abs(total - 1) > SHARES_TOLERANCE:
            raise InputError(f"recipe: shares must sum to 1, got {total:.7g}")
        if self.tokens < 1 or self.tokens % self.seq_len:
            rule = f"must be a positive multiple of the sequence length {self.seq_len}"
            raise InputError(f"tokens: {rule}, got {self.tokens}")
        for name, seed in (("subsample", self.subsample), ("order_seed", self.order_seed)):
            if seed < 0:
                raise InputError(f"{name}: must be at least 0, got {seed}")
        if self.source_tokens < 1:
            raise InputError(f"source_tokens: must be at least 1, got {self.source_tokens}")
        if self.unit_tokens is not None and self.unit_tokens < 1:
            raise InputError(f"unit_tokens: must be at least 1, got {self.unit_tokens}")


@dataclass(frozen=True)
class BucketCount:
    """What was packed of one bucket, counted in the packed set itself.

    Attributes
    ----------
    source, packed, unique : int
        s_d, n_d and U_d in tokens.
    documents : int
        Distinct documents.
    """

    source: int
    packed: int
    unique: int
    documents: int

    @property
    def repetition(self) -> float:
        """``T_d = n_d / U_d``; 1 for an unused bucket."""
        return self.packed / self.unique if self.unique else 1.0


class PackedSet:
    """Shuffled sequences over the packed documents, read from the corpus when asked for.

    Documents stand one after another in the packed stream, which is cut into sequences: a position
    may attend to the end of an earlier document, as in the paper's packing. The stream is a circle:
    the last sequence's last target is the first token.

    Parameters
    ----------
    corpus : Corpus
        Where the tokens are.
    pieces : (n, 4) int64 array
        Bucket number, document, first token and number of tokens of each piece, in stream order.
    settings : PackSettings
        What was asked for.
    counts : dict of BucketCount
        By bucket name, all the corpus's buckets.
    """

    def __init__(
        self,
        corpus: Corpus,
        pieces: np.ndarray,
        settings: PackSettings,
        counts: dict[str, BucketCount],
    ) -> None:
        self.settings, self.counts = settings, counts
        self._stores = [corpus.bucket(name) for name in corpus.buckets]
        self._pieces = pieces
        self._ends = np.cumsum(pieces[:, 3])

    @cached_property
    def order(self) -> np.ndarray:
        """(n_sequences,) place in the stream, in sequences, of each sequence."""
        return _generator(self.settings.order_seed, BY_SEQUENCE).permutation(self.n_sequences)

    @property
    def n_sequences(self) -> int:
        """K / sequence length."""
        return self.settings.tokens // self.settings.seq_len

    def documents(self) -> dict[str, np.ndarray]:
        """Numbers, rising, of the documents that were packed, by bucket."""
        bucket, document = self._pieces[:, 0], self._pieces[:, 1]
        return {
            store.name: np.unique(document[bucket == d]) for d, store in enumerate(self._stores)
        }

    def sequence(self, index: int) -> np.ndarray:
        """(seq_len + 1,) int64 inputs and, one further, targets of the index-th sequence."""
        start = int(self.order[index]) * self.settings.seq_len
        return self.stream(start, self.settings.seq_len + 1)

    def batch(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """(B, seq_len + 1) int64, the sequences of these indices."""
        return np.stack([self.sequence(int(index)) for index in indices])

    def stream(self, start: int, length: int) -> np.ndarray:
        """``length`` tokens of the packed stream from ``start`` on, round its end."""
        parts, position = [], start
        while length > 0:
            position %= self.settings.tokens
            piece = int(np.searchsorted(self._ends, position, side="right"))
            bucket, document, first, used = (int(value) for value in self._pieces[piece])
            offset = position - (int(self._ends[piece]) - used)
            taken = min(length, used - offset)
            start = first + offset
            parts.append(self._stores[bucket].read(document, start, start + taken))
            position, length = position + taken, length - taken
        return np.concatenate(parts)


def pack(corpus: Corpus, settings: PackSettings) -> PackedSet:
    """Pack a training set.

    Parameters
    ----------
    corpus : Corpus
        Bucketed tokens.
    settings : PackSettings
        Recipe, sizes and seeds: the result depends on nothing else.

    Raises
    ------
    InputError
        The recipe names a bucket that the corpus lacks, the corpus has fewer than S tokens, or a
        bucket with a share has no source tokens.
    """
    packed = _packed_tokens(corpus, settings)
    source = _source_tokens(corpus, settings)
    pieces, counts = [], {}
    for number, name in enumerate(corpus.buckets):
        if packed[number] and not source[number]:
            raise InputError(f"recipe: bucket {name!r} must have source tokens to be packed, has 0")
        drawn = _draw(corpus, number, source[number] if packed[number] else 0, settings)
        chosen = _repeat(drawn, packed[number])
        pieces.append(np.column_stack([np.full(len(chosen), number), chosen]))
        counts[name] = _count(chosen, source[number])
    stream = np.concatenate(pieces)
    order = _generator(settings.order_seed, BY_ORDER).permutation(len(stream))
    return PackedSet(corpus, stream[order], settings, counts)


def matching_source(target_source: float, target_tokens: float, tokens: float) -> int:
    """S at which a smaller run repeats its buckets as its target does: ``S_target K / K_target``.

    At equal recipe and equal S / K every ``T_d = n_d / min(n_d, s_d)`` is the same.
    """
    return round(target_source * tokens / target_tokens)


def _packed_tokens(corpus: Corpus, settings: PackSettings) -> np.ndarray:
    unknown = [name for name in settings.recipe if name not in corpus.buckets]
    if unknown:
        rule = f"buckets must be among {', '.join(corpus.buckets)}"
        raise InputError(f"recipe: {rule}, got {unknown[0]!r}")
    shares = np.array([settings.recipe.get(name, 0.0) for name in corpus.buckets])
    return _split(settings.tokens, shares)


def _source_tokens(corpus: Corpus, settings: PackSettings) -> np.ndarray:
    held = np.array([corpus.bucket(name).tokens for name in corpus.buckets])
    if settings.source_tokens > held.sum():
        rule = f"must be at most the corpus's {held.sum()} tokens"
        raise InputError(f"source_tokens: {rule}, got {settings.source_tokens}")
    return _split(settings.source_tokens, held / held.sum())


def _split(total: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers proportional to the shares with this total (largest remainders)."""
    exact = total * shares / shares.sum()
    whole = np.floor(exact + 1e-9).astype(np.int64)
    remainder = np.where(shares > 0, exact - whole, -1.0)
    whole[np.argsort(-remainder, kind="stable")[: total - whole.sum()]] += 1
    return whole


def _draw(corpus: Corpus, number: int, tokens: int, settings: PackSettings) -> np.ndarray:
    """(n, 3) the subsample's first ``tokens``: document, first token and number of tokens."""
    if not tokens:
        return np.empty((0, 3), dtype=np.int64)
    units = _Units(corpus.bucket(corpus.buckets[number]).lengths, settings.unit_tokens)
    order = _generator(settings.subsample, BY_SOURCE, number).permutation(units.count)
    drawn, held = [], 0
    for start in range(0, units.count, DRAWN_AT_ONCE):
        drawn.append(units.find(order[start : start + DRAWN_AT_ONCE]))
        held += int(drawn[-1][:, 2].sum())
        if held >= tokens:
            break
    return _cut(np.concatenate(drawn), tokens)


class _Units:
    """What is drawn: documents, or pieces of them of ``unit_tokens`` and one shorter rest."""

    def __init__(self, lengths: np.ndarray, unit_tokens: int | None) -> None:
        self._lengths = lengths
        self._size = unit_tokens or max(1, int(lengths.max(initial=1)))
        self._ends = np.cumsum(-(-lengths // self._size))  # of each document's units
        self.count = int(self._ends[-1]) if len(lengths) else 0

    def find(self, numbers: np.ndarray) -> np.ndarray:
        """(n, 3) document, first token and number of tokens of the units of these numbers."""
        document = np.searchsorted(self._ends, numbers, side="right")
        length = self._lengths[document]
        units = -(-length // self._size)
        first = (numbers - (self._ends[document] - units)) * self._size
        return np.column_stack([document, first, np.minimum(self._size, length - first)])


def _cut(pieces: np.ndarray, tokens: int) -> np.ndarray:
    """The first pieces with ``tokens`` tokens in all, the last one shortened."""
    if not tokens:
        return pieces[:0]
    ends = np.cumsum(pieces[:, 2])
    last = int(np.searchsorted(ends, tokens))
    kept = pieces[: last + 1].copy()
    kept[last, 2] -= ends[last] - tokens
    return kept


def _repeat(drawn: np.ndarray, tokens: int) -> np.ndarray:
    """Whole copies of a bucket's source, then the part that is still missing."""
    if not tokens:
        return drawn[:0]
    whole, rest = divmod(int(tokens), int(drawn[:, 2].sum()))
    return np.concatenate([drawn] * whole + [_cut(drawn, rest)])


def _count(chosen: np.ndarray, source: int) -> BucketCount:
    """Counted from the pieces: one that was cut in two ways is as unique as its longest cut."""
    starts, place = np.unique(chosen[:, :2], axis=0, return_inverse=True)
    longest = np.zeros(len(starts), dtype=np.int64)
    np.maximum.at(longest, place, chosen[:, 2])
    documents = len(np.unique(starts[:, 0]))
    return BucketCount(int(source), int(chosen[:, 2].sum()), int(longest.sum()), documents)


def _generator(seed: int, *stream: int) -> np.random.Generator:
    """Random numbers of a stream; a seed's words beyond 32 bits come behind the stream's numbers.

    Before them, 2**32 + 5 in the stream 2 would be the seed 5 in the stream (1, 2).
    """
    high, low = divmod(seed, 2**WORD_BITS)
    entropy = [low, *stream, high] if high else [low, *stream]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
