"""Our transformer as lm-eval-harness sees a model: texts -> log likelihoods of continuations."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from tokenizers import Tokenizer
from torch import Tensor

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["LikelihoodModel", "pieces"]

LOGITS_BYTES = 2**28  # held at a time
Piece = tuple[list[int], int]
Progress = Callable[[int, int], None]


class LikelihoodModel(TemplateLM):
    """Adapter that scores texts; it does not generate any.

    Every text is scored as a document of its own: the end-of-text token stands before it, as it
    does between documents in training. A context that does not fit loses its beginning.

    Parameters
    ----------
    model : Transformer
        Evaluated on the device and in the precision of its weights.
    tokenizer_file : str or Path
        Of the corpus that the model was trained on.
    end_of_text : int
        Id of the token that ends a document.
    progress : callable, optional
        Called with (done, total) sequences.

    Attributes
    ----------
    cut : int
        Requests whose context was shortened so far.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer_file: str | Path,
        end_of_text: int,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.model, self.end_of_text, self.cut = model, end_of_text, 0
        self._encoder = Tokenizer.from_file(str(tokenizer_file))
        self._progress = progress or (lambda done, total: None)
        self._device = next(model.parameters()).device
        _require_vocabulary(self._encoder, model.shape.vocab_size)

    @property
    def eot_token_id(self) -> int:
        """Id of the end of text, which also stands before every text."""
        return self.end_of_text

    @property
    def max_length(self) -> int:
        """Tokens that the model reads at once."""
        return self.model.shape.seq_len

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        """Token ids of a text, nothing added."""
        return list(self._encoder.encode(string, add_special_tokens=False).ids)

    def tokens_of_answer(self, context: str, continuation: str) -> int:
        """Tokens of a continuation as `loglikelihood` counts them."""
        if not context:
            return len(self.tok_encode(continuation))
        return len(self._encode_pair(context, continuation)[1])

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """For requests (context, continuation): nats, and whether each token is the likeliest.

        Raises
        ------
        InputError
            A continuation is empty.
        """
        if not all(request.args[1] for request in requests):
            raise InputError("tasks: every answer must have text, got ''")
        return super().loglikelihood(requests, disable_tqdm=disable_tqdm)

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = True
    ) -> list[float]:
        """For requests (text,): nats of the whole text, each token scored once."""
        pairs = [([self.end_of_text], self.tok_encode(request.args[0])) for request in requests]
        return [nats for nats, _ in self._score(pairs)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = True) -> list[str]:
        """Refuse: this adapter scores texts.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(
            "tasks: must score likelihoods (output_type multiple_choice, loglikelihood or "
            "loglikelihood_rolling), got generate_until"
        )

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        first, whole = self.tok_encode(kept), self.tok_encode(kept + continuation)
        if whole[: len(first)] == first and len(whole) > len(first):
            return first, whole[len(first) :]
        # A token spans the border, so that the whole has no such split: encode the parts.
        return first, self.tok_encode(continuation)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        start = [self.end_of_text]
        pairs = [(c if c[:1] == start else start + c, answer) for _, c, answer in requests]
        self.cut += sum(len(c) + len(answer) > self.max_length + 1 for c, answer in pairs)
        return self._score(pairs)

    def _score(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[tuple[float, bool]]:
        """Nats and greediness of (context, answer) pairs, longest pieces first."""
        work = [
            (i, piece) for i, pair in enumerate(pairs) for piece in pieces(*pair, self.max_length)
        ]
        work.sort(key=lambda item: -len(item[1][0]))
        totals, greedy, done = [0.0] * len(pairs), [True] * len(pairs), 0
        for batch in self._batches(work):
            scored = self._score_batch([piece for _, piece in batch])
            for (i, _), (nats, likeliest) in zip(batch, scored, strict=True):
                totals[i] += nats
                greedy[i] &= likeliest
            done += len(batch)
            self._progress(done, len(work))
        return list(zip(totals, greedy, strict=True))

    def _batches(self, work: list[tuple[int, Piece]]) -> Iterator[list[tuple[int, Piece]]]:
        start = 0
        while start < len(work):
            longest = len(work[start][1][0]) - 1
            rows = max(1, LOGITS_BYTES // (4 * longest * self.model.shape.vocab_size))
            yield work[start : start + rows]
            start += rows

    @torch.inference_mode()
    def _score_batch(self, batch: Sequence[Piece]) -> list[tuple[float, bool]]:
        longest = max(len(tokens) for tokens, _ in batch)
        rows = [tokens + [self.end_of_text] * (longest - len(tokens)) for tokens, _ in batch]
        ids = torch.tensor(rows, device=self._device)
        hidden = self.model.hidden(ids[:, :-1])  # causal: the padding after a row changes nothing
        found = []
        for row, targets, (tokens, scored) in zip(hidden, ids[:, 1:], batch, strict=True):
            last = slice(len(tokens) - 1 - scored, len(tokens) - 1)
            found.append(_likelihood(self.model.head(row[last]).float(), targets[last]))
        return found


def pieces(context: list[int], answer: list[int], length: int) -> Iterator[Piece]:
    """Cut (context, answer) into sequences that a model of ``length`` positions can read.

    Every token of the answer is scored once, behind as many tokens as there is room for.

    Yields
    ------
    tuple of (list of int, int)
        At most ``length + 1`` tokens, and how many of the last ones to score.
    """
    whole, start = context + answer, len(context)
    while start < len(whole):
        end = min(len(whole), start + length)
        yield whole[max(0, end - 1 - length) : end], end - start
        start = end


def _likelihood(logits: Tensor, targets: Tensor) -> tuple[float, bool]:
    nats = torch.log_softmax(logits, -1).gather(-1, targets[:, None]).double().sum()
    if not math.isfinite(nats):
        raise InputError("model: likelihoods must be finite, got one that is not")
    return float(nats), bool((logits.argmax(-1) == targets).all())


def _require_vocabulary(encoder: Tokenizer, size: int) -> None:
    if encoder.get_vocab_size() > size:
        rule = f"must have at most the model's {size} tokens"
        raise InputError(f"tokenizer: {rule}, got {encoder.get_vocab_size()}")
