"""Readers: Parquet, JSONL, text files and Hugging Face datasets -> batches of documents."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.inputs import Part
from bayes_infolaw.harness.corpus.settings import Columns
from bayes_infolaw.harness.quality.columns import read_score, score_columns
from bayes_infolaw.harness.requires import require

__all__ = ["Batch", "read_documents"]

BATCH = 256  # documents; a batch of the longest documents is still some MB
OPTIONAL = {"id": ("id",), "source": ("source",), "licence": ("licence", "license")}
RawBatch = dict[str, list[Any]]


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
        A column is missing, a line is no JSON object, a score is no number.
    """
    readers = {"parquet": _parquet, "jsonl": _jsonl, "text": _texts, "hub": _hub}
    names, batches = readers[part.kind](part)
    asked = Columns() if part.kind == "text" else columns
    fields = _resolve(asked, names, part.name, scored)
    row = 0
    for raw in batches(sorted({*fields.named.values(), *fields.scores})):
        batch = _named(raw, fields, part, row)
        row += len(batch.texts)
        yield batch


@dataclass(frozen=True)
class _Fields:
    named: dict[str, str]  # text, id, source, licence -> column
    scores: tuple[str, ...]


def _resolve(columns: Columns, names: Sequence[str], where: str, scored: bool) -> _Fields:
    asked = {"text": columns.text, "id": columns.id, "source": columns.source}
    asked["licence"] = columns.licence
    named = {key: name for key, name in asked.items() if name is not None}
    scores = (columns.scores or score_columns(names)) if scored else ()
    missing = [name for name in (*named.values(), *scores) if name not in names]
    if missing:
        found = ", ".join(names)
        raise InputError(f"{where}: column {missing[0]!r} must exist, got the columns {found}")
    for key, usual in OPTIONAL.items():
        present = [name for name in usual if name in names]
        if key not in named and present:
            named[key] = present[0]
    return _Fields(named, scores)


def _named(raw: RawBatch, fields: _Fields, part: Part, row: int) -> Batch:
    texts = [_clean(text) for text in raw[fields.named["text"]]]
    fallback = {
        "id": [f"{part.name}#{row + i}" for i in range(len(texts))],
        "source": [part.name.split(".")[0]] * len(texts),
        "licence": ["unknown"] * len(texts),
    }
    columns = {key: _strings(raw, fields, key, fallback[key]) for key in fallback}
    scores = {name: read_score(raw[name], f"{part.name}: {name}") for name in fields.scores}
    return Batch(columns["id"], texts, columns["source"], columns["licence"], scores)


def _strings(raw: RawBatch, fields: _Fields, key: str, fallback: list[str]) -> list[str]:
    if key not in fields.named:
        return fallback
    values = raw[fields.named[key]]
    return [other if v is None else str(v) for v, other in zip(values, fallback, strict=True)]


def _clean(text: Any) -> str:
    """Text that UTF-8 can hold: JSON may bring half a surrogate pair."""
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InputError(f"text: must be a string, got {text!r}")
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def _parquet(part: Part) -> tuple[list[str], Any]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(part.paths[0], pre_buffer=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{part.name}: must be a Parquet file ({error})") from error

    def batches(columns: list[str]) -> Iterator[RawBatch]:
        for batch in file.iter_batches(BATCH, columns=columns, use_threads=False):
            yield batch.to_pydict()

    return list(file.schema_arrow.names), batches


def _jsonl(part: Part) -> tuple[list[str], Any]:
    return _from_rows(_json_rows(part), part.name)


def _json_rows(part: Part) -> Iterator[dict[str, Any]]:
    with _open_text(Path(part.paths[0])) as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip():
                yield _json_object(line, f"{part.name}: line {number}")


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} must be a JSON object ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{where} must be a JSON object, got {type(row).__name__}")
    return row


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    if path.suffix == ".zst":
        zstandard = require("zstandard")
        stream = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return io.TextIOWrapper(stream, encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def _from_rows(rows: Iterator[dict[str, Any]], where: str) -> tuple[list[str], Any]:
    """Batches of rows; the first row tells the columns, later ones may lack optional ones."""
    first = next(rows, None)
    if first is None:
        raise InputError(f"{where}: must hold at least one document")

    def batches(columns: list[str]) -> Iterator[RawBatch]:
        everything = chain([first], rows)
        while batch := list(islice(everything, BATCH)):
            yield {name: [row.get(name) for row in batch] for name in columns}

    return list(first), batches


def _texts(part: Part) -> tuple[list[str], Any]:
    def batches(columns: list[str]) -> Iterator[RawBatch]:
        for start in range(0, len(part.paths), BATCH):
            paths = [Path(path) for path in part.paths[start : start + BATCH]]
            texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
            yield {"text": texts, "id": [f"{part.name}/{path.name}" for path in paths]}

    return ["text", "id"], batches


def _hub(part: Part) -> tuple[list[str], Any]:
    datasets = require("datasets")
    name, configuration, split = part.paths
    try:
        rows: Iterable[dict[str, Any]] = datasets.load_dataset(
            name, configuration or None, split=split, streaming=True
        )
    except (ValueError, FileNotFoundError) as error:  # not what a retry could mend
        raise InputError(f"{part.name}: dataset must be readable ({error})") from error
    return _from_rows(iter(rows), part.name)
