"""The recipe of least CVaR in a convex set, certified by duality.

``CVaR = min_t t + E[max(L - t, 0)] / tail`` (Rockafellar and Uryasev, J. Risk 2, 2000), the mean
loss over the worst ``tail`` of the draws, is a convex program in the recipe and t. It is also the
largest mean loss over weights ``0 <= q_j <= p_j / tail`` that sum to one, so that any such weights
bound it from below by a mean loss and its own gap.
"""

from dataclasses import replace

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.dual_bound import Multipliers, multipliers_of
from bayes_infolaw.decisions.interior_point import Iterate, solve_program
from bayes_infolaw.decisions.lifted import Lifted
from bayes_infolaw.decisions.mean_optimum import CLOSE, SNAP_GAP, better_of, mean_gap, slope_scale
from bayes_infolaw.decisions.objectives import LossMean, LossTail, Reducible
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.decisions.snap import feasible_points, snapped_points

__all__ = ["cvar", "tail_optimum"]

Array = np.ndarray


def cvar(loss: Array, weight: Array, tail: float) -> float:
    """Mean of the worst ``tail`` (a probability) of weighted losses (J,)."""
    order = np.argsort(-loss)
    before = np.cumsum(weight[order]) - weight[order]
    share = np.clip(tail - before, 0.0, weight[order])
    return float(share @ loss[order] / share.sum())


def tail_optimum(draws: TargetDraws, allowed: RecipeSet, tail: float) -> tuple[Array, float, Array]:
    """Recipe (D,) of least CVaR, how much lower the least may be, and the draws' weights (J,)."""
    lifted = allowed.lifted
    if len(lifted.lower) == 0:
        weights = _worst_weights(draws.loss(lifted.fixed), draws.weight, tail)
        return lifted.fixed.copy(), 0.0, weights
    search = _Search(draws, allowed, tail, lifted.centre)
    best = search.tried(cautious=False)
    least = cvar(draws.loss(best[0]), draws.weight, tail)
    if best[1] < min(SNAP_GAP * search.scale, CLOSE * least):
        return best
    near = lifted.split(best[0][None], draws.capacity)[:, 0]
    again = _Search(draws, allowed, tail, near).tried(cautious=True)
    return again if again[1] < best[1] else best


class _Search:
    """One program of a CVaR: the losses are taken from a middle one, over their largest slope."""

    def __init__(self, draws: TargetDraws, allowed: RecipeSet, tail: float, at: Array) -> None:
        """Scaled by the slopes at a point (n,)."""
        self.draws, self.allowed, self.tail = draws, allowed, tail
        self.lifted = lifted = allowed.lifted
        self.reducible, self.most = Reducible(draws, lifted), draws.weight / tail
        self.scale = slope_scale(self.reducible, lifted, draws.weight, at)
        at_centre = draws.loss(lifted.recipes(lifted.centre[:, None])[:, 0])
        middle = float(np.quantile(at_centre, 1.0 - tail))
        self.level = (draws.irreducible - middle) / self.scale
        # t is a loss between the least irreducible one and the worst at the centre.
        self.highest = (at_centre.max() - middle) / self.scale + 1.0

    def tried(self, cautious: bool) -> tuple[Array, float, Array]:
        """Solve, and certify by the draws' weights that the multipliers are."""
        larger = _with_level(self.lifted, self.level.min() - 1.0, self.highest)
        objective = LossTail(Reducible(self.draws, larger), self.most, self.level, self.scale)
        program = SetProgram(larger, objective)
        point = solve_program(program, larger.centre[:, None], cautious=cautious)
        weights = _feasible_weights(point.multiplier[-len(self.draws) :, 0], self.most)
        own = _without_level(point)
        ends = (snapped_points(self.lifted, own), feasible_points(self.lifted, own))
        prices = multipliers_of(own, self.lifted)
        found = [self._certified(x, weights, prices) for x in ends]
        return *better_of(self.allowed, found, self.scale), weights

    def _certified(self, x: Array, weights: Array, prices: Multipliers) -> tuple[Array, float]:
        """Recipe and gap: CVaR there less the least mean loss under the weights."""
        recipe = self.lifted.recipes(x)[:, 0]
        loss = self.draws.loss(recipe)
        mean = LossMean(self.reducible, weights, self.scale)
        below = weights @ loss - self.scale * mean_gap(mean, self.lifted, x, prices)
        return recipe, max(cvar(loss, self.draws.weight, self.tail) - float(below), 0.0)


def _with_level(lifted: Lifted, low: float, high: float) -> Lifted:
    """The set times an interval of t, the last variable."""
    columns = ((0, 0), (0, 1))
    return replace(
        lifted,
        bucket=np.append(lifted.bucket, 0),
        repeated=np.append(lifted.repeated, False),
        lower=np.append(lifted.lower, low),
        upper=np.append(lifted.upper, high),
        share=np.pad(lifted.share, columns),
        unique=np.pad(lifted.unique, columns),
        rows=np.pad(lifted.rows, columns),
        equal=np.pad(lifted.equal, columns),
        centre=np.append(lifted.centre, 0.0),
    )


def _without_level(point: Iterate) -> Iterate:
    """The iterate without t and its two bounds."""
    n = len(point.x) - 1
    hard = np.delete(np.arange(len(point.slack)), [n, 2 * n + 1])
    return Iterate(
        point.x[:n], point.slack[hard], point.over[hard], point.multiplier[hard], point.price
    )


def _feasible_weights(weights: Array, most: Array) -> Array:
    """Weights between 0 and ``most`` that sum to one, nearest to given ones in proportion."""
    weights = np.clip(np.nan_to_num(weights), 0.0, most)
    total = weights.sum()
    if total >= 1.0:
        return weights / total
    room = most - weights
    return weights + room * ((1.0 - total) / max(room.sum(), 1e-300))


def _worst_weights(loss: Array, weight: Array, tail: float) -> Array:
    order = np.argsort(-loss)
    before = np.cumsum(weight[order]) - weight[order]
    share = np.empty_like(loss)
    share[order] = np.clip(tail - before, 0.0, weight[order])
    return share / share.sum()
