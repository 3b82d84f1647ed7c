"""Rows of scores -> regret by method and kind of truth."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.figures.canvas import GREY, SERIES, blank, tidy

LEAST = 1e-6  # percent of the loss: what is below is drawn there


def regret_by_method(rows: pd.DataFrame) -> Figure:
    """Median and middle 80 % of regret: a panel a design and target, a colour a kind of truth."""
    known = rows.dropna(subset=["regret_percent"])
    methods = list(dict.fromkeys(known["method"]))[::-1]
    panels = list(known.groupby(["design", "target"], sort=False))
    figure = blank(13.0, 0.32 * len(methods) * ((len(panels) + 1) // 2) + 1.2)
    grid = figure.subplots((len(panels) + 1) // 2, 2, sharex=True, sharey=True, squeeze=False)
    for axes, ((design, target), part) in zip(grid.ravel(), panels, strict=False):
        _panel(axes, part, methods)
        tidy(axes, f"Design {design}, target {target}", "regret, percent of the loss")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def _panel(axes: Any, part: pd.DataFrame, methods: list[str]) -> None:
    kinds = list(part["kind"].unique())
    for i, kind in enumerate(kinds):
        offset = 0.13 * ((len(kinds) - 1) / 2 - i)
        spread = part[part["kind"] == kind].groupby("method")["regret_percent"]
        low, middle, high = (
            np.maximum(spread.quantile(q).reindex(methods), LEAST) for q in (0.1, 0.5, 0.9)
        )
        height = np.arange(len(methods)) + offset
        colour = SERIES[i % len(SERIES)]
        axes.hlines(height, low, high, color=colour, linewidth=1.0, alpha=0.6)
        axes.plot(middle, height, "o", color=colour, markersize=3.5, label=kind)
    axes.set_xscale("log")
    axes.set_yticks(np.arange(len(methods)), methods)
    axes.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.6)
