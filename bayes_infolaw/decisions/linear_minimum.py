"""The cheapest recipe of a convex set for a linear cost."""

import numpy as np

from bayes_infolaw.decisions.dual_bound import lower_bound, multipliers_of
from bayes_infolaw.decisions.feasibility import nearest_to_reference
from bayes_infolaw.decisions.interior_point import solve_program
from bayes_infolaw.decisions.lifted import Lifted, solve_linear
from bayes_infolaw.decisions.objectives import LinearObjective
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.recipes.certificate import GAP_TOLERANCE, require_gap

__all__ = ["cheapest"]

Array = np.ndarray


def cheapest(lifted: Lifted, cost: Array) -> Array:
    """Recipe (D,) of least ``cost . w``: a vertex, or on the divergence's bound.

    Raises
    ------
    CertificateError
        With a divergence: the gap is not below 1e-8 of the largest cost.
    """
    lifted_cost = lifted.share.T @ cost
    scale = float(np.abs(lifted_cost).max(initial=0.0))
    if len(lifted_cost) == 0:
        return lifted.fixed.copy()
    if lifted.kl_max is None:
        x = solve_linear(lifted, lifted_cost)
        return _tidy(lifted.recipes(x[:, None])[:, 0])
    if scale <= 0:
        return _tidy(lifted.recipes(nearest_to_reference(lifted)[0][:, None])[:, 0])
    unit = lifted_cost / scale
    program, gap = SetProgram(lifted, LinearObjective(unit)), np.array([np.inf])
    for cautious in (False, True):
        point = solve_program(program, lifted.centre[:, None], cautious=cautious)
        gap = unit @ point.x - lower_bound(lifted, unit[:, None], multipliers_of(point, lifted))
        if gap[0] < GAP_TOLERANCE:
            break
    require_gap(gap, "linear minimum")
    return _tidy(lifted.recipes(point.x)[:, 0])


def _tidy(recipe: Array) -> Array:
    recipe = np.maximum(recipe, 0.0)
    return recipe / recipe.sum()
