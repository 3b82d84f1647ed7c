"""Token shards: one memory-mapped file of token ids, one of document offsets."""

import hashlib
import mmap
import resource
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["Shard", "TokenWriter", "file_hash", "most_mapped", "token_dtype"]

SHARD_TOKENS = 2**27  # 256 MiB of 16-bit ids
BUFFER_BYTES = 2**16  # a writer holds so much and no open file: a thousand of them may be at work
CORPORA_AT_ONCE, FEWEST_MAPPED, MOST_MAPPED = 3, 8, 8192


@dataclass(frozen=True, eq=False)
class Shard:
    """A shard that the manifest names; its files are opened when they are asked for.

    Attributes
    ----------
    folder : Path
        The corpus.
    files : mapping of str to str
        The shard's entry in the manifest.
    dtype : dtype
        Of a token id.
    """

    folder: Path
    files: Mapping[str, Any]
    dtype: np.dtype

    @classmethod
    def find(cls, folder: Path, entry: Mapping[str, Any], dtype: np.dtype) -> "Shard":
        """Check that the files are there and as large as the manifest says.

        Raises
        ------
        InputError
            A file is missing, or the tokens have another number.
        """
        for key in ("file", "index", "bytes"):
            if key in entry and not (folder / entry[key]).is_file():
                raise InputError(f"corpus: shard must exist, {entry[key]!r} does not")
        size = (folder / entry["file"]).stat().st_size
        if size != entry["tokens"] * dtype.itemsize:
            rule = f"must hold {entry['tokens']} tokens, as the manifest says"
            found = f"{size / dtype.itemsize:g}"
            raise InputError(f"corpus: shard {entry['file']!r} {rule}, got {found}")
        return cls(folder, entry, dtype)

    @property
    def documents(self) -> int:
        """Number of documents, as the manifest says."""
        return int(self.files["documents"])

    @property
    def tokens(self) -> int:
        """Number of tokens, as the manifest says."""
        return int(self.files["tokens"])

    def map(self) -> np.ndarray:
        """(tokens,) ids over the mapped file, one file descriptor until the array is gone."""
        if not self.tokens:
            return np.empty(0, self.dtype)
        with (self.folder / self.files["file"]).open("rb", buffering=0) as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(pages, self.dtype)

    @property
    def offsets(self) -> np.ndarray:
        """(documents + 1,) int64 where each document begins, and the end."""
        name = self.files["index"]
        offsets = _load(self.folder, name, self.documents + 1)
        if offsets[-1] != self.tokens:
            rule = f"must end at {self.tokens} tokens, as the manifest says"
            raise InputError(f"corpus: index {name!r} {rule}, got {offsets[-1]}")
        return offsets

    @property
    def document_bytes(self) -> np.ndarray:
        """(documents,) int64 UTF-8 bytes of each document's text."""
        if "bytes" not in self.files:
            raise InputError("corpus: only evaluation sets know their documents' bytes")
        return _load(self.folder, self.files["bytes"], self.documents)


def most_mapped() -> int:
    """Shards that a corpus keeps mapped: a third of the file descriptors that a process may have.

    Two corpora can be open at once, and other files beside them.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST_MAPPED
    return max(FEWEST_MAPPED, min(MOST_MAPPED, allowed // CORPORA_AT_ONCE))


def _load(folder: Path, name: str, length: int) -> np.ndarray:
    try:
        found = np.load(folder / name)
    except (ValueError, EOFError) as error:
        raise InputError(f"corpus: {name!r} must be an array of numbers ({error})") from error
    if found.shape != (length,):
        rule = f"must hold {length} numbers, as the manifest says"
        raise InputError(f"corpus: {name!r} {rule}, got {found.size}")
    return found


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
        if kind is None and (len(self._offsets) > 1 or not self.entries):
            self._finish()
        else:
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
        self._buffer += ids.astype(self._dtype).tobytes()
        self._offsets.append(self._offsets[-1] + ids.size)
        if n_bytes is not None:
            self._bytes.append(n_bytes)
        if len(self._buffer) >= BUFFER_BYTES:
            self._flush()
        if self._offsets[-1] >= self._limit:
            self._finish()
            self._begin()

    def _begin(self) -> None:
        self._part = self._folder / self._place / f".{len(self.entries):05d}.part"
        self._part.write_bytes(b"")
        self._buffer, self._hash = bytearray(), hashlib.sha256()
        self._offsets = array("q", [0])  # 8 bytes a document, where a list takes 40
        self._bytes = array("q")

    def _flush(self) -> None:
        with self._part.open("ab") as handle:
            handle.write(self._buffer)
        self._hash.update(self._buffer)
        self._buffer.clear()

    def _finish(self) -> None:
        self._flush()
        stem = f"{self._place}/{len(self.entries):05d}"
        entry: dict[str, Any] = {"file": f"{stem}.bin", "sha256": self._hash.hexdigest()}
        entry |= self._save("index", f"{stem}.idx.npy", self._offsets)
        if self._bytes:
            entry |= self._save("bytes", f"{stem}.bytes.npy", self._bytes)
        self._part.replace(self._folder / entry["file"])
        entry |= {"documents": len(self._offsets) - 1, "tokens": self._offsets[-1]}
        self.entries.append(entry)

    def _save(self, key: str, name: str, numbers: array) -> dict[str, str]:
        path = self._folder / name
        np.save(path, np.array(numbers, dtype=np.int64))
        return {key: name, f"{key}_sha256": file_hash(path)}
