"""First stage: a part of the input -> chunks of documents with roles."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from bayes_infolaw.harness.corpus.chunks import (
    EVALUATION,
    REFERENCE,
    SCORE,
    TRAIN,
    ChunkWriter,
)
from bayes_infolaw.harness.corpus.documents import Batch, read_documents, score_names
from bayes_infolaw.harness.corpus.inputs import Part
from bayes_infolaw.harness.corpus.settings import Columns, CorpusSettings
from bayes_infolaw.harness.corpus.words import plain_text
from bayes_infolaw.harness.corpus.work import Work
from bayes_infolaw.harness.shards import file_hash

__all__ = ["ROLE_NAMES", "Source", "content_hash", "ingest", "look"]

FILES = ("parquet", "jsonl")
ROLE_NAMES = {TRAIN: "train", EVALUATION: "evaluation", REFERENCE: "reference"}


@dataclass(frozen=True)
class Source:
    """A part of the input and what it is for.

    Attributes
    ----------
    number : int
        Its place in the order of all parts.
    part : Part
    role : int
        TRAIN (which may yield documents of the other two roles), EVALUATION or REFERENCE.
    evaluation_set : str
        Name of the set that its held-out documents belong to.
    """

    number: int
    part: Part
    role: int
    evaluation_set: str = "heldout"


def look(work: Work, source: Source) -> dict[str, Any]:
    """Open a part before anything is read through: its name and the scores that it brings.

    Raises
    ------
    InputError
        It is not what it should be, or a column is missing.
    """
    columns = work.settings.columns
    if not _is_scored(source, work.settings):
        columns = replace(columns, scores=())
    return {"name": source.part.name, "scores": list(score_names(source.part, columns))}


def _is_scored(source: Source, settings: CorpusSettings) -> bool:
    return source.role == TRAIN and not settings.train_scorers


def ingest(work: Work, source: Source) -> dict[str, Any]:
    """Read a part and write its chunks; tell what it holds."""
    found = _Found()
    folder = work.path("documents", "x").parent
    with ChunkWriter(folder, f"{source.number:05d}", work.settings.chunk_bytes) as writer:
        scored = _is_scored(source, work.settings)
        for batch in read_documents(source.part, work.settings.columns, scored):
            for i, text in enumerate(batch.texts):
                if text.strip():
                    role = _role(batch, i, source, work.settings)
                    found.add(role, batch.sources[i], text)
                    writer.add(_row(batch, i, role))
                else:
                    found.empty += 1
    return {
        "chunks": writer.chunks,
        "evaluation_set": source.evaluation_set,
        "empty": found.empty,
        "roles": found.documents,
        "sources": found.sources,
        "input": _identity(source, found.texts.hexdigest()),
    }


class _Found:
    """Documents by role, the sources of those that are not for training, a hash of all texts."""

    def __init__(self) -> None:
        self.empty, self.texts = 0, hashlib.sha256()
        self.documents = dict.fromkeys(ROLE_NAMES.values(), 0)
        self._sources: dict[str, set[str]] = {"evaluation": set(), "reference": set()}

    def add(self, role: int, source: str, text: str) -> None:
        name = ROLE_NAMES[role]
        self.texts.update(text.encode())
        self.documents[name] += 1
        if role != TRAIN:
            self._sources[name].add(source)

    @property
    def sources(self) -> dict[str, list[str]]:
        return {name: sorted(found) for name, found in self._sources.items()}


def _role(batch: Batch, i: int, source: Source, settings: CorpusSettings) -> int:
    if source.role != TRAIN:
        return source.role
    if batch.sources[i] in settings.reference_sources:
        return REFERENCE
    if not settings.heldout.fraction:
        return TRAIN
    drawn = _unit(plain_text(batch.texts[i]), settings.seed) < settings.heldout.fraction
    return EVALUATION if drawn else TRAIN


def _unit(text: str, seed: int) -> float:
    """A uniform number in [0, 1) that depends on text and seed alone: copies have the same."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=_salt(seed))
    return int.from_bytes(digest.digest(), "little") / 2**64


def _salt(seed: int) -> bytes:
    return (seed % 2**64).to_bytes(8, "little")


def _row(batch: Batch, i: int, role: int) -> dict[str, Any]:
    scores = {SCORE + name: float(values[i]) for name, values in batch.scores.items()}
    return {
        "id": batch.ids[i],
        "source": batch.sources[i],
        "licence": batch.licences[i],
        "text": batch.texts[i],
        "role": role,
        **scores,
    }


def _identity(source: Source, texts: str) -> dict[str, Any]:
    """What was read, by name and content; never by a path of this machine."""
    part = source.part
    facts: dict[str, Any] = {"name": part.name, "role": ROLE_NAMES[source.role]}
    facts["set"] = source.evaluation_set
    key = "sha256" if part.kind in FILES else "sha256_of_texts"
    return facts | {key: file_hash(part.paths[0]) if part.kind in FILES else texts}


def content_hash(part: Part) -> str | None:
    """What `ingest` told of a part's content; None where only reading it again could tell."""
    if part.kind in FILES:
        return file_hash(part.paths[0])
    if part.kind == "hub":
        return None
    found = _Found()
    for batch in read_documents(part, Columns(), scored=False):
        for text in batch.texts:
            if text.strip():
                found.add(TRAIN, "", text)
    return found.texts.hexdigest()
