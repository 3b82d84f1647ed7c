"""Every draw's own best recipe: the global optimum of its information, certified by duality."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.certificate import relative_gap, require_gap
from bayes_infolaw.recipes.ordered import solve_ordered
from bayes_infolaw.recipes.program import RecipeProgram, recipe_program
from bayes_infolaw.recipes.waterfill import water_fill

__all__ = ["DrawOptima", "optimal_recipes"]

Array = np.ndarray


@dataclass(frozen=True)
class DrawOptima:
    """Optimal recipe of each of J draws of the law at one target."""

    recipes: Array  # (J, D) shares of the packed tokens
    information: Array  # (J,) of each draw at its own recipe, in the target's unit
    relative_gap: Array  # (J,) no recipe has more than (1 + gap) times this information


def optimal_recipes(target: LawAtTarget, *, ordered: bool = False) -> DrawOptima:
    """Maximise information over the simplex, or over ``w_0 >= w_1 >= ...``, in every draw.

    Free recipes are water-filling in closed form; ordered ones, where the free optimum is not
    already ordered, an interior point program. Both are vectorised over draws. A bucket without
    source tokens gets no share (ordered: nor does any bucket after it).

    Parameters
    ----------
    target : LawAtTarget
        J draws of the law, D buckets, best first.
    ordered : bool
        Keep the paper's ordering ``w_0 >= w_1 >= ...`` of the packed shares.

    Returns
    -------
    DrawOptima

    Raises
    ------
    InfeasibleError
        No bucket has tokens (ordered: the best one has none).
    CertificateError
        A draw's relative duality gap is not below 1e-8.
    """
    program = recipe_program(target, ordered)
    shares, price = water_fill(program)
    gap = relative_gap(program, shares, price)
    if ordered:
        _order(program, shares, gap)
    require_gap(gap, "optimal recipe")
    information = program.scale * program.gain(shares)
    return DrawOptima(program.full_recipes(shares), information, gap)


def _order(program: RecipeProgram, shares: Array, gap: Array) -> None:
    """Replace, in place, the free optima that break the ordering."""
    broken = np.flatnonzero((np.diff(shares, axis=1) > 0).any(axis=1))
    if broken.size:
        shares[broken], gap[broken] = solve_ordered(program.take(broken), shares[broken])
