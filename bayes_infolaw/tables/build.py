"""Mapped columns -> a checked run table: every rule is applied here, for files and frames alike."""

from dataclasses import replace

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables import checks
from bayes_infolaw.tables.buckets import fill_single_bucket, paper_shares, resolve_buckets
from bayes_infolaw.tables.derive import given_overtraining, law_flops, model_flops, overtraining
from bayes_infolaw.tables.files import require_distinct_columns
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.tables.schema import (
    ARCHITECTURE,
    FLOPS_PER_LAW_FLOPS,
    LOSS_UNITS,
    UNIQUE_TOLERANCE,
    canonical_columns,
    input_columns,
)
from bayes_infolaw.tables.shares import exposure_columns
from bayes_infolaw.tables.study import Study

__all__ = ["build_table"]

Array = np.ndarray
Notes = tuple[str, ...]


def build_table(frame: pd.DataFrame, study: Study, *, plan: bool = False) -> RunTable:
    """Check a mapped frame and fill in what follows from it.

    Parameters
    ----------
    frame : DataFrame
        Canonical columns beside any others; the index carries row numbers from 0.
    study : Study
        Declares buckets, unit, groups, simulation (the empty study declares nothing).
    plan : bool
        True: no loss is needed, a loss column is kept but ignored, and `run` may be absent.

    Returns
    -------
    RunTable
        Its provenance also tells ``given`` (the columns the law reads that the table gave),
        ``plan`` and ``flops_from`` ("table", or "params" where N stands in for M).

    Raises
    ------
    InputError
        One sentence naming row, column, rule and value.
    """
    rows, buckets, notes = _prepare(frame, study, plan)
    unit = _loss_unit(rows, study)
    columns, said = _complete(rows, buckets, None if plan else unit)
    complete = _assemble(rows, columns, buckets)
    _check_groups(complete, study)
    has_flops = model_flops(rows) is not None
    simulated = _is_simulated(rows, study)
    label = ("the losses are simulated.",) if simulated and not plan else ()
    facts = {
        "given": _given(frame, buckets, plan),
        "plan": plan,
        "flops_from": "table" if has_flops else "params",
    }
    table = RunTable(
        frame=complete,
        buckets=buckets,
        loss_unit=unit,
        groups=study.groups,
        corpus=study.corpus,
        notes=(*label, *notes, *said),
        simulated=simulated,
        provenance=study.facts() | facts,
    )
    return replace(table, data_hash=table.compute_hash())


def _prepare(
    frame: pd.DataFrame, study: Study, plan: bool
) -> tuple[pd.DataFrame, tuple[str, ...], Notes]:
    require_distinct_columns([str(name) for name in frame.columns])
    if frame.empty:
        kept = "no rows are left by the study's filter" if study.filter else "got no rows"
        raise InputError(f"table: must have at least one run, {kept}")
    rows = _with_run_names(frame, plan)
    buckets = resolve_buckets([str(name) for name in rows.columns], study.buckets)
    if len(buckets) == 1:
        return fill_single_bucket(rows, buckets[0]), buckets, ()
    rows, notes = paper_shares(rows, buckets)
    return rows, buckets, notes


def _with_run_names(frame: pd.DataFrame, plan: bool) -> pd.DataFrame:
    if plan and "run" not in frame:
        return frame.assign(run=[f"row {number + 1}" for number in frame.index])
    checks.require_columns(frame, ["run"], "every run needs a name")
    checks.check_runs(frame)
    return frame.assign(run=frame["run"].astype(str))


def _complete(
    rows: pd.DataFrame, buckets: tuple[str, ...], loss_unit: str | None
) -> tuple[dict[str, Array], Notes]:
    needed = ["params_nonembedding", "tokens"] + (["loss"] if loss_unit else [])
    checks.require_columns(rows, needed, "needed")
    columns = {"loss": checks.positive(rows, "loss", loss_unit)} if loss_unit else {}
    params = checks.positive(rows, "params_nonembedding", "parameters")
    tokens = checks.positive(rows, "tokens", "tokens")
    checks.check_size_and_tokens(rows, params, tokens)
    columns |= {"params_nonembedding": params, "tokens": tokens}
    columns["source_tokens"] = _source_tokens(rows, buckets, tokens)
    exposure, notes = exposure_columns(rows, buckets, tokens, columns["source_tokens"])
    degree, said = _compute_columns(rows, params, tokens)
    return columns | exposure | degree | {"loss_se": _loss_se(rows)}, (*notes, *said)


