"""Draws and diagnostics as arrays -> the plots that say whether a sampler can be believed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.figures import panels
from bayes_infolaw.figures.canvas import BLUE, GREEN, GREY, ORANGE, SERIES, blank, tidy

__all__ = ["energy", "leave_one_out", "pit", "priors", "ranks", "ridge", "sensitivity", "trace"]

Array = np.ndarray


def ridge(
    x: Array,
    y: Array,
    names: tuple[str, str],
    truth: tuple[float, float] | None = None,
    diverging: Array | None = None,
) -> Figure:
    """Joint draws (chain, draw) of two parameters: density as hexagons, marginals beside.

    Parameters
    ----------
    truth : tuple, optional
        Known values, marked with a cross.
    diverging : array of bool (chain, draw), optional
        Divergent draws are drawn on top.
    """
    figure = blank(5.2, 4.8)
    grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4))
    joint = figure.add_subplot(grid[1, 0])
    joint.hexbin(x.ravel(), y.ravel(), gridsize=45, cmap="Blues", mincnt=1, bins="log", lw=0.1)
    if diverging is not None and diverging.any():
        joint.plot(x[diverging], y[diverging], ".", color=ORANGE, ms=4, label="divergent")
    if truth is not None:
        joint.plot(*truth, "x", color=GREEN, ms=10, mew=2.5, label="simulated from")
    if joint.get_legend_handles_labels()[0]:
        joint.legend(fontsize=8, frameon=False)
    tidy(joint, "", *names)
    _margin(figure.add_subplot(grid[0, 0], sharex=joint), x, "vertical")
    _margin(figure.add_subplot(grid[1, 1], sharey=joint), y, "horizontal")
    return figure


def _margin(axes: Any, values: Array, orientation: str) -> None:
    axes.hist(values.ravel(), bins=50, color=BLUE, alpha=0.5, orientation=orientation)
    axes.set_axis_off()


def ranks(counts: Mapping[str, Array]) -> Figure:
    """Counts of pooled ranks (chain, bins) of each parameter; level lines are good.

    See `posterior.chain_statistics.rank_counts`.
    """
    figure, every = _small_multiples(len(counts), height=1.9)
    for axes, (name, by_chain) in zip(every, counts.items(), strict=False):
        axes.axhline(by_chain.mean(), color=GREY, lw=1, ls="--")
        edges = np.linspace(0.0, 1.0, by_chain.shape[1] + 1)
        for i, chain in enumerate(by_chain):
            axes.stairs(
                chain, edges, baseline=None, color=SERIES[i % len(SERIES)], lw=1.3, alpha=0.9
            )
        axes.set_ylim(0, max(2.0 * by_chain.mean(), 1.1 * by_chain.max()))
        tidy(axes, name, "rank among all draws", "draws")
    return figure


def trace(draws: Mapping[str, Array]) -> Figure:
    """Draws (chain, draw) of each parameter in order, a colour a chain."""
    figure, every = _small_multiples(len(draws), height=1.9)
    for axes, (name, by_chain) in zip(every, draws.items(), strict=False):
        for i, chain in enumerate(by_chain):
            axes.plot(chain, color=SERIES[i % len(SERIES)], lw=0.5, alpha=0.8, rasterized=True)
        tidy(axes, name, "draw")
    return figure


def energy(centred: Array, change: Array, bfmi: float | None = None) -> Figure:
    """Centred energies and their changes between draws; see `chain_statistics.energy_change`."""
    figure = blank(5.2, 3.2)
    axes = figure.add_subplot()
    both = np.concatenate([centred, change])
    bins = np.linspace(both.min(), both.max(), 60).tolist()
    for values, colour, label in ((centred, BLUE, "energy"), (change, ORANGE, "its change")):
        axes.hist(values, bins, density=True, histtype="stepfilled", color=colour, alpha=0.35)
        axes.hist(values, bins, density=True, histtype="step", color=colour, lw=1.5, label=label)
    axes.legend(fontsize=8, frameon=False)
    axes.set_yticks([])
    tidy(axes, "Energy" if bfmi is None else f"Energy (smallest BFMI {bfmi:.2f})", "energy - mean")
    return figure


def pit(values: Array, p_value: float) -> Figure:
    """Sorted PIT values (n,) against uniform quantiles; a calibrated fit follows the diagonal."""
    n = len(values)
    expected = (np.arange(n) + 0.5) / n
    figure = blank(4.2, 4.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, lw=1)
    axes.plot(expected, np.sort(values), "o", color=BLUE, ms=4)
    axes.set_aspect("equal")
    title = f"LOO-PIT, {n} runs (KS p = {p_value:.2f})"
    return tidy(axes, title, "uniform quantile", "LOO-PIT").figure


def leave_one_out(runs: list[str], elpd: Array, pareto_k: Array, threshold: float = 0.7) -> Figure:
    """Score and Pareto k of every run (n,); runs above the threshold or lowest are named."""
    figure = blank(7.5, 3.2)
    left, right = figure.subplots(1, 2)
    at = np.arange(len(runs))
    for axes, values, title in ((left, elpd, "elpd by run"), (right, pareto_k, "Pareto k")):
        axes.plot(at, values, "o", color=BLUE, ms=4)
        tidy(axes, title, "run, in table order")
    right.axhline(threshold, color=ORANGE, lw=1, ls="--")
    for i in {*np.flatnonzero(pareto_k > threshold).tolist(), int(np.argmin(elpd))}:
        for axes, values in ((left, elpd), (right, pareto_k)):
            axes.annotate(
                runs[i], (at[i], values[i]), (4, 4), textcoords="offset points", fontsize=7
            )
    return figure


def priors(table: pd.DataFrame, truth: Mapping[str, float] | None = None) -> Figure:
    """Posterior intervals on the scale of the prior's; see `posterior.prior_posterior`."""
    figure = blank(6.5, 0.9 + 0.34 * len(table))
    axes = figure.add_subplot()
    panels.prior_and_posterior(axes, table, truth or {})
    return tidy(axes, "Prior and posterior").figure


def sensitivity(table: pd.DataFrame, threshold: float = 0.05) -> Figure:
    """Power-scaling sensitivity (columns prior, likelihood) of every parameter."""
    figure = blank(5.5, 0.9 + 0.34 * len(table))
    axes = figure.add_subplot()
    rows = np.arange(len(table))[::-1]
    axes.axvline(threshold, color=GREY, lw=1, ls="--")
    for column, colour, marker in (("prior", ORANGE, "s"), ("likelihood", BLUE, "o")):
        axes.plot(table[column], rows, marker, color=colour, ms=5, label=column)
    axes.set_yticks(rows, list(table.index))
    axes.legend(fontsize=8, frameon=False)
    return tidy(axes, "Power-scaling sensitivity", "sensitivity").figure


def _small_multiples(n: int, height: float) -> tuple[Figure, list[Any]]:
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = blank(9.0, height * rows + 0.3)
    every = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in every[n:]:
        axes.set_axis_off()
    return figure, every
