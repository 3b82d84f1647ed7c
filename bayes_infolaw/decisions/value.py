"""Draws and a recipe set -> what perfect information is worth, and how sure a choice is.

Everything is an expectation over joint draws: two recipes, or a recipe and the draw's own best, are
always taken under the same draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import TIE, loss_matrix, regret
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean, estimate_probability
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError
from bayes_infolaw.threads import one_blas_thread

__all__ = [
    "Better",
    "PerfectInformation",
    "Thompson",
    "expected_regret",
    "held_out_losses",
    "least_possible",
    "perfect_information",
    "probability_best",
    "probability_better",
    "thompson",
]

Array = np.ndarray


@dataclass(frozen=True)
class PerfectInformation:
    """What is left to gain from knowing the law exactly, in the loss unit."""

    recipe: dict[str, float]  # of least expected loss, or the one that was asked about
    expected_loss: Estimate
    evpi: Estimate  # mean over draws of L(recipe) - min_w L(w)
    evpi_relative: float  # over the expected loss
    held_out: Estimate | None  # recipes of each half of the draws, regrets of the other half
    certified: float  # mean over draws by which min_w L(w) may still be lower

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "recipe": self.recipe,
            "expected_loss": self.expected_loss.to_dict(),
            "evpi": self.evpi.to_dict(),
            "evpi_relative": self.evpi_relative,
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
            "certified": self.certified,
        }


@dataclass(frozen=True)
class Better:
    """Whether one recipe has the lower loss; a tie counts half."""

    p_better: float  # P(L(a) < L(b)) + P(tie) / 2
    p_tie: float
    se: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain floats and None."""
        return {"p_better": self.p_better, "p_tie": self.p_tie, "se": self.se}


@dataclass(frozen=True)
class Thompson:
    """Recipes by Thompson sampling: each is the optimum of one draw, drawn by its weight."""

    recipes: Array  # (n, D)
    draws: Array  # (n,) positions of the draws, with replacement
    expected_excess: Array  # (n,) mean loss over all draws, above the least expected loss

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "recipes": self.recipes.tolist(),
            "draws": self.draws.tolist(),
            "expected_excess": self.expected_excess.tolist(),
        }


@one_blas_thread
def perfect_information(
    draws: TargetDraws,
    allowed: RecipeSet,
    *,
    recipe: Array | None = None,
    optima: DrawOptima | None = None,
    held_out: bool = True,
) -> PerfectInformation:
    """Expected value of perfect information, ``E[L(w) - min_v L(v)]``.

    For the recipe of least expected loss it is what any study, however large, could still gain on
    average: the stopping rule. For any other recipe it is its expected regret, which is larger.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
        Over which v runs, and the recipe where it is not given.
    recipe : array of shape (D,), optional
        By default that of least expected loss.
    optima : DrawOptima, optional
        Of the same draws and set, where they are known already.
    held_out : bool
        Also choose on one half of the draws and report on the other, both ways: the plain number
        is a little low, its recipe having been chosen on the draws that judge it. Not where the
        recipe is given.
    """
    allowed.require_matching(draws)
    optima = draw_optima(draws, allowed) if optima is None else optima
    chosen = least_mean(draws, allowed).recipe if recipe is None else np.asarray(recipe, float)
    loss = draws.loss(chosen)
    expected, gained = estimate_mean(draws, loss), estimate_mean(draws, regret(loss, optima.loss))
    names = zip(draws.buckets, chosen.tolist(), strict=True)
    other = held_out_losses(draws, allowed) if held_out and recipe is None else None
    return PerfectInformation(
        recipe=dict(names),
        expected_loss=expected,
        evpi=gained,
        evpi_relative=gained.value / expected.value,
        held_out=None if other is None else estimate_mean(draws, regret(other, optima.loss)),
        certified=float(draws.mean(optima.loss - least_possible(draws, optima))),
    )


def held_out_losses(
    draws: TargetDraws,
    allowed: RecipeSet,
    choose: Callable[[TargetDraws, RecipeSet], Array] | None = None,
) -> Array | None:
    """Loss of every draw at the recipe that the half without it chose, (J,).

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    choose : function of draws and set to recipe (D,), optional
        By default the recipe of least expected loss.

    Returns
    -------
    array of shape (J,), or None where a form has a single draw, which makes no two halves.
    """
    if np.bincount(draws.form, minlength=len(draws.forms)).min() < 2:
        return None
    losses = np.empty(len(draws))
    for mine, half in zip(draws.half_positions(), draws.halves()[::-1], strict=True):
        recipe = least_mean(half, allowed).recipe if choose is None else choose(half, allowed)
        losses[mine] = draws.take(mine).loss(recipe)
    return losses


def least_possible(draws: TargetDraws, optima: DrawOptima) -> Array:
    """Loss that no recipe of the set goes below in each draw, by its certificate, (J,)."""
    reducible = optima.loss - draws.irreducible
    return draws.irreducible + reducible * (1.0 + optima.relative_gap) ** -draws.beta


def expected_regret(draws: TargetDraws, recipe: Array, optima: DrawOptima) -> Estimate:
    """``E[L(recipe) - min_w L(w)]`` over the set of the optima; negative only outside that set."""
    return estimate_mean(draws, regret(draws.loss(np.asarray(recipe, dtype=float)), optima.loss))


def probability_better(draws: TargetDraws, a: Array, b: Array) -> Better:
    """Probability that recipe a has a lower loss than b under the same draw; ties count half."""
    loss_a, loss_b = loss_matrix(draws, np.stack([a, b]))
    tie = _tied(loss_a, loss_b)
    won = estimate_probability(draws, np.where(tie, 0.5, loss_a < loss_b))
    return Better(won.value, float(draws.mean(tie)), won.se)


@one_blas_thread
def probability_best(draws: TargetDraws, recipes: Array) -> list[Estimate]:
    """Probability of each recipe (R, D) to have the least loss of all; ties share equally.

    The probabilities sum to one. Holds R x J losses.
    """
    if len(recipes) == 0:
        raise InputError("recipes: at least one is needed, got none")
    loss = loss_matrix(draws, recipes)
    best = _tied(loss, loss.min(axis=0))
    share = best / best.sum(axis=0)
    return [estimate_probability(draws, row) for row in share]


def _tied(first: Array, second: Array) -> Array:
    """Whether losses are equal up to rounding; two infinite ones are."""
    return np.isclose(first, second, rtol=TIE, atol=0.0)


@one_blas_thread
def thompson(
    draws: TargetDraws,
    allowed: RecipeSet,
    n: int,
    *,
    seed: int,
    optima: DrawOptima | None = None,
) -> Thompson:
    """Draw n recipes, each best with its posterior probability of being so.

    Only the draws that come up are solved, unless their optima are given.

    Raises
    ------
    InputError
        ``n`` is not a positive whole number.
    """
    if not isinstance(n, int) or n < 1:
        raise InputError(f"n: must be a whole number >= 1, got {n!r}")
    rng = np.random.default_rng(seed)
    at = rng.choice(len(draws), size=n, p=draws.weight)
    if optima is None:
        distinct, back = np.unique(at, return_inverse=True)
        recipes = draw_optima(draws.take(distinct), allowed).recipes[back]
    else:
        recipes = optima.recipes[at]
    least = least_mean(draws, allowed).value
    return Thompson(recipes, at, loss_matrix(draws, recipes) @ draws.weight - least)
