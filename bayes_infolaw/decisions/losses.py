"""Some recipes under all draws -> losses, and whether they stay within a limit, by numpy.

For the hundreds of recipes of a search step, where a compiled kernel would be compiled for every
number of recipes; hundreds of thousands go through `decisions.kernel`.
"""

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws

__all__ = ["TIE", "gain_for", "gain_matrix", "loss_matrix", "regret", "unrounded"]

Array = np.ndarray

TIE = 1e-12
"""Losses this close, relative, are a tie: identical recipes come out equal up to rounding."""
SOLVED = 1e-8
"""Least losses are found to this relative gap: less than so much below them is no gain."""


def gain_matrix(draws: TargetDraws, recipes: Array) -> Array:
    """Scaled information (R, J) of recipes (R, D), as `TargetDraws.gain`; holds R x J numbers.

    Buckets that are not repeated are one matrix product; only repeated ones need an exponential.
    """
    w = np.atleast_2d(np.asarray(recipes, dtype=float))
    repeated = (w > draws.capacity) & (draws.capacity > 0)
    once = np.where(repeated | (draws.capacity <= 0), 0.0, w)
    gain = once @ (draws.density * -np.expm1(-draws.exposure)[:, None]).T
    for d in np.flatnonzero(repeated.any(axis=0)):
        rows = np.flatnonzero(repeated[:, d])
        times = w[rows, d] / draws.capacity[d]
        kept = -np.expm1(-times[:, None] * draws.exposure)
        gain[rows] += draws.capacity[d] * draws.density[:, d] * kept
    return gain


def loss_matrix(draws: TargetDraws, recipes: Array) -> Array:
    """Noise-free losses (R, J) of recipes (R, D), infinite without information."""
    with np.errstate(divide="ignore"):
        log_gain = np.log(gain_matrix(draws, recipes))
    return draws.irreducible + np.exp(draws.log_level - draws.beta * log_gain)


def gain_for(draws: TargetDraws, loss: Array | float) -> Array:
    """Least gain with which each draw's loss is at most `loss` (J,), infinite where none is, (J,).

    Comparing gains saves the logarithm and the power of every loss.
    """
    reducible = np.maximum(loss - draws.irreducible, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        return np.exp((draws.log_level - np.log(reducible)) / draws.beta)


def regret(loss: Array, least: Array) -> Array:
    """What losses lie above the least possible ones of a set, draw by draw, (J,).

    The least is found by iteration, so that a member of the set may come out lower by a rounding:
    that is 0. A recipe outside the set may truly be below it.
    """
    return unrounded(loss - least, least)


def unrounded(gap: Array, least: Array) -> Array:
    """Gaps above least losses, those below zero by no more than the solvers' tolerance set to 0."""
    return np.where(gap < -SOLVED * np.abs(least), gap, np.maximum(gap, 0.0))
