"""The recipe of least weighted mean loss in a convex set, certified by duality."""

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.dual_bound import Multipliers, lower_bound, multipliers_of
from bayes_infolaw.decisions.interior_point import solve_program
from bayes_infolaw.decisions.lifted import Lifted
from bayes_infolaw.decisions.objectives import LossMean, Reducible
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.decisions.snap import feasible_points, snapped_points

__all__ = ["mean_gap", "mean_optimum", "slope_scale"]

Array = np.ndarray


def mean_optimum(draws: TargetDraws, lifted: Lifted) -> tuple[Array, float]:
    """Recipe (D,) of least mean loss, and how much lower (loss unit) the set's least may be."""
    if len(lifted.lower) == 0:
        return lifted.fixed.copy(), 0.0
    reducible = Reducible(draws, lifted)
    scale = slope_scale(reducible, lifted, draws.weight)
    objective = LossMean(reducible, draws.weight, scale)
    point = solve_program(SetProgram(lifted, objective), lifted.centre[:, None])
    prices = multipliers_of(point, lifted)
    found = [
        (x, scale * mean_gap(objective, lifted, x, prices))
        for x in (snapped_points(lifted, point), feasible_points(lifted, point))
    ]
    (snapped, gap), (plain, plain_gap) = found
    keep = gap <= max(10.0 * plain_gap, 1e-9 * scale)
    x, gap = (snapped, gap) if keep else (plain, plain_gap)
    return lifted.recipes(x)[:, 0], gap


def slope_scale(reducible: Reducible, lifted: Lifted, weight: Array) -> float:
    """Largest slope of the weighted loss at the set's centre."""
    unique, repeated = lifted.parts(lifted.centre[:, None])
    slopes = reducible.slopes(weight, unique[:, 0], repeated[:, 0])
    return float(np.abs(slopes).max())


def mean_gap(objective: LossMean, lifted: Lifted, x: Array, prices: Multipliers) -> float:
    """``F'(x) x - min F'(x) x'`` over the set, bounded by duality, in units of the objective."""
    slope = objective.at(x, *lifted.parts(x)).gradient
    gap = (slope * x).sum(axis=0) - lower_bound(lifted, slope, prices)
    return max(float(gap[0]), 0.0)
