"""Huber's loss, by which the scaling-law literature fits log loss."""

import numpy as np

__all__ = ["HUBER_DELTA", "huber_slope", "huber_sum"]

Array = np.ndarray

HUBER_DELTA = 1e-3
"""Residual of log loss beyond which the penalty is linear (Hoffmann et al. 2022, section 3.3)."""


def huber_sum(residual: Array, delta: float = HUBER_DELTA) -> Array:
    """``sum of r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)``, over the last axis."""
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return np.sum(inner * (size - 0.5 * inner), axis=-1)


def huber_slope(residual: Array, delta: float = HUBER_DELTA) -> Array:
    """Derivative of each term of `huber_sum`."""
    return np.clip(residual, -delta, delta)
