"""A run small enough for tests; as a script, a server of processes that do it and can be killed."""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.trainer import train_run

TINY = Shape(layers=2, hidden=16, heads=2, mlp=40, vocab_size=300, seq_len=32)


def tiny_settings(**changes: Any) -> RunSettings:
    """64 steps of 8 sequences of 32 tokens, evaluated every eighth of the way."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "shape": TINY,
        "recipe": {"0": 0.5, "1": 0.3, "2": 0.2},
        "tokens": 64 * 8 * 32,
        "source_tokens": 16_000,
        "batch_tokens": 8 * 32,
        "learning_rate": 1e-2,
        "eval_every": 0.125,
        "eval_tokens": 1_000,
    }
    return RunSettings(**{**fields, **changes})


def outcome(record: RunRecord) -> dict[str, Any]:
    """What must not depend on interruptions."""
    kept = ("losses", "curve", "counts", "tokens", "steps")
    return {name: record.to_dict()[name] for name in kept}


def main(corpus: str, work: str, out: str) -> None:
    settings = tiny_settings(checkpoint_seconds=1e-6)  # a checkpoint after every step
    record = train_run(settings, Corpus.open(corpus), Path(work))
    text = json.dumps({**outcome(record), "restarts": record.resources["restarts"]})
    Path(out).write_text(text, encoding="utf-8")


def serve() -> None:
    """For each line ``[corpus, work, out]`` fork a process that trains; say its id, then its end.

    Forked after torch was loaded once, with what optimisers load, since that takes longer than the
    run.
    """
    importlib.import_module("torch._dynamo")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            main(*json.loads(line))
            os._exit(0)
        print(child, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
