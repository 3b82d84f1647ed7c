"""Reference text and a sample of the corpus -> two scorers -> a raw score of each document."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality.chunks import chunks_of, sample_chunks
from bayes_infolaw.harness.quality.faults import FaultModel, fit_faults
from bayes_infolaw.harness.quality.folds import fold_of
from bayes_infolaw.harness.quality.ngrams import NgramClassifier, fit_ngrams
from bayes_infolaw.harness.quality.settings import QualitySettings
from bayes_infolaw.threads import one_blas_thread
from bayes_infolaw.whole_file import write_whole

__all__ = ["Scorers", "fit_scorers", "score_documents"]

_BATCH = 512  # documents whose features are in memory at once


@dataclass(frozen=True)
class Scorers:
    """Two classifiers of different evidence: which words, and how they are written.

    Attributes
    ----------
    settings : QualitySettings
    ngrams : NgramClassifier
    statistics : FaultModel
    """

    settings: QualitySettings
    ngrams: NgramClassifier
    statistics: FaultModel
    names: ClassVar[tuple[str, ...]] = ("ngrams", "statistics")

    def save(self, folder: str | Path) -> None:
        """Write ``scorers.json``, ``ngrams.npz``, ``statistics.npz`` into a folder that exists."""
        folder = Path(folder)
        for name in self.names:
            arrays = getattr(self, name).to_arrays()
            write_whole(folder / f"{name}.npz", partial(_write_arrays, arrays))
        text = json.dumps({"names": self.names, "settings": self.settings.to_dict()}, indent=2)
        write_whole(folder / "scorers.json", lambda path: path.write_text(text + "\n", "utf-8"))

    @classmethod
    def load(cls, folder: str | Path) -> "Scorers":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            A file is missing.
        """
        folder = Path(folder)
        files = ["scorers.json", *(f"{name}.npz" for name in cls.names)]
        missing = [name for name in files if not (folder / name).is_file()]
        if missing:
            raise InputError(f"scorers: {str(folder)!r} must hold {files}, lacks {missing}")
        written = json.loads((folder / "scorers.json").read_text("utf-8"))
        return cls(
            settings=QualitySettings.from_dict(written["settings"]),
            ngrams=NgramClassifier.from_arrays(_arrays(folder / "ngrams.npz")),
            statistics=FaultModel.from_arrays(_arrays(folder / "statistics.npz")),
        )


@one_blas_thread
def fit_scorers(
    reference: Iterable[str], corpus_sample: Iterable[str], settings: QualitySettings
) -> Scorers:
    """Train both scorers to tell chunks of the reference from chunks of the corpus at large.

    A document is scored by models that were trained without its fold, so that a document that
    happened to be in ``corpus_sample`` isn't marked down for it. Documents of the reference should
    still stay out of the scored pool: others of their sources taught every fold.

    Parameters
    ----------
    reference : iterable of str
        Documents of good text, of sources other than those of the evaluation set.
    corpus_sample : iterable of str
        Documents of the corpus, any number, in any order; read once and thinned.
    settings : QualitySettings

    Raises
    ------
    InputError
        One of the two has fewer documents than the folds need.
    """
    good, good_folds = sample_chunks(reference, settings.reference_chunks, settings)
    other, other_folds = sample_chunks(corpus_sample, settings.corpus_chunks, settings)
    _check_folds("reference", good_folds)
    _check_folds("corpus_sample", other_folds)
    is_reference = np.repeat([True, False], [len(good), len(other)])
    folds = np.concatenate([good_folds, other_folds])
    return Scorers(
        settings=settings,
        ngrams=fit_ngrams(good + other, is_reference, folds, settings),
        statistics=fit_faults(good + other, is_reference, folds, settings),
    )


@one_blas_thread
def score_documents(scorers: Scorers, texts: Sequence[str]) -> np.ndarray:
    """Raw scores: the mean over a document's chunks, by the models of its fold.

    Returns
    -------
    ndarray of float64, shape (documents, scorers)
        Columns in the order of ``scorers.names``; no more than an order, until normalised.
    """
    starts = range(0, len(texts), _BATCH)
    parts = [_score_batch(scorers, texts[start : start + _BATCH]) for start in starts]
    return np.concatenate([np.empty((0, len(scorers.names))), *parts])


def _score_batch(scorers: Scorers, texts: Sequence[str]) -> np.ndarray:
    settings = scorers.settings
    cut = [chunks_of(t, settings.chunk_characters, settings.chunks_per_document) for t in texts]
    counts = np.array([len(chunks) for chunks in cut])
    chunks = [chunk for document in cut for chunk in document]
    folds = np.repeat([fold_of(text, settings.folds, settings.seed) for text in texts], counts)
    columns = [getattr(scorers, name).scores(chunks) for name in scorers.names]
    own = np.stack([scores[np.arange(len(folds)), folds] for scores in columns], axis=1)
    starts = np.cumsum(counts) - counts
    return np.add.reduceat(own, starts, axis=0) / counts[:, None]


def _check_folds(name: str, folds: np.ndarray) -> None:
    if len(np.unique(folds)) < 2:
        rule = "must have documents in at least two folds"
        raise InputError(f"{name}: {rule}, got {len(folds)} chunks in one or none")


def _write_arrays(arrays: dict[str, np.ndarray], path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
