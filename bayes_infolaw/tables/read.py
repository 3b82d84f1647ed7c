"""A file, a study or a data frame -> a checked run table or plan."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.derive import given_overtraining
from bayes_infolaw.tables.files import read_frame, require_distinct_columns
from bayes_infolaw.tables.informing import require_enough_runs
from bayes_infolaw.tables.mapping import map_columns
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.tables.study import Study, read_study, table_path

__all__ = ["read_plan", "read_runs"]

Source = str | Path | pd.DataFrame


def read_runs(
    path: Source,
    *,
    buckets: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    prior_dominated: bool = False,
) -> RunTable:
    """Read and check a table of training runs.

    Parameters
    ----------
    path : str, Path or DataFrame
        A CSV or Parquet file, a study.toml, a folder that holds one, or a data frame. A study.toml
        (or ``<table>.toml``) beside a table that points to that very table is used.
    buckets : sequence of str, optional
        Names best first; wins over the study's. Not needed for the names 0..D-1 or one bucket.
    data_dir : str or Path, optional
        Folder for ``{data}`` in studies; by default the environment's ``BAYES_INFOLAW_DATA``.
    prior_dominated : bool
        Accept fewer runs than the parameters of the law that the table can inform, and runs that
        all have the same loss.

    Returns
    -------
    RunTable
        Absolute units: tokens, parameters, FLOP per token; loss in `RunTable.loss_unit`.

    Raises
    ------
    InputError
        One sentence that names row (from 1, header apart), column, rule and value.
    """
    frame, study = _load(path, data_dir)
    table = build_table(map_columns(frame, study), _ordered(study, buckets))
    return require_enough_runs(table, prior_dominated)


def read_plan(
    path_or_frame: Source,
    *,
    buckets: Sequence[str] | None,
    loss_unit: str = "nats per token",
    require_overtraining: bool = False,
    data_dir: str | Path | None = None,
) -> RunTable:
    """Read and check planned runs: the columns of a run table without `loss`.

    Parameters
    ----------
    path_or_frame : str, Path or DataFrame
        As for `read_runs`. A `loss` column is kept but ignored; without `run`, rows are numbered.
    buckets : sequence of str or None
        The fit's buckets, best first; the plan's columns are matched by name. None: as the study
        declares them, as for `read_runs`.
    loss_unit : {"nats per token", "bits per byte"}
        The fit's unit, in which losses will be predicted.
    require_overtraining : bool
        Refuse a plan whose overtraining degree would have to be derived from N for want of M.
    data_dir : str or Path, optional

    Returns
    -------
    RunTable
        ``table.arrays().loss`` is None.

    Raises
    ------
    InputError
        One sentence that names row, column, rule and value.
    """
    frame, study = _load(path_or_frame, data_dir)
    declared = replace(_ordered(study, buckets), loss_unit=loss_unit, groups=(), corpus=None)
    mapped = map_columns(frame, study)
    table = build_table(mapped, declared, plan=True)
    if require_overtraining and table.provenance["flops_from"] == "params":
        _require_degree(mapped)
    return table


def _require_degree(mapped: pd.DataFrame) -> None:
    if given_overtraining(mapped) is None:
        raise InputError(
            "column overtraining: m (or M: flops_per_token, or layers, hidden and seq_len) "
            "must be given in this plan, got none of them"
        )


def _ordered(study: Study, buckets: Sequence[str] | None) -> Study:
    return study if buckets is None else replace(study, buckets=tuple(str(b) for b in buckets))


def _load(source: Source, data_dir: str | Path | None) -> tuple[pd.DataFrame, Study]:
    if isinstance(source, pd.DataFrame):
        require_distinct_columns([str(name) for name in source.columns])
        return source.rename(columns=str).reset_index(drop=True), Study()
    path = Path(source)
    path = path / "study.toml" if path.is_dir() else path
    if path.suffix == ".toml":
        return _load_study(path, data_dir)
    beside = _study_beside(path, data_dir)
    return (read_frame(path), Study()) if beside is None else _load_study(beside, data_dir)


def _load_study(path: Path, data_dir: str | Path | None) -> tuple[pd.DataFrame, Study]:
    study = read_study(path)
    spec = study.columns.get("run")
    text = ("run", spec) if isinstance(spec, str) else ("run",)
    return read_frame(table_path(study, path, data_dir), text), study


def _study_beside(table: Path, data_dir: str | Path | None) -> Path | None:
    for name in ("study.toml", f"{table.stem}.toml"):
        beside = table.parent / name
        if beside.is_file() and _points_to(beside, table, data_dir):
            return beside
    return None


def _points_to(beside: Path, table: Path, data_dir: str | Path | None) -> bool:
    study = read_study(beside)
    if study.table.startswith("{"):
        return False
    return table_path(study, beside, data_dir).resolve() == table.resolve()
