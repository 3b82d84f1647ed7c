"""Raw scores -> ranks in [0, 1], so that scorers of different scales can be averaged."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["Normaliser", "fit_normaliser"]

_MOST_KNOTS = 4096


@dataclass(frozen=True)
class Normaliser:
    """The distribution function of each scorer over the corpus.

    Attributes
    ----------
    values : tuple of ndarray, one a scorer
        Increasing raw scores.
    ranks : tuple of ndarray, one a scorer
        Share of the corpus below each, half of the ties counted.
    """

    values: tuple[np.ndarray, ...]
    ranks: tuple[np.ndarray, ...]

    def apply(self, raw: np.ndarray) -> np.ndarray:
        """Ranks of raw scores, both (n, k): linear between the sample's, 0 below it, 1 above it."""
        raw = _checked(raw)
        if raw.shape[1] != len(self.values):
            raise InputError(f"scores: must have {len(self.values)} columns, got {raw.shape[1]}")
        pairs = zip(raw.T, self.values, self.ranks, strict=True)
        return np.stack(
            [np.interp(x, at, rank, left=0.0, right=1.0) for x, at, rank in pairs], axis=1
        )

    def mean(self, raw: np.ndarray) -> np.ndarray:
        """The paper's score: the mean over the scorers of their normalised scores, shape (n,)."""
        return self.apply(raw).mean(axis=1)

    def to_dict(self) -> dict[str, Any]:
        """JSON types; floats survive bit for bit."""
        return {
            "values": [v.tolist() for v in self.values],
            "ranks": [r.tolist() for r in self.ranks],
        }

    @classmethod
    def from_dict(cls, written: dict[str, Any]) -> "Normaliser":
        """Read what `to_dict` gave."""
        return cls(
            values=tuple(np.array(v, dtype=float) for v in written["values"]),
            ranks=tuple(np.array(r, dtype=float) for r in written["ranks"]),
        )


def fit_normaliser(raw_sample: np.ndarray, weights: np.ndarray | None = None) -> Normaliser:
    """Take the scorers' distributions from a sample of the corpus.

    Parameters
    ----------
    raw_sample : ndarray, shape (n, k)
        Raw scores of n documents by k scorers.
    weights : ndarray, shape (n,), optional
        Bytes of the documents, where ranks shall be shares of the text; by default of documents.

    Raises
    ------
    InputError
        No document, a score that is not finite, or a weight that is not positive.
    """
    raw = _checked(raw_sample)
    weight = np.ones(len(raw)) if weights is None else np.asarray(weights, dtype=float)
    if len(raw) == 0 or weight.shape != (len(raw),) or not (weight > 0).all():
        raise InputError(f"scores: need documents with positive weights, got {len(raw)} documents")
    curves = [_distribution(column, weight) for column in raw.T]
    return Normaliser(values=tuple(v for v, _ in curves), ranks=tuple(r for _, r in curves))


def _distribution(column: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, group = np.unique(column, return_inverse=True)
    mass = np.bincount(group, weights=weight)
    ranks = (np.cumsum(mass) - mass / 2) / mass.sum()
    if len(values) > _MOST_KNOTS:
        kept = np.unique(np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], _MOST_KNOTS)))
        values, ranks = values[kept], ranks[kept]
    return values, ranks


def _checked(raw: np.ndarray) -> np.ndarray:
    raw = np.asarray(raw, dtype=float)
    if raw.ndim != 2:
        raise InputError(f"scores: must be a table (documents, scorers), got shape {raw.shape}")
    if not np.isfinite(raw).all():
        row, column = np.argwhere(~np.isfinite(raw))[0]
        raise InputError(
            f"scores: must be finite, got {raw[row, column]} in row {row}, column {column}"
        )
    return raw
