"""The linear-Gaussian block: integrated out, drawn back, or used to choose good coordinates.

With prior sds scaled into the columns, ``A = I + X' W X`` is well conditioned whatever the noise;
all the algebra is p x p (p coefficients), never n x n.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import log_ndtr
from scipy import stats

from bayes_infolaw.model.linear import SLOPE, LinearBlock
from bayes_infolaw.model.prior import Prior

__all__ = ["conditional_coordinates", "draw_back", "marginal_log_density"]

LOG_TWO_PI = float(np.log(2.0 * np.pi))


def _normal_equations(
    log_loss: Any, sd: Any, mask: Any, block: LinearBlock
) -> tuple[Any, Any, Any, Any]:
    """(Cholesky factor of A, its solve of the score, weights, residuals at the prior mean)."""
    residual = log_loss - block.offset - block.columns @ block.mean
    scaled = block.columns * block.sd
    weight = mask / sd**2
    precision = jnp.eye(len(block.mean)) + scaled.T @ (weight[:, None] * scaled)
    chol = jnp.linalg.cholesky(precision)
    half = solve_triangular(chol, scaled.T @ (weight * residual), lower=True)
    return chol, half, weight, residual


def marginal_log_density(
    log_loss: Any, sd: Any, mask: Any, block: LinearBlock, slope_prior: Prior
) -> Any:
    """Log density of the log losses with the block's coefficients integrated out.

    Parameters
    ----------
    log_loss, sd, mask : array (n,)
        Observations, their noise sd, and 1 / 0 for runs / padding.
    block : LinearBlock
    slope_prior : Prior
        The slope's normal prior truncated to positive values: the Gaussian integral is corrected
        by P(slope > 0 | rest, data) / P(slope > 0), which is exact.
    """
    chol, half, weight, residual = _normal_equations(log_loss, sd, mask, block)
    log_det = 2.0 * jnp.log(jnp.diagonal(chol)).sum()
    noise = (mask * (LOG_TWO_PI + 2.0 * jnp.log(sd))).sum()
    value = -0.5 * ((weight * residual**2).sum() - half @ half + log_det + noise)
    return value + _log_truncation(chol, half, block, slope_prior)


def _log_truncation(chol: Any, half: Any, block: LinearBlock, prior: Prior) -> Any:
    """Log P(slope > 0 | rest, data) - log P(slope > 0)."""
    column = solve_triangular(chol, jnp.eye(len(half))[SLOPE], lower=True)
    slope_mean = block.mean[SLOPE] + block.sd[SLOPE] * (column @ half)
    slope_sd = block.sd[SLOPE] * jnp.sqrt(column @ column)
    return log_ndtr(slope_mean / slope_sd) - stats.norm.logcdf(prior.mu / prior.sigma)


def conditional_coordinates(
    z: Any, log_loss: Any, sd: Any, mask: Any, block: LinearBlock
) -> tuple[Any, Any]:
    """Coefficients from coordinates that are near standard normal, and the log Jacobian.

    The slope comes first in the triangular order, through ``s softplus(m / s + z)``: positive, and
    indistinguishable from ``m + s z`` where the data determine it.

    Parameters
    ----------
    z : array (p,)
        First the slope's coordinate, then the others' in their order.
    """
    p = len(block.mean)
    order = np.array([SLOPE, *(i for i in range(p) if i != SLOPE)])
    chol, half, _, _ = _normal_equations(log_loss, sd, mask, block)
    inverse = solve_triangular(chol, jnp.eye(p), lower=True)
    centre = (block.mean + block.sd * (inverse.T @ half))[order]
    covariance = (inverse.T @ inverse) * block.sd[:, None] * block.sd
    root = jnp.linalg.cholesky(covariance[order][:, order])
    ratio = centre[0] / root[0, 0] + z[0]
    slope_z = jax.nn.softplus(ratio) - centre[0] / root[0, 0]
    ordered = centre + root @ z.at[0].set(slope_z)
    log_jacobian = jnp.log(jnp.diagonal(root)).sum() + jax.nn.log_sigmoid(ratio)
    return jnp.zeros(p).at[order].set(ordered), log_jacobian


def draw_back(
    log_loss: np.ndarray, sd: np.ndarray, block: LinearBlock, rng: np.random.Generator
) -> np.ndarray:
    """Draw the block's coefficients exactly, one vector per draw of the rest (numpy, vectorised).

    Parameters
    ----------
    log_loss : array (n,)
    sd : array (S, n)
    block : LinearBlock
        With columns (S, n, p) and sd (S, p).

    Returns
    -------
    array (S, p)
        The slope is drawn from its truncated normal, the others given it.
    """
    scaled = block.columns * block.sd[:, None, :]
    residual = log_loss - block.offset - block.columns @ block.mean
    weighted = scaled / sd[..., None] ** 2
    precision = np.eye(scaled.shape[-1]) + np.swapaxes(weighted, 1, 2) @ scaled
    covariance = np.linalg.inv(precision)
    score = np.einsum("snp,sn->sp", weighted, residual)
    centre = np.einsum("spq,sq->sp", covariance, score)
    factor = np.linalg.cholesky(covariance)
    u = centre + np.einsum("spq,sq->sp", factor, rng.standard_normal(centre.shape))
    lowest = -block.mean[SLOPE] / block.sd[:, SLOPE]
    return block.mean + block.sd * _truncate_slope(u, centre, covariance, lowest, rng)


def _truncate_slope(
    u: np.ndarray,
    centre: np.ndarray,
    covariance: np.ndarray,
    lowest: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Move joint draws to a truncated slope: conditional Gaussians differ by a shift only."""
    sd = np.sqrt(covariance[:, SLOPE, SLOPE])
    z = stats.truncnorm.ppf(
        rng.uniform(size=len(sd)), (lowest - centre[:, SLOPE]) / sd, np.full(len(sd), np.inf)
    )
    gain = covariance[:, :, SLOPE] / covariance[:, SLOPE, SLOPE][:, None]
    return u + gain * (centre[:, SLOPE] + sd * z - u[:, SLOPE])[:, None]
