"""Where to climb from: good recipes, each the best of its own part of the recipe set."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions import convex, kernel
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.spread import spread_out, variation

__all__ = [
    "Candidates",
    "Search",
    "best_of_each_part",
    "candidates",
    "least_means",
    "starts",
]

Array = np.ndarray


@dataclass(frozen=True)
class Search:
    """How widely to look."""

    parts: int = 6  # of the draws' own optima, and of the random recipes: a start from each
    screened: int = 512  # draws' own optima, and as many random recipes
    seed: int = 0  # of the random recipes


@dataclass(frozen=True)
class Candidates:
    """Good recipes of a set whatever there is to beat: worked out once for several searches."""

    own: convex.DrawOptima  # recipes (J, D) and loss (J,) of the draws' own optima
    means: Array  # (1 + F, D) of least mean loss: of all forms, then of each where there are two
    random: Array  # (n, D)

    @property
    def pools(self) -> tuple[Array, Array]:
        """Recipes by where they come from: those with a reason, and those without."""
        return np.concatenate([self.means, self.own.recipes]), self.random


def candidates(draws: TargetDraws, allowed: RecipeSet, search: Search) -> Candidates:
    """Draws' own optima, recipes of least mean loss, and random ones.

    Raises
    ------
    InfeasibleError
        The set is empty.
    """
    return Candidates(
        own=convex.draw_optima(draws, allowed),
        means=least_means(draws, allowed),
        random=allowed.random(search.screened, search.seed),
    )


def least_means(draws: TargetDraws, allowed: RecipeSet) -> Array:
    """Recipe of least mean loss of all forms, then of each where there are several, (1 + F, D)."""
    forms = [draws.of_form(name) for name in draws.forms] if len(draws.forms) > 1 else []
    return np.array([convex.least_mean(each, allowed).recipe for each in (draws, *forms)])


def starts(
    pools: tuple[Array, ...], draws: TargetDraws, losses: Array, temperature: float, search: Search
) -> Array:
    """Recipes to climb from, (n, D): the best of each part of every pool, and the best of all.

    Parameters
    ----------
    pools : tuple of (R, D)
        Recipes of the set, such as the draws' own optima and random ones; of each at most
        `Search.screened`, evenly thinned, are screened.
    losses : (J,)
        Of the incumbent.
    temperature : float
        Of the smoothed logEI, by which the best of a part is told, loss unit.
    """
    thinned = [pool[:: max(-(-len(pool) // search.screened), 1)] for pool in pools]
    together = np.concatenate(thinned)
    exact = kernel.expected_improvement(draws, together, losses)
    chosen = [together[[int(np.argmax(exact))]]]
    for pool in thinned:
        height = kernel.log_expected_improvement(draws, pool, losses, temperature)
        chosen.append(best_of_each_part(pool, height, search.parts))
    return np.unique(np.concatenate(chosen), axis=0)


def best_of_each_part(recipes: Array, height: Array, parts: int) -> Array:
    """Part recipes (R, D) round `spread_out` ones, by the nearest; the highest of each part."""
    centres = recipes[spread_out(recipes, parts)]
    nearest = variation(recipes, centres).argmin(axis=1)
    members = [np.flatnonzero(nearest == k) for k in range(len(centres))]
    return recipes[[inside[np.argmax(height[inside])] for inside in members if inside.size]]
