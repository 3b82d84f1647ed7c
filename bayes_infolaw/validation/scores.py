"""Predictions and held-out losses -> errors, coverage and proper scores.

Everything takes arrays: ``loss`` (n,) measured, ``draws`` (J, n) of the predictive distribution of
the loss, noise included. Draws weigh the same. Runs that a method cannot predict are NaN columns:
`score` leaves them out and counts them; the single scores expect finite input.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtri

__all__ = [
    "COVERAGE_PROBS",
    "Coverage",
    "PercentageErrors",
    "Scores",
    "central_interval",
    "coverage",
    "crps",
    "interval_score",
    "log_predictive_density",
    "log_score",
    "normal_draws",
    "percentage_errors",
    "score",
]

Array = np.ndarray

COVERAGE_PROBS = (0.5, 0.8, 0.9, 0.95)
PLUG_IN_DRAWS = 2000


@dataclass(frozen=True)
class PercentageErrors:
    """Absolute errors of the predicted loss, in percent of the measured one."""

    mean: float
    median: float
    maximum: float


@dataclass(frozen=True)
class Coverage:
    """How many held-out losses lie inside their central intervals."""

    prob: float
    inside: int
    runs: int

    @property
    def fraction(self) -> float:
        """Share of runs inside."""
        return self.inside / self.runs

    @property
    def se(self) -> float:
        """Standard error of `fraction` if the intervals are right: ``sqrt(p (1 - p) / n)``.

        Binomial, so for independent runs; errors shared by runs (parameters) widen the spread.
        """
        return float(np.sqrt(self.prob * (1 - self.prob) / self.runs))


@dataclass(frozen=True)
class Scores:
    """One method on one split."""

    runs: int  # scored
    missing: int  # left out: the method says nothing there
    errors: PercentageErrors
    coverage: dict[float, Coverage]
    log_score: float  # mean log predictive density of the loss, nats per run; higher is better
    interval_score: float  # mean over runs at 90 %, loss unit; lower is better
    crps: float  # mean over runs, loss unit; lower is better


def score(
    loss: Array, predicted: Array, draws: Array, log_mean: Array, log_sd: Array
) -> Scores | None:
    """Every score of one method.

    Parameters
    ----------
    loss : array of shape (n,)
        Measured, > 0.
    predicted : array of shape (n,)
        Point prediction of the loss.
    draws : array of shape (J, n)
        Of the predictive distribution (`normal_draws` for a plug-in estimate).
    log_mean, log_sd : array of shape (I, n)
        Normal components of the predictive distribution of log loss, equal weights (see
        `log_score`); I = 1 for a plug-in estimate.

    Returns
    -------
    Scores or None
        None when the method predicts none of the runs.
    """
    known = np.isfinite(predicted) & np.isfinite(draws).all(axis=0)
    if not known.any():
        return None
    loss, predicted, draws = loss[known], predicted[known], draws[:, known]
    components = (np.broadcast_to(c, log_mean.shape)[:, known] for c in (log_mean, log_sd))
    lower, upper = central_interval(draws, 0.9)
    return Scores(
        runs=int(known.sum()),
        missing=int((~known).sum()),
        errors=percentage_errors(loss, predicted),
        coverage=coverage(loss, draws),
        log_score=log_score(loss, *components),
        interval_score=interval_score(loss, lower, upper, 0.9),
        crps=crps(loss, draws),
    )


def percentage_errors(loss: Array, predicted: Array) -> PercentageErrors:
    """``100 |predicted / loss - 1|``: mean, median and maximum over runs."""
    error = 100.0 * np.abs(predicted / loss - 1.0)
    return PercentageErrors(float(error.mean()), float(np.median(error)), float(error.max()))


def central_interval(draws: Array, prob: float) -> tuple[Array, Array]:
    """Equal-tailed interval of probability ``prob``: lower and upper end, shape (n,) each."""
    tail = 0.5 * (1.0 - prob)
    lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    return lower, upper


def coverage(
    loss: Array, draws: Array, probs: Sequence[float] = COVERAGE_PROBS
) -> dict[float, Coverage]:
    """Coverage of central predictive intervals, by probability; ends count as inside."""
    result = {}
    for prob in probs:
        lower, upper = central_interval(draws, prob)
        inside = int(np.sum((lower <= loss) & (loss <= upper)))
        result[prob] = Coverage(prob, inside, len(loss))
    return result


def log_predictive_density(loss: Array, log_mean: Array, log_sd: Array) -> Array:
    """Log density of each loss under a mixture of normals on log loss.

    ``ln[ (1/J) sum_j Normal(ln L; mean_j, sd_j) / L ]``: the Jacobian 1/L makes it a density of
    the loss in its own unit, so scores of tables in different units do not compare.

    Parameters
    ----------
    loss : array of shape (n,)
        Measured, > 0.
    log_mean, log_sd : array of shape (J, n), or broadcastable to it
        Mean and sd of log loss given each draw of the parameters.

    Returns
    -------
    array of shape (n,)
        In nats.
    """
    z = (np.log(loss) - log_mean) / log_sd
    terms = -0.5 * z**2 - np.log(log_sd) - 0.5 * np.log(2 * np.pi)
    return logsumexp(terms, axis=0) - np.log(terms.shape[0]) - np.log(loss)


def log_score(loss: Array, log_mean: Array, log_sd: Array) -> float:
    """Mean of `log_predictive_density` over runs, nats per run; higher is better."""
    return float(log_predictive_density(loss, log_mean, log_sd).mean())


def interval_score(loss: Array, lower: Array, upper: Array, prob: float) -> float:
    """Mean interval score (Gneiting and Raftery 2007, eq. 43), loss unit; lower is better.

    ``(u - l) + 2/(1 - prob) (distance of the loss outside [l, u])``.
    """
    outside = np.maximum(lower - loss, 0.0) + np.maximum(loss - upper, 0.0)
    return float(np.mean(upper - lower + 2.0 / (1.0 - prob) * outside))


def crps(loss: Array, draws: Array) -> float:
    """Mean continuous ranked probability score, loss unit; lower is better.

    ``E|X - L| - E|X - X'| / 2`` of the draws' empirical distribution (Gneiting and Raftery 2007,
    eq. 21), the second term from the sorted draws; J draws put it too high by 1/J of that term.
    """
    n_draws = draws.shape[0]
    distance = np.abs(draws - loss).mean(axis=0)
    rank_weight = 2 * np.arange(1, n_draws + 1) - n_draws - 1
    half_spread = rank_weight @ np.sort(draws, axis=0) / n_draws**2
    return float(np.mean(distance - half_spread))


def normal_draws(predicted: Array, log_sd: float, n_draws: int = PLUG_IN_DRAWS) -> Array:
    """Draws of a plug-in prediction whose log loss is normal: evenly spaced quantiles.

    Parameters
    ----------
    predicted : array of shape (n,)
        Median loss.
    log_sd : float
        Sd of log loss.

    Returns
    -------
    array of shape (n_draws, n)
        The same on every call: no seed is spent and intervals carry no Monte Carlo error.
    """
    z = ndtri((np.arange(n_draws) + 0.5) / n_draws)
    return predicted * np.exp(log_sd * z[:, None])
