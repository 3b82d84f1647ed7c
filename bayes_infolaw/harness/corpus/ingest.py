"""First stage: a part of the input -> chunks of documents with roles."""

import hashlib
from dataclasses import dataclass
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.chunks import (
    EVALUATION,
    REFERENCE,
    SCORE,
    TRAIN,
    ChunkWriter,
)
from bayes_infolaw.harness.corpus.documents import Batch, read_documents
from bayes_infolaw.harness.corpus.inputs import Part
from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.work import Work
from bayes_infolaw.harness.shards import file_hash

__all__ = ["ROLE_NAMES", "Source", "check_sources", "ingest"]

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


def ingest(work: Work, source: Source) -> dict[str, Any]:
    """Read a part and write its chunks; tell what it holds."""
    settings, texts = work.settings, hashlib.sha256()
    scored = source.role == TRAIN and not settings.train_scorers
    roles, score_names = _Sources(), set[str]()
    empty = 0
    folder = work.path("documents", "x").parent
    with ChunkWriter(folder, f"{source.number:05d}", settings.chunk_bytes) as writer:
        for batch in read_documents(source.part, settings.columns, scored):
            score_names |= set(batch.scores)
            for i, text in enumerate(batch.texts):
                if not text.strip():
                    empty += 1
                    continue
                role = _role(batch, i, source, settings)
                roles.add(role, batch.sources[i])
                texts.update(text.encode())
                writer.add(_row(batch, i, role))
    return {
        "chunks": writer.chunks,
        "evaluation_set": source.evaluation_set,
        "empty": empty,
        "roles": roles.documents,
        "sources": roles.sources,
        "scores": sorted(score_names),
        "input": _identity(source, texts.hexdigest()),
    }


class _Sources:
    """Counts of documents by role, and the sources of those that are not for training."""

    def __init__(self) -> None:
        self.documents = dict.fromkeys(ROLE_NAMES.values(), 0)
        self._sources: dict[str, set[str]] = {"evaluation": set(), "reference": set()}

    def add(self, role: int, source: str) -> None:
        name = ROLE_NAMES[role]
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
    drawn = _unit(batch.ids[i], settings.seed) < settings.heldout.fraction
    return EVALUATION if drawn else TRAIN


def _unit(name: str, seed: int) -> float:
    """A uniform number in [0, 1) that depends on the id and the seed alone."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8, salt=_salt(seed))
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
    if part.kind in ("parquet", "jsonl"):
        return facts | {"sha256": file_hash(part.paths[0])}
    return facts | {"sha256_of_texts": texts}


def check_sources(parts: list[dict[str, Any]], settings: CorpusSettings) -> None:
    """Raise InputError unless scores, reference and evaluation sets fit together."""
    evaluation = {name for part in parts for name in part["sources"]["evaluation"]}
    reference = {name for part in parts for name in part["sources"]["reference"]}
    shared = sorted(evaluation & reference)
    if shared:
        rule = "must not share a source with the evaluation sets (the score must not be likeness"
        raise InputError(f"reference: {rule} to the test), got {shared[0]!r} in both")
    unused = sorted(set(settings.reference_sources) - reference)
    if unused:
        raise InputError(f"reference source: must occur in the input, {unused[0]!r} does not")
    if not sum(part["roles"]["evaluation"] for part in parts):
        raise InputError("heldout: must have at least one document, got none")
    _check_scores([part for part in parts if part["input"]["role"] == "train"])


def _check_scores(parts: list[dict[str, Any]]) -> None:
    if not sum(part["roles"]["train"] for part in parts):
        raise InputError("input: must have at least one document for training, got none")
    wanted = parts[0]["scores"]
    for part in parts:
        if part["scores"] != wanted:
            rule = (
                f"must have the score columns of the other inputs ({', '.join(wanted) or 'none'})"
            )
            found = ", ".join(part["scores"]) or "none"
            raise InputError(f"{part['input']['name']}: {rule}, got {found}")
