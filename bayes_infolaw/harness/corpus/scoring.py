"""Quality: train the scorers, score each chunk, bring the scores to one scale."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.chunks import SCORE, read_column, read_texts
from bayes_infolaw.harness.corpus.clusters import EXAMPLE, KEPT
from bayes_infolaw.harness.corpus.work import Chunk, Work, load_once, unit_hash
from bayes_infolaw.harness.quality import (
    Normaliser,
    QualitySettings,
    Scorers,
    agreement,
    fit_normaliser,
    fit_scorers,
    score_documents,
)
from bayes_infolaw.whole_file import write_whole

__all__ = ["fit", "normalise", "rank", "score"]

FIT_DOCUMENTS, SCALE_DOCUMENTS = 20_000, 50_000


def fit(work: Work, n_kept: int) -> dict[str, Any]:
    """Train the scorers on the reference and a seeded sample of the documents kept."""
    chunks = work.chunks
    settings = QualitySettings.from_dict(work.settings.quality)
    if not any((work.array("fates", chunk) == EXAMPLE).any() for chunk in chunks):
        raise InputError(
            "reference: must have documents where the input brings no score column, got none"
        )
    reference = _texts_of(work, chunks, EXAMPLE, 1.0)
    sample = _texts_of(work, chunks, KEPT, FIT_DOCUMENTS / n_kept)
    scorers = fit_scorers(reference, sample, settings)
    folder = _scorer_folder(work)
    folder.mkdir(parents=True, exist_ok=True)
    scorers.save(folder)
    return {"names": list(scorers.names)}


def _scorer_folder(work: Work) -> Path:
    return work.path("scorers", "trained")


def _texts_of(work: Work, chunks: Sequence[Chunk], fate: int, share: float) -> Iterator[str]:
    for chunk in chunks:
        wanted = _drawn(work, chunk, fate, share, "scorers")
        if not wanted.any():
            continue
        start = 0
        for group in read_texts(work.documents(chunk)):
            texts = group["text"]
            yield from (texts[i] for i in np.flatnonzero(wanted[start : start + len(texts)]))
            start += len(texts)


def _drawn(work: Work, chunk: Chunk, fate: int, share: float, use: str) -> np.ndarray:
    """(documents,) bool: a seeded sample of the documents of one fate, another for each use."""
    numbers = np.arange(chunk.first, chunk.first + chunk.documents)
    uses = ("scorers", "scale", "tokenizer")
    drawn = unit_hash(numbers, work.settings.seed * len(uses) + uses.index(use)) < share
    return (work.array("fates", chunk) == fate) & drawn


def score(work: Work, item: tuple[Chunk, tuple[str, ...]]) -> dict[str, Any]:
    """Save raw scores (documents kept, scorers): from score columns, or by the trained scorers."""
    chunk, columns = item
    kept = work.array("fates", chunk) == KEPT
    if columns and kept.any():  # the evaluation sets have no scores
        values = read_column(work.documents(chunk), *(SCORE + name for name in columns))
        raw = np.stack(values, axis=1)[kept]
    elif columns:
        raw = np.empty((0, len(columns)))
    else:
        raw = _trained_scores(work, chunk, kept)
    work.save("scores", chunk, raw)
    return {}


def _trained_scores(work: Work, chunk: Chunk, kept: np.ndarray) -> np.ndarray:
    scorers = load_once(Scorers.load, _scorer_folder(work))
    found, start = [np.empty((0, len(scorers.names)))], 0
    for group in read_texts(work.documents(chunk)):
        own = np.flatnonzero(kept[start : start + len(group["text"])])
        start += len(group["text"])
        found.append(score_documents(scorers, [group["text"][i] for i in own]))
    return np.concatenate(found)


def normalise(work: Work, n_kept: int) -> dict[str, Any]:
    """Take each scorer's distribution, by bytes, from a sample; tell how the scorers agree."""
    raw, n_bytes = [], []
    for chunk in work.chunks:
        drawn = _drawn(work, chunk, KEPT, SCALE_DOCUMENTS / n_kept, "scale")
        kept = work.array("fates", chunk) == KEPT
        raw.append(work.array("scores", chunk)[drawn[kept]])
        n_bytes.append(read_column(work.documents(chunk), "bytes")[0][drawn])
    scores, weights = np.concatenate(raw), np.concatenate(n_bytes)
    normaliser = fit_normaliser(scores, weights)
    found = agreement(normaliser.apply(scores), weights, work.settings.percentiles)
    text = json.dumps(normaliser.to_dict())
    write_whole(_scale_file(work), lambda path: path.write_text(text, encoding="utf-8"))
    return {"agreement": found, "documents": len(scores)}


def _scale_file(work: Work) -> Path:
    return work.path("scorers", "normaliser.json")


def rank(work: Work, chunk: Chunk) -> dict[str, Any]:
    """Save one score a document kept: the mean of its normalised scores."""
    normaliser = load_once(_normaliser, _scale_file(work))
    work.save("quality", chunk, normaliser.mean(work.array("scores", chunk)))
    return {}


def _normaliser(path: Path) -> Normaliser:
    return Normaliser.from_dict(json.loads(path.read_text(encoding="utf-8")))
