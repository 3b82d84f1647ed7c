"""Many starts -> the mode and the curvature there: the coordinates that NUTS begins in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.whitening import Whitening, whitening_at_mode
from bayes_infolaw.model.layout import ModelData
from bayes_infolaw.model.sites import prior_draws, unconstrain

__all__ = ["Mode", "find_mode"]

Array = np.ndarray
OFF_LIMITS = 1e12  # value of the potential where it is not finite: every such step is rejected
SAME_MODE = 0.5  # log density within which two starts count as having reached the same mode


@dataclass(frozen=True)
class Mode:
    """The best mode found: where, how high, and by how many of the starts."""

    vector: Array  # (d,) unconstrained
    log_density: float
    starts: int
    reached: int
    whitening: Whitening


def find_mode(
    problem: Problem,
    data: ModelData,
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    *,
    n_starts: int,
    seed: int,
) -> Mode:
    """Minimise the potential from prior draws and whiten at the best end point.

    Parameters
    ----------
    value_and_gradient : callable
        The potential and its gradient at an unconstrained vector (d,).
    n_starts : int
        Starts drawn from the prior.
    """
    starts = _prior_starts(problem, data, n_starts, seed)
    ends = [_descend(value_and_gradient, x) for x in starts]
    values = np.array([value for value, _ in ends])
    best = ends[int(np.argmin(values))]
    curvature = _hessian(value_and_gradient, best[1])
    return Mode(
        vector=best[1],
        log_density=-best[0],
        starts=n_starts,
        reached=int((values < best[0] + SAME_MODE).sum()),
        whitening=whitening_at_mode(best[1], curvature),
    )


def _prior_starts(problem: Problem, data: ModelData, n: int, seed: int) -> Array:
    """Prior draws as coordinates (n, d); conditional coordinates start at their centre."""
    draw = prior_draws(problem.spec, problem.layout, data, n, np.random.default_rng(seed))
    draw["coefficient_z"] = np.zeros_like(draw["coefficients"])
    return unconstrain(draw, problem.sites)


def _descend(value_and_gradient: Callable[[Array], tuple[float, Array]], x: Array) -> Any:
    """Trust-region Newton: a dozen steps where quasi-Newton needs hundreds on the ridge."""

    def finite(x: Array) -> tuple[float, Array]:
        value, gradient = value_and_gradient(x)
        good = np.isfinite(value) and np.isfinite(gradient).all()
        return (value, gradient) if good else (OFF_LIMITS, np.zeros_like(x))

    def curvature(x: Array) -> Array:
        return _hessian(finite, x)

    options = {"maxiter": 200, "gtol": 1e-4}
    end = minimize(finite, x, jac=True, hess=curvature, method="trust-exact", options=options)
    return float(end.fun), end.x


def _hessian(
    value_and_gradient: Callable[[Array], tuple[float, Array]], x: Array, step: float = 1e-4
) -> Array:
    """Central differences of the gradient: d extra gradients instead of compiling a Hessian."""
    rows = []
    for axis in np.eye(len(x)) * step:
        up, down = value_and_gradient(x + axis)[1], value_and_gradient(x - axis)[1]
        rows.append((up - down) / (2 * step))
    hessian = np.array(rows)
    return (hessian + hessian.T) / 2
