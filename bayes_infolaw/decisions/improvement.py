"""Draws, an incumbent and a recipe set -> the recipe of largest expected improvement.

``EI(w) = mean over draws of max(0, incumbent_j - loss_j(w))``, incumbent and candidate under the
same draw. Local maxima are climbed to by convex programs (`ascent`), the global one is sought from
many starts (`starts`) and bounded above by perfect information: ``mean of max(0, incumbent -
min_w loss)``. What is reported is the exact EI, over draws that had no part in the choice.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions import kernel
from bayes_infolaw.decisions.ascent import ascend, distinct, guide_temperature, home
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import TIE
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.starts import Candidates, Search, candidates, starts
from bayes_infolaw.errors import InputError

__all__ = [
    "Improvement",
    "Maximum",
    "best_improvement",
    "improvement_of",
    "incumbent_losses",
    "maximise",
    "perfect_improvement",
    "require_halves",
]

Array = np.ndarray


@dataclass(frozen=True)
class Maximum:
    """The largest expected improvement found, on the draws that it was sought with."""

    recipe: Array  # (D,)
    value: float  # its exact EI over these draws, loss unit: optimistic for the draws to come
    upper_bound: float  # no recipe of the set has a larger one over these draws
    temperature: float  # of the guide, loss unit
    tie: bool  # no recipe improves in any draw: the recipe is that of least mean loss
    optima: Array  # (k, D) distinct local maxima, best first
    values: Array  # (k,) their EI


@dataclass(frozen=True)
class Improvement:
    """A recipe chosen on one half of the draws for its expected improvement, told on the other."""

    recipe: dict[str, float]  # bucket name to packed share
    expected_improvement: Estimate  # exact, over the half that did not choose it; loss unit
    log_expected_improvement: float  # smoothed, over the same half: finite where EI is 0
    temperature: float  # of the smoothing, loss unit
    chosen_at: float  # exact EI over the half that chose it, which flatters it
    upper_bound: float  # perfect information, over the half that chose it
    tie: bool  # EI is 0 everywhere: the recipe is that of least mean loss
    local_maxima: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def incumbent_losses(draws: TargetDraws, incumbent: Array | float) -> Array:
    """Loss to beat in every draw, (J,): of a recipe (D,) under the same draws, or a fixed number.

    Raises
    ------
    InputError
        No recipe of the target (shape, sum, a bucket without tokens), or a loss that is not > 0.
    """
    given = np.asarray(incumbent, dtype=float)
    if given.ndim:
        draws.require_recipe("incumbent", given)
        return draws.loss(given)
    if not (np.isfinite(given) and given > 0):
        raise InputError(f"incumbent: a fixed loss must be a number > 0, got {float(given)!r}")
    return np.full(len(draws), float(given))


def improvement_of(draws: TargetDraws, recipe: Array, losses: Array) -> Estimate:
    """Exact expected improvement of one recipe (D,) on losses (J,), with its standard error."""
    return estimate_mean(draws, np.maximum(losses - draws.loss(recipe), 0.0))


def maximise(
    draws: TargetDraws,
    allowed: RecipeSet,
    losses: Array,
    search: Search | None = None,
    known: Candidates | None = None,
) -> Maximum:
    """Global maximum of the exact expected improvement over a recipe set, all draws choosing.

    Climbs (`ascend`) from the draws' own optima, spread out, those with the largest EI among them,
    the recipe of least mean loss of all forms and of each, and random recipes of the set. Where no
    recipe found improves in any draw, the answer is the recipe of least mean loss.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    losses : (J,)
        Of the incumbent, under the same draws (`incumbent_losses`).
    search : Search, optional
    known : Candidates, optional
        Of the same draws and set, if they have been worked out.

    Raises
    ------
    InputError
        A set of another target than the draws'.
    InfeasibleError
        The set is empty.
    CertificateError
        A convex program on the way was not solved to its tolerance.
    """
    allowed.require_matching(draws)
    search = search or Search()
    known = known or candidates(draws, allowed, search)
    temperature = _temperature(draws, losses, known.own.recipes)
    chosen = starts(known.pools, draws, losses, temperature, search)
    begin = np.concatenate([known.means, chosen])
    climbs = [ascend(draws, home(allowed, w), losses, w, temperature) for w in begin]
    if not allowed.convex:  # the best one may climb on in another piece
        highest = max(climbs, key=lambda climb: climb[1])[0]
        climbs.append(ascend(draws, allowed, losses, highest, temperature))
    optima, values = distinct(climbs)
    tie = bool(values[0] <= TIE * abs(draws.mean(losses)))
    bound = perfect_improvement(draws, losses, known)
    return Maximum(
        recipe=known.means[0] if tie else optima[0],
        value=0.0 if tie else float(values[0]),
        upper_bound=float(max(bound, values[0])),
        temperature=temperature,
        tie=tie,
        optima=optima,
        values=values,
    )


def perfect_improvement(draws: TargetDraws, losses: Array, known: Candidates) -> float:
    """Mean improvement if every draw had its own best recipe: above that of any choice."""
    reducible = known.own.loss - draws.irreducible
    least = draws.irreducible + reducible * (1.0 + known.own.relative_gap) ** -draws.beta
    return float(draws.mean(np.maximum(losses - least, 0.0)))


def _temperature(draws: TargetDraws, losses: Array, own: Array) -> float:
    """The guide's, from a few of the draws' own optima, which lie where it will have to tell."""
    few = own[:: len(own) // 32 + 1]
    return guide_temperature(losses - draws.loss(few), draws.weight)


def best_improvement(
    draws: TargetDraws,
    allowed: RecipeSet,
    incumbent: Array | float,
    search: Search | None = None,
) -> Improvement:
    """The recipe of largest expected improvement, chosen on half of the draws, told on the other.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    incumbent : (D,) or float
        Today's recipe, evaluated under the same draws (it need not lie in the set), or a fixed
        loss.
    search : Search, optional

    Raises
    ------
    InputError
        A bad incumbent, a set of another target, or a form with fewer than two draws.
    InfeasibleError
        The set is empty.
    """
    require_halves(draws)
    allowed.require_matching(draws)
    losses = incumbent_losses(draws, incumbent)
    here, there = draws.half_positions()
    (choosing, telling), beat = draws.halves(), losses[there]
    found = maximise(choosing, allowed, losses[here], search)
    smoothed = kernel.log_expected_improvement(telling, found.recipe[None], beat, found.temperature)
    return Improvement(
        recipe=draws.by_name(found.recipe),
        expected_improvement=improvement_of(telling, found.recipe, beat),
        log_expected_improvement=float(smoothed[0]),
        temperature=found.temperature,
        chosen_at=found.value,
        upper_bound=found.upper_bound,
        tie=found.tie,
        local_maxima=len(found.optima),
    )


def require_halves(draws: TargetDraws) -> None:
    """Refuse draws that cannot be parted: one half chooses, the other tells.

    Raises
    ------
    InputError
        A form with a single draw.
    """
    counts = np.bincount(draws.form, minlength=len(draws.forms))
    for name, count in zip(draws.forms, counts, strict=True):
        if count < 2:
            raise InputError(
                f"expected improvement needs 2 draws or more of {name!r}, got {count}: one half "
                "chooses, the other tells"
            )
