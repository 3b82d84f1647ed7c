"""A foreign table and its study -> the same runs under canonical column names."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.checks import numbers, numbers_or_truths
from bayes_infolaw.tables.study import Study

__all__ = ["map_columns"]


def map_columns(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Filter the rows, then add the study's columns; the index keeps the file's row numbers.

    Parameters
    ----------
    frame : DataFrame
        As read from the file.
    study : Study
        See `bayes_infolaw.tables.study` for the forms.

    Returns
    -------
    DataFrame
        The file's own columns, less the ignored ones, and the canonical ones beside them.

    Raises
    ------
    InputError
        A named column does not exist, or a new column would silently replace another.
    """
    rows = frame
    for condition in study.filter:
        rows = rows[_passes(rows, condition)]
    kept = rows.drop(columns=[_existing(rows, name, "ignore") for name in study.ignore])
    new = _new_columns(rows, study)
    _refuse_replacement(kept, study, new)
    return kept.assign(**new)


def _existing(frame: pd.DataFrame, column: str, key: str) -> str:
    if column not in frame:
        have = ", ".join(map(str, frame.columns[:12]))
        raise InputError(f"study key {key}: column {column!r} must exist, the table has {have}")
    return column


def _passes(rows: pd.DataFrame, condition: dict[str, Any]) -> np.ndarray:
    column = _existing(rows, condition["column"], "filter")
    passes = np.ones(len(rows), dtype=bool)
    for rule, bound in condition.items():
        if rule != "column":
            passes &= _holds(rows, column, rule, bound)
    return passes


def _holds(rows: pd.DataFrame, column: str, rule: str, bound: Any) -> np.ndarray:
    if rule in ("min", "max"):
        values = numbers_or_truths(rows, column)
        return values >= bound if rule == "min" else values <= bound
    equal = np.zeros(len(rows), dtype=bool)
    for wanted in bound if rule == "one_of" else [bound]:
        equal |= _equals(rows, column, wanted)
    return ~equal if rule == "not_equals" else equal


def _equals(rows: pd.DataFrame, column: str, wanted: Any) -> np.ndarray:
    if isinstance(wanted, str):
        return (rows[column].astype(str) == wanted).to_numpy(dtype=bool)
    return numbers_or_truths(rows, column) == float(wanted)


def _new_columns(rows: pd.DataFrame, study: Study) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for name, spec in study.columns.items():
        new[name] = _mapped(rows, name, spec)
    new |= study.constants
    for name, spec in study.derive.items():
        new[name] = _derived(rows, name, spec)
    return new


def _mapped(rows: pd.DataFrame, name: str, spec: Any) -> pd.Series:
    if isinstance(spec, str):
        return rows[_existing(rows, spec, f"columns.{name}")]
    known = isinstance(spec, dict) and set(spec) == {"column", "times"}
    if not known or not isinstance(spec["times"], int | float):
        rule = 'must be a column name or { column = "...", times = ... }'
        raise InputError(f"study key columns.{name}: {rule}, got {spec!r}")
    column = _existing(rows, spec["column"], f"columns.{name}")
    return pd.Series(numbers(rows, column) * spec["times"], index=rows.index)


def _derived(rows: pd.DataFrame, name: str, spec: Any) -> Any:
    form = next((form for form in FORMS if isinstance(spec, dict) and form in spec), None)
    if form is None:
        raise InputError(
            f"study key derive.{name}: must have one of {', '.join(FORMS)}, got {spec!r}"
        )
    for column in spec[form] if isinstance(spec[form], list) else []:
        _existing(rows, column, f"derive.{name}")
    try:
        return FORMS[form](rows, **{("columns" if k == form else k): v for k, v in spec.items()})
    except (TypeError, ValueError) as error:
        raise InputError(f"study key derive.{name}: {error}, got {spec!r}") from error


def _half_width(rows: pd.DataFrame, columns: list[str], prob: float = 0.95) -> np.ndarray:
    low, high = columns
    width = numbers(rows, high) - numbers(rows, low)
    return width / (2 * NormalDist().inv_cdf((1 + prob) / 2))


def _product(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    return np.prod([numbers(rows, column) for column in columns], axis=0)


def _ratio(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    top, bottom = columns
    with np.errstate(divide="ignore", invalid="ignore"):
        return numbers(rows, top) / numbers(rows, bottom)


def _join(rows: pd.DataFrame, columns: list[str], separator: str = "-") -> list[str]:
    cells = [rows[column].astype(str) for column in columns]
    return [separator.join(parts) for parts in zip(*cells, strict=True)]


def _numbered(rows: pd.DataFrame, columns: str) -> list[str]:
    return [f"{columns}{number + 1}" for number in rows.index]


FORMS: dict[str, Callable[..., Any]] = {
    "half_width": _half_width,
    "product": _product,
    "ratio": _ratio,
    "join": _join,
    "numbered": _numbered,
}


def _refuse_replacement(kept: pd.DataFrame, study: Study, new: dict[str, Any]) -> None:
    for name in new:
        if name in kept and name not in _sources(study, name):
            rule = f"column {name} must not be in the table already (ignore = [{name!r}] drops it)"
            raise InputError(f"study: {rule}, got both")


def _sources(study: Study, name: str) -> list[str]:
    spec = study.derive.get(name, study.columns.get(name))
    if isinstance(spec, dict):
        form = next(iter(spec.values()))
        return [form] if isinstance(form, str) else list(form)
    return [spec] if isinstance(spec, str) else []
