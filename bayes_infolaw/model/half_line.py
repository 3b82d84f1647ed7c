"""A coordinate for positive parameters whose prior does not vanish at zero.

The logarithm sends zero to minus infinity: a scale that may be near 0 gets a long flat tail, and a
posterior that holds both "about 1" and "about 0" turns L-shaped. ``scale * h(z)`` with
``h(z) = phi(z) + z Phi(z)`` (the integral of the normal distribution function) is linear on the
right and leaves zero a Gaussian tail on the left.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import log_ndtr

__all__ = ["half_line", "half_line_inverse", "log_half_line"]

LOG_SQRT_TWO_PI = 0.5 * float(np.log(2.0 * np.pi))
NEWTON_STEPS = 60


def log_half_line(z: Any, log_ndtr: Callable[[Any], Any], xp: Any = np) -> Any:
    """``ln h(z)``; its derivative is ``exp(log_ndtr(z)) / h(z)``.

    ``log_ndtr`` is the array module's log of the normal distribution function. Left of -1 the sum
    phi + z Phi cancels, so it is taken relative to phi there.
    """
    # Each branch sees points of its own side only: a tie at -1 would halve the gradient.
    right, left = xp.where(z > -1.0, z, 0.0), xp.where(z > -1.0, -2.0, z)
    density = xp.exp(-0.5 * right**2 - LOG_SQRT_TWO_PI)
    near = xp.log(density + right * xp.exp(log_ndtr(right)))
    log_density = -0.5 * left**2 - LOG_SQRT_TWO_PI
    far = log_density + xp.log1p(left * xp.exp(log_ndtr(left) - log_density))
    return xp.where(z > -1.0, near, far)


def half_line(z: np.ndarray, scale: float) -> np.ndarray:
    """Coordinate -> positive parameter, ``scale * h(z)``."""
    return scale * np.exp(log_half_line(z, log_ndtr))


def half_line_inverse(value: np.ndarray, scale: float) -> np.ndarray:
    """Positive parameter -> coordinate, by Newton's method on the logarithm (which is concave)."""
    target = np.log(np.maximum(value, 1e-280) / scale)
    z = np.where(target > 0, np.exp(np.minimum(target, 700.0)), -np.sqrt(2.0 * np.abs(target)))
    for _ in range(NEWTON_STEPS):
        log_h = log_half_line(z, log_ndtr)
        z = z - (log_h - target) * np.exp(log_h - log_ndtr(z))
    return z
