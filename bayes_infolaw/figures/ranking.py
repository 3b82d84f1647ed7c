"""A ranking of plans as a table -> how far each is behind the best, and its ranks."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.figures.canvas import BLACK, BLUE, GREY, blank, tidy

__all__ = ["ranking"]


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
