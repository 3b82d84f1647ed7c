"""A fit -> leave-one-out scores, Pareto k and PIT values of the fitted runs."""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import arviz_stats
import numpy as np
import xarray as xr
from scipy import stats
from scipy.special import log_ndtr, logsumexp

from bayes_infolaw.model.linear import SLOPE, linear_block, noise_sd
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.posterior.pointwise import expected_draws, log_likelihood_draws
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["LeaveOneOut", "leave_one_out"]

Array = np.ndarray
K_HIGH = 0.7


@dataclass(frozen=True)
class LeaveOneOut:
    """Pareto-smoothed leave-one-out of the log losses (densities are of log loss).

    ``method`` is ``integrated`` where the linear block is integrated out of every run's
    leave-one-out density in closed form, given the other parameters, so that importance weights
    only carry those; ``plain`` otherwise. Both estimate the same numbers.
    """

    method: str
    elpd: float
    se: float
    p_loo: float
    runs: tuple[str, ...]
    elpd_pointwise: Array  # (n,)
    pareto_k: Array  # (n,)
    pit: Array  # (n,) P(replicated loss of the run <= its loss | the other runs)
    residual: Array  # (n,) log loss of the run less its expectation by the other runs

    @property
    def error_percent(self) -> float:
        """Mean absolute leave-one-out error of the loss, percent."""
        return float(100.0 * np.abs(np.expm1(self.residual)).mean())

    @property
    def high_k(self) -> dict[str, float]:
        """Runs with k > 0.7, whose scores are not reliable."""
        return {
            run: float(k) for run, k in zip(self.runs, self.pareto_k, strict=True) if k > K_HIGH
        }

    @property
    def pit_p_value(self) -> float:
        """Kolmogorov-Smirnov p-value of the PIT values against the uniform distribution."""
        return float(stats.kstest(self.pit, "uniform").pvalue)


class _Terms(NamedTuple):
    """What each draw says of each run; shapes (chain, draw, n)."""

    log_density: Array
    cdf: Array
    residual: Array


def leave_one_out(fit: FittedModel) -> LeaveOneOut:
    """Leave-one-out of every fitted run, by importance weights on the draws.

    References
    ----------
    Vehtari, Gelman, Gabry: Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC, Stat Comput 27 (2017). Integrated form: Vehtari et al.,
    Bayesian leave-one-out cross-validation approximations for Gaussian latent variable
    models, JMLR 17 (2016), section 3.
    """
    integrated = fit.spec.collapses
    terms = _integrated_terms(fit) if integrated else _plain_terms(fit)
    result = _smoothed(fit, terms.log_density)
    weights = np.exp(result.log_weights.transpose("chain", "draw", "run").to_numpy())
    plain = log_likelihood_draws(fit)
    fitted = logsumexp(plain, axis=(0, 1)) - np.log(plain[..., 0].size)
    return LeaveOneOut(
        method="integrated" if integrated else "plain",
        elpd=float(result.elpd),
        se=float(result.se),
        p_loo=float(fitted.sum() - result.elpd),
        runs=tuple(fit.table.frame["run"].astype(str)),
        elpd_pointwise=result.elpd_i.to_numpy(),
        pareto_k=result.pareto_k.to_numpy(),
        pit=np.clip((weights * terms.cdf).sum(axis=(0, 1)), 0.0, 1.0),
        residual=(weights * terms.residual).sum(axis=(0, 1)),
    )


def _smoothed(fit: FittedModel, log_density: Array) -> Any:
    with warnings.catch_warnings():  # high k is in the result and reported by name
        warnings.filterwarnings("ignore", "Estimated shape parameter", UserWarning)
        return arviz_stats.loo(_tree(fit, log_density), pointwise=True)


def _tree(fit: FittedModel, log_density: Array) -> xr.DataTree:
    dims = ("chain", "draw", "run")
    scores = xr.Dataset({"log_loss": (dims, log_density)})
    parameters = {"sigma": (dims[:2], fit.draws["sigma"])}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(parameters), "log_likelihood": scores})


def _plain_terms(fit: FittedModel) -> _Terms:
    mean, sd = expected_draws(fit)
    z = (fit.data.log_loss - mean) / sd
    normal = fit.spec.noise == "normal"
    cdf = stats.norm.cdf(z) if normal else stats.t.cdf(z, fit.draws["nu"][..., None])
    return _Terms(log_likelihood_draws(fit), cdf, fit.data.log_loss - mean)


def _integrated_terms(fit: FittedModel) -> _Terms:
    """Closed-form ``p(y_i | y_-i, rest)`` of the Gaussian block, by Woodbury's identity.

    With unit-prior coefficients u, ``A = I + X' W X`` and leverage ``h_i = w_i x_i' A^-1 x_i``, the
    left-out residual is ``e_i / (1 - h_i)`` with variance ``1 / (w_i (1 - h_i))``. The slope's
    truncation to positive values enters the density exactly; the CDF leaves it out.
    """
    data, draws = fit.data, fit.draws
    log_info = log_information(draws, data, fit.spec, fit.layout)
    block = linear_block(draws, log_info, data, fit.spec, fit.layout)
    x, weight = block.columns * block.sd[..., None, :], noise_sd(draws, data, fit.spec) ** -2.0
    residual = data.log_loss - block.offset - block.columns @ block.mean
    weighted = weight[..., None] * x
    covariance = np.linalg.inv(np.eye(x.shape[-1]) + np.swapaxes(weighted, -1, -2) @ x)
    centre = np.einsum("...pq,...nq,...n->...p", covariance, weighted, residual)
    gain = x @ covariance
    left = 1.0 - weight * (gain * x).sum(axis=-1)
    out = (residual - (x @ centre[..., None])[..., 0]) / left
    sd = 1.0 / np.sqrt(weight * left)
    # The slope's moments with run i left out: a rank-one downdate.
    slope_gain = gain[..., SLOPE]
    variance = covariance[..., SLOPE, SLOPE][..., None]
    moved = centre[..., SLOPE][..., None] - slope_gain * weight * out
    lowest = -block.mean[SLOPE] / block.sd[..., SLOPE][..., None]
    kept = log_ndtr((centre[..., SLOPE][..., None] - lowest) / np.sqrt(variance))
    kept = kept - log_ndtr((moved - lowest) / np.sqrt(variance + slope_gain**2 * weight / left))
    return _Terms(stats.norm.logpdf(out, 0.0, sd) + kept, stats.norm.cdf(out / sd), out)
