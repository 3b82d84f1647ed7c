"""The corpus folder: tokens of every bucket as memory-mapped shards beside one manifest."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.shards import Shard, file_hash, most_mapped

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
    mapped : callable
        Gives the tokens of a shard; the corpus keeps those mapped that were asked for last.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[Shard],
        mapped: Callable[[Shard], np.ndarray] = Shard.map,
    ) -> None:
        self.name, self._shards, self._mapped = name, list(shards), mapped
        self._first = list(accumulate((shard.documents for shard in self._shards), initial=0))
        self._offsets: dict[int, np.ndarray] = {}

    @property
    def documents(self) -> int:
        """Number of documents."""
        return self._first[-1]

    @property
    def lengths(self) -> np.ndarray:
        """(documents,) int64 tokens of each document, its end-of-text included."""
        return _joined([np.diff(self._index(which)) for which in range(len(self._shards))])

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return sum(shard.tokens for shard in self._shards)

    @cached_property
    def document_bytes(self) -> np.ndarray:
        """(documents,) int64 UTF-8 bytes of each document; only evaluation sets have them."""
        return _joined([shard.document_bytes for shard in self._shards])

    def read(self, document: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Tokens ``start:stop`` of one document, int64."""
        which = bisect_right(self._first, document) - 1
        offsets, local = self._index(which), document - self._first[which]
        low, high = int(offsets[local]), int(offsets[local + 1])
        end = high if stop is None else min(low + stop, high)
        return self._mapped(self._shards[which])[low + start : end].astype(np.int64)

    def _index(self, which: int) -> np.ndarray:
        """Offsets of a shard's documents: kept, 8 bytes a document, once they were needed."""
        if which not in self._offsets:
            self._offsets[which] = self._shards[which].offsets
        return self._offsets[which]

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
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        if found != SCHEMA:
            raise InputError(f"corpus {folder.name}: schema must be {SCHEMA}, got {found!r}")
        return cls(folder, manifest, tuple(bucket["name"] for bucket in manifest["buckets"]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the shards for itself."""
        return type(self), (self.folder, self.manifest, self.buckets)

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
        """Names of the files whose content is not what the manifest says.

        Of `unhashed` files only what they say about intact tokens can be checked.
        """
        damaged = [name for name, known in self._hashes() if not self._intact(name, known)]
        for shard in self._listed():
            if not {shard["file"], shard["index"], shard.get("bytes")} & set(damaged):
                damaged += self._misfits(shard)
        return damaged if corpus_hash(self.manifest) == self.hash else [*damaged, MANIFEST]

    @property
    def unhashed(self) -> list[str]:
        """Names of the files that the manifest has no hash of, as in corpora of early versions."""
        return [name for name, known in self._hashes() if known is None]

    def _hashes(self) -> Iterator[tuple[str, str | None]]:
        """(file, its SHA-256 where it is known) of all files that the manifest names."""
        tokenizer = self.manifest["tokenizer"]
        yield tokenizer["file"], tokenizer["sha256"]
        keys = {"file": "sha256", "index": "index_sha256", "bytes": "bytes_sha256"}
        for shard in self._listed():
            yield from ((shard[k], shard.get(known)) for k, known in keys.items() if k in shard)

    def _listed(self) -> list[dict[str, Any]]:
        entries = [*self.manifest["buckets"], *self.manifest["evaluation"]]
        return [shard for entry in entries for shard in entry["shards"]]

    def _intact(self, name: str, known: str | None) -> bool:
        path = self.folder / name
        return path.is_file() and known in (None, file_hash(path))

    def _misfits(self, entry: Mapping[str, Any]) -> list[str]:
        """Files of a shard without a hash of their own that do not fit its tokens."""
        checks = {
            "index": self._cuts_at_ends,
            "bytes": lambda shard: shard.document_bytes.min() > 0,
        }
        return [
            entry[key]
            for key, fits in checks.items()
            if key in entry and f"{key}_sha256" not in entry and not _holds(fits, self._find(entry))
        ]

    def _cuts_at_ends(self, shard: Shard) -> bool:
        """Whether each document of a shard is one or more tokens and ends with end-of-text."""
        tokens, offsets = shard.map(), shard.offsets
        rising = offsets[0] == 0 and np.all(np.diff(offsets) > 0)
        return bool(rising and np.all(tokens[offsets[1:] - 1] == self.end_of_text))

    def _find(self, entry: Mapping[str, Any]) -> Shard:
        return Shard.find(self.folder, entry, np.dtype(str(self.manifest["tokenizer"]["dtype"])))

    @cached_property
    def _mapped(self) -> Callable[[Shard], np.ndarray]:
        """The shards used last stay mapped; a corpus may have more than a process may open."""
        return lru_cache(maxsize=most_mapped())(Shard.map)

    def _store(self, entry: Mapping[str, Any]) -> TokenStore:
        shards = [self._find(shard) for shard in entry["shards"]]
        return TokenStore(entry["name"], shards, self._mapped)


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


def _holds(check: Callable[[Shard], bool], shard: Shard) -> bool:
    try:
        return bool(check(shard))
    except InputError:
        return False


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
