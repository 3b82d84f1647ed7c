"""Text statistics -> how far a chunk strays from how good text is written.

Within the range that good text covers, no value of a statistic is better than another: a chunk
loses points for each statistic that leaves the range, and how many is learned. An unconstrained
model would give points for the reference's own manner (sentences as long as in its speeches).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from bayes_infolaw.harness.quality.folds import held_out_scale
from bayes_infolaw.harness.quality.settings import QualitySettings
from bayes_infolaw.harness.quality.text_statistics import STATISTICS, text_statistics

__all__ = ["FaultModel", "Ramp", "fit_faults"]

_SIDES = {"low": -1.0, "high": 1.0}
_STEPS = 3  # pieces of a ramp
_RARE = 0.005  # share of the corpus beyond a border from which on it is worth a ramp


@dataclass(frozen=True)
class Ramp:
    """Points lost beyond one border of one statistic: rising, piecewise linear, then flat.

    Attributes
    ----------
    statistic : str
        One of `STATISTICS`.
    side : {"low", "high"}
        Whether values below or above the range are faults.
    knots : ndarray, shape (knots,)
        Increasing; values of the statistic, negated on the low side. The first is the border.
    heights : ndarray, shape (folds, knots)
        Points lost at the knots; 0 at the first.
    """

    statistic: str
    side: str
    knots: np.ndarray
    heights: np.ndarray

    def lost(self, values: np.ndarray) -> np.ndarray:
        """Points lost by chunks of these values of the statistic, shape (chunks, folds)."""
        beyond = _SIDES[self.side] * values
        return np.stack([np.interp(beyond, self.knots, curve) for curve in self.heights], axis=1)


@dataclass(frozen=True)
class FaultModel:
    """Ramps of every statistic, one model a fold.

    Attributes
    ----------
    ramps : tuple of Ramp
    intercepts : ndarray, shape (folds,)
        Score of a chunk without a fault.
    """

    ramps: tuple[Ramp, ...]
    intercepts: np.ndarray

    def scores(self, chunks: Sequence[str]) -> np.ndarray:
        """Score of each chunk under each fold's model, shape (chunks, folds)."""
        values = dict(zip(STATISTICS, text_statistics(chunks).T, strict=True))
        total = np.tile(self.intercepts, (len(chunks), 1))
        for ramp in self.ramps:
            total -= ramp.lost(values[ramp.statistic])
        return total

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What `from_arrays` reads: two arrays a ramp."""
        arrays = {"intercepts": self.intercepts}
        for ramp in self.ramps:
            name = f"{ramp.statistic}.{ramp.side}"
            arrays |= {f"{name}.knots": ramp.knots, f"{name}.heights": ramp.heights}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "FaultModel":
        """Read what `to_arrays` gave."""
        names = [(s, side) for s in STATISTICS for side in _SIDES if f"{s}.{side}.knots" in arrays]
        ramps = [
            Ramp(s, side, arrays[f"{s}.{side}.knots"], arrays[f"{s}.{side}.heights"])
            for s, side in names
        ]
        return cls(ramps=tuple(ramps), intercepts=arrays["intercepts"])


def fit_faults(
    chunks: Sequence[str], is_reference: np.ndarray, folds: np.ndarray, settings: QualitySettings
) -> FaultModel:
    """Learn from the other folds' chunks what each fault costs; arguments as `fit_ngrams`.

    A logistic regression between reference and corpus whose coefficients, the rises of the ramps
    between their knots, are not negative.
    """
    values = dict(zip(STATISTICS, text_statistics(chunks).T, strict=True))
    borders = list(_borders(values, is_reference, settings.range_tail))
    # Column by column 0 below a piece of a ramp, 1 above it, linear on it.
    pieces = [_pieces(_SIDES[side] * values[name], knots) for name, side, knots in borders]
    design = np.hstack([np.empty((len(chunks), 0)), *pieces])
    fits = [
        _fit(design[folds != fold], is_reference[folds != fold], settings.statistics_l2)
        for fold in range(settings.folds)
    ]
    rises, intercepts = np.array([r for r, _ in fits]), np.array([i for _, i in fits])
    mean, sd = held_out_scale(intercepts - design @ rises.T, is_reference, folds)
    rises, intercepts = rises / sd[:, None], (intercepts - mean) / sd
    parts = np.split(rises, np.cumsum([p.shape[1] for p in pieces])[:-1], axis=1)
    ramps = [
        Ramp(name, side, knots, np.cumsum(np.pad(part, ((0, 0), (1, 0))), axis=1))
        for (name, side, knots), part in zip(borders, parts, strict=False)
    ]
    return FaultModel(ramps=tuple(ramps), intercepts=intercepts)


def _borders(
    values: dict[str, np.ndarray], is_reference: np.ndarray, tail: float
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Statistic, side and knots of every ramp that the corpus has a use for."""
    for name, column in values.items():
        for side, sign in _SIDES.items():
            border = np.quantile(sign * column[is_reference], 1 - tail)
            corpus = sign * column[~is_reference]
            beyond = corpus[corpus > border]
            if len(beyond) > _RARE * len(corpus):
                steps = np.quantile(beyond, np.linspace(0, 0.95, _STEPS + 1)[1:])
                yield name, side, np.unique(np.append(border, steps))


def _pieces(beyond: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.clip((beyond[:, None] - knots[:-1]) / np.diff(knots), 0.0, 1.0)


def _fit(design: np.ndarray, is_reference: np.ndarray, l2: float) -> tuple[np.ndarray, float]:
    """Rises (>= 0) and intercept of a logistic regression with classes of equal weight."""
    n, n_pieces = design.shape
    weights = np.where(is_reference, 0.5 / is_reference.mean(), 0.5 / (~is_reference).mean())

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        rises, intercept = parameters[:-1], parameters[-1]
        odds = intercept - design @ rises
        fit = weights @ np.logaddexp(0.0, np.where(is_reference, -odds, odds))
        slope = weights * (expit(odds) - is_reference)
        gradient = np.append(l2 * rises - slope @ design, slope.sum())
        return (fit + l2 / 2 * rises @ rises) / n, gradient / n

    bounds = [(0.0, None)] * n_pieces + [(None, None)]
    best = minimize(loss, np.zeros(n_pieces + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
    return best[:-1], float(best[-1])
