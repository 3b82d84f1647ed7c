"""Text statistics -> log-odds of an additive logistic model: a curve for each statistic."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayes_infolaw.harness.quality.settings import QualitySettings
from bayes_infolaw.harness.quality.text_statistics import STATISTICS, text_statistics
from bayes_infolaw.harness.requires import require

__all__ = ["StatisticsClassifier", "fit_statistics"]


@dataclass(frozen=True)
class StatisticsClassifier:
    """Sum of piecewise linear curves, flat beyond their last knots.

    Attributes
    ----------
    knots : tuple of ndarray, shape (knots of the statistic,)
        In the order of `STATISTICS`, increasing.
    heights : tuple of ndarray, shape (folds, knots of the statistic)
        The curve's log-odds at its knots.
    intercepts : ndarray, shape (folds,)
    """

    knots: tuple[np.ndarray, ...]
    heights: tuple[np.ndarray, ...]
    intercepts: np.ndarray

    def log_odds(self, chunks: Sequence[str]) -> np.ndarray:
        """Log-odds of each chunk under each fold's model, shape (chunks, folds)."""
        columns = text_statistics(chunks).T
        total = np.tile(self.intercepts, (len(chunks), 1))
        for values, knots, heights in zip(columns, self.knots, self.heights, strict=True):
            total += np.stack([np.interp(values, knots, curve) for curve in heights], axis=1)
        return total

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` reads: two arrays a statistic."""
        arrays = {"intercepts": self.intercepts}
        for name, knots, heights in zip(STATISTICS, self.knots, self.heights, strict=True):
            arrays |= {f"{name}.knots": knots, f"{name}.heights": heights}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "StatisticsClassifier":
        """Read what `to_arrays` gave."""
        return cls(
            knots=tuple(arrays[f"{name}.knots"] for name in STATISTICS),
            heights=tuple(arrays[f"{name}.heights"] for name in STATISTICS),
            intercepts=arrays["intercepts"],
        )


def fit_statistics(
    chunks: Sequence[str], is_reference: np.ndarray, folds: np.ndarray, settings: QualitySettings
) -> StatisticsClassifier:
    """Fit one additive model a fold, on the chunks of the others; arguments as `fit_ngrams`."""
    values = text_statistics(chunks)
    knots = tuple(_knots(column, settings.n_knots) for column in values.T)
    design = np.hstack([_hats(column, at) for column, at in zip(values.T, knots, strict=True)])
    models = [
        _fit(design[folds != f], is_reference[folds != f], settings.statistics_l2)
        for f in range(settings.folds)
    ]
    heights = np.array([coefficients for coefficients, _ in models])
    edges = np.cumsum([len(at) for at in knots])[:-1]
    return StatisticsClassifier(
        knots=knots,
        heights=tuple(np.split(heights, edges, axis=1)),
        intercepts=np.array([intercept for _, intercept in models]),
    )


def _knots(values: np.ndarray, n_knots: int) -> np.ndarray:
    """Quantiles; the outer one per cent doesn't stretch a curve."""
    return np.unique(np.quantile(values, np.linspace(0.01, 0.99, n_knots)))


def _hats(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Basis of the curves: 1 at one knot, 0 at the others, linear between; (n, knots)."""
    return np.stack([np.interp(values, knots, hat) for hat in np.eye(len(knots))], axis=1)


def _fit(design: np.ndarray, is_reference: np.ndarray, l2: float) -> tuple[np.ndarray, float]:
    linear = require("sklearn.linear_model")
    model = linear.LogisticRegression(C=1 / l2, class_weight="balanced", max_iter=1000)
    model.fit(design, is_reference)
    return model.coef_[0], float(model.intercept_[0])
