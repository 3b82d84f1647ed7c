"""Documents on disk: Parquet chunks of bounded size, in small row groups, with their roles."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["EVALUATION", "REFERENCE", "TRAIN", "ChunkWriter", "read_column", "read_texts"]

TRAIN, EVALUATION, REFERENCE = 0, 1, 2
GROUP_BYTES, GROUP_DOCUMENTS = 2**21, 1024
CHUNK_DOCUMENTS = 2**14
SCORE = "score:"
SCHEMA = [
    ("id", pa.string()),
    ("source", pa.string()),
    ("licence", pa.string()),
    ("text", pa.large_string()),
    ("bytes", pa.int64()),
    ("role", pa.uint8()),
]


class ChunkWriter:
    """Writes documents into numbered chunks; used as a context manager.

    Parameters
    ----------
    folder : Path
        Exists.
    stem : str
        Chunks are called ``<stem>-<number>.parquet``.
    chunk_bytes : int
        A chunk is closed once it has this much text.

    Notes
    -----
    ``chunks`` lists what was written: name, documents, bytes and documents held out.
    """

    def __init__(self, folder: Path, stem: str, chunk_bytes: int) -> None:
        self._folder, self._stem, self._limit = folder, stem, chunk_bytes
        self._rows: list[dict[str, Any]] = []
        self._group_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self.chunks: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._close()
        elif self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Append one document: the columns of SCHEMA but ``bytes``, and scores."""
        n_bytes = len(row["text"].encode())
        self._rows.append({**row, "bytes": n_bytes})
        self._group_bytes += n_bytes
        if self._group_bytes >= GROUP_BYTES or len(self._rows) >= GROUP_DOCUMENTS:
            self._flush()
            chunk = self.chunks[-1]
            if chunk["bytes"] >= self._limit or chunk["documents"] >= CHUNK_DOCUMENTS:
                self._close()

    def _flush(self) -> None:
        if not self._rows:
            return
        scores = [(name, pa.float64()) for name in self._rows[0] if name.startswith(SCORE)]
        table = pa.Table.from_pylist(self._rows, schema=pa.schema([*SCHEMA, *scores]))
        if self._writer is None:
            name = f"{self._stem}-{len(self.chunks):05d}"
            self.chunks.append({"name": name, "documents": 0, "bytes": 0, "held_out": 0})
            self._writer = pq.ParquetWriter(
                self._folder / f"{name}.parquet", table.schema, compression="zstd"
            )
        self._writer.write_table(table)
        self.chunks[-1]["documents"] += len(self._rows)
        self.chunks[-1]["bytes"] += self._group_bytes
        self.chunks[-1]["held_out"] += sum(row["role"] == EVALUATION for row in self._rows)
        self._rows, self._group_bytes = [], 0

    def _close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def read_texts(path: Path, columns: tuple[str, ...] = ()) -> Iterator[dict[str, list[Any]]]:
    """A chunk's texts, one row group at a time, with further columns."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["text", *columns], use_threads=False)
            yield table.to_pydict()


def read_column(path: Path, *names: str) -> list[np.ndarray]:
    """Whole columns of a chunk, numbers only."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        table = file.read(columns=list(names), use_threads=False)
    return [table[name].to_numpy() for name in names]
