"""One clear error for a bad table: row, column, rule and value in a sentence."""

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.schema import (
    MIN_PARAMS,
    MIN_TOKENS,
    REPETITION_TOLERANCE,
    SHARE_TOLERANCE,
    TOKENS_PER_PARAM,
    UNIQUE_TOLERANCE,
    bucket_column,
)

__all__ = [
    "check_measured",
    "check_runs",
    "check_shares",
    "check_size_and_tokens",
    "fail",
    "finite_or_missing",
    "non_negative",
    "positive",
    "require",
    "require_columns",
]

Array = np.ndarray


def row_name(frame: pd.DataFrame, position: int) -> str:
    """Name a row for a message: its number in the file (from 1, header apart) and its run."""
    number = f"row {int(frame.index[position]) + 1}"
    if "run" not in frame or pd.isna(frame["run"].iloc[position]):
        return number
    return f"{number} (run {str(frame['run'].iloc[position])!r})"


def show(value: Any) -> str:
    """Write a value for a message: numbers to eight digits, text in quotes."""
    if isinstance(value, str):
        return repr(value)
    if pd.isna(value):
        return "nan"
    return f"{value:.8g}" if isinstance(value, float | np.floating) else str(value)


def fail(frame: pd.DataFrame, position: int, column: str, rule: str, value: Any) -> NoReturn:
    """Raise the InputError of one row."""
    row = row_name(frame, position)
    raise InputError(f"{row}, column {column}: {rule}, got {show(value)}")


def require(frame: pd.DataFrame, column: str, passes: Array, rule: str, values: Any = None) -> None:
    """Raise InputError for the first row that does not pass.

    Parameters
    ----------
    passes : array of bool, shape (n,)
    values : sequence of length n, optional
        What to show; the column's own cells by default.
    """
    bad = np.flatnonzero(~np.asarray(passes))
    if bad.size:
        shown = frame[column] if values is None else pd.Series(values)
        fail(frame, int(bad[0]), column, rule, shown.iloc[int(bad[0])])


def require_columns(frame: pd.DataFrame, columns: Sequence[str], why: str) -> None:
    """Raise InputError naming the columns that the table lacks."""
    missing = [column for column in columns if column not in frame]
    if missing:
        have = ", ".join(map(str, frame.columns[:12])) + (", ..." if frame.shape[1] > 12 else "")
        raise InputError(f"column {', '.join(missing)}: {why}, the table has {have}")


def numbers(frame: pd.DataFrame, column: str) -> Array:
    """Float64 values of a column, NaN where a cell is empty or no number; shape (n,)."""
    return np.where(_truths(frame[column]), np.nan, numbers_or_truths(frame, column))


def numbers_or_truths(frame: pd.DataFrame, column: str) -> Array:
    """As `numbers`, but True counts as 1 and False as 0: for flags, never for quantities."""
    if frame[column].dtype.kind in "mMc":  # pandas would turn dates into nanoseconds
        return np.full(len(frame), np.nan)
    return pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _truths(cells: pd.Series) -> Array:
    if cells.dtype.kind in "iuf":
        return np.zeros(len(cells), dtype=bool)
    return np.array([isinstance(cell, bool | np.bool_) for cell in cells], dtype=bool)


def positive(frame: pd.DataFrame, column: str, unit: str) -> Array:
    """Values of a column that must all be positive finite numbers, shape (n,)."""
    values = numbers(frame, column)
    rule = f"must be a positive number ({unit})"
    require(frame, column, np.isfinite(values) & (values > 0), rule)
    return values


def non_negative(frame: pd.DataFrame, column: str, unit: str) -> Array:
    """Values of a column that must all be finite and at least 0, shape (n,)."""
    values = numbers(frame, column)
    rule = f"must be a number of at least 0 ({unit})"
    require(frame, column, np.isfinite(values) & (values >= 0), rule)
    return values


def finite_or_missing(frame: pd.DataFrame, column: str, unit: str) -> Array:
    """Values of an optional column, each a finite number of at least 0 or an empty cell (NaN)."""
    values = numbers(frame, column)
    passes = frame[column].isna().to_numpy() | (np.isfinite(values) & (values >= 0))
    require(frame, column, passes, f"must be empty or a number of at least 0 ({unit})")
    return values


