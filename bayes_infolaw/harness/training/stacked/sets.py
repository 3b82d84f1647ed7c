"""The packed sets of several runs, read together."""

from collections.abc import Sequence

import numpy as np

from bayes_infolaw.harness.layermix import PackedSet
from bayes_infolaw.harness.shards import token_dtype

__all__ = ["StackedSets"]

BLOCK = 2**20
IN_MEMORY_BYTES = 2**34


class StackedSets:
    """Batches of R packed sets of one shape, side by side.

    Parameters
    ----------
    sets : sequence of PackedSet
        One a run.
    vocab_size : int
        Decides the bytes that a token takes.
    in_memory : bool
        Read all tokens beforehand: cutting a sequence from documents takes longer than a GPU needs
        to train a tiny model on it. Sets of more than 16 GiB in all are read as they are needed.
    """

    def __init__(self, sets: Sequence[PackedSet], vocab_size: int, in_memory: bool = False) -> None:
        self._sets, dtype = list(sets), token_dtype(vocab_size)
        n_bytes = sum(s.settings.tokens for s in self._sets) * dtype.itemsize
        self._streams = None
        if in_memory and n_bytes <= IN_MEMORY_BYTES:
            self._streams = [_stream(packed, dtype) for packed in self._sets]
        self._steps = np.arange(self._sets[0].settings.seq_len + 1)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """(R, B, seq_len + 1) int64, the sequences of these indices of every set."""
        if self._streams is None:
            return np.stack([packed.batch(indices) for packed in self._sets])
        return np.stack([self._cut(run, indices) for run in range(len(self._sets))])

    def _cut(self, run: int, indices: np.ndarray) -> np.ndarray:
        assert self._streams is not None
        starts = self._sets[run].order[indices] * self._sets[run].settings.seq_len
        return self._streams[run][starts[:, None] + self._steps].astype(np.int64)


def _stream(packed: PackedSet, dtype: np.dtype) -> np.ndarray:
    """(tokens + 1,) the whole stream and, since it is a circle, its first token once more."""
    tokens = packed.settings.tokens
    found = np.empty(tokens + 1, dtype)
    for low in range(0, tokens, BLOCK):
        high = min(low + BLOCK, tokens)
        found[low:high] = packed.stream(low, high - low)
    found[tokens] = found[0]
    return found
