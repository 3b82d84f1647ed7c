"""Parts of the input -> batches of documents with sources, licences and scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.inputs import Part
from bayes_infolaw.harness.corpus.readers import Rows, Table, open_table
from bayes_infolaw.harness.corpus.settings import Columns
from bayes_infolaw.harness.quality.columns import KNOWN_COLUMNS, read_score, score_columns

__all__ = ["Batch", "read_documents", "score_names"]

OPTIONAL = {"id": ("id",), "source": ("source",), "licence": ("licence", "license")}


@dataclass(frozen=True)
class Batch:
    """Documents: equally long columns.

    Attributes
    ----------
    ids, texts, sources, licences : list of str
    scores : dict of str to ndarray
        The columns with quality scores, (n,) float64.
    """

    ids: list[str]
    texts: list[str]
    sources: list[str]
    licences: list[str]
    scores: dict[str, np.ndarray]


def score_names(part: Part, columns: Columns) -> tuple[str, ...]:
    """The quality scores that a part brings, without reading it through.

    Raises
    ------
    InputError
        The part can't be opened, or a column is missing.
    """
    return _resolve(columns, open_table(part), part, scored=True).scores


def read_documents(part: Part, columns: Columns, scored: bool = True) -> Iterator[Batch]:
    """Stream the documents of a part, in its order.

    Parameters
    ----------
    part : Part
    columns : Columns
        Text files have none: they are read whole.
    scored : bool
        Read quality scores too.

    Raises
    ------
    InputError
        The part is damaged, a column is missing, a line is no JSON object, a score is no number.
    """
    table = open_table(part)
    fields = _resolve(columns, table, part, scored)
    first = 0
    for rows in table.read(fields.columns):
        yield _batch(rows, fields, part, first)
        first += rows.count


@dataclass(frozen=True)
class _Fields:
    """Which columns are read: the first of `named` that has a value."""

    named: dict[str, tuple[str, ...]]  # text, id, source, licence
    scores: tuple[str, ...]
    further: tuple[str, ...]  # scores that would be read if the first rows had them

    @property
    def columns(self) -> list[str]:
        return sorted({name for names in (*self.named.values(), self.scores) for name in names})


def _resolve(columns: Columns, table: Table, part: Part, scored: bool) -> _Fields:
    columns = Columns() if part.kind == "text" else columns
    own = {"id": columns.id, "source": columns.source, "licence": columns.licence}
    asked = {"text": columns.text} | {key: name for key, name in own.items() if name is not None}
    scores = (columns.scores or score_columns(table.names)) if scored else ()
    for name in (*asked.values(), *scores):
        if name not in table.names:
            found = ", ".join(table.names)
            raise InputError(f"{part.name}: column {name!r} must exist, got the columns {found}")
    usual = {
        key: tuple(name for name in names if name in table.names or not table.fixed)
        for key, names in OPTIONAL.items()
    }
    known = KNOWN_COLUMNS if scored and not columns.scores else ()
    named = usual | {key: (name,) for key, name in asked.items()}
    return _Fields(named, scores, tuple(name for name in known if name not in scores))


def _batch(rows: Rows, fields: _Fields, part: Part, first: int) -> Batch:
    _require_names(rows, fields, part)
    n = rows.count
    text = rows.columns[fields.named["text"][0]]
    return Batch(
        ids=_strings(rows, fields.named["id"], [f"{part.name}#{first + i}" for i in range(n)]),
        texts=[_clean(value, part, rows, i) for i, value in enumerate(text)],
        sources=_strings(rows, fields.named["source"], [part.source] * n),
        licences=_strings(rows, fields.named["licence"], ["unknown"] * n),
        scores={
            name: read_score(rows.columns[name], f"{part.name}: {name}", rows.place)
            for name in fields.scores
        },
    )


def _require_names(rows: Rows, fields: _Fields, part: Part) -> None:
    """Rows that bring their own names must have a text, and the scores of the first ones."""
    text = fields.named["text"][0]
    for i, row in enumerate(rows.own or ()):
        if text not in row:
            found = ", ".join(row)
            raise InputError(f"{part.name}: {rows.place(i)} must have {text!r}, got {found}")
        for name in fields.further:
            if name in row:
                rule = "must have no score that the first rows lack"
                raise InputError(f"{part.name}: {rows.place(i)} {rule}, got {name!r}")


def _strings(rows: Rows, names: tuple[str, ...], fallback: list[str]) -> list[str]:
    found = fallback
    for name in reversed(names):
        pairs = zip(rows.columns[name], found, strict=True)
        found = [other if value is None else str(value) for value, other in pairs]
    return found


def _clean(text: Any, part: Part, rows: Rows, i: int) -> str:
    """Text that UTF-8 can hold: JSON may bring half a surrogate pair."""
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InputError(f"{part.name}: {rows.place(i)}: text must be a string, got {text!r}")
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
