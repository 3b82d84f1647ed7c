"""Text of each bucket -> bits per byte of held-out text under a small n-gram model: no training.

A cheap first look at whether the buckets are in the right order; training one size on each bucket
alone is the real check.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["bucket_perplexities"]

_ORDER = 5  # bytes of context
_MOST_ORDER = 7  # context and next byte are the eight bytes of a uint64
_BREAK = b"\n" * _MOST_ORDER  # a document's first bytes have no other document for context

# Per order: sorted keys (context, next byte), their counts; sorted contexts, their counts, and how
# many different bytes follow.
_Level = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bucket_perplexities(
    texts_by_bucket: Mapping[str, Iterable[str]],
    heldout: Mapping[str, Sequence[str]],
    train_bytes: int = 1_500_000,
    heldout_bytes: int = 300_000,
    order: int = _ORDER,
) -> dict[str, dict[str, dict[str, float]]]:
    """Train a byte n-gram model on an equal amount of each bucket's text and apply it.

    Bytes are predicted from up to ``order`` bytes before, interpolated with shorter contexts as by
    Witten and Bell (IEEE Trans. Inf. Theory 37, 1991, method C).

    Parameters
    ----------
    texts_by_bucket : mapping of name to iterable of str
        Documents in random order; no more is read than ``train_bytes``.
    heldout : mapping of name to sequence of str
        Evaluation sets; documents in random order, the first ``heldout_bytes`` of each are scored.
    train_bytes, heldout_bytes, order : int

    Returns
    -------
    dict
        bucket -> evaluation set -> ``bits_per_byte``, ``se`` (over documents) and ``train_bytes``.

    Raises
    ------
    InputError
        A bucket or an evaluation set is empty, or the order is not in 1..7.
    """
    if not 1 <= order <= _MOST_ORDER:
        raise InputError(f"order: must be in 1..{_MOST_ORDER}, got {order}")
    documents = {name: _first(name, texts, heldout_bytes) for name, texts in heldout.items()}
    found = {}
    for bucket, texts in texts_by_bucket.items():
        read = _first(bucket, texts, train_bytes)
        train = _joined(read)
        levels = [_count(keys) for keys in _keys(train, order)]
        found[bucket] = {
            name: _bits_per_byte(levels, docs, order) | {"train_bytes": float(sum(map(len, read)))}
            for name, docs in documents.items()
        }
    return found


def _first(name: str, texts: Iterable[str], limit: int) -> list[bytes]:
    """Documents up to a number of bytes, the last one cut."""
    kept: list[bytes] = []
    for text in texts:
        kept.append(text.encode("utf-8", "replace")[:limit])
        limit -= len(kept[-1])
        if limit <= 0:
            break
    kept = [document for document in kept if document]
    if not kept:
        raise InputError(f"{name}: must have some text, got none")
    return kept


def _joined(documents: list[bytes]) -> np.ndarray:
    return np.frombuffer(_BREAK + _BREAK.join(documents), dtype=np.uint8)


def _keys(data: np.ndarray, order: int) -> list[np.ndarray]:
    """For each length of context 0..order, the context and next byte at every place."""
    keys = [data[_MOST_ORDER:].astype(np.uint64)]
    for n in range(1, order + 1):
        before = data[_MOST_ORDER - n : len(data) - n].astype(np.uint64)
        keys.append(keys[-1] | (before << np.uint64(8 * n)))
    return keys


def _count(keys: np.ndarray) -> _Level:
    pairs, counts = np.unique(keys, return_counts=True)
    contexts, first = np.unique(pairs >> np.uint64(8), return_index=True)
    followers = np.diff(np.append(first, len(pairs)))
    return pairs, counts, contexts, np.add.reduceat(counts, first), followers


def _bits_per_byte(levels: list[_Level], documents: list[bytes], order: int) -> dict[str, float]:
    data = _joined(documents)
    probability = np.full(len(data) - _MOST_ORDER, 1 / 256)
    for level, keys in zip(levels, _keys(data, order), strict=True):
        probability = _interpolate(level, keys, probability)
    lengths = np.array([len(document) for document in documents])
    starts = np.cumsum(lengths + _MOST_ORDER) - lengths - _MOST_ORDER
    places = np.concatenate([s + np.arange(n) for s, n in zip(starts, lengths, strict=True)])
    bits = -np.log2(probability[places])
    per_document = np.add.reduceat(bits, np.cumsum(lengths) - lengths)
    mean = per_document.sum() / lengths.sum()
    # Ratio of two sums over documents: its error from the documents' residuals.
    spread = np.sqrt(((per_document - mean * lengths) ** 2).sum()) / lengths.sum()
    return {"bits_per_byte": float(mean), "se": float(spread)}


def _interpolate(level: _Level, keys: np.ndarray, lower: np.ndarray) -> np.ndarray:
    pairs, counts, contexts, totals, followers = level
    seen = _look_up(pairs, counts, keys)
    total = _look_up(contexts, totals, keys >> np.uint64(8))
    kinds = _look_up(contexts, followers, keys >> np.uint64(8))
    known = total > 0
    mixed = (seen + kinds * lower) / np.where(known, total + kinds, 1)
    return np.where(known, mixed, lower)


def _look_up(sorted_keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[at] == wanted, values[at], 0)
