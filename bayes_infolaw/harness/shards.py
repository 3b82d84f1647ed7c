"""Token shards: one file of token ids, one of document offsets, memory-mapped."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["Shard", "TokenWriter", "file_hash", "token_dtype"]

SHARD_TOKENS = 2**27  # 256 MiB of 16-bit ids


@dataclass(frozen=True)
class Shard:
    """One shard: ``tokens`` (n,), ``offsets`` (documents + 1,) and, for evaluation, bytes."""

    tokens: np.ndarray
    offsets: np.ndarray
    bytes_file: Path | None = None

    @classmethod
    def open(cls, folder: Path, entry: Mapping[str, Any], dtype: np.dtype) -> "Shard":
        """Map a shard that the manifest names."""
        path = folder / entry["file"]
        if not path.is_file():
            raise InputError(f"corpus: shard must exist, {entry['file']!r} does not")
        empty = path.stat().st_size == 0
        tokens = np.empty(0, dtype) if empty else np.memmap(path, dtype=dtype, mode="r")
        offsets = np.load(folder / entry["index"], mmap_mode="r")
        if len(tokens) != offsets[-1]:
            rule = f"must hold {offsets[-1]} tokens, as its index says"
            raise InputError(f"corpus: shard {entry['file']!r} {rule}, got {len(tokens)}")
        return cls(tokens, offsets, folder / entry["bytes"] if entry.get("bytes") else None)

    @property
    def document_bytes(self) -> np.ndarray:
        """(documents,) int64 UTF-8 bytes of each document's text."""
        if self.bytes_file is None:
            raise InputError("corpus: only evaluation sets know their documents' bytes")
        return np.load(self.bytes_file)


def token_dtype(vocab_size: int) -> np.dtype:
    """Little-endian uint16 where every id fits, else uint32."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class TokenWriter:
    """Writes documents into numbered shards of one folder; used as a context manager.

    Parameters
    ----------
    folder : Path
        The corpus folder.
    place : str
        Folder inside it, such as ``buckets/0`` or ``evaluation/heldout``.
    vocab_size : int
        Decides the width of an id.
    shard_tokens : int
        A shard is closed once it has this many tokens.

    Notes
    -----
    Files get their final names when the writer closes without an error; ``entries`` then lists the
    shards as the manifest wants them.
    """

    def __init__(
        self, folder: Path, place: str, vocab_size: int, shard_tokens: int = SHARD_TOKENS
    ) -> None:
        self._folder, self._place = Path(folder), place
        self._vocab_size, self._limit = vocab_size, shard_tokens
        self._dtype = token_dtype(vocab_size)
        self.entries: list[dict[str, Any]] = []
        (self._folder / place).mkdir(parents=True, exist_ok=True)
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._handle.close()
            self._part.unlink(missing_ok=True)
        elif len(self._offsets) > 1 or not self.entries:
            self._finish()
        else:
            self._handle.close()
            self._part.unlink()

    def add(self, tokens: Sequence[int] | np.ndarray, n_bytes: int | None = None) -> None:
        """Append one document, its end-of-text included; ``n_bytes`` for evaluation sets.

        Raises
        ------
        InputError
            An id is negative or not below the vocabulary's size.
        """
        ids = np.asarray(tokens, dtype=np.int64)
        if ids.size and (ids.min() < 0 or ids.max() >= self._vocab_size):
            rule = f"must be in 0..{self._vocab_size - 1}"
            raise InputError(f"token ids: {rule}, got {ids.min()}..{ids.max()}")
        self._handle.write(ids.astype(self._dtype).tobytes())
        self._offsets.append(self._offsets[-1] + ids.size)
        if n_bytes is not None:
            self._bytes.append(n_bytes)
        if self._offsets[-1] >= self._limit:
            self._finish()
            self._begin()

    def _begin(self) -> None:
        self._part = self._folder / self._place / f".{len(self.entries):05d}.part"
        self._handle = self._part.open("wb")
        self._offsets: list[int] = [0]
        self._bytes: list[int] = []

    def _finish(self) -> None:
        self._handle.close()
        stem = f"{self._place}/{len(self.entries):05d}"
        index = f"{stem}.idx.npy"
        np.save(self._folder / index, np.array(self._offsets, dtype=np.int64))
        entry: dict[str, Any] = {"file": f"{stem}.bin", "index": index}
        if self._bytes:
            entry["bytes"] = f"{stem}.bytes.npy"
            np.save(self._folder / entry["bytes"], np.array(self._bytes, dtype=np.int64))
        entry["sha256"] = file_hash(self._part)
        self._part.replace(self._folder / entry["file"])
        entry |= {"documents": len(self._offsets) - 1, "tokens": self._offsets[-1]}
        self.entries.append(entry)
