"""Compact plans: lists in cells are crossed, replicates are counted out."""

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd

from bayes_infolaw.harness.sweep.cells import Row, is_empty

__all__ = ["expanded_rows"]

SEPARATOR = "|"
REPLICATES = "replicates"


def expanded_rows(frame: pd.DataFrame) -> Iterator[Row]:
    """Rows of a plan, one a run.

    A cell with several values (``HQ|MQ|LQ``) stands for a row of each; several such cells are
    crossed, so that runs come paired: the same seeds in each. ``replicates`` (a count) repeats a
    row with the initialisation seeds ``seed``, ``seed + 1``, ...; the subsample stays. A row that
    was given a name passes it on with what sets its runs apart.
    """
    for number, (_, cells) in enumerate(frame.iterrows(), start=1):
        filled = {str(k): v for k, v in cells.items() if not is_empty(v)}
        for crossed in _crossed(filled):
            yield from _replicated(Row(number, crossed))


def _crossed(cells: dict[str, Any]) -> Iterator[dict[str, Any]]:
    lists = {k: _values(v) for k, v in cells.items() if isinstance(v, str) and SEPARATOR in v}
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        yield _renamed(cells | chosen, values)


def _values(text: str) -> list[str]:
    return [part.strip() for part in text.split(SEPARATOR) if part.strip()]


def _renamed(cells: dict[str, Any], values: tuple[str, ...]) -> dict[str, Any]:
    if "run" not in cells or not values:
        return cells
    return cells | {"run": "-".join([str(cells["run"]), *values])}


def _replicated(row: Row) -> Iterator[Row]:
    if REPLICATES not in row:
        yield row
        return
    count = row.whole(REPLICATES, least=1)
    first = row.whole("seed") if "seed" in row else 0
    cells = {k: v for k, v in row.cells.items() if k != REPLICATES}
    for step in range(count):
        more: dict[str, Any] = {"seed": first + step}
        if "run" in cells and count > 1:
            more["run"] = f"{cells['run']}-seed{first + step}"
        yield Row(row.number, cells | more)
