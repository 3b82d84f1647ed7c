"""Which runs can be trained together as one program."""

import json
from collections.abc import Sequence

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.settings import RunSettings

__all__ = ["group", "require_stackable", "stackable"]

# Fields that a program of several runs has only one of; beside them the batch and the steps.
SHARED = ("shape", "beta1", "beta2", "precision", "eval_every", "eval_tokens", "final_eval_tokens")
SHARED_HOW = ("device", "compile", "threads", "micro_batch")


def stackable(one: RunSettings, other: RunSettings) -> bool:
    """Whether two runs can be part of one program.

    Recipes, sources, seeds, learning rates, schedules, weight decays and clipping may differ.
    """
    return _program(one) == _program(other)


def group(
    runs: Sequence[RunSettings], size: int, flops: float | None = None
) -> list[list[RunSettings]]:
    """Stacks of at most ``size`` runs that can go together, of sizes as equal as possible.

    Order is kept among runs of a program, and programs come by their first run. With ``flops`` no
    stack of more than one run takes more FLOP than that.

    Raises
    ------
    InputError
        The size is below 1.
    """
    if size < 1:
        raise InputError(f"stack: must be at least 1, got {size}")
    programs: dict[str, list[RunSettings]] = {}
    for run in runs:
        programs.setdefault(_program(run), []).append(run)
    stacks = []
    for alike in programs.values():
        most = size if flops is None else min(size, max(1, int(flops // alike[0].budget.flops)))
        cuts = np.array_split(np.arange(len(alike)), -(-len(alike) // most))
        stacks += [[alike[i] for i in cut] for cut in cuts]
    return stacks


def require_stackable(runs: Sequence[RunSettings]) -> None:
    """Raise InputError where runs cannot be one program, or share a name."""
    if not runs:
        raise InputError("stack: must have at least 1 run, got 0")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise InputError(f"stack: names must differ, got {', '.join(names)}")
    for run in runs:
        if not stackable(runs[0], run):
            rule = f"must share model, batch, steps and evaluation with {names[0]!r}"
            raise InputError(f"stack: run {run.name!r} {rule}")


def _program(run: RunSettings) -> str:
    fields = {name: getattr(run, name) for name in (*SHARED, *SHARED_HOW)}
    fields |= {"shape": run.shape.to_dict(), "steps": run.budget.steps}
    return json.dumps(fields | {"batch": run.budget.batch_sequences}, sort_keys=True)
