"""A run table and a hold-out rule -> the runs to fit and the runs to predict."""

import ast
import re

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.runs import RunTable

__all__ = ["held_out_rows", "split"]

Array = np.ndarray

TOP_SHARE = 0.2
SAME = 1e-9
"""Relative difference within which two computes or sizes are one."""

EQUALITY = re.compile(r"\s*`?([^=<>!`]+?)`?\s*=\s*([^=\s].*?)\s*")
BACKTICKS = re.compile(r"`([^`]*)`")
ALLOWED = (
    ast.Expression,
    ast.BoolOp,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Name,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Load,
    ast.boolop,
    ast.unaryop,
    ast.cmpop,
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.BitAnd, ast.BitOr),
)


def split(table: RunTable, hold_out: str) -> tuple[RunTable, RunTable]:
    """Part a table into the runs to fit and the runs held out.

    Parameters
    ----------
    table : RunTable
    hold_out : str
        Which runs to hold out:

        - ``largest-compute``: the 20 % with the most compute C; ``largest-compute:0.1`` another
          part. Runs whose C equals the smallest held-out one go along, so that replicates and
          recipes at one compute are never parted: the part may come out larger.
        - ``largest-size``: all runs of the largest model; ``largest-size:2`` of the two largest.
        - ``group=NAME``: the runs whose grouping column (or corpus) has that value.
        - ``COLUMN=VALUE``: the runs whose column has that value.
        - else an expression over the table's columns, e.g. ``params_nonembedding > 4e9 and
          corpus in ["c4", "rpj"]``; names with other characters go in backticks; no calls.

    Returns
    -------
    fit, held : RunTable
        The same fields, rows numbered anew, a data hash each.

    Raises
    ------
    InputError
        An unknown column, group or value, an expression that is not of this kind, or a side left
        without runs.
    """
    held = held_out_rows(table, hold_out)
    if not held.any() or held.all():
        raise InputError(
            f"hold-out {hold_out!r}: both sides need runs, got {held.sum()} of {len(held)} held out"
        )
    return table.subset(~held), table.subset(held)


def held_out_rows(table: RunTable, hold_out: str) -> Array:
    """Which runs a hold-out rule names (see `split`): array of bool, shape (n,)."""
    rule, _, amount = hold_out.strip().partition(":")
    if rule == "largest-compute":
        return _largest_compute(table, hold_out, amount)
    if rule == "largest-size":
        return _largest_sizes(table, hold_out, amount)
    equality = EQUALITY.fullmatch(hold_out)
    if equality:
        return _having(table, hold_out, *equality.groups())
    return _satisfying(table.frame, hold_out)


def _largest_compute(table: RunTable, hold_out: str, amount: str) -> Array:
    share = _number(hold_out, amount, "a part between 0 and 1") if amount else TOP_SHARE
    if not 0 < share < 1:
        raise InputError(f"hold-out {hold_out!r}: the part must lie between 0 and 1, got {amount}")
    compute = table.arrays().compute
    n_held = max(1, round(share * len(compute)))
    return compute >= np.sort(compute)[-n_held] * (1 - SAME)


def _largest_sizes(table: RunTable, hold_out: str, amount: str) -> Array:
    count = _number(hold_out, amount, "a number of sizes") if amount else 1.0
    if count < 1 or count != int(count):
        raise InputError(f"hold-out {hold_out!r}: sizes must be a whole number >= 1, got {amount}")
    params = table.arrays().params
    sizes = np.unique(params)
    return params >= sizes[-min(int(count), len(sizes))] * (1 - SAME)


def _number(hold_out: str, text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"hold-out {hold_out!r}: needs {what} after the colon, got {text!r}"
        ) from None


def _having(table: RunTable, hold_out: str, column: str, text: str) -> Array:
    """Runs whose column has a value; ``group`` stands for any grouping column."""
    value = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    frame = table.frame
    if column == "group" and "group" not in frame:
        groupings = [*table.groups, *([table.corpus] if table.corpus else [])]
        if not groupings:
            raise InputError(f"hold-out {hold_out!r}: the table has no grouping column")
        rows = np.column_stack([_equals(frame[name], value) for name in groupings]).any(axis=1)
    elif column in frame:
        rows = _equals(frame[column], value)
    else:
        raise InputError(f"hold-out {hold_out!r}: unknown column {column!r}")
    if not rows.any():
        raise InputError(f"hold-out {hold_out!r}: no run has the value {value!r}")
    return rows


def _equals(column: pd.Series, value: str) -> Array:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        number = pd.to_numeric(value, errors="coerce")
        return np.isclose(column.to_numpy(dtype=float), number, rtol=SAME, atol=0.0)
    return (column.astype(str) == value).to_numpy(dtype=bool)


def _satisfying(frame: pd.DataFrame, hold_out: str) -> Array:
    """Runs for which an expression over the columns is true."""
    _check_expression(frame, hold_out)
    try:
        rows = frame.eval(hold_out.strip(), engine="python")
    except Exception as error:
        # Any failure here is the expression's own: types that do not compare, say.
        reason = str(error).partition("\n")[0]
        raise InputError(f"hold-out {hold_out!r}: cannot be evaluated ({reason})") from None
    if not isinstance(rows, pd.Series) or not pd.api.types.is_bool_dtype(rows):
        raise InputError(f"hold-out {hold_out!r}: must be true or false for every run")
    return rows.to_numpy(dtype=bool, na_value=False)


def _check_expression(frame: pd.DataFrame, hold_out: str) -> None:
    """Allow comparisons, arithmetic, ``and``/``or``/``not``, and names that are columns."""
    quoted: list[str] = BACKTICKS.findall(hold_out)
    plain = BACKTICKS.sub("quoted_column", hold_out.strip())
    try:
        nodes = list(ast.walk(ast.parse(plain, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"hold-out {hold_out!r}: is not an expression over columns") from None
    refused = [type(node).__name__ for node in nodes if not isinstance(node, ALLOWED)]
    if refused:
        raise InputError(f"hold-out {hold_out!r}: {refused[0]} is not allowed in an expression")
    names = {node.id for node in nodes if isinstance(node, ast.Name)} - {"quoted_column"}
    unknown = [name for name in (*sorted(names), *quoted) if name not in frame]
    if unknown:
        raise InputError(f"hold-out {hold_out!r}: unknown column {unknown[0]!r}")
