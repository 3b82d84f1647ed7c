"""A law at a target -> the recipe to train on, what to expect of it, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.recipes.incumbent import recipe_shares, require_packable
from bayes_infolaw.recipes.optima import optimal_recipes

__all__ = ["Difference", "RecipeForecast", "Recommendation", "forecast", "recommend"]

Array = np.ndarray


@dataclass(frozen=True)
class RecipeForecast:
    """What the law says of one recipe at the target; interval ends are None without a posterior."""

    recipe: dict[str, float]  # bucket name to packed share
    expected_loss: float  # posterior mean, noise-free, in the target's loss unit
    loss_lo: float | None  # equal-tailed interval of the noise-free loss
    loss_hi: float | None
    prob: float | None  # of every interval here
    information: float  # posterior mean of the total, in units of the target's `token_unit`
    repetition: dict[str, float]  # mean repetition T_d, 0 where the bucket is unused


@dataclass(frozen=True)
class Difference:
    """Loss of the incumbent minus loss of the recommended recipe, over common draws."""

    mean: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class Recommendation(RecipeForecast):
    """The recipe of least expected loss, the spread of the draws' own optima, and the incumbent."""

    recipe_sd: dict[str, float] | None  # sd over draws of their own optimal shares
    recipe_quantiles: dict[str, dict[str, float]] | None  # lo, median, hi of the same
    relative_gap: float  # the mean loss is within this of the least possible
    ordered: bool
    incumbent: RecipeForecast | None
    difference: Difference | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract: plain dicts, floats, booleans and None."""
        return asdict(self)


def recommend(
    target: LawAtTarget,
    *,
    ordered: bool = False,
    incumbent: Mapping[str, float] | Array | None = None,
    prob: float = 0.9,
) -> Recommendation:
    """Recommend the recipe that minimises the posterior mean of the loss at a target.

    Parameters
    ----------
    target : LawAtTarget
        J draws of the law; J = 1 for constants, and then every interval is None.
    ordered : bool
        Keep the paper's ordering ``w_0 >= w_1 >= ...``.
    incumbent : mapping or array of shape (D,), optional
        Today's recipe, by name or in bucket order (`parse_recipe` reads one). It need not be
        ordered.
    prob : float
        Probability of the equal-tailed intervals.

    Raises
    ------
    RefusedError
        One bucket only: there is nothing to choose.
    InputError
        ``prob`` outside (0, 1), or a bad incumbent.
    CertificateError
        An optimum could not be certified to a relative gap of 1e-8.
    """
    _require_choice(target, prob)
    current = None if incumbent is None else _incumbent_shares(target, incumbent)
    optimum = expected_loss_recipe(target, ordered=ordered)
    spread = _spread(target, ordered, prob)
    chosen = forecast(target, optimum.recipe, prob)
    return Recommendation(
        **vars(chosen),
        recipe_sd=spread[0],
        recipe_quantiles=spread[1],
        relative_gap=optimum.relative_gap,
        ordered=ordered,
        incumbent=None if current is None else forecast(target, current, prob),
        difference=None if current is None else _difference(target, current, optimum.recipe, prob),
    )


def forecast(target: LawAtTarget, recipe: Array, prob: float = 0.9) -> RecipeForecast:
    """Expected loss, its equal-tailed interval, information and repetition of a recipe (D,)."""
    loss = target.loss(recipe)
    lo, hi = _interval(loss, prob)
    _, repetition = target.unique_and_repetition(recipe)
    return RecipeForecast(
        recipe=_by_name(target, recipe),
        expected_loss=float(loss.mean()),
        loss_lo=lo,
        loss_hi=hi,
        prob=None if lo is None else prob,
        information=float(target.information(recipe).mean()),
        repetition=_by_name(target, np.where(recipe > 0, repetition, 0.0)),
    )


def _require_choice(target: LawAtTarget, prob: float) -> None:
    if len(target.buckets) == 1:
        raise RefusedError("recommend: there is nothing to choose with one bucket")
    if not 0 < prob < 1:
        raise InputError(f"prob must be between 0 and 1, got {prob!r}")


def _incumbent_shares(target: LawAtTarget, incumbent: Mapping[str, float] | Array) -> Array:
    if isinstance(incumbent, Mapping):
        shares = recipe_shares(incumbent, target.buckets)
    else:
        pairs = zip(target.buckets, np.asarray(incumbent).tolist(), strict=True)
        shares = recipe_shares(pairs, target.buckets)
    require_packable(shares, target.source, target.buckets)
    return shares


def _spread(
    target: LawAtTarget, ordered: bool, prob: float
) -> tuple[dict[str, float] | None, dict[str, dict[str, float]] | None]:
    """Sd and quantiles by name of the draws' own optima; None for one draw."""
    if len(target.rate) == 1:
        return None, None
    recipes = optimal_recipes(target, ordered=ordered).recipes
    levels = [0.5 * (1.0 - prob), 0.5, 0.5 * (1.0 + prob)]
    quantiles = np.quantile(recipes, levels, axis=0).T.tolist()
    named = [dict(zip(("lo", "median", "hi"), row, strict=True)) for row in quantiles]
    return _by_name(target, recipes.std(axis=0, ddof=1)), dict(
        zip(target.buckets, named, strict=True)
    )


def _difference(target: LawAtTarget, incumbent: Array, chosen: Array, prob: float) -> Difference:
    difference = target.loss(incumbent) - target.loss(chosen)
    return Difference(float(difference.mean()), *_interval(difference, prob))


def _interval(draws: Array, prob: float) -> tuple[float | None, float | None]:
    """Equal-tailed interval over draws; (None, None) for one draw."""
    if len(draws) == 1:
        return None, None
    lo, hi = np.quantile(draws, [0.5 * (1.0 - prob), 0.5 * (1.0 + prob)])
    return float(lo), float(hi)


def _by_name(target: LawAtTarget, values: Array) -> dict[str, float]:
    return dict(zip(target.buckets, np.asarray(values, float).tolist(), strict=True))
