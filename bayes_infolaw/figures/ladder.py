"""A measured ladder of runs -> figures of its raw losses: recipes by size, buckets, replicates."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures.canvas import BLACK, GREY, SERIES, blank, tidy

__all__ = ["buckets_alone", "by_size", "replicates"]

MARKERS = ("o", "s", "^", "D", "v")  # the next one where the colours are used up


def by_size(table: pd.DataFrame) -> Figure:
    """Loss against model size, a line a recipe; below, each recipe's distance from the best.

    Parameters
    ----------
    table : DataFrame
        ``params_nonembedding``, ``recipe`` and ``loss``: one run of each recipe and size.

    Raises
    ------
    InputError
        More recipes than there are looks that can be told apart.
    """
    wide = table.pivot(index="params_nonembedding", columns="recipe", values="loss")
    if wide.shape[1] > len(SERIES) * len(MARKERS):
        rule = f"must be at most {len(SERIES) * len(MARKERS)} in one figure"
        raise InputError(f"recipes: {rule}, got {wide.shape[1]}")
    figure = blank(6.5, 5.5)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _lines(top, wide)
    _lines(bottom, wide.sub(wide.min(axis=1), axis=0))
    top.set_xscale("log")
    top.legend(fontsize=8, frameon=False)
    tidy(top, "Held-out loss", y="nats per token")
    tidy(bottom, "Above the best recipe", "non-embedding parameters (12 L h$^2$)", "nats per token")
    return figure


def _lines(axes: Any, wide: pd.DataFrame) -> None:
    for i, recipe in enumerate(wide.columns):
        kept = wide[recipe].dropna()
        look = {"color": SERIES[i % len(SERIES)], "marker": MARKERS[i // len(SERIES)]}
        axes.plot(kept.index, kept, **look, markersize=4, linewidth=1.2, label=recipe)


def buckets_alone(table: pd.DataFrame) -> Figure:
    """Loss after training on each quality bucket alone, best bucket first.

    Parameters
    ----------
    table : DataFrame
        ``bucket`` (text), ``loss`` and ``repetition`` (epochs over the bucket's source).
    """
    figure = blank(5.5, 3.2)
    axes = figure.subplots()
    axes.plot(table["bucket"], table["loss"], "o-", color=SERIES[0], linewidth=1.2)
    most = table["repetition"].max()
    title = f"Trained on one bucket alone (repetition at most {most:.2f})"
    tidy(axes, title, "quality bucket, 0 = best", "nats per token")
    return figure


def replicates(table: pd.DataFrame) -> Figure:
    """Losses of replicated runs, a column a group; lines join runs with the same seeds.

    Parameters
    ----------
    table : DataFrame
        ``recipe``, ``seeds`` (text: which subsample and seed) and ``loss``.
    """
    figure = blank(5.5, 3.6)
    axes = figure.subplots()
    wide = table.pivot(index="recipe", columns="seeds", values="loss")
    for name in wide.columns:
        axes.plot(wide.index, wide[name], "-", color=GREY, linewidth=0.8)
        axes.plot(wide.index, wide[name], "o", color=BLACK, markersize=4)
    axes.set_xlim(-0.5, len(wide) - 0.5)
    tidy(axes, "Replicates: the same subsample and seed joined", "recipe", "nats per token")
    return figure
