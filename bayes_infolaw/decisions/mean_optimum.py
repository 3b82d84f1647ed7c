"""The recipe of least weighted mean loss in a convex set, certified by duality."""

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.dual_bound import Multipliers, lower_bound, multipliers_of
from bayes_infolaw.decisions.interior_point import solve_program
from bayes_infolaw.decisions.lifted import Lifted
from bayes_infolaw.decisions.objectives import LossMean, Reducible
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.decisions.snap import feasible_points, snapped_points

__all__ = ["CLOSE", "SNAP_GAP", "better_of", "mean_gap", "mean_optimum", "slope_scale"]

Array = np.ndarray
SNAP_GAP = 1e-9
"""Active bounds are made exact when the gap stays below this part of the loss's largest slope."""
KEPT = 1e-10
"""Largest violation of a constraint that this may cause."""
CLOSE = 2e-9
"""A first answer whose gap is a larger part of the loss is improved on."""


def mean_optimum(draws: TargetDraws, allowed: RecipeSet) -> tuple[Array, float]:
    """Recipe (D,) of least mean loss, and how much lower (loss unit) the set's least may be."""
    lifted = allowed.lifted
    if len(lifted.lower) == 0:
        return lifted.fixed.copy(), 0.0
    reducible, at = Reducible(draws, lifted), lifted.centre
    best, least = lifted.recipes(at[:, None])[:, 0], np.inf
    for cautious in (False, True):
        # Again from the slopes at the first answer: those at the centre may be many times them.
        scale = slope_scale(reducible, lifted, draws.weight, at)
        objective = LossMean(reducible, draws.weight, scale)
        program = SetProgram(lifted, objective)
        point = solve_program(program, lifted.centre[:, None], cautious=cautious)
        prices = multipliers_of(point, lifted)
        found = [
            (lifted.recipes(x)[:, 0], scale * mean_gap(objective, lifted, x, prices))
            for x in (snapped_points(lifted, point), feasible_points(lifted, point))
        ]
        recipe, gap = better_of(allowed, found, scale)
        best, least = (recipe, gap) if gap < least else (best, least)
        if least < SNAP_GAP * scale and least < CLOSE * draws.mean(draws.loss(best)):
            break
        at = lifted.split(best[None], draws.capacity)[:, 0]
    return best, least


def better_of(
    allowed: RecipeSet, found: list[tuple[Array, float]], scale: float
) -> tuple[Array, float]:
    """The snapped recipe (first) with its gap, unless it left the set or is far worse."""
    (snapped, gap), plain = found
    near = gap <= max(10.0 * plain[1], SNAP_GAP * scale)
    return found[0] if near and allowed.contains(snapped, KEPT)[0] else plain


def slope_scale(reducible: Reducible, lifted: Lifted, weight: Array, at: Array) -> float:
    """Largest slope of the weighted loss at a point (n,), over the variables there are.

    A bucket outside the set may have a slope many times theirs.
    """
    unique, repeated = lifted.parts(at[:, None])
    slope_y, slope_z = reducible.slopes(weight, unique[:, 0], repeated[:, 0])
    slopes = np.where(lifted.repeated, slope_z[lifted.bucket], slope_y[lifted.bucket])
    return float(np.abs(slopes[lifted.share.any(axis=0)]).max(initial=0.0)) or 1.0


def mean_gap(objective: LossMean, lifted: Lifted, x: Array, prices: Multipliers) -> float:
    """``F'(x) x - min F'(x) x'`` over the set, bounded by duality, in units of the objective."""
    slope = objective.at(x, *lifted.parts(x)).gradient
    gap = (slope * x).sum(axis=0) - lower_bound(lifted, slope, prices)
    return max(float(gap[0]), 0.0)
