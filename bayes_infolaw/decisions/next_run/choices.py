"""Laws at the target -> a finite set of recipes to decide between, and each one's loss by draw.

With the recipes fixed, re-solving the decision after an outcome is a matrix product and a minimum,
exact over the set; `evpi_kept` says how much of what a free choice could gain the set can gain.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial import cKDTree

from bayes_infolaw.decisions.convex import draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.threads import one_blas_thread

__all__ = ["Choices", "recipe_choices"]

Array = np.ndarray
CLASSES = 32
FLAT = 0.01  # share of the variance below which a second direction of loss differences is left out


@dataclass(frozen=True)
class Choices:
    """R recipes, by how much each beats today's choice under every draw, and classes of draws."""

    recipes: Array  # (R, D), today's choice first
    gain: Array  # (J, R) loss of the first recipe minus the recipe's own, loss unit
    member: Array  # (J,) int: draws with alike loss differences are of one class
    expected_loss: float  # of the first recipe, loss unit
    evpi: float  # loss unit: mean gain of each draw's own best recipe in the set
    evpi_free: float  # the same over all recipes, or all that are allowed

    @property
    def evpi_kept(self) -> float:
        """Share of the value of perfect information that the finite set can reach, in [0, 1]."""
        return 1.0 if self.evpi_free <= 0 else min(self.evpi / self.evpi_free, 1.0)


def recipe_choices(
    laws: Mapping[str, LawAtTarget],
    draws: TargetDraws,
    *,
    ordered: bool = False,
    allowed: RecipeSet | None = None,
    count: int = 96,
    seed: int = 0,
) -> Choices:
    """Choose recipes that any posterior near this one may recommend.

    They are the recipe of least expected loss over all forms, each form's own, the centres of
    `count` clusters of the draws' own optima (spread over the forms), and points half way from the
    first to each other.

    Parameters
    ----------
    laws : mapping of name to LawAtTarget
    draws : TargetDraws
        ``pool(laws, ...)``.
    ordered : bool
        Keep the paper's ordering ``w_0 >= w_1 >= ...``; with `allowed`, its own ordering counts.
    allowed : RecipeSet, optional
        At the same target: then every recipe is of this set, and perfect information is worth what
        it is worth to a choice within it.
    count : int
        Clusters, at least 1.

    Raises
    ------
    InputError
        ``count`` below 1.
    InfeasibleError
        No recipe is allowed.
    """
    if count < 1:
        raise InputError(f"count: must be a whole number >= 1, got {count!r}")
    if allowed is not None:
        return _limited_choices(draws, allowed, count, seed)
    optima = np.concatenate(
        [optimal_recipes(laws[f], ordered=ordered).recipes for f in draws.forms]
    )
    means = [expected_loss_recipe(laws[f], ordered=ordered).recipe for f in draws.forms]
    best = _least_mean(draws, ordered)
    spread = np.concatenate([best[None], np.array(means), _clusters(optima, draws, count, seed)])
    recipes = np.concatenate([spread, 0.5 * (best + spread[1:])])
    return choices_of(draws, recipes, _own_loss(draws, optima))


@one_blas_thread
def _least_mean(draws: TargetDraws, ordered: bool) -> Array:
    """The recipe (D,) of least expected loss over all forms."""
    every = replace(RecipeSet.free(draws), ordering="shares" if ordered else None)
    return least_mean(draws, every).recipe


@one_blas_thread
def _limited_choices(draws: TargetDraws, allowed: RecipeSet, count: int, seed: int) -> Choices:
    """The same of a set: centres and half-way points are of it where it is convex."""
    optima = draw_optima(draws, allowed)
    best = least_mean(draws, allowed).recipe
    means = [least_mean(draws.of_form(form), allowed).recipe for form in draws.forms]
    centres = _clusters(optima.recipes, draws, count, seed, allowed)
    spread = np.concatenate([best[None], np.array(means), centres])
    halfway = 0.5 * (best + spread[1:])
    recipes = np.concatenate([spread, halfway[allowed.contains(halfway)]])
    return choices_of(draws, recipes, optima.loss)


