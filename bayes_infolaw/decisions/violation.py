"""How far recipes are from keeping a set's constraints, in shares (the divergence in nats)."""

import numpy as np

from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.decisions.divergence import divergence

__all__ = ["curved_violation", "violation"]

Array = np.ndarray


def violation(allowed: RecipeConstraints, recipes: Array) -> Array:
    """Largest violation of any constraint by each of recipes (R, D), (R,); <= 0 inside.

    Rows are scaled to a largest entry of one. "None or at least q" counts the way to the nearer of
    both, a limit on the number of buckets the largest share beyond that number.
    """
    w = np.asarray(recipes, dtype=float)
    parts = [
        np.abs(w.sum(axis=1) - 1.0),
        (allowed.lower - w).max(axis=1),
        (w - allowed.upper).max(axis=1),
        curved_violation(allowed, w),
        _discrete(allowed, w),
    ]
    rows, limits = allowed.linear_rows()
    if len(rows):
        parts.append((w @ rows.T - limits).max(axis=1))
    return np.max(parts, axis=0)


def curved_violation(allowed: RecipeConstraints, w: Array) -> Array:
    """Violation of the convex constraints that are not linear in the shares, (R,)."""
    worst = np.full(len(w), -np.inf)
    if allowed.max_mean_repetition is not None:
        unique = np.minimum(w, allowed.capacity).sum(axis=1)
        worst = np.maximum(worst, 1.0 / allowed.max_mean_repetition - unique)
    if allowed.reference is None:
        return worst
    if allowed.tv_max is not None:
        distance = np.abs(w - allowed.reference).sum(axis=1) / 2.0
        worst = np.maximum(worst, distance - allowed.tv_max)
    if allowed.kl_max is not None:
        outside = w[:, allowed.reference <= 0].sum(axis=1)
        away = divergence(w, allowed.reference) - allowed.kl_max
        worst = np.maximum(worst, np.maximum(away, outside))
    return worst


def _discrete(allowed: RecipeConstraints, w: Array) -> Array:
    worst = np.full(len(w), -np.inf)
    if allowed.unique_price is not None and allowed.unique_budget is not None:
        scale = float(allowed.unique_price.max()) or 1.0
        spent = np.minimum(w, allowed.capacity) @ allowed.unique_price
        worst = np.maximum(worst, (spent - allowed.unique_budget) / scale)
    if allowed.min_if_used is not None:
        worst = np.maximum(worst, np.minimum(w, allowed.min_if_used - w).max(axis=1))
    if allowed.max_buckets is not None and allowed.max_buckets < w.shape[1]:
        worst = np.maximum(worst, np.sort(w, axis=1)[:, -1 - allowed.max_buckets])
    return worst
