"""One part of the input -> its columns and batches of rows, whatever its format."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.inputs import Part
from bayes_infolaw.harness.corpus.work import StoppedError
from bayes_infolaw.harness.requires import require

__all__ = ["BATCH", "Rows", "Table", "open_table"]

BATCH = 256  # documents; a batch of the longest documents is still some MB
ENCODING = "utf-8-sig"  # a byte order mark is no text
PACKED = {".gz": "gzip", ".zst": "zstd"}
# Libraries that reach the Hub raise errors of their own where the network fails.
NETWORK = ("aiohttp", "fsspec", "httpcore", "httpx", "huggingface_hub", "requests", "urllib3")


@dataclass(frozen=True)
class Rows:
    """Some rows of a table.

    Attributes
    ----------
    columns : dict of str to list
        The columns asked for; None where a row has no value.
    count : int
        Number of rows.
    place : callable
        Names row i in errors.
    own : list of dict, optional
        The rows themselves where each brings names of its own.
    """

    columns: dict[str, list[Any]]
    count: int
    place: Callable[[int], str]
    own: Sequence[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Table:
    """An open part.

    Attributes
    ----------
    names : list of str
        Its columns; where rows bring their own names, those of the first rows.
    read : callable
        Columns -> batches of rows, once.
    fixed : bool
        Every row has these columns and no others.
    """

    names: list[str]
    read: Callable[[list[str]], Iterator[Rows]]
    fixed: bool = True


def open_table(part: Part) -> Table:
    """Open a part and see what columns it has.

    Raises
    ------
    InputError
        It is not what its name says, or damaged; the message names file and line.
    """
    return {"parquet": _parquet, "jsonl": _jsonl, "text": _texts, "hub": _hub}[part.kind](part)


def _is_damage(error: BaseException) -> bool:
    """Whether the content is at fault: an error of the machine has a number, and may pass."""
    if isinstance(error, OSError):
        return error.errno is None and not isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, pa.ArrowInvalid | UnicodeDecodeError)


def _parquet(part: Part) -> Table:
    try:
        file = pq.ParquetFile(part.paths[0], pre_buffer=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise _not_whole(part, "", error) from error

    def batches(columns: list[str]) -> Iterator[Rows]:
        first = 0
        try:
            for batch in file.iter_batches(BATCH, columns=columns, use_threads=False):
                yield Rows(batch.to_pydict(), batch.num_rows, _place("row", first))
                first += batch.num_rows
        except (pa.ArrowInvalid, UnicodeDecodeError, OSError) as error:
            raise _not_whole(part, f" after row {first}", error) from error

    return Table(list(file.schema_arrow.names), batches)


def _place(word: str, first: int) -> Callable[[int], str]:
    return lambda i: f"{word} {first + i}"


def _not_whole(part: Part, where: str, error: BaseException) -> BaseException:
    """What to raise where reading failed: if the content is at fault, an error that names it."""
    if not _is_damage(error):
        return error
    kind = Path(part.paths[0]).suffix if part.kind == "jsonl" else "Parquet"
    return InputError(f"{part.name}: must be a whole {kind} file{where} ({error})")


def _jsonl(part: Part) -> Table:
    return _from_rows(_json_rows(part), part.name)


def _json_rows(part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with _open_text(Path(part.paths[0])) as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield f"line {number}", _json_object(line, f"{part.name}: line {number}")
    except (pa.ArrowInvalid, OSError) as error:
        raise _not_whole(part, f" after line {number}", error) from error


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} must be a JSON object ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{where} must be a JSON object, got {type(row).__name__}")
    return row


def _open_text(path: Path) -> io.TextIOWrapper:
    """Arrow's streams, unlike others, tell a file that was cut off from one that ends."""
    packed = pa.input_stream(str(path), compression=PACKED.get(path.suffix.lower()))
    return io.TextIOWrapper(packed, encoding=ENCODING, errors="replace")


def _from_rows(rows: Iterator[tuple[str, dict[str, Any]]], where: str) -> Table:
    """Batches of rows that each bring their own names."""
    head = list(islice(rows, BATCH))
    if not head:
        raise InputError(f"{where}: must hold at least one document")

    def batches(columns: list[str]) -> Iterator[Rows]:
        everything = chain(head, rows)
        while batch := list(islice(everything, BATCH)):
            places, own = [place for place, _ in batch], [row for _, row in batch]
            values = {name: [row.get(name) for row in own] for name in columns}
            yield Rows(values, len(own), places.__getitem__, own)

    return Table(list(dict.fromkeys(name for _, row in head for name in row)), batches, fixed=False)


def _texts(part: Part) -> Table:
    def batches(columns: list[str]) -> Iterator[Rows]:
        for start in range(0, len(part.paths), BATCH):
            ids = [_text_id(part, path) for path in part.paths[start : start + BATCH]]
            texts = [_text(path) for path in part.paths[start : start + BATCH]]
            yield Rows({"text": texts, "id": ids}, len(ids), ids.__getitem__)

    return Table(["text", "id"], batches)


def _text(path: str) -> str:
    return Path(path).read_text(encoding=ENCODING, errors="replace")


def _text_id(part: Part, path: str) -> str:
    if not part.root:
        return part.name
    return f"{part.name}/{Path(path).relative_to(part.root).as_posix()}"


def _hub(part: Part) -> Table:
    return _from_rows(_hub_rows(part), part.name)


def _hub_rows(part: Part) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        for number, row in enumerate(_hub_dataset(part)):
            yield f"row {number}", row
    except (InputError, ImportError):
        raise
    except Exception as error:  # many libraries take part, each with errors of its own
        raise _hub_error(part, error) from error


def _hub_dataset(part: Part) -> Iterable[dict[str, Any]]:
    datasets = require("datasets")
    name, configuration, split, revision = part.paths
    return datasets.load_dataset(
        name, configuration or None, split=split, revision=revision or None, streaming=True
    )


def _hub_error(part: Part, error: Exception) -> Exception:
    """One clear error: the network's, after which the same command may go on, or the input's."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, ConnectionError | TimeoutError) or libraries & set(NETWORK):
        rule = "dataset must be reachable (the same command goes on from here)"
        return StoppedError(f"{part.name}: {rule}, got {error}")
    if isinstance(error, ValueError | FileNotFoundError | RuntimeError) or _is_damage(error):
        return InputError(f"{part.name}: dataset must be readable ({error})")
    return error