def choices_of(draws: TargetDraws, recipes: Array, own_loss: Array | None = None) -> Choices:
    """Losses, gains and classes of given recipes (R, D); the best on average comes first.

    ``own_loss`` (J,) is the least loss of every draw over all recipes; by default over these.
    """
    loss = draws.loss(recipes).T
    expected = draws.weight @ loss
    order = np.argsort(expected, kind="stable")
    recipes, loss = np.asarray(recipes)[order], loss[:, order]
    gain = loss[:, :1] - loss
    free = gain.max(axis=1) if own_loss is None else loss[:, 0] - own_loss
    return Choices(
        recipes=recipes,
        gain=gain,
        member=decision_classes(gain, draws.weight),
        expected_loss=float(expected[order[0]]),
        evpi=float(draws.weight @ gain.max(axis=1)),
        evpi_free=float(draws.weight @ free),
    )


def decision_classes(gain: Array, weight: Array, count: int = CLASSES) -> Array:
    """Class (J,) of every draw: equal shares along the main directions of its loss differences.

    One direction in `count` parts, or two in 8 x (count / 8) where the second one matters.
    """
    centred = gain - weight @ gain
    values, axes = np.linalg.eigh(centred.T @ (weight[:, None] * centred))
    if values[-1] <= 0:
        return np.zeros(len(gain), dtype=int)
    scores = centred @ axes[:, ::-1][:, :2]
    if len(values) < 2 or values[-2] < FLAT * values[-1]:
        return _parts(scores[:, 0], weight, count)
    first = _parts(scores[:, 0], weight, 8)
    member = np.zeros(len(gain), dtype=int)
    for part in range(8):
        rows = first == part
        if rows.any():
            member[rows] = _parts(scores[rows, 1], weight[rows], count // 8) + part * (count // 8)
    return member


def _parts(values: Array, weight: Array, count: int) -> Array:
    """Cut values at weighted quantiles into `count` parts."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weight[order]) - 0.5 * weight[order]
    member = np.empty(len(values), dtype=int)
    member[order] = np.minimum((count * below / weight.sum()).astype(int), count - 1)
    return member


def _clusters(
    optima: Array, draws: TargetDraws, count: int, seed: int, allowed: RecipeSet | None = None
) -> Array:
    """Centres of clusters within every form, so that a form of small weight has its recipes too."""
    each = max(1, count // len(draws.forms))
    rng = np.random.default_rng([seed, 6])
    parts = []
    for i in range(len(draws.forms)):
        own = _distinct(optima[draws.form == i], exact=allowed is not None)
        if len(own) > each:
            start = own[rng.choice(len(own), each, replace=False)]
            centres = _centres(own, start)
            own = centres if allowed is None else _moved_inside(centres, own, allowed)
        parts.append(own)
    return np.concatenate(parts)


def _distinct(recipes: Array, exact: bool) -> Array:
    """Recipes that differ in the sixth decimal; as they are, since rounding leaves a tight set."""
    rounded, first = np.unique(recipes.round(6), axis=0, return_index=True)
    return recipes[first] if exact else rounded / rounded.sum(axis=1, keepdims=True)


def _moved_inside(centres: Array, points: Array, allowed: RecipeSet) -> Array:
    """Centres that are outside a non-convex set are replaced by the nearest of its points."""
    outside = ~allowed.contains(centres)
    nearest = cKDTree(points).query(centres[outside])[1]
    moved = centres.copy()
    moved[outside] = points[nearest]
    return moved


def _centres(points: Array, start: Array) -> Array:
    """Centres after ten rounds of k-means; a cluster that empties stays where it was."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty", UserWarning)
        return kmeans2(points, start, iter=10, minit="matrix", missing="warn")[0]


def _own_loss(draws: TargetDraws, optima: Array) -> Array:
    """Loss of every draw at its own recipe, (J,)."""
    unique = np.minimum(optima, draws.capacity)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(draws.capacity > 0, np.maximum(optima / draws.capacity, 1.0), 1.0)
    terms = draws.density * unique * -np.expm1(-draws.exposure[:, None] * times)
    log_gain = np.log(terms.sum(axis=1))
    return draws.irreducible + np.exp(draws.log_level - draws.beta * log_gain)
