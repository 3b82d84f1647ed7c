"""Cells of a plan: read as what their column means, with one clear error."""

import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.settings import RunSettings

__all__ = ["SETTING_KINDS", "Row", "is_empty", "placed"]

NOT_CELLS = ("name", "shape", "recipe", "facts")
NAME = re.compile("^name:")
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _kind(annotation: Any) -> type:
    """``int | None`` -> int."""
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation


SETTING_KINDS: dict[str, type] = {
    item.name: _kind(item.type) for item in fields(RunSettings) if item.name not in NOT_CELLS
}
"""Training settings that a plan's column may give, with their kinds."""


@dataclass(frozen=True)
class Row:
    """One row of a plan: its number (from 1, header apart) and its cells that are not empty."""

    number: int
    cells: Mapping[str, Any]

    def __contains__(self, column: str) -> bool:
        return column in self.cells

    def fail(self, column: str, rule: str, value: Any = None) -> NoReturn:
        """Raise the InputError of one cell: row, run, column, rule and value."""
        shown = self.cells.get(column) if value is None else value
        raise InputError(f"{self.where()}, column {column}: {rule}, got {shown!r}")

    def where(self) -> str:
        """``row 3 (run 'a')``."""
        named = f" (run {str(self.cells['run'])!r})" if "run" in self.cells else ""
        return f"plan, row {self.number}{named}"

    def text(self, column: str) -> str:
        """A cell as text; a whole number read as a float loses its ``.0``."""
        value = self.cells[column]
        whole = isinstance(value, float) and value.is_integer()
        return str(int(value)) if whole else str(value).strip()

    def number_of(self, column: str) -> float:
        """A finite number."""
        try:
            value = math.nan if isinstance(self.cells[column], bool) else float(self.cells[column])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            self.fail(column, "must be a number")
        return value

    def positive(self, column: str) -> float:
        """A finite number above 0."""
        value = self.number_of(column)
        if value <= 0:
            self.fail(column, "must be a number above 0")
        return value

    def whole(self, column: str, least: int = 0) -> int:
        """A whole number, which may be written 2e6."""
        try:
            value: float = int(str(self.cells[column]))  # exact, however large
        except ValueError:
            value = self.number_of(column)
        if value != int(value) or value < least:
            self.fail(column, f"must be a whole number of at least {least}")
        return int(value)

    def truth(self, column: str) -> bool:
        """True or false."""
        text = str(self.cells[column]).strip().lower().removesuffix(".0")
        if text not in TRUTHS:
            self.fail(column, "must be true or false")
        return TRUTHS[text]

    def setting(self, column: str) -> Any:
        """A training setting, read as the kind that `RunSettings` gives it."""
        kind = SETTING_KINDS[column]
        if kind is bool:
            return self.truth(column)
        if kind is int:
            return self.whole(column)
        return self.number_of(column) if kind is float else self.text(column)


def is_empty(value: Any) -> bool:
    """Whether a cell says nothing: missing, or blank text."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or bool(pd.isna(value))


def placed(error: InputError, row: Row) -> InputError:
    """The error with the row that it is of, where it does not name one."""
    named = str(error).startswith("plan, row")
    # The name of a run is the plan's column `run`.
    return error if named else InputError(f"{row.where()}, column {NAME.sub('run:', str(error))}")
