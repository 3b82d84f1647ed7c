"""Certified global optima over a recipe set: of every draw, of the mean loss, and of its CVaR.

Over a non-convex set each is the best over the convex pieces. The optimum of the set without its
non-convex constraints bounds every piece from one side, by convexity, so that few are solved.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.lifted import Lifted, solve_linear
from bayes_infolaw.decisions.mean_optimum import mean_optimum
from bayes_infolaw.decisions.objectives import Reducible
from bayes_infolaw.decisions.per_draw import (
    convex_draw_optima,
    own_gain,
    part_slopes,
    require_informative,
)
from bayes_infolaw.decisions.pieces import relaxed
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.tail_optimum import cvar, tail_optimum
from bayes_infolaw.errors import InputError
from bayes_infolaw.recipes.certificate import CertificateError, require_gap

__all__ = ["DrawOptima", "Optimum", "draw_optima", "least_cvar", "least_mean"]

Array = np.ndarray
FEASIBLE = 1e-9
"""Largest violation of a constraint by an optimum (see `violation`)."""


@dataclass(frozen=True)
class Optimum:
    """The recipe of least mean loss, or of least CVaR."""

    recipe: Array  # (D,) shares of the packed tokens
    value: float  # mean loss or CVaR, loss unit, noise-free
    relative_gap: float  # no recipe of the set has less than (1 - gap) times the value


@dataclass(frozen=True)
class DrawOptima:
    """The best recipe of each of J draws."""

    recipes: Array  # (J, D) shares of the packed tokens
    loss: Array  # (J,) of each draw at its own recipe, loss unit, noise-free
    relative_gap: Array  # (J,) no recipe has more than (1 + gap) times this draw's information


Solved = tuple[Array, float, Array]  # recipe, absolute gap, weights of the draws


def least_mean(draws: TargetDraws, allowed: RecipeSet) -> Optimum:
    """The recipe of least weighted mean loss over a set.

    Raises
    ------
    InputError
        A set of another target than the draws'.
    InfeasibleError
        The set is empty (naming the constraints that clash), or no recipe is informative.
    CertificateError
        The relative gap is not below 1e-8.
    """
    allowed.require_matching(draws)

    def solve(piece: RecipeSet) -> Solved:
        return *mean_optimum(draws, piece), draws.weight

    def value(recipe: Array) -> float:
        return float(draws.mean(draws.loss(recipe)))

    return _least(draws, allowed, solve, value)


def least_cvar(draws: TargetDraws, allowed: RecipeSet, tail: float) -> Optimum:
    """The recipe of least mean loss over the worst ``tail`` of the draws (0 < tail <= 1).

    Raises
    ------
    InputError
        A tail out of range, or a set of another target than the draws'.
    InfeasibleError
        The set is empty; naming the constraints that clash.
    CertificateError
        The relative gap is not below 1e-8.
    """
    if not 0 < tail <= 1:
        raise InputError(f"tail must lie in (0, 1], got {tail!r}")
    allowed.require_matching(draws)
    if tail > 1.0 - 1e-12:
        return least_mean(draws, allowed)

    def value(recipe: Array) -> float:
        return cvar(draws.loss(recipe), draws.weight, tail)

    return _least(draws, allowed, lambda piece: tail_optimum(draws, piece, tail), value)


def _least(
    draws: TargetDraws,
    allowed: RecipeSet,
    solve: Callable[[RecipeSet], Solved],
    value: Callable[[Array], float],
) -> Optimum:
    require_informative(draws, allowed)
    if allowed.convex:
        recipe, gap, _ = solve(allowed)
        return _certified(allowed, recipe, value(recipe), gap)
    pieces = list(allowed.pieces())
    if not pieces:
        allowed.require_feasible()
    root = solve(relaxed(allowed))
    bounds = np.array([_piece_bound(draws, piece.lifted, root) for piece in pieces])
    best, least, lower = root[0], np.inf, np.inf
    for i in np.argsort(bounds):
        if bounds[i] >= least:
            lower = min(lower, bounds[i])
            break
        recipe, gap, _ = solve(pieces[i])
        found = value(recipe)
        lower = min(lower, found - gap)
        if found < least:
            best, least = recipe, found
    return _certified(allowed, best, least, max(least - lower, 0.0))


def _certified(allowed: RecipeSet, recipe: Array, value: float, gap: float) -> Optimum:
    relative = max(gap / value, 0.0)
    _require_inside(allowed, recipe[None])
    require_gap(np.array([relative]), "optimal recipe")
    return Optimum(recipe, value, relative)


def _require_inside(allowed: RecipeSet, recipes: Array) -> None:
    """Optima are of the set: a gap alone would also be small outside it."""
    outside = int((~allowed.contains(recipes, FEASIBLE)).sum())
    if outside:
        raise CertificateError(
            f"optimal recipe: must keep the constraints to {FEASIBLE:g}, {outside} do not"
        )


def _piece_bound(draws: TargetDraws, lifted: Lifted, root: Solved) -> float:
    """A number that neither the mean nor the CVaR falls below on a piece.

    The mean loss under the root's weights, linear from the root's recipe on.
    """
    recipe, _, weight = root
    unique = np.minimum(recipe, draws.capacity)
    repeated = recipe - unique
    reducible = Reducible(draws, lifted)
    slope_y, slope_z = reducible.slopes(weight, unique, repeated)
    cost = np.where(lifted.repeated, slope_z[lifted.bucket], slope_y[lifted.bucket])
    cost = np.where(lifted.share.any(axis=0), cost, 0.0)
    constant = slope_y @ (lifted.fixed_unique - unique)
    constant += slope_z @ (lifted.fixed - lifted.fixed_unique - repeated)
    least = cost @ solve_linear(lifted, cost) if len(cost) else 0.0
    return float(weight @ draws.loss(recipe) + constant + least)


def draw_optima(draws: TargetDraws, allowed: RecipeSet) -> DrawOptima:
    """The best recipe of every draw over a set: all of them certified, or an error.

    Raises
    ------
    InputError
        A set of another target than the draws'.
    InfeasibleError
        The set is empty (naming the constraints that clash), or no recipe is informative.
    CertificateError
        A draw's relative gap is not below 1e-8.
    """
    allowed.require_matching(draws)
    convex = allowed.convex
    recipes, gap = convex_draw_optima(draws, allowed if convex else relaxed(allowed))
    if not convex:
        recipes, gap = _best_of_pieces(draws, allowed, recipes, gap)
    require_gap(gap, "optimal recipes of the draws")
    _require_inside(allowed, recipes)
    loss = draws.irreducible + np.exp(
        draws.log_level - draws.beta * np.log(own_gain(draws, recipes))
    )
    return DrawOptima(recipes, loss, gap)


def _best_of_pieces(
    draws: TargetDraws, allowed: RecipeSet, root: Array, root_gap: Array
) -> tuple[Array, Array]:
    """Best over pieces, for draws whose optimum without the non-convex constraints is outside."""
    pieces = list(allowed.pieces())
    if not pieces:
        allowed.require_feasible()
    best, gap = root.copy(), root_gap.copy()
    left = np.flatnonzero(~allowed.contains(root, 1e-12))
    some = draws.take(left)
    bounds = np.array([_gain_bounds(some, piece.lifted, root[left]) for piece in pieces])
    most = np.zeros(len(left))
    for i in np.argsort(-bounds.sum(axis=1)):
        again = np.flatnonzero(bounds[i] > most)
        if again.size:
            found, its_gap = convex_draw_optima(some.take(again), pieces[i])
            gain = own_gain(some.take(again), found)
            better = gain > most[again]
            best[left[again[better]]] = found[better]
            most[again[better]] = gain[better]
            gap[left[again]] = np.where(gap[left[again]] > its_gap, gap[left[again]], its_gap)
    return best, gap


def _gain_bounds(draws: TargetDraws, lifted: Lifted, root: Array) -> Array:
    """Numbers that no draw's gain exceeds on a piece, (J,).

    Linear from each draw's own root recipe on, over the piece's bounds and sum: a knapsack that is
    filled in the order of the slopes.
    """
    slope_y, slope_z = part_slopes(draws, root)
    unique = np.minimum(root, draws.capacity)
    constant = own_gain(draws, root) + (slope_y * (lifted.fixed_unique - unique)).sum(axis=1)
    constant += (slope_z * (lifted.fixed - lifted.fixed_unique - root + unique)).sum(axis=1)
    kept = np.flatnonzero(lifted.share.any(axis=0))
    bucket = lifted.bucket[kept]
    slope = np.where(lifted.repeated[kept], slope_z[:, bucket], slope_y[:, bucket])
    low, room = lifted.lower[kept], (lifted.upper - lifted.lower)[kept]
    order = np.argsort(-slope, axis=1)
    before = np.cumsum(room[order], axis=1) - room[order]
    free = lifted.level[0] - low.sum() if len(lifted.level) else 0.0
    filled = np.clip(free - before, 0.0, room[order])
    gained = (np.take_along_axis(slope, order, axis=1) * filled).sum(axis=1)
    return constant + slope @ low + gained
