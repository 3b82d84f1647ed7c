"""Decisions as tables and arrays -> profiles and optimal recipes, bucket by bucket."""

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

__all__ = ["optimum_posterior", "profiles", "tokens_trend"]

Array = np.ndarray
Shares = Mapping[str, float]

COLUMNS = 3
"""Buckets side by side; further ones go below."""
BINS = 80
FORMS = tuple(colour for colour in SERIES if colour != ORANGE)
"""Of forms of the law; orange is the recommended recipe's."""
LOOKS = {"recommended": (ORANGE, "--"), "incumbent": (BLACK, "-."), "other": (GREY, ":")}
BELOW: dict[str, Any] = {"loc": "outside lower center", "ncols": 4, "fontsize": 8, "frameon": False}


def profiles(
    table: pd.DataFrame,
    marks: Mapping[str, Shares],
    unit: str,
    prob: float | None,
    top: float | None = None,
    than: str = "the incumbent's",
) -> Figure:
    """Loss and expected improvement as one bucket's share varies and the rest keep proportions.

    Parameters
    ----------
    table : DataFrame
        ``bucket, share, difference_mean, difference_lo, difference_hi`` (loss minus that of the
        incumbent under the same draw) and ``expected_improvement``, all in `unit`; rows of a bucket
        by growing share: `decisions.profiles.recipe_profiles`. Shares that its column ``allowed``
        says no of are shaded.
    marks : mapping of label to recipe
        Recipes whose shares are marked by vertical lines, at most three.
    unit : str
        Of the losses.
    prob : float, optional
        Of the interval of the difference; None for a single draw, which has none.
    top : float, optional
        Upper end of the loss axes: a bucket alone may lose so much that nothing else can be read.
    than : str
        Whose loss the difference is from.

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
            _shade(axes, rows)
            _mark(axes.axvline, marks, looks, name)
        tidy(loss, name)
        tidy(gain, "", "share of the packed tokens")
    first_loss, first_gain = grid[names[0]]
    first_loss.set_ylim(top=top)
    first_gain.set_ylim(bottom=0.0)
    _label_left(grid, 0, f"loss above\n{than}\n({unit})")
    _label_left(grid, 1, f"expected\nimprovement\n({unit})")
    _legend(figure)
    return figure


def _difference(axes: Any, rows: pd.DataFrame, prob: float | None) -> None:
    low, high = rows["difference_lo"], rows["difference_hi"]
    axes.axhline(0.0, color=GREY, lw=1)
    if prob is not None:
        band = {"color": BLUE, "alpha": 0.3, "lw": 0}
        axes.fill_between(rows["share"], low, high, **band, label=f"{prob:.0%} interval")
    axes.plot(rows["share"], rows["difference_mean"], color=BLUE, lw=1.5, label="mean")


def _shade(axes: Any, rows: pd.DataFrame) -> None:
    """Grey from top to bottom over the shares that are not allowed."""
    if "allowed" not in rows or rows["allowed"].all():
        return
    share, outside = rows["share"].to_numpy(), ~rows["allowed"].to_numpy(dtype=bool)
    look = {"color": GREY, "alpha": 0.2, "lw": 0, "label": "outside the limits"}
    tall = {"transform": axes.get_xaxis_transform()}
    axes.fill_between(share, 0.0, 1.0, where=outside, **look, **tall)


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
    figure, grid = _grid(list(buckets), panels=1, same_height=False)
    for d, (bucket, (axes,)) in enumerate(grid.items()):
        axes.hist(
            [recipes[group, d] for group in groups],
            bins=bins,
            weights=[weight[group] for group in groups],
            stacked=True,
            color=[FORMS[i % len(FORMS)] for i in range(len(names))],
            label=list(names),
        )
        _mark(axes.axvline, marks, looks, bucket)
        tidy(axes, bucket, "optimal share")
    _label_left(grid, 0, "probability per bin")
    _legend(figure)
    return figure


def tokens_trend(
    table: pd.DataFrame,
    prob: float | None,
    marks: Mapping[str, Shares] | None = None,
    chosen: tuple[float, Shares] | None = None,
) -> Figure:
    """Optimal recipe against the target's tokens: the paper's trend, with its uncertainty.

    Parameters
    ----------
    table : DataFrame
        ``tokens, bucket, share`` (of the recipe with least expected loss), ``lo, median, hi`` (of
        the draws' own optima): `decisions.trend.tokens_trend`. With a column ``form``, a line and a
        band each.
    prob : float, optional
        Of the interval from lo to hi; None for a single draw, which has none.
    marks : mapping of label to recipe, optional
        At most three, drawn as level lines: today's mixture, the source's own shares.
    chosen : tuple of (tokens, recipe), optional
        The recommended recipe, marked at its tokens.

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
            _of_all(axes, rows, prob)
        _mark(axes.axhline, marks, looks, name)
        if chosen is not None:
            look = {"color": ORANGE, "mec": BLACK, "ms": 6, "ls": "", "clip_on": False, "zorder": 5}
            axes.plot(chosen[0], chosen[1].get(name, 0.0), "D", **look, label="recommended")
        tidy(axes, name, "tokens of the target")
    first = grid[names[0]][0]
    log_ticks(first)
    first.set_ylim(bottom=0.0)
    _label_left(grid, 0, "share of the packed tokens")
    _legend(figure)
    return figure


def _of_all(axes: Any, rows: pd.DataFrame, prob: float | None) -> None:
    if prob is not None:
        _band(axes, rows, BLUE, f"{prob:.0%} of the draws' optima")
        axes.plot(rows["tokens"], rows["median"], color=BLUE, lw=1, ls=":", label="their median")
    _trend(axes, rows, BLUE, "least expected loss")


def _by_form(axes: Any, rows: pd.DataFrame, forms: Sequence[str], prob: float | None) -> None:
    for i, form in enumerate(forms):
        mine, colour = rows[rows["form"] == form], FORMS[i % len(FORMS)]
        if prob is not None:
            _band(axes, mine, colour, None)
        told = "" if prob is None else f" ({prob:.0%} of its draws' optima)"
        _trend(axes, mine, colour, f"{form}{told}")


def _band(axes: Any, rows: pd.DataFrame, colour: str, label: str | None) -> None:
    look = {"color": colour, "alpha": 0.3, "lw": 0, "label": label}
    axes.fill_between(rows["tokens"], rows["lo"], rows["hi"], **look)


def _trend(axes: Any, rows: pd.DataFrame, colour: str, label: str) -> None:
    look = {"color": colour, "lw": 1.5, "ms": 3, "clip_on": False}  # shares of 0 lie on the axis
    axes.plot(rows["tokens"], rows["share"], "o-", **look, label=label)


def _grid(
    names: Sequence[str], panels: int, same_height: bool = True
) -> tuple[Figure, dict[str, list[Any]]]:
    """A figure and each bucket's panels, one below another; panels of one kind share their axes."""
    across = min(len(names), COLUMNS)
    down = panels * -(-len(names) // COLUMNS)
    figure = blank(1.2 + 2.5 * across, 1.3 + 1.9 * down)
    spec = figure.add_gridspec(down, across)
    grid: dict[str, list[Any]] = {}
    for i, name in enumerate(names):
        block, column = divmod(i, COLUMNS)
        shared = grid[names[0]] if grid else [None] * panels
        grid[name] = [
            figure.add_subplot(
                spec[panels * block + k, column],
                sharex=first,
                sharey=first if same_height else None,
            )
            for k, first in enumerate(shared)
        ]
    return figure, grid


def _label_left(grid: Mapping[str, list[Any]], panel: int, text: str) -> None:
    """Label the y axes of one kind of panel where a row of them begins."""
    for panels in list(grid.values())[::COLUMNS]:
        panels[panel].set_ylabel(text, fontsize=9)


def _legend(figure: Figure) -> None:
    """One legend below for all panels, a label once."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        found |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(list(found.values()), list(found), **BELOW)


def _mark_looks(marks: Mapping[str, Shares]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each mark, the same ones in all figures for the two usual recipes."""
    if len(marks) > len(LOOKS):
        raise InputError(f"marks: must be at most {len(LOOKS)} recipes, got {len(marks)}")
    free = [name for name in LOOKS if name not in marks]
    chosen = {label: LOOKS[label if label in LOOKS else free.pop(0)] for label in marks}
    return {
        label: {"color": c, "ls": s, "lw": 1.2, "label": label} for label, (c, s) in chosen.items()
    }


def _mark(draw: Any, marks: Mapping[str, Shares], looks: Mapping[str, Any], bucket: str) -> None:
    for label, recipe in marks.items():
        draw(recipe.get(bucket, 0.0), **looks[label])


def _require_shape(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise InputError(f"{name} must have shape {shape}, got {np.shape(values)}")
