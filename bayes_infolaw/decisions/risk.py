"""Draws and a recipe set -> tails of a recipe's loss, and the recipe of the least quantile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_cvar, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import gain_for, gain_matrix, loss_matrix
from bayes_infolaw.decisions.monte_carlo import (
    Estimate,
    estimate_mean,
    estimate_quantile,
    inverse_cdf,
)
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.spread import spread_out
from bayes_infolaw.decisions.value import least_possible
from bayes_infolaw.errors import require_probability
from bayes_infolaw.threads import one_blas_thread

__all__ = ["QuantileOptimum", "estimate_cvar", "least_quantile", "loss_cvar", "loss_quantile"]

Array = np.ndarray

DIRECTIONS = 32  # members of the set that a search may move towards
STARTS = 4
SMALLEST_STEP = 1e-5  # of the way to another member, or a share moved between two buckets
IMPROVED = 1e-9  # relative: less is not worth another step


@dataclass(frozen=True)
class QuantileOptimum:
    """The recipe found to have the least quantile of the loss: a local search, and a bound."""

    recipe: Array  # (D,)
    quantile: Estimate
    prob: float
    lower_bound: float  # no recipe of the set has a lower quantile
    starts: int

    @property
    def relative_gap(self) -> float:
        """No recipe has a quantile below (1 - gap) times this one."""
        return max(1.0 - self.lower_bound / self.quantile.value, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "recipe": self.recipe.tolist(),
            "quantile": self.quantile.to_dict(),
            "prob": self.prob,
            "lower_bound": self.lower_bound,
            "relative_gap": self.relative_gap,
            "starts": self.starts,
        }


def loss_quantile(draws: TargetDraws, recipe: Array, prob: float) -> Estimate:
    """The least loss that the recipe stays at or below with probability `prob`."""
    require_probability("prob", prob)
    return estimate_quantile(draws, draws.loss(np.asarray(recipe, dtype=float)), prob)


def loss_cvar(draws: TargetDraws, recipe: Array, tail: float) -> Estimate:
    """Mean loss of the recipe over its worst draws of total probability `tail`.

    ``min_t t + E[max(L - t, 0)] / tail`` (Rockafellar, Uryasev 2000), exact where a draw's weight
    straddles the tail's edge. Its error is that of the mean at the minimising t.
    """
    require_probability("tail", tail)
    return estimate_cvar(draws, draws.loss(np.asarray(recipe, dtype=float)), tail)


def estimate_cvar(draws: TargetDraws, loss: Array, tail: float) -> Estimate:
    """`loss_cvar` of given losses (J,)."""
    edge = inverse_cdf(draws, loss, 1.0 - tail)
    return estimate_mean(draws, edge + np.maximum(loss - edge, 0.0) / tail)


@one_blas_thread
def least_quantile(
    draws: TargetDraws,
    allowed: RecipeSet,
    prob: float,
    *,
    optima: DrawOptima | None = None,
    seed: int = 0,
) -> QuantileOptimum:
    """The recipe whose loss has the least quantile at `prob`.

    Not a convex program: a direct search on the exact quantile from the four best of the recipes of
    least mean and least CVaR, draws' own optima and random members. It moves towards other members
    of the set, which a convex set allows, and shifts shares between two buckets. How far the
    result may be from the least is bounded: every draw's loss is at least its own minimum, so no
    recipe has a quantile below that of those minima.

    Raises
    ------
    InputError
        ``prob`` outside (0, 1), or a set of another target than the draws'.
    """
    require_probability("prob", prob)
    allowed.require_matching(draws)
    optima = draw_optima(draws, allowed) if optima is None else optima
    members = _members(draws, allowed, prob, optima, seed)
    quantiles = inverse_cdf(draws, loss_matrix(draws, members), prob)
    starts = members[np.argsort(quantiles, kind="stable")[:STARTS]]
    search = _Search(draws, allowed, prob, members)
    found = [search.descend(start) for start in starts]
    recipe = min(found, key=lambda pair: pair[1])[0]
    return QuantileOptimum(
        recipe=recipe,
        quantile=loss_quantile(draws, recipe, prob),
        prob=prob,
        lower_bound=float(inverse_cdf(draws, least_possible(draws, optima), prob)),
        starts=len(starts),
    )


def _members(
    draws: TargetDraws, allowed: RecipeSet, prob: float, optima: DrawOptima, seed: int
) -> Array:
    """Members of the set to start from and to move towards."""
    fixed = [least_mean(draws, allowed).recipe, least_cvar(draws, allowed, 1.0 - prob).recipe]
    corners = [allowed.linear_minimum(-unit)[0] for unit in np.eye(len(draws.buckets))]
    own = optima.recipes[spread_out(optima.recipes, DIRECTIONS // 2, away_from=fixed[0])]
    return np.concatenate([fixed, corners, own, allowed.random(DIRECTIONS // 2, seed)])


class _Search:
    """Descent of one quantile over one set."""

    def __init__(self, draws: TargetDraws, allowed: RecipeSet, prob: float, members: Array) -> None:
        self.draws, self.allowed, self.prob, self.members = draws, allowed, prob, members
        units = np.eye(len(draws.buckets))
        pairs = (units[:, None] - units[None]).reshape(-1, len(units))
        self.shifts = pairs[pairs.any(axis=1)]

    def descend(self, recipe: Array) -> tuple[Array, float]:
        """Take the best move as long as there is one; halve the steps where there is none.

        A recipe has a lower quantile than v where its loss is below v with the probability asked
        for: a comparison of gains, and the best move is the one that is below most often.
        """
        value, step = self.quantile(recipe), 0.5
        while step > SMALLEST_STEP:
            moved = self.moves(recipe, step)
            below = gain_matrix(self.draws, moved) >= gain_for(self.draws, value * (1.0 - IMPROVED))
            probability = self.draws.mean(below.astype(float))
            best = int(probability.argmax())
            if probability[best] >= self.prob:
                recipe, value = moved[best], self.quantile(moved[best])
            else:
                step /= 2.0
        return recipe, value

    def moves(self, recipe: Array, step: float) -> Array:
        """Recipes of the set one step away, the recipe itself among them."""
        towards = recipe + step * (self.members - recipe)
        shifted = recipe + step * self.shifts
        shifted = shifted[(shifted >= 0).all(axis=1)]
        if self.allowed.convex:
            inside = shifted[self.allowed.contains(shifted, 1e-12)]
            return np.concatenate([recipe[None], towards, inside])
        tried = np.concatenate([towards, shifted])
        return np.concatenate([recipe[None], tried[self.allowed.contains(tried, 1e-12)]])

    def quantile(self, recipe: Array) -> float:
        """Quantile of one recipe's loss."""
        return float(inverse_cdf(self.draws, self.draws.loss(recipe), self.prob))
