"""Many recipes -> a few that lie far apart, by total variation."""

import numpy as np

__all__ = ["spread_out", "variation"]

Array = np.ndarray
TWIN = 1e-6
"""Recipes whose shares differ by no more in sum are one."""


def spread_out(recipes: Array, n: int, away_from: Array | None = None) -> Array:
    """Positions of up to n of the recipes (R, D), each the farthest from those before, (<= n,).

    The first is the farthest from `away_from` (D,), from which the others keep away as well;
    without it, the nearest to the mean of all. Recipes that coincide with one chosen are left out.
    """
    if away_from is None:
        chosen = [int(variation(recipes, recipes.mean(axis=0)[None])[:, 0].argmin())]
        away = variation(recipes, recipes[chosen])[:, 0]
    else:
        chosen = []
        away = variation(recipes, np.asarray(away_from, dtype=float)[None])[:, 0]
    while len(chosen) < n and away.max() > TWIN / 2.0:
        chosen.append(int(away.argmax()))
        away = np.minimum(away, variation(recipes, recipes[chosen[-1:]])[:, 0])
    return np.array(chosen, dtype=int)


def variation(recipes: Array, others: Array) -> Array:
    """Total variation, half the summed absolute difference of shares: (R, D), (S, D) to (R, S)."""
    return 0.5 * np.abs(recipes[:, None, :] - others[None, :, :]).sum(axis=2)
