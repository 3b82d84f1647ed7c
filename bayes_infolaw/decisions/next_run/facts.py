"""Candidate runs -> what each is: its columns, its repetition, how far it lies beyond the data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.posterior.beyond import factors_beyond
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["CandidateFacts", "candidate_facts"]

Array = np.ndarray
DERIVED = ("unique_", "repetition_")
NO_PLAN = ("loss", "loss_se", "set")


@dataclass(frozen=True)
class CandidateFacts:
    """The runs of one candidate: their columns, and the most that any of them asks."""

    rows: tuple[dict[str, Any], ...]  # columns of the run table, one mapping a run
    repetition: float  # of the bucket that is repeated most
    beyond: dict[str, float]  # factors beyond the fitted compute, repetition and degree


def candidate_facts(
    fits: Iterable[FittedModel], plan: RunTable, candidates: Sequence[Sequence[int]]
) -> tuple[CandidateFacts, ...]:
    """What each candidate is.

    Parameters
    ----------
    fits : iterable of FittedModel
        With several, a run is beyond the data by the fit whose runs reach farthest.
    plan : RunTable
    candidates : sequence of C sequences of int
        Rows of the plan that each is made of.
    """
    runs = plan.arrays()
    each = [factors_beyond(runs, fit.table.arrays()) for fit in fits]
    factors = {name: np.min([of[name] for of in each], axis=0) for name in each[0]}
    most, rows = runs.repetition.max(axis=1), _rows(plan)
    return tuple(
        CandidateFacts(
            rows=tuple(rows[i] for i in positions),
            repetition=float(most[list(positions)].max()),
            beyond={name: float(v[list(positions)].max()) for name, v in factors.items()},
        )
        for positions in candidates
    )


def _rows(plan: RunTable) -> list[dict[str, Any]]:
    """Columns of every run, without what follows from them; an empty cell is None."""
    derived = [name for name in plan.frame if str(name).startswith(DERIVED)]
    frame = plan.frame.drop(columns=[*derived, *NO_PLAN], errors="ignore").astype(object)
    records = frame.where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]
