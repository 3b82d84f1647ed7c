"""Fits of every form to many tables, and what decisions need of them, kept in a work folder.

Fits of all repetitions are one compiled program a form (`posterior.many`).
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from decision_truths import Target

import bayes_infolaw as bi
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.loo import leave_one_out
from bayes_infolaw.posterior.many import fit_many
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.whole_file import write_whole

Array = np.ndarray

FORMS = ("infolaw", "infolaw_constant", "infolaw_irreducible", "infolaw_monotone")
SETTINGS = {"chains": 4, "draws": 500, "warmup": 900}
REFIT_ABOVE = 1.05  # R-hat of a fit among many that is tried again by itself, with more care


@dataclass(frozen=True)
class Fitted:
    """What is kept of one fit."""

    laws: dict[str, LawAtTarget]  # by target
    sigma: Array  # (J,) noise sd of log loss
    log_density: Array  # (n,) leave-one-out
    high_k: int
    converged: bool
    rhat: float


def fitted_form(
    form: str, tables: Sequence[RunTable], targets: Sequence[Target], seed: int
) -> list[Fitted]:
    """Fit one form to every table."""
    fits = fit_many(tables, form, seed=seed, **SETTINGS)
    again = [i for i, fit in enumerate(fits) if not fit.verdict.rhat_max <= REFIT_ABOVE]
    for i in again:
        fits[i] = bi.fit(tables[i], form, seed=seed, **SETTINGS)
    return [kept_of(fit, {t.name: t.asked() for t in targets}) for fit in fits]


def kept_of(fit: bi.Fit, asked: Mapping[str, dict]) -> Fitted:
    """What decisions at these targets need of a fit."""
    scores = leave_one_out(fit)
    return Fitted(
        laws={name: fit.target(**arguments) for name, arguments in asked.items()},
        sigma=np.ravel(fit.draws["sigma"]),
        log_density=scores.elpd_pointwise,
        high_k=len(scores.high_k),
        converged=bool(fit.verdict.converged),
        rhat=float(fit.verdict.rhat_max),
    )


def kept_on_disk(path: Path, make: Callable[[], list[Fitted]]) -> list[Fitted]:
    """What `make` returns, from the file if an earlier run wrote it."""
    if path.exists():
        return pickle.loads(path.read_bytes())
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda temporary: Path(temporary).write_bytes(pickle.dumps(made)))
    return made
