"""Anything that names planned runs -> a checked plan in the fit's buckets, groups and unit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.degrees import degree_of
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables import read_plan
from bayes_infolaw.tables.runs import RunTable

__all__ = ["plan_for"]


def plan_for(fit: FittedModel, plan: RunTable | pd.DataFrame | str | Path) -> RunTable:
    """Read and check a plan against a fit.

    Parameters
    ----------
    plan : RunTable, DataFrame or path
        Run-table columns without `loss`.

    Raises
    ------
    InputError
        Bad rows, other buckets than the fit's, or a corpus column that is missing.
    """
    if not isinstance(plan, RunTable):
        plan = read_plan(plan, buckets=fit.table.buckets, loss_unit=fit.table.loss_unit)
    if plan.buckets != fit.table.buckets:
        ours, theirs = ", ".join(fit.table.buckets), ", ".join(plan.buckets)
        raise InputError(f"plan: buckets must be the fit's ({ours}), got ({theirs})")
    if plan.loss_unit != fit.table.loss_unit:
        rule = f"loss_unit must be the fit's ({fit.table.loss_unit})"
        raise InputError(f"plan: {rule}, got {plan.loss_unit}")
    corpus = fit.table.corpus
    if corpus and corpus not in plan.frame:
        raise InputError(f"plan: column {corpus} is missing; theta differs between its corpora")
    plan = replace(plan, corpus=corpus, groups=fit.table.groups)
    notes = (*plan.notes, *_degree_note(fit, plan), *_unseen_notes(fit, plan))
    return replace(plan, notes=notes)


def _unseen_notes(fit: FittedModel, plan: RunTable) -> tuple[str, ...]:
    """Say which predictions rest on the hierarchy or its priors instead of on data."""
    notes, anchors = [], fit.anchors
    if anchors.intercept != "smooth":
        log_degree = np.log(plan.arrays().overtraining)
        new = int((degree_of(log_degree, np.array(anchors.log_degrees)) < 0).sum())
        fitted = ", ".join(f"{np.exp(x):.3g}" for x in anchors.log_degrees)
        single = anchors.intercept == "single"
        source = "the priors of gamma and tau" if single else "gamma and tau"
        if new:
            where = f"{new} of {len(plan)} rows have an overtraining degree that was not fitted"
            notes.append(f"{where} (fitted: m = {fitted}): their level comes from {source}.")
    for group, levels in anchors.groups.items():
        known = plan.frame[group].astype(str).isin(levels).sum() if group in plan.frame else 0
        new = len(plan) - int(known)
        if new:
            notes.append(f"{new} of {len(plan)} rows have an unseen level of {group}.")
    return tuple(notes)


def _degree_note(fit: FittedModel, plan: RunTable) -> tuple[str, ...]:
    """M from M and m from N differ by some 10 %: say so where fit and plan do not match."""
    ours, theirs = (t.provenance.get("flops_from") for t in (fit.table, plan))
    given = "overtraining" in plan.provenance.get("given", ())
    if ours == theirs or given or ours is None:
        return ()
    return (f"Overtraining degrees come from {theirs} in the plan but from {ours} in the fit.",)
