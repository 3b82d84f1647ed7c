"""Settings, corpus and checkpoint -> what a run starts from, or why it cannot."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.checkpoint import Checkpoint
from bayes_infolaw.harness.training.device import require_device
from bayes_infolaw.harness.training.evaluate import EvaluationSet, evaluation_sets

__all__ = [
    "as_checkpointed",
    "compiling_explained",
    "evaluated_steps",
    "final_sets",
    "identity_of",
    "require_fit",
]

# What may differ in how a run is carried out, but moves the last bits of its losses.
KEPT_ON_RESUME = ("threads", "micro_batch", "compile")


@contextmanager
def compiling_explained(compiled: bool) -> Iterator[None]:
    """What torch.compile lacks, such as a compiler, as one message and no long trace."""
    if not compiled:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import InductorError

    try:
        yield
    except (TorchDynamoException, InductorError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"compile: must work on this machine ({reason}); train without it"
        ) from error


def final_sets(settings: RunSettings, corpus: Corpus) -> dict[str, EvaluationSet]:
    """The sets of the final evaluation.

    Raises
    ------
    InputError
        There is none, or one has fewer than two documents: no standard error.
    """
    sets = evaluation_sets(corpus, settings.shape.seq_len, settings.final_eval_tokens)
    if not sets:
        raise InputError("corpus: must have an evaluation set, got none")
    for name, found in sets.items():
        if len(found.documents) < 2:
            rule = "must have at least 2 documents for a standard error"
            raise InputError(f"evaluation set {name!r}: {rule}, got {len(found.documents)}")
    return sets


def evaluated_steps(settings: RunSettings) -> set[int]:
    """Steps after which the loss on the way is taken; the end has its own evaluation."""
    every, steps = settings.eval_every, settings.budget.steps
    wanted = {round(k * every * steps) for k in range(1, int(1 / every) + 1)}
    return {step for step in wanted if 0 < step < steps}


def as_checkpointed(settings: RunSettings, found: Checkpoint | None) -> RunSettings:
    """How the run is carried out, where that moves its last bits, stays as it began."""
    if found is None:
        return settings
    return replace(settings, **{name: found.progress["settings"][name] for name in KEPT_ON_RESUME})


def identity_of(corpus: Corpus, runs: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint must share with what goes on from it, as JSON would give it back."""
    return dict(json.loads(json.dumps({"corpus": corpus.hash, **runs})))


def require_fit(settings: RunSettings, corpus: Corpus) -> None:
    """Raise InputError where the model has no place for a token, or the machine no such device."""
    if settings.shape.vocab_size < corpus.vocab_size:
        rule = f"must be at least the corpus's {corpus.vocab_size}"
        raise InputError(f"vocab_size: {rule}, got {settings.shape.vocab_size}")
    require_device(settings.device)
