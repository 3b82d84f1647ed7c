"""Independence moves between NUTS transitions: a posterior with two explanations is crossed.

NUTS alone needs thousands of transitions to change between modes a few nats apart (a table without
repetition can be told with lambda growing in N, or constant and large). After each transition a
point is proposed from a Gaussian mixture fitted to the pooled warm-up draws, and accepted by the
Metropolis-Hastings rule, which keeps the target exact whatever the mixture.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.cluster.vq import kmeans2

__all__ = ["Mixture", "fit_mixture", "jump", "wide_normal"]

Array = np.ndarray
COMPONENTS = 4
WIDE_SHARE, WIDE_SD = 0.1, 2.0  # a defensive component, wider than the whitened posterior
RIDGE = 0.02


class Mixture(NamedTuple):
    """Gaussian mixture in the sampler's coordinates; k components of dimension d."""

    log_weight: Any  # (k,)
    mean: Any  # (k, d)
    root: Any  # (k, d, d) lower Cholesky factors
    inverse_root: Any  # (k, d, d)
    log_det: Any  # (k,) sum of the logs of the roots' diagonals


def wide_normal(d: int) -> Mixture:
    """Stand-in before any draws: every component is the defensive one."""
    return _mixture(np.ones(COMPONENTS + 1), np.zeros((COMPONENTS + 1, d)), None)


def fit_mixture(v: Array, seed: int) -> Mixture:
    """Fit k-means clusters' means and covariances to draws (m, d)."""
    d, rng = v.shape[1], np.random.default_rng(seed)
    centres, label = kmeans2(v, COMPONENTS, minit="++", seed=rng, missing="warn")
    covariances, weights = [], []
    for k in range(COMPONENTS):
        mine = v[label == k]
        enough = len(mine) > 2 * d
        covariances.append(np.cov(mine.T).reshape(d, d) if enough else np.eye(d))
        weights.append((1 - WIDE_SHARE) * max(len(mine), 1) / len(v))
    means = np.vstack([centres, v.mean(axis=0)])
    return _mixture(np.array([*weights, WIDE_SHARE]), means, np.array(covariances))


def _mixture(weight: Array, mean: Array, covariances: Array | None) -> Mixture:
    k, d = mean.shape
    wide = WIDE_SD**2 * np.eye(d)[None]
    every = np.repeat(wide, k, 0) if covariances is None else np.concatenate([covariances, wide])
    root = np.linalg.cholesky(every + RIDGE * np.eye(d))
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    weight = weight / weight.sum()
    return Mixture(np.log(weight), mean, root, np.linalg.inv(root), log_det)


def _log_density(mixture: Mixture, v: Any) -> Any:
    z = jnp.einsum("kij,kj->ki", mixture.inverse_root, v - mixture.mean)
    each = mixture.log_weight - mixture.log_det - 0.5 * (z**2).sum(axis=-1)
    return jax.nn.logsumexp(each)


def jump(key: Any, state: Any, mixture: Mixture, density: Any) -> tuple[Any, Any]:
    """Propose from the mixture and accept or stay.

    Parameters
    ----------
    state : numpyro HMCState
        With ``z`` (d,), its gradient and potential.
    density : callable
        The potential as a function of the coordinates.

    Returns
    -------
    state, accepted
    """
    pick, noise, toss = jax.random.split(key, 3)
    k = jax.random.categorical(pick, mixture.log_weight)
    proposal = mixture.mean[k] + mixture.root[k] @ jax.random.normal(noise, state.z.shape)
    value, gradient = jax.value_and_grad(density)(proposal)
    log_ratio = state.potential_energy - value
    log_ratio += _log_density(mixture, state.z) - _log_density(mixture, proposal)
    good = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
    accept = good & (jnp.log(jax.random.uniform(toss)) < log_ratio)
    moved = state._replace(z=proposal, potential_energy=value, z_grad=gradient)
    return jax.tree.map(lambda new, old: jnp.where(accept, new, old), moved, state), accept
