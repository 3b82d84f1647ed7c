"""Draws at growing numbers of tokens -> the optimal recipe at each, and its uncertainty."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.convex import draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import regret
from bayes_infolaw.decisions.monte_carlo import inverse_cdf
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError, require_probability

__all__ = ["tokens_trend"]

Array = np.ndarray
Allowed = Callable[[TargetDraws], RecipeSet]


def tokens_trend(
    targets: Sequence[TargetDraws], allowed: Allowed | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Optimal recipe against the target's tokens, as in the paper, with its uncertainty.

    Parameters
    ----------
    targets : sequence of TargetDraws
        The same buckets at different tokens K.
    allowed : function of TargetDraws to RecipeSet, optional
        The recipes to choose from at each target; all by default.
    prob : float
        Of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        A row a target and bucket, by growing tokens, buckets best first: ``tokens, bucket``;
        ``share`` and ``repetition`` (mean epochs) of the recipe with least expected loss; ``lo,
        median, hi`` of the draws' own optimal shares; ``loss_mean, loss_lo, loss_hi`` (noise-free
        loss of that recipe) and ``evpi`` (its expected regret) in the draws' loss unit, the same in
        all rows of a target.

    Raises
    ------
    InputError
        No target, other buckets, tokens that come twice, or ``prob`` outside (0, 1).
    InfeasibleError
        A target without an allowed recipe.
    CertificateError
        An optimum whose duality gap stays too large.
    """
    _require(targets, prob)
    ordered = sorted(targets, key=lambda draws: draws.tokens)
    make = RecipeSet.free if allowed is None else allowed
    return pd.concat([_at_target(draws, make(draws), prob) for draws in ordered], ignore_index=True)


def _at_target(draws: TargetDraws, allowed: RecipeSet, prob: float) -> pd.DataFrame:
    best = least_mean(draws, allowed).recipe
    optima = draw_optima(draws, allowed)
    levels = {"lo": 0.5 * (1.0 - prob), "median": 0.5, "hi": 0.5 * (1.0 + prob)}
    loss = draws.loss(best)
    columns: dict[str, Any] = {
        "tokens": draws.tokens,
        "bucket": list(draws.buckets),
        "share": best,
        "repetition": draws.repetition(best),
        **{end: inverse_cdf(draws, optima.recipes.T, level) for end, level in levels.items()},
        "loss_mean": float(draws.mean(loss)),
        **{f"loss_{end}": float(inverse_cdf(draws, loss, levels[end])) for end in ("lo", "hi")},
        "evpi": float(draws.mean(regret(loss, optima.loss))),
    }
    return pd.DataFrame(columns)


def _require(targets: Sequence[TargetDraws], prob: float) -> None:
    if not targets:
        raise InputError("targets: at least one is needed, got none")
    require_probability("prob", prob)
    first, seen = targets[0].buckets, set()
    for draws in targets:
        if draws.buckets != first:
            raise InputError(f"targets: buckets must agree, got {first} and {draws.buckets}")
        if draws.tokens in seen:
            raise InputError(f"targets: tokens must differ, got {draws.tokens:g} twice")
        seen.add(draws.tokens)
