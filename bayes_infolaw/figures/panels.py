"""Arrays -> one panel each, drawn on given axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.figures.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, tidy

__all__ = ["intervals_by_name", "observed_and_predicted", "prior_and_posterior", "recipe_bars"]

Array = np.ndarray
Interval = tuple[Array, Array]
ABOVE: dict[str, Any] = {
    "fontsize": 7,
    "frameon": False,
    "ncols": 4,
    "loc": "lower right",
    "bbox_to_anchor": (1.0, 0.98),
    "borderaxespad": 0.0,
}
REACH = 1.15  # of the prior's interval: a posterior far outside is drawn at the edge


def observed_and_predicted(
    top: Any, bottom: Any, observed: Array, mean: Array, interval: Interval, prob: float
) -> None:
    """Measured against predicted loss (n,), and below the error in percent with the intervals."""
    low, high = interval
    ends = [min(observed.min(), mean.min()), max(observed.max(), mean.max())]
    top.plot(ends, ends, color=GREY, lw=1)
    top.plot(mean, observed, ".", color=BLUE, ms=5, alpha=0.7)
    tidy(top, f"Held-out runs ({len(observed)})", "", "measured loss")
    top.tick_params(labelbottom=False)
    inside = (low <= observed) & (observed <= high)
    bottom.axhline(0.0, color=GREY, lw=1)
    bottom.vlines(mean, *(100 * (end / mean - 1) for end in interval), color=GREY, lw=1.2)
    for chosen, colour, label in ((inside, BLUE, "inside"), (~inside, ORANGE, "outside")):
        error = 100 * (observed / mean - 1)
        text = f"{label}: {chosen.sum()}"
        bottom.plot(mean[chosen], error[chosen], ".", color=colour, ms=5, label=text)
    tidy(bottom, "", "predicted loss", f"error, %\n({prob:.0%} intervals)")
    bottom.legend(**ABOVE)
    error, half = np.abs(100 * (observed / mean - 1)), 50 * (high - low) / mean
    reach = 1.3 * max(error.max(), float(np.median(half)))  # a degree never seen: off the axis
    bottom.set_ylim(-reach, reach)


def intervals_by_name(
    axes: Any, names: Sequence[str], mean: Array, new_run: Interval, expected: Interval
) -> None:
    """Predicted losses (n,) with the interval of a new run (thin) and without noise (thick)."""
    rows = np.arange(len(names))[::-1]
    axes.hlines(rows, *new_run, color=BLUE, lw=1.2, label="new run")
    axes.hlines(rows, *expected, color=BLUE, lw=4, alpha=0.55, label="without noise")
    axes.plot(mean, rows, "o", color=BLACK, ms=4)
    axes.set_yticks(rows, names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.legend(**ABOVE)


def recipe_bars(
    axes: Any,
    recipe: Mapping[str, float],
    quantiles: Mapping[str, Mapping[str, float]] | None,
    incumbent: Mapping[str, float] | None,
    source: Mapping[str, float] | None,
) -> None:
    """Packed shares by bucket: recommended (with the draws' optima), incumbent, source."""
    series = [("recommended", recipe, BLUE), ("incumbent", incumbent, ORANGE)]
    series = [entry for entry in [*series, ("source", source, GREY)] if entry[1] is not None]
    at, width = np.arange(len(recipe)), 0.8 / len(series)
    for i, (label, shares, colour) in enumerate(series):
        x = at + (i - (len(series) - 1) / 2) * width
        heights = [dict(shares or {}).get(name, 0.0) for name in recipe]
        axes.bar(x, heights, 0.92 * width, color=colour, label=label)
        if i == 0 and quantiles is not None:
            ends = [[quantiles[name][end] for name in recipe] for end in ("lo", "hi")]
            axes.vlines(x, *ends, color=BLACK, lw=1.5, label="optima of the draws")
    axes.set_xticks(at, list(recipe))
    axes.legend(fontsize=7, frameon=False)


def prior_and_posterior(axes: Any, table: pd.DataFrame, truth: Mapping[str, float]) -> None:
    """Posterior intervals on the scale of the prior's, a row a parameter.

    Parameters
    ----------
    table : DataFrame
        Columns ``prior_lo, prior_hi, posterior_mean, posterior_sd, posterior_lo, posterior_hi``,
        indexed by parameter.
    truth : mapping
        Known values (a simulated table), marked with a green bar.
    """
    start, width = table["prior_lo"], table["prior_hi"] - table["prior_lo"]
    rows = np.arange(len(table))[::-1]
    axes.hlines(rows, 0, 1, color=GREY, lw=7, alpha=0.45, label="prior")
    scaled = {end: (table[f"posterior_{end}"] - start) / width for end in ("lo", "mean", "hi")}
    scaled = {end: value.clip(1 - REACH, REACH) for end, value in scaled.items()}
    axes.hlines(rows, scaled["lo"], scaled["hi"], color=BLUE, lw=3, label="posterior")
    axes.plot(scaled["mean"], rows, "o", color=BLUE, ms=4)
    known = [name for name in table.index if name in truth]
    marks = [(truth[name] - start[name]) / width[name] for name in known]
    if known:
        y = rows[table.index.get_indexer(pd.Index(known))]
        axes.plot(marks, y, "|", color=GREEN, ms=15, mew=2, label="simulated from")
    _posterior_labels(axes, table, rows)
    axes.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _posterior_labels(axes: Any, table: pd.DataFrame, rows: Array) -> None:
    moments = zip(table["posterior_mean"], table["posterior_sd"], rows, strict=True)
    for mean, sd, row in moments:
        axes.text(1.2, row, f"{mean:.4g} ({sd:.2g})", va="center", fontsize=7.5, color=BLACK)
    axes.text(1.2, rows[0] + 0.7, "mean (sd)", fontsize=7.5, color=GREY)
    axes.set_yticks(rows, list(table.index))
    axes.set_ylim(-0.6, rows[0] + 1.1)
    axes.set_xlim(1 - REACH - 0.03, 1.75)
    axes.set_xticks([0, 1], ["prior\nlo", "prior\nhi"])
