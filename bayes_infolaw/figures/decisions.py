"""Decisions as tables and arrays -> profiles, optimal recipes and the ranking of plans."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures.canvas import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SERIES,
    blank,
    log_ticks,
    tidy,
)

__all__ = ["optimum_posterior", "profiles", "ranking", "tokens_trend"]

Array = np.ndarray
Shares = Mapping[str, float]

COLUMNS = 3
"""Buckets side by side; further ones go below."""
BINS = 80
BELOW: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, "fontsize": 8, "frameon": False}


def profiles(
    table: pd.DataFrame,
    marks: Mapping[str, Shares],
    unit: str,
    prob: float,
    top: float | None = None,
) -> Figure:
    """Loss and expected improvement as one bucket's share varies and the rest keep proportions.

    Parameters
    ----------
    table : DataFrame
        ``bucket, share, difference_mean, difference_lo, difference_hi`` (loss minus that of the
        incumbent under the same draw) and ``expected_improvement``, all in `unit`; rows of a bucket
        by growing share: `decisions.profiles.recipe_profiles`.
    marks : mapping of label to recipe
        Recipes whose shares are marked by vertical lines, at most three.
    unit : str
        Of the losses.
    prob : float
        Of the interval of the difference.
    top : float, optional
        Upper end of the loss axes: a bucket alone may lose so much that nothing else can be read.

    Raises
    ------
    InputError
        More than three recipes to mark.
    """
    looks = _mark_looks(marks)
    names = list(dict.fromkeys(table["bucket"]))
    figure, grid = _grid(names, panels=2)
    for name, (loss, gain) in grid.items():
        rows = table[table["bucket"] == name]
        _difference(loss, rows, prob)
        gain.plot(rows["share"], rows["expected_improvement"], color=GREEN, lw=1.5)
        for axes in (loss, gain):
            _mark(axes.axvline, marks, looks, name)
        tidy(loss, name)
        tidy(gain, "", "share of the packed tokens")
    first_loss, first_gain = grid[names[0]]
    first_loss.set_ylim(top=top)
    first_gain.set_ylim(bottom=0.0)
    first_loss.set_ylabel(f"loss above the\nincumbent's, {unit}", fontsize=9)
    first_gain.set_ylabel(f"expected\nimprovement, {unit}", fontsize=9)
    figure.legend(*first_loss.get_legend_handles_labels(), **BELOW)
    return figure


def _difference(axes: Any, rows: pd.DataFrame, prob: float) -> None:
    low, high = rows["difference_lo"], rows["difference_hi"]
    axes.axhline(0.0, color=GREY, lw=1)
    band = {"color": BLUE, "alpha": 0.3, "lw": 0}
    axes.fill_between(rows["share"], low, high, **band, label=f"{prob:.0%} interval")
    axes.plot(rows["share"], rows["difference_mean"], color=BLUE, lw=1.5, label="mean")


def optimum_posterior(
    recipes: Array,
    weight: Array,
    buckets: Sequence[str],
    forms: tuple[Array, Sequence[str]] | None = None,
    marks: Mapping[str, Shares] | None = None,
) -> Figure:
    """Posterior of the optimal recipe: histograms of the draws' own optima, bucket by bucket.

    Parameters
    ----------
    recipes : (J, D)
        Each draw's own best recipe, shares of the packed tokens.
    weight : (J,)
        Of the draws, summing to one.
    buckets : sequence of str
        D names, best first.
    forms : tuple of (form (J,) int, names), optional
        Stacks the histogram by the form of the draw.
    marks : mapping of label to recipe, optional
        At most three, marked by vertical lines.

    Raises
    ------
    InputError
        More than three recipes to mark, or shapes that do not fit.
    """
    _require_shape("recipes", recipes, (len(weight), len(buckets)))
    marks = marks or {}
    looks = _mark_looks(marks)
    form, names = forms if forms is not None else (np.zeros(len(weight), dtype=int), ["draws"])
    groups = [form == i for i in range(len(names))]
    widest = max([float(np.max(recipes)), *(max(shares.values()) for shares in marks.values())])
    bins = np.linspace(0.0, widest, BINS + 1)
    figure, grid = _grid(list(buckets), panels=1)
    for d, (bucket, (axes,)) in enumerate(grid.items()):
        axes.hist(
            [recipes[group, d] for group in groups],
            bins=bins,
            weights=[weight[group] for group in groups],
            stacked=True,
            color=[SERIES[i % len(SERIES)] for i in range(len(names))],
            label=list(names),
        )
        _mark(axes.axvline, marks, looks, bucket)
        tidy(axes, bucket, "optimal share")
    first = grid[buckets[0]][0]
    first.set_ylabel("probability per bin", fontsize=9)
    figure.legend(*first.get_legend_handles_labels(), **BELOW)
    return figure


def tokens_trend(
    table: pd.DataFrame, prob: float, marks: Mapping[str, Shares] | None = None
) -> Figure:
    """Optimal recipe against the target's tokens: the paper's trend, with its uncertainty.

    Parameters
    ----------
    table : DataFrame
        ``tokens, bucket, share`` (of the recipe with least expected loss), ``lo, median, hi`` (of
        the draws' own optima): `decisions.trend.tokens_trend`. With a column ``form``, a line and a
        band each.
    prob : float
        Of the interval from lo to hi.
    marks : mapping of label to recipe, optional
        At most three, drawn as level lines: today's mixture, the source's own shares.

    Raises
    ------
    InputError
        More than three recipes to mark.
    """
    marks = marks or {}
    looks = _mark_looks(marks)
    names = list(dict.fromkeys(table["bucket"]))
    figure, grid = _grid(names, panels=1)
    for name, (axes,) in grid.items():
        rows = table[table["bucket"] == name].sort_values("tokens")
        if "form" in table:
            _by_form(axes, rows, list(dict.fromkeys(table["form"])), prob)
        else:
            _band(axes, rows, BLUE, f"{prob:.0%} of the draws' optima")
            axes.plot(
                rows["tokens"], rows["median"], color=BLUE, lw=1, ls=":", label="their median"
            )
            _trend(axes, rows, BLUE, "least expected loss")
        _mark(axes.axhline, marks, looks, name)
        tidy(axes, name, "tokens of the target")
    first = grid[names[0]][0]
    log_ticks(first)
    first.set_ylim(bottom=0.0)
    first.set_ylabel("share of the packed tokens", fontsize=9)
    figure.legend(*first.get_legend_handles_labels(), **BELOW)
    return figure


def _by_form(axes: Any, rows: pd.DataFrame, forms: Sequence[str], prob: float) -> None:
    for i, form in enumerate(forms):
        mine, colour = rows[rows["form"] == form], SERIES[i % len(SERIES)]
        _band(axes, mine, colour, None)
        _trend(axes, mine, colour, f"{form} ({prob:.0%} of its draws' optima)")


def _band(axes: Any, rows: pd.DataFrame, colour: str, label: str | None) -> None:
    look = {"color": colour, "alpha": 0.3, "lw": 0, "label": label}
    axes.fill_between(rows["tokens"], rows["lo"], rows["hi"], **look)


def _trend(axes: Any, rows: pd.DataFrame, colour: str, label: str) -> None:
    axes.plot(rows["tokens"], rows["share"], "o-", color=colour, lw=1.5, ms=3, label=label)


def ranking(table: pd.DataFrame, unit: str, prob: float, shown: int = 60) -> Figure:
    """Many plans from the best down: how far behind the first, and which ranks each may have.

    Parameters
    ----------
    table : DataFrame
        As `decisions.pairs.rank` returns it: ``run, behind_mean, behind_lo, behind_hi, p_best,
        rank_mean, rank_lo, rank_hi``, the best run first.
    unit : str
        Of the losses.
    prob : float
        Of the intervals.
    shown : int
        Plans drawn, from the first; the title counts the rest.
    """
    kept = table.head(shown)
    rows = np.arange(len(kept))[::-1]
    figure = blank(8.5, 1.2 + 0.24 * len(kept))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for axes, column in ((left, "behind"), (right, "rank")):
        axes.hlines(rows, kept[f"{column}_lo"], kept[f"{column}_hi"], color=BLUE, lw=3, alpha=0.5)
        axes.plot(kept[f"{column}_mean"], rows, "o", color=BLACK, ms=4)
        axes.grid(axis="x", color=GREY, alpha=0.25)
    left.axvline(0.0, color=GREY, lw=1)
    left.set_yticks(rows, kept["run"].astype(str))
    left.set_ylim(-0.6, len(kept) - 0.4)
    for y, p in zip(rows, kept["p_best"], strict=True):
        look = {"transform": right.get_yaxis_transform(), "fontsize": 7.5, "va": "center"}
        right.text(1.02, y, f"{p:.2f}", **look)
    rest = f", the first {len(kept)} of {len(table)}" if len(kept) < len(table) else ""
    tidy(left, f"Plans by expected loss{rest}", f"loss above the first's, {unit}\n({prob:.0%})")
    tidy(right, "", f"rank, 1 = best ({prob:.0%}); right: P(best)")
    return figure


def _grid(names: Sequence[str], panels: int) -> tuple[Figure, dict[str, list[Any]]]:
    """A figure and each bucket's panels, one below another; panels of one kind share both axes."""
    across = min(len(names), COLUMNS)
    down = panels * -(-len(names) // COLUMNS)
    figure = blank(1.2 + 2.5 * across, 1.0 + 1.9 * down)
    spec = figure.add_gridspec(down, across)
    grid: dict[str, list[Any]] = {}
    for i, name in enumerate(names):
        block, column = divmod(i, COLUMNS)
        shared = grid[names[0]] if grid else [None] * panels
        grid[name] = [
            figure.add_subplot(spec[panels * block + k, column], sharex=first, sharey=first)
            for k, first in enumerate(shared)
        ]
    return figure, grid


def _mark_looks(marks: Mapping[str, Shares]) -> dict[str, dict[str, Any]]:
    colours, styles = (ORANGE, BLACK, GREY), ("--", "-.", ":")
    if len(marks) > len(colours):
        raise InputError(f"marks: must be at most {len(colours)} recipes, got {len(marks)}")
    looks = zip(marks, colours, styles, strict=False)
    return {label: {"color": c, "ls": s, "lw": 1.2, "label": label} for label, c, s in looks}


def _mark(draw: Any, marks: Mapping[str, Shares], looks: Mapping[str, Any], bucket: str) -> None:
    for label, recipe in marks.items():
        draw(recipe.get(bucket, 0.0), **looks[label])


def _require_shape(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise InputError(f"{name} must have shape {shape}, got {np.shape(values)}")
