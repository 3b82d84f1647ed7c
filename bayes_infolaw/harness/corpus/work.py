"""The folder of an unfinished build, and the chunks that its stages work on."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.words import mix
from bayes_infolaw.whole_file import write_whole

__all__ = ["BUILD", "Chunk", "StoppedError", "Work", "load_once", "merge_counts", "unit_hash"]

BUILD, CHUNKS = ".build", "chunks.json"
MOST_NAMES, OTHERS = 1000, "(others)"


class StoppedError(InputError):
    """Not the input's fault: what is done is kept, and the same command goes on from there."""


@dataclass(frozen=True)
class Work:
    """Where a build keeps its intermediate files, and what it was asked to do.

    Attributes
    ----------
    folder : Path
        ``.build`` inside the corpus folder; it goes when the corpus is finished.
    settings : CorpusSettings
    """

    folder: Path
    settings: CorpusSettings

    def path(self, stage: str, name: str) -> Path:
        """A file of a stage; its folder is made."""
        path = self.folder / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def documents(self, chunk: "Chunk") -> Path:
        """The Parquet file of a chunk."""
        return self.path("documents", f"{chunk.name}.parquet")

    @property
    def is_read(self) -> bool:
        """Whether the input has been read: from here on the work is worth keeping."""
        return (self.folder / CHUNKS).is_file()

    @property
    def chunks(self) -> tuple["Chunk", ...]:
        """All chunks, in order; known once the input has been read."""
        return load_once(_read_chunks, self.folder / CHUNKS)

    def save_chunks(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Number the chunks of all parts, from what reading them reported."""
        text = json.dumps([asdict(chunk) for chunk in _numbered(parts)])
        write_whole(self.folder / CHUNKS, lambda path: path.write_text(text, encoding="utf-8"))

    def array(self, stage: str, chunk: "Chunk") -> np.ndarray:
        """What a stage saved for the documents of a chunk."""
        return np.load(self.path(stage, f"{chunk.name}.npy"))

    def save(self, stage: str, chunk: "Chunk", array: np.ndarray) -> None:
        """Save an array for the documents of a chunk."""
        np.save(self.path(stage, f"{chunk.name}.npy"), array)


@dataclass(frozen=True)
class Chunk:
    """Documents that are handled together.

    Attributes
    ----------
    name : str
        Of its files.
    first : int
        Number of its first document in the whole input.
    documents, bytes : int
        Their number and the UTF-8 bytes of their texts.
    held_out : int
        Documents of the evaluation sets among them.
    evaluation_set : str
        Name of the set that its held-out documents belong to.
    """

    name: str
    first: int
    documents: int
    bytes: int
    held_out: int
    evaluation_set: str


def load_once[Loaded](load: Callable[[Path], Loaded], path: Path) -> Loaded:
    """Load a file that many tasks need, once in a process; again when it has changed."""
    return _load(load, path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load[Loaded](load: Callable[[Path], Loaded], path: Path, _mtime: int) -> Loaded:
    return load(path)


def _read_chunks(path: Path) -> tuple[Chunk, ...]:
    return tuple(Chunk(**entry) for entry in json.loads(path.read_text(encoding="utf-8")))


def _numbered(parts: Sequence[Mapping[str, Any]]) -> list[Chunk]:
    chunks: list[Chunk] = []
    first = 0
    for part in parts:
        for entry in part["chunks"]:
            chunks.append(Chunk(first=first, evaluation_set=part["evaluation_set"], **entry))
            first += entry["documents"]
    return chunks


def unit_hash(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A seeded uniform number in [0, 1) for each document number: samples without a state."""
    start = mix(np.array([seed], dtype=np.uint64))
    return (mix(np.asarray(numbers, dtype=np.uint64) ^ start) >> np.uint64(11)) / 2.0**53


def merge_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by name, most first; names beyond the first thousand become one."""
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    ranked = sorted(total.items(), key=lambda item: (item[0] == OTHERS, -item[1], item[0]))
    kept, rest = dict(ranked[:MOST_NAMES]), sum(count for _, count in ranked[MOST_NAMES:])
    return kept | ({OTHERS: kept.get(OTHERS, 0) + rest} if rest else {})
