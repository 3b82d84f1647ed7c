"""Draws, an incumbent and a recipe set -> q recipes to train side by side, the best of them kept.

The value of a batch is ``EI(w_1..w_q) = mean of max(0, incumbent_j - min_k loss_j(w_k))`` under
common draws: what the best of the batch gains once the batch has told which it is. It is submodular
in the set of recipes, so that adding the best next one (greedy) reaches at least 1 - 1/e of the
best batch, as far as each next one is the global best. The joint ascent then alternates, as Lloyd's
algorithm does for k means: every draw that gains goes to the recipe of the batch that it gains most
by, and every recipe moves to the least mean loss over its draws (`convex.least_mean`). Neither half
of a round can lower the value: the joint batch is never below the greedy one.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions import convex
from bayes_infolaw.decisions.ascent import STEPS, home, reweighted
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.improvement import (
    incumbent_losses,
    maximise,
    perfect_improvement,
    require_halves,
)
from bayes_infolaw.decisions.losses import TIE
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.spread import spread_out
from bayes_infolaw.decisions.starts import Candidates, Search, candidates
from bayes_infolaw.errors import InputError

__all__ = ["Batch", "batch_improvement", "best_batch", "greedy_batch", "joint_batch"]

Array = np.ndarray

RANDOM_BATCHES = 3
"""Batches of random draws' own optima that the joint ascent starts from, beside the greedy one."""
FIRST_ROUNDS = 8
"""Of every start, of which only the best then goes on."""


@dataclass(frozen=True)
class Batch:
    """Recipes chosen together on one half of the draws, told on the other; loss unit."""

    recipes: tuple[dict[str, float], ...]  # at most q, in the order in which they add most
    expected_improvement: Estimate  # of the best of the batch, over the half that did not choose
    by_size: tuple[float, ...]  # the same of the first 1, 2, ... recipes
    chosen_at: float  # over the half that chose, which flatters it
    greedy_at: float  # of the greedy batch there: never more
    upper_bound: float  # perfect information there: no batch of any size has more

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def batch_improvement(draws: TargetDraws, recipes: Array, losses: Array) -> float:
    """Exact expected improvement of the best of a batch (q, D) on losses (J,), loss unit."""
    return float(draws.mean(_gains(draws, recipes, losses).max(axis=0)))


def greedy_batch(
    draws: TargetDraws,
    allowed: RecipeSet,
    losses: Array,
    q: int,
    known: Candidates,
    search: Search | None = None,
) -> Array:
    """Add, one by one, the recipe with the largest expected improvement on what is there.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    losses : (J,)
        Of the incumbent, under the same draws.
    q : int
        Recipes wanted.
    known : Candidates
        Of the same draws and set.
    search : Search, optional

    Returns
    -------
    (k, D) with 1 <= k <= q: fewer where no further recipe adds anything in any draw.
    """
    batch: list[Array] = []
    to_beat = losses
    while len(batch) < q:
        found = maximise(draws, allowed, to_beat, search, known)
        if found.tie and batch:
            break
        batch.append(found.recipe)
        to_beat = np.minimum(to_beat, draws.loss(found.recipe))
    return np.array(batch)


def joint_batch(
    draws: TargetDraws, allowed: RecipeSet, losses: Array, start: Array, rounds: int = STEPS
) -> Array:
    """Move all recipes of a batch (q, D) of the set until no round raises its value, (q, D).

    At most ``rounds`` of them; the value never falls.
    """
    allowed.require_matching(draws)
    best, value = start, batch_improvement(draws, start, losses)
    for _ in range(rounds):
        moved = _round(draws, allowed, losses, best)
        reached = batch_improvement(draws, moved, losses)
        if not reached > value * (1.0 + TIE):
            break
        best, value = moved, reached
    return best


