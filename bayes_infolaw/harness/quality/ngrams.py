"""Chunks of text -> score of a linear classifier of hashed word uni- and bigrams."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bayes_infolaw.harness.quality.folds import held_out_scale
from bayes_infolaw.harness.quality.settings import QualitySettings
from bayes_infolaw.harness.requires import require

__all__ = ["NgramClassifier", "fit_ngrams"]

_DIGIT = re.compile(r"\d")
# Punctuation marks are tokens too: markup, code and tables betray themselves by them.
_TOKEN = r"\w+|[^\w\s]"


@dataclass(frozen=True)
class NgramClassifier:
    """DCLM's recipe (arXiv 2406.11794, section 4.4) as a linear model that needs no fastText.

    Attributes
    ----------
    weights : ndarray of float32, shape (folds, features)
    intercepts : ndarray of float64, shape (folds,)
    """

    weights: np.ndarray
    intercepts: np.ndarray

    def scores(self, chunks: Sequence[str]) -> np.ndarray:
        """Score of each chunk under each fold's model, shape (chunks, folds)."""
        counts = _vectoriser(self.weights.shape[1]).transform(chunks)
        return np.asarray(counts @ self.weights.T, dtype=float) + self.intercepts

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` reads."""
        return {"weights": self.weights, "intercepts": self.intercepts}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "NgramClassifier":
        """Read what `to_arrays` gave."""
        return cls(weights=arrays["weights"], intercepts=arrays["intercepts"])


def fit_ngrams(
    chunks: Sequence[str], is_reference: np.ndarray, folds: np.ndarray, settings: QualitySettings
) -> NgramClassifier:
    """Fit one logistic regression a fold, on the chunks of the other folds.

    Parameters
    ----------
    chunks : sequence of n str
    is_reference : ndarray of bool, shape (n,)
    folds : ndarray of int, shape (n,)
    settings : QualitySettings
    """
    counts = _vectoriser(settings.n_features).transform(chunks)
    models = [
        _fit(counts[folds != f], is_reference[folds != f], settings.l2)
        for f in range(settings.folds)
    ]
    weights = np.array([model.coef_[0] for model in models])
    intercepts = np.array([model.intercept_[0] for model in models])
    mean, sd = held_out_scale(counts @ weights.T + intercepts, is_reference, folds)
    return NgramClassifier(
        weights=(weights / sd[:, None]).astype(np.float32), intercepts=(intercepts - mean) / sd
    )


def _fit(counts: Any, is_reference: np.ndarray, l2: float) -> Any:
    linear = require("sklearn.linear_model")
    # Both classes weigh the same: how much text each has says nothing about its quality.
    model = linear.LogisticRegression(C=1 / l2, class_weight="balanced", tol=1e-3, max_iter=200)
    return model.fit(counts, is_reference)


@lru_cache
def _vectoriser(n_features: int) -> Any:
    text = require("sklearn.feature_extraction.text")
    return text.HashingVectorizer(
        preprocessor=_normalise,
        token_pattern=_TOKEN,
        ngram_range=(1, 2),
        n_features=n_features,
        dtype=np.float32,
    )


def _normalise(text: str) -> str:
    return _DIGIT.sub("0", text.lower())
