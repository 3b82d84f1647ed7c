"""Draws of one posterior -> the coordinates in which NUTS begins on a posterior beside it."""

from collections.abc import Mapping

import numpy as np

from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.starts import Mode
from bayes_infolaw.inference.whitening import BENDING_AXES, Whitening, refine
from bayes_infolaw.model.sites import unconstrain

__all__ = ["warm_start"]

Array = np.ndarray
RIDGE = 1e-10  # on the diagonal, in units of each coordinate's own variance


def warm_start(problem: Problem, draws: Mapping[str, Array], seed: int = 0) -> Mode:
    """Centre, whitening and shear fitted to draws (m, ...) by name, in the place of a mode search.

    Conditional coordinates of the linear block, which a fit does not keep, are standard normal by
    construction and are drawn afresh. Source: windowed adaptation as in Stan, started from the old
    posterior; the target density is the new one, so a poor start costs time and no bias.
    """
    named = dict(draws)
    if not problem.collapsed:
        shape = (len(named["sigma"]), 2 + len(problem.layout.coefficients))
        named["coefficient_z"] = np.random.default_rng([seed, 8]).standard_normal(shape)
    vectors = unconstrain(named, problem.sites)
    covariance = np.atleast_2d(np.cov(vectors.T))
    root = np.linalg.cholesky(covariance + RIDGE * np.diag(np.diag(covariance)))
    d = len(root)
    bends = refine(Whitening(vectors.mean(axis=0), root, np.ones(d), _no_bend(d)), vectors)
    return Mode(bends.centre, float("nan"), 0, 0, bends)


def _no_bend(d: int) -> Array:
    return np.zeros((d, min(d, BENDING_AXES) ** 2))
