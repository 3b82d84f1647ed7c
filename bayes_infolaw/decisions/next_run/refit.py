"""Candidates whose outcomes leave too few draws -> their worth by fits to simulated outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.labels import own_target
from bayes_infolaw.decisions.new_runs import joined_table
from bayes_infolaw.decisions.next_run.answer import (
    CandidateValue,
    NextRun,
    SearchSettings,
    decided,
)
from bayes_infolaw.decisions.next_run.search import Prepared, Progress, prepare
from bayes_infolaw.decisions.next_run.value import OutcomeStudy
from bayes_infolaw.decisions.update import refit_warm
from bayes_infolaw.errors import InputError
from bayes_infolaw.model.anchors import anchors_of
from bayes_infolaw.model.layout import layout_of
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.fitting import FitSettings
from bayes_infolaw.posterior.many import fit_many
from bayes_infolaw.posterior.target import law_at_target
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

__all__ = ["RefitValue", "refit_value", "with_refits"]

Array = np.ndarray


@dataclass(frozen=True)
class RefitValue:
    """Regret reduction of a candidate from fits to its simulated outcomes, loss unit.

    ``standard_error`` is that of the outcomes; the refits' own Monte Carlo error, which flatters a
    choice among near ties, is part of every outcome's value.
    """

    regret_reduction: float
    standard_error: float
    outcomes: int
    converged: int  # of the refits


def refit_value(
    fits: Mapping[str, Fit],
    ready: Prepared,
    candidate: CandidateValue,
    plan: RunTable,
    target: Mapping[str, Any],
    *,
    n_outcomes: int = 8,
) -> RefitValue:
    """Fit every form to the table with each of a few simulated outcomes, and decide again.

    The forms' weights after an outcome are those of the reweighting (they need the draws' mean
    likelihood only); the draws within a form are the refit's. Refits start from the old posterior
    where the model keeps its shape.

    Parameters
    ----------
    ready : Prepared
        What `search.prepare` made for the same fits, plan and target.
    n_outcomes : int
        Spread evenly over the simulated ones, at least 2.

    Raises
    ------
    InputError
        Fewer than two outcomes.
    """
    if n_outcomes < 2:
        raise InputError(f"n_outcomes: must be at least 2, got {n_outcomes}")
    rows = list(ready.rows[ready.names.index(candidate.run)])
    study = _thinned(ready.study, n_outcomes)
    outcomes, weights = study.simulate(rows), study.posterior_weights(rows)
    forms = ready.draws.forms
    share = np.array([weights[:, ready.draws.form == i].sum(axis=1) for i in range(len(forms))])
    refits = {}
    for name in forms:
        measured = [_measured(fits[name], plan, rows, y) for y in outcomes]
        refits[name] = _refits(fits[name], [joined_table(fits[name].table, m) for m in measured])
    gains = [
        _gain(ready, {name: refits[name][i] for name in refits}, share[:, i], target)
        for i in range(n_outcomes)
    ]
    every = [fit.verdict.converged for part in refits.values() for fit in part]
    error = float(np.std(gains, ddof=1) / np.sqrt(n_outcomes))
    return RefitValue(float(np.mean(gains)), error, n_outcomes, int(sum(every)))


def with_refits(
    fits: Mapping[str, Fit],
    plan: RunTable,
    request: tuple[Mapping[str, Any], Mapping[str, float] | None, SearchSettings],
    found: NextRun,
    count: int,
    progress: Progress | None = None,
) -> NextRun:
    """Value the best `count` candidates that are marked for a refit anew, and rank again.

    Parameters
    ----------
    request : tuple
        Target, weights and settings with which `search.next_run` found the answer.
    progress : callable, optional
        Called with (candidates done, candidates to refit).
    """
    target, weights, settings = request
    marked = [c for c in found.candidates if c.refit][:count]
    if not marked:
        return found
    ready = prepare(fits, plan, target, weights, settings)
    new = {}
    for done, c in enumerate(marked, start=1):
        new[c.run] = refit_value(fits, ready, c, plan, target)
        if progress:
            progress(done, len(marked))
    changed = [_revalued(c, new.get(c.run), found.value_per_nat) for c in found.candidates]
    return decided(found, changed, settings.rank_by)


def _revalued(candidate: CandidateValue, value: RefitValue | None, worth: float) -> CandidateValue:
    if value is None:
        return candidate
    per_flop = value.regret_reduction / candidate.flop
    return replace(
        candidate,
        regret_reduction=value.regret_reduction,
        standard_error=value.standard_error,
        refit_outcomes=value.outcomes,
        value_per_flop=per_flop,
        benefit_per_cost=per_flop * worth,
    )


def _thinned(study: OutcomeStudy, count: int) -> OutcomeStudy:
    """The study with `count` of its points, evenly spread over the picked draws' order."""
    order = np.argsort(study.points[:, 0])
    picked = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
    return replace(study, points=study.points[picked], cache={})


def _measured(fit: Fit, plan: RunTable, rows: Sequence[int], log_losses: Array) -> RunTable:
    """Some runs of a plan as if their losses had been measured, under names of their own."""
    frame = stated_frame(plan).iloc[list(rows)].drop(columns=["set", "simulated"], errors="ignore")
    frame = frame.assign(run="outcome of " + frame["run"].astype(str))
    of = fit.table
    study = Study(
        buckets=of.buckets,
        loss_unit=of.loss_unit,
        groups=of.groups,
        corpus=of.corpus,
        simulated=True,
    )
    return build_table(pd.DataFrame(frame).assign(loss=np.exp(log_losses)), study)


def _refits(fit: Fit, tables: list[RunTable]) -> list[Fit]:
    """One fit a table, all in one program, from the old posterior where the layout is the same."""
    chains, draws = fit.draws["sigma"].shape
    every = [anchors_of(table, fit.spec) for table in tables]
    pairs = zip(tables, every, strict=True)
    if all(layout_of(table, fit.spec, anchors) == fit.layout for table, anchors in pairs):
        return refit_warm(fit, tables, every, FitSettings(chains=chains, draws=draws))
    return fit_many(tables, fit.spec, chains=chains, draws=draws, n_starts=4)


def _gain(
    ready: Prepared, refits: Mapping[str, Fit], share: Array, target: Mapping[str, Any]
) -> float:
    """Expected gain of the best recipe of the set over today's choice, after one outcome."""
    laws = {name: law_at_target(f, **own_target(f, target)) for name, f in refits.items()}
    draws = pool(laws, dict(zip(refits, share / share.sum(), strict=True)))
    expected = draws.loss(ready.choices.recipes) @ draws.weight
    return float(expected[0] - expected.min())