def _source_tokens(rows: pd.DataFrame, buckets: tuple[str, ...], tokens: Array) -> Array:
    if len(buckets) > 1 or "unique_tokens" not in rows:
        why = "needed" if len(buckets) > 1 else "unique_tokens or source_tokens is needed"
        checks.require_columns(rows, ["source_tokens"], why)
        return checks.positive(rows, "source_tokens", "tokens")
    unique = checks.positive(rows, "unique_tokens", "tokens")
    source = checks.positive(rows, "source_tokens", "tokens")
    apart = np.abs(np.minimum(tokens, unique) / np.minimum(tokens, source) - 1)
    rule = "must give the same min(tokens, unique_tokens) as source_tokens does"
    checks.require(rows, "unique_tokens", apart <= UNIQUE_TOLERANCE, rule)
    return source


def _compute_columns(
    rows: pd.DataFrame, params: Array, tokens: Array
) -> tuple[dict[str, Array], Notes]:
    flops, law = model_flops(rows), law_flops(params)
    degree, said = overtraining(rows, flops, law, tokens)
    if flops is not None:
        columns = {"flops_per_token": flops, "overtraining": degree}
        return columns, (*_odd_flops(rows, flops / law), *said)
    columns = {"flops_per_token": law, "overtraining": degree}
    return columns, (_stand_in(given_overtraining(rows) is not None), *said)


def _stand_in(degree_given: bool) -> str:
    where = "compute" if degree_given else "compute and the overtraining degree"
    return (
        "M (flops_per_token, or layers, hidden and seq_len) is missing: N = 6 x "
        f"params_nonembedding stands in for it in {where}."
    )


def _odd_flops(rows: pd.DataFrame, ratio: Array) -> Notes:
    low, high = FLOPS_PER_LAW_FLOPS
    odd = np.flatnonzero((ratio < low) | (ratio > high))
    if not odd.size:
        return ()
    return (
        f"flops_per_token (M) is not within {low:g} to {high:g} times 6 x params_nonembedding in "
        f"{odd.size} of {len(rows)} rows (first {checks.row_name(rows, int(odd[0]))}: "
        f"{ratio[odd[0]]:.3g} times); its unit is FLOP per token.",
    )


def _loss_se(rows: pd.DataFrame) -> Array:
    if "loss_se" not in rows:
        return np.zeros(len(rows))
    return np.nan_to_num(checks.finite_or_missing(rows, "loss_se", "the loss's unit"))


def _loss_unit(rows: pd.DataFrame, study: Study) -> str:
    column = rows["loss_unit"] if "loss_unit" in rows else pd.Series(dtype=str)
    known = column.isin(LOSS_UNITS).to_numpy(dtype=bool)
    checks.require(rows, "loss_unit", known, f"must be one of {', '.join(LOSS_UNITS)}", column)
    expected = str(study.loss_unit or (column.iloc[0] if len(column) else LOSS_UNITS[0]))
    if expected not in LOSS_UNITS:
        raise InputError(f"loss_unit: must be one of {', '.join(LOSS_UNITS)}, got {expected!r}")
    same = (column == expected).to_numpy(dtype=bool)
    rule = f"must be {expected!r} in every row (units are never mixed)"
    checks.require(rows, "loss_unit", same, rule, column)
    return expected


def _is_simulated(rows: pd.DataFrame, study: Study) -> bool:
    if "simulated" not in rows:
        return study.simulated
    text = rows["simulated"].astype(str).str.lower()
    known = text.isin(["true", "false", "1", "0"]).to_numpy(dtype=bool)
    checks.require(rows, "simulated", known, "must be true or false")
    return study.simulated or bool(text.isin(["true", "1"]).any())


def _check_groups(frame: pd.DataFrame, study: Study) -> None:
    wanted = [*study.groups, *([study.corpus] if study.corpus else [])]
    for column in wanted:
        checks.require_columns(frame, [column], "named as a group")
        present = frame[column].notna().to_numpy(dtype=bool)
        checks.require(frame, column, present, "a group must have a name")


def _assemble(
    rows: pd.DataFrame, columns: dict[str, Array], buckets: tuple[str, ...]
) -> pd.DataFrame:
    complete = rows.assign(**columns)
    head = [name for name in canonical_columns(buckets) if name in complete]
    rest = [name for name in complete.columns if name not in head]
    return complete[head + rest].reset_index(drop=True)


def _given(frame: pd.DataFrame, buckets: tuple[str, ...], plan: bool) -> list[str]:
    skipped = {"run", "loss"} if plan else {"run"}
    if len(buckets) > 1:
        skipped.add("unique_tokens")
    if not all(name in frame for name in ARCHITECTURE):
        skipped |= set(ARCHITECTURE)
    names = [name for name in input_columns(buckets) if name in frame and name not in skipped]
    return [name for name in names if not frame[name].isna().all()]
