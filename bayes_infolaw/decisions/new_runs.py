"""Fits and newly measured runs -> one table of both for each fit, or why that cannot be."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bayes_infolaw.decisions.labels import label_columns
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

__all__ = ["joined_table", "repeated_runs", "require_new_runs"]

FACTS = ("title", "source", "licence", "caveats", "parameters")
FINISHED = "finished"
ALIKE = ("loss", "params_nonembedding", "tokens", "source_tokens")


def require_new_runs(fits: Mapping[str, FittedModel], new: RunTable) -> None:
    """Check newly measured runs against every fit that is to take them in: before any work.

    Raises
    ------
    InputError
        No losses, a run that did not finish, other buckets or another unit than a fit's, a column
        that a fit needs, or the name of a run that a fit has.
    """
    if new.arrays().loss is None:
        raise InputError("new runs: column loss is missing; an update needs measured losses")
    _require_finished(new)
    for name, fit in fits.items():
        _require_alike(fit, new)
        of_form = f"of {name!r} " if len(fits) > 1 else ""
        known = set(fit.table.frame["run"].astype(str))
        for run in new.frame["run"].astype(str):
            if run in known:
                raise InputError(
                    f"new runs: every run must count once, but {run!r} is among the runs {of_form}"
                    "that were fitted; leave it out, or rename what is another run"
                )
        joined_table(fit.table, new)


def _require_finished(new: RunTable) -> None:
    """A table with a column `status` says which runs are no observations."""
    if "status" not in new.frame:
        return
    for run, status in zip(new.frame["run"], new.frame["status"].astype(str), strict=True):
        if status != FINISHED:
            raise InputError(
                f"new runs: run {run!r}, column status: must be {FINISHED} (a run that failed or "
                f"diverged is no observation), got {status!r}"
            )


def _require_alike(fit: FittedModel, new: RunTable) -> None:
    """Buckets, unit, labels and M as the fitted runs have them."""
    for field in ("buckets", "loss_unit"):
        ours, theirs = getattr(fit.table, field), getattr(new, field)
        if ours != theirs:
            raise InputError(f"new runs: {field} must be the fit's ({ours}), got {theirs}")
    for column in label_columns(fit):
        if column not in new.frame or new.frame[column].isna().any():
            raise InputError(f"new runs: column {column} must be filled, as in the fitted runs")
    ours, theirs = (t.provenance.get("flops_from") for t in (fit.table, new))
    if ours is not None and ours != theirs:
        given = "is missing" if ours == "table" else "must not be given"
        here = "have it" if ours == "table" else "do not have it"
        columns = "flops_per_token (or layers, hidden and seq_len)"
        raise InputError(f"new runs: column {columns} {given}, for the fitted runs {here}")


def repeated_runs(table: RunTable, new: RunTable) -> list[str]:
    """New runs with the very loss, size, tokens and recipe of a fitted run, under other names."""
    columns = [*ALIKE, *(f"w_{bucket}" for bucket in table.buckets)]
    fitted = {tuple(row) for row in table.frame[columns].to_numpy(dtype=float)}
    rows = new.frame[columns].to_numpy(dtype=float)
    names = new.frame["run"].astype(str)
    return [name for name, row in zip(names, rows, strict=True) if tuple(row) in fitted]


def joined_table(table: RunTable, new: RunTable) -> RunTable:
    """The runs of two tables in one, checked as if read together; facts as of the first.

    Raises
    ------
    InputError
        No losses among the new runs, or a run name that comes twice.
    """
    if new.arrays().loss is None:
        raise InputError("new runs: column loss is missing; an update needs measured losses")
    frames = [stated_frame(part) for part in (table, new)]
    if any("overtraining" in frame for frame in frames):  # given for all rows or for none
        degrees = (part.frame["overtraining"].to_numpy() for part in (table, new))
        frames = [f.assign(overtraining=m) for f, m in zip(frames, degrees, strict=True)]
    joined = pd.concat(frames, ignore_index=True).drop(columns="simulated", errors="ignore")
    simulated = table.simulated or new.simulated
    kept: dict[str, Any] = {n: table.provenance[n] for n in FACTS if n in table.provenance}
    study = Study(
        **kept,
        buckets=table.buckets,
        loss_unit=table.loss_unit,
        groups=table.groups,
        corpus=table.corpus,
        simulated=simulated,
    )
    return build_table(joined.assign(simulated=True) if simulated else joined, study)
