"""Ranking recipes at one small scale: the best one of the cheapest size goes to the target."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.baselines.base import TooFewRunsError, measured_log_loss
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["SmallScaleRanking", "rank_at_small_scale"]

Array = np.ndarray

SAME_RECIPE = 0.005
"""Recipes of which no share differs by more than this are one."""


@dataclass(frozen=True)
class SmallScaleRanking:
    """Recipes measured at one scale, best first.

    Attributes
    ----------
    recipes : array of shape (r, D)
    loss : array of shape (r,)
        Mean loss of each (geometric, over replicates), increasing.
    count : array of int, shape (r,)
        Replicates.
    flops, tokens, source_ratio : float
        N (FLOP per token), K and S / K of the scale.
    """

    recipes: Array
    loss: Array
    count: Array
    flops: float
    tokens: float
    source_ratio: float
    name: str = "ranking at one small scale"

    @property
    def best(self) -> Array:
        """The recipe of the lowest loss, shape (D,)."""
        return self.recipes[0]

    def loss_of(self, recipes: Array) -> Array:
        """Loss measured at the small scale of recipes (n, D), shape (n,); NaN where it has none."""
        apart = np.abs(recipes[:, None, :] - self.recipes).max(axis=2)
        nearest = apart.argmin(axis=1)
        return np.where(apart.min(axis=1) <= SAME_RECIPE, self.loss[nearest], np.nan)


def rank_at_small_scale(runs: RunArrays, source_ratio: float | None = None) -> SmallScaleRanking:
    """Rank the recipes measured at the cheapest scale that has two or more of them.

    A scale is one size with one K and one S / K: losses at others do not compare. Among the scales
    of the smallest size with at least two recipes, the one whose S / K is nearest the target's (a
    proxy has to repeat as the target does) and then the one with most recipes, then the cheapest.

    Parameters
    ----------
    runs : RunArrays
        Measured runs.
    source_ratio : float, optional
        S / K of the target; without it, the scale with most recipes.

    Raises
    ------
    TooFewRunsError
        No scale has two recipes.
    """
    log_loss = measured_log_loss(runs)
    ratio = runs.source_tokens / runs.tokens
    keys = np.round(np.log(np.column_stack([runs.flops, runs.tokens, ratio])), 2)
    scales, member = np.unique(keys, axis=0, return_inverse=True)
    groups = [np.flatnonzero(member == i) for i in range(len(scales))]
    groups = [rows for rows in groups if len(_distinct(runs.weights[rows])) > 1]
    if not groups:
        raise TooFewRunsError("ranking at one small scale: needs 2 recipes at one size, K and S/K")
    rows = min(groups, key=lambda rows: _preference(runs, rows, source_ratio))
    return _ranked(runs, log_loss, rows)


def _preference(runs: RunArrays, rows: Array, source_ratio: float | None) -> tuple[float, ...]:
    """Smaller size, nearer S / K, more recipes, less compute; lowest first."""
    ratio = runs.source_tokens[rows[0]] / runs.tokens[rows[0]]
    away = 0.0 if source_ratio is None else round(abs(float(np.log(ratio / source_ratio))), 2)
    size, compute = float(np.log(runs.flops[rows[0]]).round(2)), float(runs.compute[rows].sum())
    return size, away, -len(_distinct(runs.weights[rows])), compute


def _distinct(recipes: Array) -> list[int]:
    """Positions of the first of each distinct recipe."""
    kept: list[int] = []
    for i, recipe in enumerate(recipes):
        if not any(np.abs(recipe - recipes[j]).max() <= SAME_RECIPE for j in kept):
            kept.append(i)
    return kept


def _ranked(runs: RunArrays, log_loss: Array, rows: Array) -> SmallScaleRanking:
    weights = runs.weights[rows]
    recipes = weights[_distinct(weights)]
    owner = np.abs(weights[:, None, :] - recipes).max(axis=2).argmin(axis=1)
    count = np.bincount(owner, minlength=len(recipes))
    loss = np.exp(np.bincount(owner, log_loss[rows], len(recipes)) / count)
    order = np.argsort(loss, kind="stable")
    first = rows[0]
    return SmallScaleRanking(
        recipes=recipes[order],
        loss=loss[order],
        count=count[order],
        flops=float(runs.flops[first]),
        tokens=float(runs.tokens[first]),
        source_ratio=float(runs.source_tokens[first] / runs.tokens[first]),
    )
