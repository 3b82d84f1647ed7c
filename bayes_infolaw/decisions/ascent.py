"""Climb from a recipe to a local maximum of the expected improvement, by convex programs.

Expected improvement is not concave, but it has a certified ascent. With ``A(w)`` the draws in which
w improves on the incumbent, ``EI(w') >= sum over A(w) of weight (incumbent - loss(w'))`` for every
w', with equality at w. The right side is largest at the recipe of least mean loss over A(w): a
convex program, over any recipe set, kinks and all (`convex.least_mean`). So re-solving it for the
draws that improve never lowers EI, and ends after finitely many steps, there being finitely many
sets A, at a recipe that is the best for the very draws in which it improves. Where no draw improves
the same argument holds for the smoothed logEI of `kernel`, with every draw weighted by
``sigmoid(delta_j / t)``.
"""

from dataclasses import replace

import numpy as np
from scipy.special import log_expit

from bayes_infolaw.decisions import convex, kernel
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import TIE
from bayes_infolaw.decisions.recipe_set import RecipeSet

__all__ = ["ascend", "distinct", "guide_temperature", "home", "reweighted"]

Array = np.ndarray

BLUR = 0.05
"""Temperature of the guide over the root mean square of the differences it tells apart."""
SAME = 1e-6
"""Recipes this close in every share are one local maximum."""
STEPS = 100
"""Of one climb, at most; some ten are usual."""


def guide_temperature(differences: Array, weight: Array) -> float:
    """Temperature of the smoothed logEI: a twentieth of the differences' root mean square.

    Parameters
    ----------
    differences : (R, J)
        Incumbent's loss minus that of some recipes spread over the set.
    weight : (J,)
    """
    finite = np.where(np.isfinite(differences), differences, 0.0)
    spread = float(np.sqrt((finite**2 @ weight).mean()))
    return BLUR * spread if spread > 0 else 1.0  # all alike: any temperature tells as little


def ascend(
    draws: TargetDraws, allowed: RecipeSet, losses: Array, start: Array, temperature: float
) -> tuple[Array, float]:
    """Climb from a recipe to a local maximum of the exact expected improvement.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    losses : (J,)
        Of the incumbent, under the same draws.
    start : (D,)
        Any recipe; it need not lie in the set.
    temperature : float
        Of the guide where no draw improves, loss unit.

    Returns
    -------
    (D,) and its EI; never below the EI of a start that lies in the set.
    """
    best, reached = np.asarray(start, dtype=float), (-np.inf, -np.inf)
    if not allowed.contains(best[None])[0]:
        best = _follow(draws, allowed, losses, best, temperature)
    recipe = best
    for _ in range(STEPS):
        height = _height(draws, losses, recipe, temperature)
        if not _higher(height, reached):
            break
        best, reached = recipe, height
        recipe = _follow(draws, allowed, losses, best, temperature)
    return best, reached[0]


def home(allowed: RecipeSet, recipe: Array) -> RecipeSet:
    """The first convex piece that a recipe (D,) lies in; the set itself if it is in none.

    A climb within one piece costs a program a step, over all pieces one for each of them.
    """
    if allowed.convex:
        return allowed
    return next((piece for piece in allowed.pieces() if piece.contains(recipe)[0]), allowed)


def reweighted(draws: TargetDraws, factor: Array) -> TargetDraws:
    """The draws whose weight times a factor (J,) is not negligible, with that weight."""
    kept = np.flatnonzero(factor > TIE * factor.max())
    some = draws.take(kept)
    weight = some.weight * factor[kept]
    return replace(some, weight=weight / weight.sum())


def distinct(climbs: list[tuple[Array, float]]) -> tuple[Array, Array]:
    """Local maxima without repeats, the highest first."""
    kept: list[tuple[Array, float]] = []
    for recipe, value in sorted(climbs, key=lambda climb: -climb[1]):
        if all(np.abs(recipe - other).max() > SAME for other, _ in kept):
            kept.append((recipe, value))
    return np.array([recipe for recipe, _ in kept]), np.array([value for _, value in kept])


def _height(
    draws: TargetDraws, losses: Array, recipe: Array, temperature: float
) -> tuple[float, float]:
    """EI, and the guide where that is 0."""
    value = float(draws.mean(np.maximum(_differences(draws, losses, recipe), 0.0)))
    if value > 0:
        return value, 0.0
    guide = kernel.log_expected_improvement(draws, recipe[None], losses, temperature)
    return 0.0, float(guide[0])


def _differences(draws: TargetDraws, losses: Array, recipe: Array) -> Array:
    """Incumbent's loss minus the recipe's, (J,); what rounding can make is 0."""
    delta = losses - draws.loss(recipe)
    return np.where(np.abs(delta) > TIE * np.abs(losses), delta, 0.0)


def _higher(height: tuple[float, float], than: tuple[float, float]) -> bool:
    """More EI by more than rounding; between recipes without any, more of the guide."""
    if height[0] > 0 or than[0] > 0:
        return height[0] > than[0] * (1.0 + TIE)
    return height[1] > than[1] + TIE * abs(than[1]) if np.isfinite(than[1]) else True


def _follow(
    draws: TargetDraws, allowed: RecipeSet, losses: Array, recipe: Array, temperature: float
) -> Array:
    """The recipe of least mean loss over the draws that improve (or, none, by their pull)."""
    delta = _differences(draws, losses, recipe)
    pull = np.where(delta > 0, 1.0, 0.0)
    if not pull.any():
        log_pull = log_expit(np.where(np.isfinite(delta), delta, -np.inf) / temperature)
        top = log_pull.max()
        pull = np.exp(log_pull - top) if np.isfinite(top) else np.ones_like(delta)
    return convex.least_mean(reweighted(draws, pull), allowed).recipe