def best_batch(
    draws: TargetDraws,
    allowed: RecipeSet,
    incumbent: Array | float,
    q: int,
    search: Search | None = None,
) -> Batch:
    """Several recipes for the expected improvement of their best, chosen on half of the draws.

    The best of the joint ascents from the greedy batch, from spread-out optima of the draws and
    from a few random ones.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    incumbent : (D,) or float
        As in `improvement.best_improvement`.
    q : int
        At least 1.
    search : Search, optional

    Raises
    ------
    InputError
        q below 1, a bad incumbent, a set of another target, or a form with fewer than two draws.
    InfeasibleError
        The set is empty.
    """
    if q < 1:
        raise InputError(f"q must be a number of recipes >= 1, got {q}")
    require_halves(draws)
    allowed.require_matching(draws)
    losses, search = incumbent_losses(draws, incumbent), search or Search()
    here, there = draws.half_positions()
    (choosing, telling), beat = draws.halves(), losses[here]
    known = candidates(choosing, allowed, search)
    greedy = greedy_batch(choosing, allowed, beat, q, known, search)
    joint = _best_joint(choosing, allowed, beat, _begin(choosing, greedy, known, search))
    told = _by_size(telling, joint, losses[there])
    return Batch(
        recipes=tuple(draws.by_name(one) for one in joint),
        expected_improvement=told[-1],
        by_size=tuple(estimate.value for estimate in told),
        chosen_at=batch_improvement(choosing, joint, beat),
        greedy_at=batch_improvement(choosing, greedy, beat),
        upper_bound=perfect_improvement(choosing, beat, known),
    )


def _begin(draws: TargetDraws, greedy: Array, known: Candidates, search: Search) -> list[Array]:
    """Batches of the greedy one's size to climb from, the greedy one first."""
    own, rng = known.own.recipes, np.random.default_rng(search.seed)
    random = [own[rng.choice(len(own), len(greedy), p=draws.weight)] for _ in range(RANDOM_BATCHES)]
    spread = own[spread_out(own, len(greedy))]
    return [greedy, spread, *random] if len(greedy) > 1 else [greedy]


def _best_joint(draws: TargetDraws, allowed: RecipeSet, losses: Array, begin: list[Array]) -> Array:
    """The best of the joint ascents, its recipes in the order in which they add most."""
    batches = [joint_batch(draws, allowed, losses, start, FIRST_ROUNDS) for start in begin]
    values = [batch_improvement(draws, batch, losses) for batch in batches]
    best = joint_batch(draws, allowed, losses, batches[int(np.argmax(values))])
    return best[_order(draws, _gains(draws, best, losses))]


def _order(draws: TargetDraws, gains: Array) -> list[int]:
    """Rows of gains (q, J) by what each adds to those before it."""
    order: list[int] = []
    reached = np.zeros(len(draws))
    while len(order) < len(gains):
        added = draws.mean(np.maximum(gains, reached))
        added[order] = -np.inf
        order.append(int(np.argmax(added)))
        reached = np.maximum(reached, gains[order[-1]])
    return order


def _round(draws: TargetDraws, allowed: RecipeSet, losses: Array, batch: Array) -> Array:
    """Every recipe moved to the least mean loss over the draws that gain most by it."""
    gains = _gains(draws, batch, losses)
    mine, moved = gains.argmax(axis=0), batch.copy()
    for k in range(len(batch)):
        gaining = (mine == k) & (gains[k] > TIE * np.abs(losses))
        if gaining.any():
            some = reweighted(draws, gaining.astype(float))
            moved[k] = convex.least_mean(some, home(allowed, batch[k])).recipe
    return moved


def _gains(draws: TargetDraws, recipes: Array, losses: Array) -> Array:
    """What each recipe gains in each draw, never less than 0, (q, J)."""
    return np.maximum(losses - draws.loss(recipes), 0.0)


def _by_size(draws: TargetDraws, batch: Array, losses: Array) -> list[Estimate]:
    """Expected improvement of the first recipe, of the first two, and so on."""
    best = np.maximum.accumulate(_gains(draws, batch, losses), axis=0)
    return [estimate_mean(draws, row) for row in best]
