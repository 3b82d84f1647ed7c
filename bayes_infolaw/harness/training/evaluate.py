"""Model and evaluation sets -> held-out losses with standard errors over documents.

Each document is coded on its own from an end-of-text before its first token, so that every token
of its text, and with them every byte, is predicted once; its closing end-of-text is no text and is
not. Documents longer than the model's sequence are cut into windows one after another, each of
which knows only itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import Loss
from bayes_infolaw.harness.store import Corpus, TokenStore
from bayes_infolaw.harness.training.strategy import SingleProcess

__all__ = [
    "DocumentLosses",
    "EvaluationSet",
    "paired_difference",
    "ratio_and_error",
    "read_document_losses",
    "write_document_losses",
]

ORDER_SEED = 20_260_101  # of the documents: the same for all runs, so that they share a subset
BATCH_TOKENS = {"cpu": 2**13, "cuda": 2**16}


@dataclass(frozen=True)
class DocumentLosses:
    """Nats of each document, (n,) arrays.

    Attributes
    ----------
    document : int64 array
        Number in its evaluation set.
    tokens, bytes : int64 array
        Tokens predicted and UTF-8 bytes of the text.
    nats : float64 array
        Summed cross-entropy.
    """

    document: np.ndarray
    tokens: np.ndarray
    bytes: np.ndarray
    nats: np.ndarray

    def summary(self) -> Loss:
        """Ratios of sums, with standard errors over documents by the delta method."""
        per_token, token_se = ratio_and_error(self.nats, self.tokens)
        per_byte, byte_se = ratio_and_error(self.nats / np.log(2), self.bytes)
        n_tokens = int(self.tokens.sum())
        return Loss(per_token, token_se, per_byte, byte_se, len(self.tokens), n_tokens)

    def only(self, documents: np.ndarray) -> "DocumentLosses":
        """Those of some documents."""
        kept = np.isin(self.document, documents)
        return DocumentLosses(
            *(a[kept] for a in (self.document, self.tokens, self.bytes, self.nats))
        )


class EvaluationSet:
    """Windows of an evaluation set's documents, batched by length.

    Parameters
    ----------
    store : TokenStore
        Documents, each ended by the end-of-text, with their bytes.
    end_of_text : int
        Its id.
    seq_len : int
        Longest window.
    max_tokens : int, optional
        Take documents in one fixed shuffled order until they have about so many tokens; the subset
        of fewer tokens is part of that of more. None takes all.
    """

    def __init__(
        self, store: TokenStore, end_of_text: int, seq_len: int, max_tokens: int | None = None
    ) -> None:
        self._store, self._end_of_text, self._seq_len = store, end_of_text, seq_len
        self.documents = chosen_documents(store.lengths, max_tokens)
        self.tokens = store.lengths[self.documents] - 1
        self.bytes = store.document_bytes[self.documents]
        if not len(self.documents):
            raise InputError(f"evaluation set {store.name!r}: must have text, got no tokens")

    @cached_property
    def _windows(self) -> np.ndarray:
        """(n, 3) which document (by place), first token and length, longest window first."""
        starts = [np.arange(0, n, self._seq_len) for n in self.tokens]
        place = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
        start = np.concatenate(starts)
        length = np.minimum(self.tokens[place] - start, self._seq_len)
        windows = np.column_stack([place, start, length])
        return windows[np.argsort(-length, kind="stable")]

    def batches(self, n_tokens: int) -> list[np.ndarray]:
        """Windows in groups of at most about `n_tokens`, padding included."""
        groups, low = [], 0
        while low < len(self._windows):
            rows = max(1, n_tokens // int(self._windows[low, 2]))
            groups.append(self._windows[low : low + rows])
            low += rows
        return groups

    def read(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, s) inputs and targets; a target after its window's end is -1."""
        longest = int(windows[:, 2].max())
        inputs = np.full((len(windows), longest), self._end_of_text)
        targets = np.full((len(windows), longest), -1)
        for row, (place, start, length) in enumerate(windows):
            text = self._store.read(int(self.documents[place]), max(0, start - 1), start + length)
            inputs[row, length - len(text[:-1]) : length] = text[:-1]
            targets[row, :length] = text[len(text) - length :]
        return inputs, targets

    def losses(self, model: nn.Module, strategy: SingleProcess | None = None) -> DocumentLosses:
        """Evaluate a model, its batches dealt out to the strategy's processes."""
        strategy = strategy or SingleProcess()
        device = next(model.parameters()).device
        nats = np.zeros(len(self.documents))
        model.eval()
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            for windows, counts in self._dealt(device, strategy):
                np.add.at(nats, windows[:, 0], counts * self._window_nats(model, windows, device))
        model.train()
        nats = strategy.sum(torch.from_numpy(nats)).numpy()
        return DocumentLosses(self.documents, self.tokens, self.bytes, nats)

    def _dealt(
        self, device: torch.device, strategy: SingleProcess
    ) -> Iterator[tuple[np.ndarray, bool]]:
        """Batches of this process; all get equally many, since sharded models work in step."""
        batches = self.batches(BATCH_TOKENS.get(device.type, BATCH_TOKENS["cpu"]))
        for first in range(0, len(batches), strategy.world):
            mine = first + strategy.rank
            yield batches[min(mine, len(batches) - 1)], mine < len(batches)

    def _window_nats(
        self, model: nn.Module, windows: np.ndarray, device: torch.device
    ) -> np.ndarray:
        inputs, targets = (torch.from_numpy(a).to(device) for a in self.read(windows))
        losses = model(inputs, targets.clamp(min=0), each=True)
        kept = torch.where(targets >= 0, losses, torch.zeros_like(losses))
        return kept.double().sum(dim=1).cpu().numpy()


