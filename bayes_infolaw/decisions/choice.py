"""A question -> the recipe that its objective chooses, and what draws that did not choose say."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.convex import DrawOptima, least_cvar
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.improvement import best_improvement
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean, estimate_quantile
from bayes_infolaw.decisions.question import Question
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.risk import estimate_cvar, least_quantile
from bayes_infolaw.decisions.starts import Search
from bayes_infolaw.decisions.value import held_out_losses, thompson

__all__ = ["Choice", "Known", "choose"]

Array = np.ndarray

IN_SAMPLE = "all draws, which also chose the recipe"


@dataclass(frozen=True)
class Known:
    """What has been worked out of the draws and the set, whatever is asked."""

    optima: DrawOptima
    best: Array  # (D,) the recipe of least expected loss
    held_out: Array | None  # (J,) losses of such recipes, each chosen by the half without the draw


@dataclass(frozen=True)
class Choice:
    """A recipe and the value of its objective, in the loss unit."""

    recipe: Array  # (D,)
    value: Estimate
    reported_on: str  # the draws that the value is over
    held_out: Estimate | None  # over draws that did not choose; None where there are no halves


def choose(draws: TargetDraws, allowed: RecipeSet, asked: Question, known: Known) -> Choice:
    """The recipe of the objective.

    Raises
    ------
    InputError
        Expected improvement where a form has fewer than two draws.
    """
    if asked.objective == "ei":
        return _most_improved(draws, allowed, asked)
    if asked.objective == "thompson":
        return _thompson(draws, allowed, asked, known)
    if asked.objective == "quantile":
        return _least_quantile(draws, allowed, asked, known)
    if asked.objective == "cvar":
        return _least_cvar(draws, allowed, asked)
    value = estimate_mean(draws, draws.loss(known.best))
    told = None if known.held_out is None else estimate_mean(draws, known.held_out)
    return Choice(known.best, value, IN_SAMPLE, told)


def _most_improved(draws: TargetDraws, allowed: RecipeSet, asked: Question) -> Choice:
    assert asked.current is not None  # Question refuses it
    found = best_improvement(draws, allowed, asked.current, Search(seed=asked.seed))
    recipe = np.array([found.recipe[name] for name in draws.buckets])
    told = found.expected_improvement
    return Choice(recipe, told, "the half of the draws that did not choose", told)


def _thompson(draws: TargetDraws, allowed: RecipeSet, asked: Question, known: Known) -> Choice:
    """The optimum of one draw, valued by all the others."""
    drawn = thompson(draws, allowed, 1, seed=asked.seed, optima=known.optima)
    recipe = drawn.recipes[0]
    others = np.delete(np.arange(len(draws)), drawn.draws[0])
    if not others.size:
        return Choice(recipe, estimate_mean(draws, draws.loss(recipe)), IN_SAMPLE, None)
    rest = draws.take_by_form(others)
    told = estimate_mean(rest, rest.loss(recipe))
    return Choice(recipe, told, "all draws but the one whose optimum it is", told)


def _least_quantile(
    draws: TargetDraws, allowed: RecipeSet, asked: Question, known: Known
) -> Choice:
    level = _level(asked)

    def chosen(half: TargetDraws, allowed: RecipeSet) -> Array:
        return least_quantile(half, allowed, level, seed=asked.seed).recipe

    least = least_quantile(draws, allowed, level, optima=known.optima, seed=asked.seed)
    losses = held_out_losses(draws, allowed, chosen)
    told = None if losses is None else estimate_quantile(draws, losses, level)
    return Choice(least.recipe, least.quantile, IN_SAMPLE, told)


def _least_cvar(draws: TargetDraws, allowed: RecipeSet, asked: Question) -> Choice:
    tail = 1.0 - _level(asked)

    def chosen(some: TargetDraws, allowed: RecipeSet) -> Array:
        return least_cvar(some, allowed, tail).recipe

    recipe = chosen(draws, allowed)
    losses = held_out_losses(draws, allowed, chosen)
    told = None if losses is None else estimate_cvar(draws, losses, tail)
    return Choice(recipe, estimate_cvar(draws, draws.loss(recipe), tail), IN_SAMPLE, told)


def _level(asked: Question) -> float:
    assert asked.used_level is not None  # both objectives have one
    return asked.used_level
