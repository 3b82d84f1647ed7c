"""A fit -> whether the noise model allows for the largest residual it leaves."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from bayes_infolaw.posterior.pointwise import expected_draws
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["ResidualCheck", "residual_check"]


@dataclass(frozen=True)
class ResidualCheck:
    """Posterior predictive check of the largest standardised residual of log loss."""

    run: str  # where the residual is largest, posterior mean over draws
    residual: float  # there: posterior mean of (observed - expected) / noise sd
    maximum: float  # posterior mean of the largest |residual| over runs
    replicated: float  # mean of the same in data replicated from the model
    p_value: float  # probability that replicated data have a larger one


def residual_check(fit: FittedModel) -> ResidualCheck:
    """Compare the largest |residual| / sd of the data with replicated data, draw by draw.

    The replicated maximum of n independent residuals has the distribution function
    ``(1 - 2 S(t))^n`` with S the noise's survival function, so nothing is simulated.
    """
    mean, sd = expected_draws(fit)
    residuals = (fit.data.log_loss - mean) / sd
    largest = np.abs(residuals).max(axis=-1)
    by_run = residuals.mean(axis=(0, 1))
    worst = int(np.argmax(np.abs(by_run)))
    return ResidualCheck(
        run=str(fit.table.frame["run"].iloc[worst]),
        residual=float(by_run[worst]),
        maximum=float(largest.mean()),
        replicated=_expected_maximum(fit),
        p_value=float(_exceeds(fit, largest, fit.draws.get("nu")).mean()),
    )


def _exceeds(fit: FittedModel, value: np.ndarray, nu: np.ndarray | float | None) -> np.ndarray:
    """P(largest of n replicated |residuals| > value); ``nu`` None is Gaussian noise."""
    tail = stats.norm.sf(value) if nu is None else stats.t.sf(value, nu)
    return -np.expm1(len(fit.table) * np.log1p(-2.0 * tail))


def _expected_maximum(fit: FittedModel) -> float:
    """Mean of a positive variable: the integral of its survival function."""
    grid = np.linspace(0.0, 30.0, 3001)
    nu = float(fit.draws["nu"].mean()) if "nu" in fit.draws else None
    with np.errstate(divide="ignore"):  # at 0 the survival function is 1
        return float(np.trapezoid(_exceeds(fit, grid, nu), grid))
