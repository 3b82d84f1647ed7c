"""Draws at a target -> losses along one bucket's share, and over the triangle of three buckets."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.improvement import incumbent_losses
from bayes_infolaw.decisions.kernel import expected_improvement, mean_loss
from bayes_infolaw.decisions.monte_carlo import inverse_cdf
from bayes_infolaw.errors import InputError, require_probability

__all__ = ["recipe_profiles", "simplex_grid", "triangle_values", "vary_share"]

Array = np.ndarray
Allowed = Callable[[Array], Array]

POINTS = 61
"""Shares of a profile, the recipe's own beside them."""
TOLERANCE = 1e-9


def vary_share(recipe: Array, capacity: Array, bucket: int, shares: Array) -> Array:
    """Recipes with one bucket's share varied and the rest scaled to sum one.

    The rest keep their proportions; where the recipe leaves them nothing, those of their source
    tokens.

    Parameters
    ----------
    recipe : (D,)
        Sums to one.
    capacity : (D,)
        Source tokens over K.
    bucket : int
    shares : (G,)
        Of that bucket, between 0 and 1.

    Returns
    -------
    (G, D)
    """
    rest = np.array(recipe, dtype=float)
    rest[bucket] = 0.0
    if rest.sum() <= TOLERANCE:
        rest = np.array(capacity, dtype=float)
        rest[bucket] = 0.0
    recipes = (1.0 - np.asarray(shares, dtype=float))[:, None] * (rest / rest.sum())
    recipes[:, bucket] = shares
    return recipes


def recipe_profiles(
    draws: TargetDraws,
    recipe: Array,
    incumbent: Array | float | None = None,
    shares: Array | None = None,
    prob: float = 0.9,
    allowed: Allowed | None = None,
) -> pd.DataFrame:
    """Loss and expected improvement as each bucket's share varies, the rest in proportion.

    Parameters
    ----------
    draws : TargetDraws
    recipe : (D,)
        Where every profile passes through: shares of the packed tokens.
    incumbent : (D,) or float, optional
        What the losses are compared with: a recipe under the same draw, or a fixed loss; the recipe
        itself by default.
    shares : (G,), optional
        Of the varied bucket; by default 61 from 0 to 1, and the recipe's own.
    prob : float
        Of the equal-tailed interval of the difference.
    allowed : function of recipes (R, D) to bool (R,), optional
        `RecipeSet.contains`: a column ``allowed``, true everywhere by default. Profiles go on
        outside the set.

    Returns
    -------
    DataFrame
        Rows by bucket (those with tokens, best first) and growing share: ``bucket, share,
        repetition`` (mean epochs over the bucket), ``allowed``, ``loss_mean`` and, of the loss
        minus the incumbent's, ``difference_mean, difference_lo, difference_hi``;
        ``expected_improvement`` (mean of what it gains where it gains) and ``p_better`` (ties
        half). Losses noise-free, in ``draws.loss_unit``; infinite where a draw has no information.

    Raises
    ------
    InputError
        A recipe that is none or uses a bucket without tokens, shares outside [0, 1], fewer than
        two buckets with tokens, or ``prob`` outside (0, 1).
    """
    reference = recipe if incumbent is None else incumbent
    draws.require_recipe("recipe", recipe)
    base = incumbent_losses(draws, reference)
    require_probability("prob", prob)
    usable = np.flatnonzero(draws.capacity > 0).tolist()
    if len(usable) < 2:
        raise InputError(f"buckets: at least two must have tokens, got {len(usable)}")
    inside = _everywhere if allowed is None else allowed
    parts = []
    for d in usable:
        grid = _shares(shares, recipe[d])
        recipes = vary_share(recipe, draws.capacity, d, grid)
        loss = draws.loss(recipes)
        columns = {"share": grid, "repetition": draws.repetition(recipes)[:, d]}
        columns["allowed"] = inside(recipes)
        columns |= _against(draws, loss, base, prob)
        parts.append(pd.DataFrame({"bucket": draws.buckets[d], **columns}))
    return pd.concat(parts, ignore_index=True)


def _everywhere(recipes: Array) -> Array:
    return np.ones(len(recipes), dtype=bool)


def _shares(shares: Array | None, own: float) -> Array:
    if shares is None:
        return np.unique(np.append(np.linspace(0.0, 1.0, POINTS), own))
    grid = np.sort(np.asarray(shares, dtype=float))
    bad = grid[~((grid >= 0) & (grid <= 1))]
    if bad.size or not grid.size:
        got = f"{bad[0]:g}" if bad.size else "none"
        raise InputError(f"shares: must be numbers between 0 and 1, got {got}")
    return grid


def _against(draws: TargetDraws, loss: Array, base: Array, prob: float) -> dict[str, Array]:
    """Columns over the draws of losses (G, J) against the incumbent's (J,)."""
    difference = loss - base
    better = (difference < 0) + 0.5 * (difference == 0)
    return {
        "loss_mean": draws.mean(loss),
        "difference_mean": draws.mean(difference),
        "difference_lo": inverse_cdf(draws, difference, 0.5 * (1.0 - prob)),
        "difference_hi": inverse_cdf(draws, difference, 0.5 * (1.0 + prob)),
        "expected_improvement": draws.mean(np.maximum(-difference, 0.0)),
        "p_better": np.clip(draws.mean(better), 0.0, 1.0),
    }


def simplex_grid(steps: int) -> Array:
    """All recipes of three buckets whose shares are multiples of 1 / steps.

    Returns
    -------
    array of shape ((steps + 1) (steps + 2) / 2, 3)
    """
    i, j = (index.ravel() for index in np.indices((steps + 1, steps + 1)))
    kept = i + j <= steps
    return np.stack([i, j, steps - i - j], axis=1)[kept] / steps


def triangle_values(
    draws: TargetDraws,
    incumbent: Array | float,
    steps: int = 60,
    allowed: Allowed | None = None,
) -> pd.DataFrame:
    """Expected loss and expected improvement on a grid over the recipes of three buckets.

    Parameters
    ----------
    draws : TargetDraws
        Of three buckets.
    incumbent : (3,) or float
        Shares of the packed tokens, or a fixed loss.
    steps : int
        Shares are multiples of its inverse.
    allowed : function of recipes (R, 3) to bool (R,), optional
        `RecipeSet.contains`; values of other recipes are not-a-number.

    Returns
    -------
    DataFrame
        A column of shares named by each bucket, ``loss_mean`` and ``expected_improvement``, in
        ``draws.loss_unit``.

    Raises
    ------
    InputError
        Not three buckets, or an incumbent that is no recipe.
    """
    if len(draws.buckets) != 3:
        raise InputError(f"buckets: a triangle needs three, got {len(draws.buckets)}")
    base = incumbent_losses(draws, incumbent)
    recipes = simplex_grid(steps)
    values = {
        "loss_mean": mean_loss(draws, recipes),
        "expected_improvement": expected_improvement(draws, recipes, base),
    }
    inside = (_everywhere if allowed is None else allowed)(recipes)
    kept = {name: np.where(inside, value, np.nan) for name, value in values.items()}
    return pd.DataFrame({**dict(zip(draws.buckets, recipes.T, strict=True)), **kept})
