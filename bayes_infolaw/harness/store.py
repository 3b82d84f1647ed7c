"""The corpus folder: tokens of every bucket as memory-mapped shards beside one manifest."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.shards import Shard, file_hash

__all__ = ["MANIFEST", "Corpus", "TokenStore", "corpus_hash", "write_manifest"]

MANIFEST, SCHEMA = "corpus.json", 1


class TokenStore:
    """Documents of one bucket or of one evaluation set, read from memory-mapped shards.

    Parameters
    ----------
    name : str
        The bucket's or the set's name.
    shards : sequence of Shard
        In order; documents are numbered through them.
    """

    def __init__(self, name: str, shards: Sequence[Shard]) -> None:
        self.name, self._shards = name, list(shards)
        counts = [len(shard.offsets) - 1 for shard in self._shards]
        self._first = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    @property
    def documents(self) -> int:
        """Number of documents."""
        return int(self._first[-1])

    @cached_property
    def lengths(self) -> np.ndarray:
        """(documents,) int64 tokens of each document, its end-of-text included."""
        return _joined([np.diff(shard.offsets) for shard in self._shards])

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return int(sum(shard.offsets[-1] for shard in self._shards))

    @cached_property
    def document_bytes(self) -> np.ndarray:
        """(documents,) int64 UTF-8 bytes of each document; only evaluation sets have them."""
        return _joined([shard.document_bytes for shard in self._shards])

    def read(self, document: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Tokens ``start:stop`` of one document, int64."""
        which = int(np.searchsorted(self._first, document, side="right")) - 1
        shard, local = self._shards[which], document - int(self._first[which])
        low, high = int(shard.offsets[local]), int(shard.offsets[local + 1])
        end = high if stop is None else min(low + stop, high)
        return shard.tokens[low + start : end].astype(np.int64)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.read(document) for document in range(self.documents))


@dataclass(frozen=True)
class Corpus:
    """A built corpus, opened for reading.

    Attributes
    ----------
    folder : Path
        Where it lies.
    manifest : dict
        The content of ``corpus.json``.
    buckets : tuple of str
        Names, best first.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)
    buckets: tuple[str, ...]

    @classmethod
    def open(cls, folder: str | Path) -> "Corpus":
        """Open a folder that ``corpus build`` finished.

        Raises
        ------
        InputError
            There is no manifest, or its schema is not this one's.
        """
        folder = Path(folder)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            rule = f"must be a folder with a finished {MANIFEST}"
            raise InputError(f"corpus: {rule}, got {str(folder)!r} ({error})") from error
        if manifest.get("schema") != SCHEMA:
            found = manifest.get("schema")
            raise InputError(f"corpus {folder.name}: schema must be {SCHEMA}, got {found!r}")
        return cls(folder, manifest, tuple(bucket["name"] for bucket in manifest["buckets"]))

    @property
    def hash(self) -> str:
        """Hash over the shards' and the tokenizer's hashes: the same text, bucketed alike."""
        return str(self.manifest["hash"])

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return int(self.manifest["tokenizer"]["vocab_size"])

    @property
    def end_of_text(self) -> int:
        """Id of the token that ends each document."""
        return int(self.manifest["tokenizer"]["end_of_text"])

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer, in Hugging Face's ``tokenizers`` format."""
        return self.folder / str(self.manifest["tokenizer"]["file"])

    @property
    def shares(self) -> np.ndarray:
        """(D,) share of each bucket in the corpus's tokens, best first."""
        tokens = np.array([bucket["tokens"] for bucket in self.manifest["buckets"]], dtype=float)
        return tokens / tokens.sum()

    @cached_property
    def _opened(self) -> dict[str, TokenStore]:
        return {entry["name"]: self._store(entry) for entry in self.manifest["buckets"]}

    def bucket(self, name: str) -> TokenStore:
        """The documents of one bucket."""
        if name not in self._opened:
            raise InputError(f"bucket: must be one of {', '.join(self.buckets)}, got {name!r}")
        return self._opened[name]

    @cached_property
    def evaluation(self) -> dict[str, TokenStore]:
        """The evaluation sets by name."""
        return {entry["name"]: self._store(entry) for entry in self.manifest["evaluation"]}

    def verify(self) -> list[str]:
        """Names of the files whose content is not what the manifest says."""
        stored = [self.manifest["tokenizer"]]
        entries = [*self.manifest["buckets"], *self.manifest["evaluation"]]
        stored += [shard for entry in entries for shard in entry["shards"]]
        return [item["file"] for item in stored if not self._intact(item)]

    def _intact(self, item: Mapping[str, Any]) -> bool:
        path = self.folder / item["file"]
        return path.is_file() and file_hash(path) == item["sha256"]

    def _store(self, entry: Mapping[str, Any]) -> TokenStore:
        dtype = np.dtype(str(self.manifest["tokenizer"]["dtype"]))
        return TokenStore(
            entry["name"], [Shard.open(self.folder, s, dtype) for s in entry["shards"]]
        )


def corpus_hash(manifest: Mapping[str, Any]) -> str:
    """First 16 hex digits of SHA-256 over tokenizer, bucket names and shard hashes, in order."""
    parts = [str(manifest["tokenizer"]["sha256"])]
    for entry in [*manifest["buckets"], *manifest["evaluation"]]:
        parts += [str(entry["name"]), *(str(shard["sha256"]) for shard in entry["shards"])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def write_manifest(folder: str | Path, manifest: Mapping[str, Any]) -> None:
    """Write ``corpus.json``, last of all: a folder without it is an unfinished build.

    Parameters
    ----------
    folder : str or Path
        Holds the tokenizer and the shards.
    manifest : mapping
        ``tokenizer {file, sha256, vocab_size, end_of_text, dtype}``, ``buckets`` best first and
        ``evaluation``, each a list of ``{name, documents, tokens, shards}``; other keys are kept.
    """
    from bayes_infolaw.whole_file import write_whole

    whole = {"schema": SCHEMA, "hash": corpus_hash(manifest), **manifest}
    text = json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
    write_whole(Path(folder) / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
