"""Draws and a recipe set -> the recipes that are as good as the best one: ranges and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.membership import Membership, membership
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean, estimate_probability
from bayes_infolaw.decisions.ranges import RangeSearch
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.spread import spread_out
from bayes_infolaw.errors import InputError
from bayes_infolaw.threads import one_blas_thread

__all__ = ["EquivalentRecipe", "EquivalentSet", "EquivalentSettings", "equivalent_set"]

Array = np.ndarray

UNUSED = 1e-12  # shares below it are rounding; a bucket without tokens must get none
OUTSIDE = 1e-6  # by which a member may break a constraint: rounding of solvers


@dataclass(frozen=True)
class EquivalentSettings:
    """What counts as equivalent, and how much of it is shown."""

    epsilon: float = 0.001  # of the best recipe's loss
    prob: float = 0.9
    examples: int = 5
    lines: int = 200  # random lines from the best recipe, as a check of the ranges
    seed: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.epsilon) and self.epsilon >= 0):
            raise InputError(f"epsilon: must be a number >= 0, got {self.epsilon!r}")
        if not 0 < self.prob <= 1:
            raise InputError(f"prob: must lie in (0, 1], got {self.prob!r}")
        for name in ("examples", "lines"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: must be a whole number >= 1, got {value!r}")


@dataclass(frozen=True)
class EquivalentRecipe:
    """One of the equivalent recipes."""

    recipe: dict[str, float]
    repetition: dict[str, float]  # mean epochs, 0 where unused
    loss_gap: Estimate  # expected loss minus that of the best recipe
    probability: Estimate  # of losing at most epsilon

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "recipe": self.recipe,
            "repetition": self.repetition,
            "loss_gap": self.loss_gap.to_dict(),
            "probability": self.probability.to_dict(),
        }


@dataclass(frozen=True)
class EquivalentSet:
    """``{w in the set: P(L(w) <= (1 + epsilon) L(best)) >= prob}``, from the inside.

    Every end of a range is the share of a recipe that was found to be equivalent: the true range
    contains it. A share beyond it can only be missed by more than `range_gap` where the equivalent
    recipes are not convex.
    """

    epsilon: float
    prob: float
    best: dict[str, float]
    ranges: dict[str, tuple[float, float]]  # least and largest share of each bucket
    range_gap: float  # largest distance of an end from the bound found for it
    fraction: Estimate  # of random recipes of the set that are equivalent
    examples: tuple[EquivalentRecipe, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "epsilon": self.epsilon,
            "prob": self.prob,
            "best": self.best,
            "ranges": {name: {"lo": lo, "hi": hi} for name, (lo, hi) in self.ranges.items()},
            "range_gap": self.range_gap,
            "fraction": self.fraction.to_dict(),
            "examples": [example.to_dict() for example in self.examples],
        }


@one_blas_thread
def equivalent_set(
    draws: TargetDraws,
    allowed: RecipeSet,
    *,
    best: Array | None = None,
    settings: EquivalentSettings | None = None,
) -> EquivalentSet:
    """Recipes of the set that lose at most epsilon of the best one's loss, at probability `prob`.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
        Not convex: its convex pieces are searched one by one.
    best : array of shape (D,), optional
        The recipe to be equivalent to; by default that of least expected loss over the set.
    settings : EquivalentSettings, optional

    Returns
    -------
    EquivalentSet
        Both losses are under the same draw, so that the best recipe itself always belongs. Ranges
        come from a search in both directions of every bucket and from random lines; examples are
        the farthest from the best recipe and from each other among all recipes found.

    Raises
    ------
    InputError
        A set of another target than the draws', or a best recipe outside it.
    """
    asked = settings or EquivalentSettings()
    allowed.require_matching(draws)
    best = least_mean(draws, allowed).recipe if best is None else _member(allowed, best)
    members = membership(draws, best, asked.epsilon, asked.prob)
    random = allowed.random(asked.lines, asked.seed)
    found, gaps = [best[None]], [0.0]
    for piece, start in _starts(draws, allowed, members, best):
        recipes, gap = _search(members, piece, start, random)
        found.append(recipes)
        gaps.append(gap)
    recipes = np.concatenate(found)
    recipes = np.where(recipes < UNUSED, 0.0, recipes)
    ends = zip(recipes.min(axis=0).tolist(), recipes.max(axis=0).tolist(), strict=True)
    shown = recipes[spread_out(recipes, asked.examples, away_from=best)]
    return EquivalentSet(
        epsilon=asked.epsilon,
        prob=asked.prob,
        best=draws.by_name(best),
        ranges=dict(zip(draws.buckets, ends, strict=True)),
        range_gap=max(gaps),
        fraction=_fraction(members.holds(random)),
        examples=tuple(_described(members, recipe, best) for recipe in shown),
    )


def _member(allowed: RecipeSet, best: Array) -> Array:
    best = np.asarray(best, dtype=float)
    if not allowed.contains(best[None], OUTSIDE)[0]:
        raise InputError(f"best: must lie in the recipe set, got {best.tolist()}")
    return best


def _starts(
    draws: TargetDraws, allowed: RecipeSet, members: Membership, best: Array
) -> list[tuple[RecipeSet, Array]]:
    """Convex pieces of the set that hold an equivalent recipe, and that recipe."""
    starts = []
    for piece in [allowed] if allowed.convex else allowed.pieces():
        inside = piece.contains(best[None], OUTSIDE)[0]
        start = best if inside else least_mean(draws, piece).recipe
        if members.holds(start[None])[0]:
            starts.append((piece, start))
    return starts


def _search(
    members: Membership, piece: RecipeSet, start: Array, random: Array
) -> tuple[Array, float]:
    """Equivalent recipes (R, D) out to the ends of every share, and the largest gap to a bound."""
    search = RangeSearch(members, piece, start)
    lines = random[piece.contains(random, OUTSIDE)]
    if len(lines):
        search.reached.extend(members.reach(start, lines))
    costs = np.concatenate([np.eye(len(start)), -np.eye(len(start))])
    ends = [search.least(cost) for cost in costs]
    return np.array(search.reached), max(end.value - end.bound for end in ends)


def _fraction(belongs: Array) -> Estimate:
    """Share of independent random recipes; its error stays positive where none or all belong.

    Agresti and Coull (1998): that of the share with two successes and two failures more.
    """
    n = len(belongs) + 4
    share = (float(belongs.sum()) + 2.0) / n
    return Estimate(float(belongs.mean()), float(np.sqrt(share * (1.0 - share) / n)))


def _described(members: Membership, recipe: Array, best: Array) -> EquivalentRecipe:
    draws, loss = members.draws, members.draws.loss(recipe)
    return EquivalentRecipe(
        recipe=draws.by_name(recipe),
        repetition=draws.by_name(draws.repetition(recipe)),
        loss_gap=estimate_mean(draws, loss - draws.loss(best)),
        probability=estimate_probability(draws, loss <= members.limit * (1.0 + 1e-12)),
    )