def check_runs(frame: pd.DataFrame) -> None:
    """Every run has a name, and no two have the same."""
    named = frame["run"].notna().to_numpy() & (frame["run"].astype(str).str.strip() != "")
    require(frame, "run", np.asarray(named), "must be a name")
    repeated = frame["run"].astype(str).duplicated().to_numpy()
    require(frame, "run", ~repeated, "must occur once in the table")


def check_size_and_tokens(frame: pd.DataFrame, params: Array, tokens: Array) -> None:
    """Catch wrong units: too few parameters or tokens, or an odd ratio of the two."""
    units = "the unit is likely wrong"
    rule = f"must be at least {MIN_PARAMS:g} parameters ({units})"
    require(frame, "params_nonembedding", params >= MIN_PARAMS, rule)
    require(frame, "tokens", tokens >= MIN_TOKENS, f"must be at least {MIN_TOKENS:g} ({units})")
    ratio, (low, high) = tokens / params, TOKENS_PER_PARAM
    rule = f"tokens / params_nonembedding must lie in [{low:g}, {high:g}] ({units})"
    require(frame, "tokens", (ratio >= low) & (ratio <= high), rule, ratio)


def check_shares(frame: pd.DataFrame, prefix: str, shares: Array, buckets: Sequence[str]) -> None:
    """Each row of shares (n, D) sums to 1 within 0.005."""
    sums = shares.sum(axis=1)
    columns = " + ".join(bucket_column(prefix, bucket) for bucket in buckets)
    if len(columns) > 60:
        columns = (
            f"{bucket_column(prefix, buckets[0])} + ... + {bucket_column(prefix, buckets[-1])}"
        )
    rule = f"must sum to 1 within {SHARE_TOLERANCE:g}"
    # An ulp of slack, so that a sum written as 0.995 passes.
    require(frame, columns, np.abs(sums - 1) <= SHARE_TOLERANCE + 1e-12, rule, sums)


def check_available(
    frame: pd.DataFrame, weights: Array, shares: Array, buckets: Sequence[str]
) -> None:
    """No tokens are packed from a bucket that the source does not have."""
    for d, bucket in enumerate(buckets):
        column = bucket_column("share_", bucket)
        passes = (shares[:, d] > 0) | (weights[:, d] == 0)
        rule = f"must be above 0 where {bucket_column('w_', bucket)} is"
        require(frame, column, passes, rule, shares[:, d])


def check_measured(
    frame: pd.DataFrame,
    bucket: str,
    packed: Array,
    available: Array,
    unique: Array,
    repetition: Array,
) -> None:
    """Measured U and T of one bucket agree with n and s; shape (n,), NaN where not measured.

    U in (0, min(n, s)], T >= 1, T = n / U: with tolerances 1e-3 on U and 1 % on T.
    """
    used = packed > 0
    most = np.minimum(packed, available) * (1 + UNIQUE_TOLERANCE)
    column = bucket_column("unique_", bucket)
    rule = f"must not exceed min(n, s) (1 + {UNIQUE_TOLERANCE:g})"
    _require_measured(frame, column, unique, unique <= most, f"{rule} tokens", most)
    rule = "must be above 0 where the bucket is used"
    _require_measured(frame, column, unique, (unique > 0) | ~used, rule)
    _check_repetition(frame, bucket, packed, most, unique, np.where(used, repetition, np.nan))


def _check_repetition(
    frame: pd.DataFrame, bucket: str, packed: Array, most: Array, unique: Array, repetition: Array
) -> None:
    column = bucket_column("repetition_", bucket)
    _require_measured(frame, column, repetition, repetition >= 1, "must be at least 1")
    with np.errstate(invalid="ignore", divide="ignore"):
        implied, least = packed / unique, packed / most
    near = np.abs(repetition / implied - 1) <= REPETITION_TOLERANCE
    rule = f"must be within {REPETITION_TOLERANCE:.0%} of n / U"
    _require_measured(frame, column, repetition, near | np.isnan(unique), rule, implied)
    enough = (repetition >= least) | ~np.isnan(unique)
    _require_measured(frame, column, repetition, enough, "must be at least n / min(n, s)", least)


def _require_measured(
    frame: pd.DataFrame, column: str, values: Array, passes: Array, rule: str, bound: Any = None
) -> None:
    bad = np.flatnonzero(~np.isnan(values) & ~passes)
    if bad.size:
        first = int(bad[0])
        said = rule if bound is None else f"{rule} = {show(bound[first])}"
        fail(frame, first, column, said, values[first])
