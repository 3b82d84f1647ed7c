"""Predictions as arrays -> fans and the parts of their variance."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bayes_infolaw.figures import panels
from bayes_infolaw.figures.canvas import BLACK, BLUE, GREY, SERIES, blank, tidy

__all__ = ["by_recipe", "fan", "held_out", "recipe", "variance_parts"]

Array = np.ndarray


def fan(
    compute: Array,
    mean: Array,
    intervals: Mapping[float, tuple[Array, Array]],
    measured: tuple[Array, Array] | None = None,
    unit: str = "nats per token",
) -> Figure:
    """Predicted loss along growing compute.

    Parameters
    ----------
    compute : array (n,)
        Training FLOP, increasing.
    mean : array (n,)
    intervals : mapping of probability to (lo, hi), arrays (n,)
    measured : tuple of (compute, loss), optional
        Runs, drawn as points.
    """
    figure = blank(6.0, 3.8)
    axes = figure.add_subplot()
    for i, (prob, (low, high)) in enumerate(sorted(intervals.items(), reverse=True)):
        alpha = (i + 1) / (len(intervals) + 2)
        axes.fill_between(compute, low, high, color=BLUE, alpha=alpha, lw=0, label=f"{prob:.0%}")
    axes.plot(compute, mean, color=BLUE, lw=1.5, label="mean")
    if measured is not None:
        axes.plot(*measured, ".", color=BLACK, ms=5, label="runs")
    axes.set_xscale("log")
    axes.legend(fontsize=8, frameon=False)
    return tidy(axes, "Predicted loss of a new run", "training FLOP", f"loss, {unit}").figure


def variance_parts(names: Sequence[str], parts: Mapping[str, Array]) -> Figure:
    """Sd of predicted log loss (n runs), and the share of its variance by cause."""
    figure = blank(8.0, 1.0 + 0.3 * len(names))
    left, right = figure.subplots(1, 2, sharey=True)
    rows, total = np.arange(len(names))[::-1], sum(parts.values(), np.zeros(len(names)))
    start = np.zeros(len(names))
    for i, (part, variance) in enumerate(parts.items()):
        share = variance / total
        right.barh(rows, share, left=start, color=SERIES[i], label=part)
        start = start + share
    left.barh(rows, 100 * np.sqrt(total), color=GREY)
    left.set_yticks(rows, list(names))
    right.legend(fontsize=7, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    tidy(left, "", "sd of the predicted loss, %")
    tidy(right, "", "share of the variance")
    return figure


def by_recipe(
    names: Sequence[str],
    mean: Array,
    new_run: tuple[Array, Array],
    expected: tuple[Array, Array],
    unit: str = "nats per token",
) -> Figure:
    """Predicted losses by planned run: interval of a new run and without noise, arrays (n,)."""
    figure = blank(6.5, 0.9 + 0.3 * len(names))
    axes = figure.add_subplot()
    panels.intervals_by_name(axes, names, mean, new_run, expected)
    return tidy(axes, "Predicted loss", f"loss, {unit}").figure


def held_out(observed: Array, mean: Array, interval: tuple[Array, Array], prob: float) -> Figure:
    """Measured against predicted losses (n,) and the errors in percent."""
    figure = blank(5.6, 4.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    panels.observed_and_predicted(top, bottom, observed, mean, interval, prob)
    return figure


def recipe(
    shares: Mapping[str, float],
    quantiles: Mapping[str, Mapping[str, float]] | None = None,
    incumbent: Mapping[str, float] | None = None,
    source: Mapping[str, float] | None = None,
) -> Figure:
    """Packed shares by bucket; see `recipes.recommend.Recommendation`."""
    figure = blank(6.0, 3.2)
    axes = figure.add_subplot()
    panels.recipe_bars(axes, shares, quantiles, incumbent, source)
    return tidy(axes, "Recipe", "bucket, best first", "share").figure
