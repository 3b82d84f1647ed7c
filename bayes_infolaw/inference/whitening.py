"""Coordinates in which a posterior is near standard normal: whitened, and its ridge straightened.

A posterior of this law is often a thin, curved ridge (theta against lambda). A linear whitening
rounds a straight ridge only; a triangular quadratic shear, fitted to warm-up draws, takes the bend
out. Its Jacobian is constant, so the density needs no correction.
"""

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Whitening", "refine", "whitening_at_mode"]

Array = np.ndarray
FLATTEST = 0.1  # curvature floor: no coordinate starts with an sd beyond about 3
OLD_WEIGHT = 5.0  # draws that the previous covariance counts for, as in Stan's windows
BENDING_AXES = 12  # leading axes whose products may bend later ones
SHEAR_SHRINKAGE = 100.0  # draws that "no bend" counts for


class Whitening(NamedTuple):
    """``vector = centre + factor @ (scale * v + shear @ products(v))``.

    ``products`` are v_i v_k, i <= k, of the leading axes (minus 1 where i = k); axis j bends with
    products of the axes before it only, so the map is triangular and easily inverted.
    """

    centre: Any  # (d,)
    factor: Any  # (d, d), columns by falling length: the ridge comes first
    scale: Any  # (d,)
    shear: Any  # (d, q) of the q products

    def forward(self, v: Any) -> Any:
        """Sampler's coordinates (..., d) -> unconstrained parameters (..., d)."""
        return self.centre + (self.scale * v + products(v) @ self.shear.T) @ self.factor.T

    def inverse(self, vector: Array) -> Array:
        """Unconstrained parameters (m, d) -> sampler's coordinates, one axis after the other."""
        u = np.linalg.solve(self.factor, (vector - self.centre).T).T
        v = np.zeros_like(u)
        for j in range(u.shape[1]):  # products of later axes have no weight on this one
            v[:, j] = (u[:, j] - products(v) @ self.shear[j]) / self.scale[j]
        return v


def products(v: Any) -> Any:
    """``v_i v_k - [i = k]`` of the leading axes, shape (..., m * m); mean 0 for a standard normal.

    All pairs, by an outer product: picking the pairs i <= k would cost a scatter in the gradient.
    """
    lead = v[..., :BENDING_AXES]
    m = lead.shape[-1]
    outer = lead[..., :, None] * lead[..., None, :] - np.eye(m)
    return outer.reshape(*lead.shape[:-1], m * m)


def _last_axis(d: int) -> Array:
    """Larger axis k of every product i <= k; d for the mirrored ones, which never get a weight."""
    first, second = np.divmod(np.arange(min(d, BENDING_AXES) ** 2), min(d, BENDING_AXES))
    return np.where(first <= second, second, d)


def whitening_at_mode(mode: Array, curvature: Array) -> Whitening:
    """Whitening by the curvature (d, d) of the potential at its minimum, eigenvalues floored."""
    values, vectors = np.linalg.eigh(np.nan_to_num(curvature))
    return _straight(mode, vectors / np.sqrt(np.maximum(values, FLATTEST)))


def refine(old: Whitening, vectors: Array) -> Whitening:
    """Whitening and shear fitted to draws (m, d) of unconstrained parameters."""
    n, centre = len(vectors), vectors.mean(axis=0)
    before = old.factor * old.scale
    pooled = n * np.atleast_2d(np.cov(vectors.T)) + OLD_WEIGHT * before @ before.T
    values, axes = np.linalg.eigh(pooled / (n + OLD_WEIGHT))
    factor = (axes * np.sqrt(np.maximum(values, 1e-14)))[:, ::-1]
    return _with_shear(_straight(centre, factor), vectors)


def _straight(centre: Array, factor: Array) -> Whitening:
    d = len(centre)
    return Whitening(centre, factor, np.ones(d), np.zeros((d, len(_last_axis(d)))))


def _with_shear(straight: Whitening, vectors: Array) -> Whitening:
    """Regress every axis on the products of those before it (longer axes bend shorter ones)."""
    u = straight.inverse(vectors)
    d = u.shape[1]
    v, shear, scale, last = u.copy(), straight.shear.copy(), np.ones(d), _last_axis(d)
    for j in range(1, d):
        earlier = last < j
        bends = products(v)[:, earlier]
        gram = bends.T @ bends + SHEAR_SHRINKAGE * np.eye(bends.shape[1])
        shear[j, earlier] = np.linalg.solve(gram, bends.T @ u[:, j])
        rest = u[:, j] - bends @ shear[j, earlier]
        scale[j] = max(float(rest.std()), 0.05)
        v[:, j] = rest / scale[j]
    return straight._replace(scale=scale, shear=shear)