def evaluation_sets(
    corpus: Corpus, seq_len: int, max_tokens: int | None
) -> dict[str, EvaluationSet]:
    """All evaluation sets of a corpus, by name."""
    return {
        name: EvaluationSet(store, corpus.end_of_text, seq_len, max_tokens)
        for name, store in corpus.evaluation.items()
    }


def chosen_documents(lengths: np.ndarray, max_tokens: int | None) -> np.ndarray:
    """Numbers, rising, of the documents with text that a token budget takes."""
    with_text = np.flatnonzero(lengths > 1)
    if max_tokens is None:
        return with_text
    order = np.random.default_rng(ORDER_SEED).permutation(len(lengths))
    order = order[lengths[order] > 1]
    before = np.cumsum(lengths[order] - 1) - (lengths[order] - 1)
    return np.sort(order[before < max_tokens])


def ratio_and_error(totals: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Ratio of sums over units and its standard error.

    ``R = sum x / sum y``, ``se^2 = n / (n - 1) sum (x_i - R y_i)^2 / (sum y)^2`` (Cochran 1977,
    section 6.4, an infinite population). One unit alone has no standard error: nan.
    """
    n, size = len(totals), float(np.sum(sizes))
    ratio = float(np.sum(totals)) / size
    if n < 2:
        return ratio, float("nan")
    squares = float(np.sum((totals - ratio * sizes) ** 2))
    return ratio, float(np.sqrt(n / (n - 1) * squares) / size)


def paired_difference(one: DocumentLosses, other: DocumentLosses) -> tuple[float, float]:
    """Difference of two runs' nats per token on the same documents, and its standard error.

    Raises
    ------
    InputError
        The documents differ.
    """
    if not np.array_equal(one.document, other.document):
        rule = "must be of the same documents in both runs"
        raise InputError(f"losses: {rule}, got {len(one.document)} and {len(other.document)}")
    return ratio_and_error(one.nats - other.nats, one.tokens)


def write_document_losses(work: Path, losses: Mapping[str, DocumentLosses]) -> dict[str, str]:
    """Write ``eval_<set>.npz`` for each set; returns the file names by set."""
    from bayes_infolaw.whole_file import write_whole

    names = {name: f"eval_{name}.npz" for name in losses}
    for name, found in losses.items():
        arrays = {k: getattr(found, k) for k in ("document", "tokens", "bytes", "nats")}
        write_whole(work / names[name], partial(np.savez_compressed, **arrays))
    return names


def read_document_losses(path: str | Path) -> DocumentLosses:
    """Read what `write_document_losses` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return DocumentLosses(*(arrays[k] for k in ("document", "tokens", "bytes", "nats")))
