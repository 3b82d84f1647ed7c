"""Weighted draws -> means and quantiles, each with its Monte Carlo standard error."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

__all__ = [
    "Estimate",
    "Weighted",
    "estimate_mean",
    "estimate_probability",
    "estimate_quantile",
    "inverse_cdf",
]

Array = np.ndarray


class Weighted(Protocol):
    """J weighted draws of several forms: `TargetDraws`, or a plan's."""

    @property
    def weight(self) -> Array:
        """Positive, summing to one, (J,)."""

    @property
    def form(self) -> Array:
        """Position of each draw's form among `forms`, (J,)."""

    @property
    def forms(self) -> tuple[str, ...]:
        """Names of the forms."""


@dataclass(frozen=True)
class Estimate:
    """An expectation over the draws and its Monte Carlo standard error."""

    value: float
    se: float | None  # None for a single draw, which says nothing of its own error

    def to_dict(self) -> dict[str, Any]:
        """Plain floats and None."""
        return asdict(self)


def estimate_mean(draws: Weighted, values: Array) -> Estimate:
    """Weighted mean of one number a draw, (J,), with its standard error by batch means.

    Each form's weight is given, not estimated: the mean is a stratified one and errors add by
    form. Within a form the weights are self-normalised, ``mean_f = sum w x / sum w``, and its error
    is that of ``sum w (x - mean_f)`` over about sqrt(J_f) batches of neighbouring draws. Chains
    come one after another, so that a batch holds what is autocorrelated, and chains that
    disagree show as well.

    References
    ----------
    Flegal, Jones: Batch means and spectral variance estimators in Markov chain Monte Carlo,
    Ann Statist 38 (2010). Owen: Monte Carlo theory, methods and examples, section 9.2 (ratios).
    """
    values = np.asarray(values, dtype=float)
    errors = [_stratum_error(draws, values, form) for form in range(len(draws.forms))]
    known = all(error is not None for error in errors)
    se = float(np.sqrt(sum(error for error in errors if error is not None))) if known else None
    return Estimate(float(values @ draws.weight), se)


def estimate_probability(draws: Weighted, events: Array) -> Estimate:
    """`estimate_mean` of events (J,), kept in [0, 1]: weights sum to one up to rounding."""
    found = estimate_mean(draws, events)
    return Estimate(min(max(found.value, 0.0), 1.0), found.se)


def _stratum_error(draws: Weighted, values: Array, form: int) -> float | None:
    """Squared error that one form adds to the pooled mean; None where it has a single draw."""
    inside = np.flatnonzero(draws.form == form)
    if len(inside) < 2:
        return None if len(inside) else 0.0
    weight, x = draws.weight[inside], values[inside]
    moved = weight * (x - weight @ x / weight.sum())
    size = int(np.sqrt(len(moved))) if len(moved) >= 16 else 1
    sums = np.add.reduceat(moved, np.arange(0, len(moved), size))
    return float(sums @ sums * len(sums) / (len(sums) - 1))


def inverse_cdf(draws: Weighted, values: Array, prob: float) -> Array:
    """The least x with ``P(value <= x) >= prob``, over the last axis: (..., J) gives (...)."""
    values = np.asarray(values, dtype=float)
    order = np.argsort(values, axis=-1)
    reached = np.cumsum(draws.weight[order], axis=-1) >= prob - 1e-12  # rounding of the sum
    first = np.argmax(reached, axis=-1)
    at = np.take_along_axis(order, first[..., None], axis=-1)
    return np.take_along_axis(values, at, axis=-1)[..., 0]


def estimate_quantile(draws: Weighted, values: Array, prob: float) -> Estimate:
    """Weighted quantile of one number a draw; its error from that of the probability below it.

    With s the standard error of ``P(value <= q)``, it is half the distance between the quantiles
    at ``prob - s`` and ``prob + s``, as in the R package posterior.
    """
    values = np.asarray(values, dtype=float)
    quantile = float(inverse_cdf(draws, values, prob))
    below = estimate_mean(draws, values <= quantile).se
    if below is None:
        return Estimate(quantile, None)
    ends = [inverse_cdf(draws, values, p) for p in (prob - below, min(prob + below, 1.0))]
    return Estimate(quantile, float(ends[1] - ends[0]) / 2.0)
