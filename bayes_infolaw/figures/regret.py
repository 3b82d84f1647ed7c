"""Regret of repeated studies against what they spent -> median and band of each strategy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bayes_infolaw.errors import InputError, require_probability
from bayes_infolaw.figures.canvas import SERIES, blank, log_ticks, tidy

__all__ = ["regret_bands", "regret_curves"]

Array = np.ndarray

STYLES = ("-", "--", ":")


def regret_bands(table: pd.DataFrame, prob: float = 0.8) -> pd.DataFrame:
    """Median and equal-tailed band of the regret over repetitions, at every FLOP spent.

    Regret is a step function: that of the last decision stands until the next run is paid for,
    and after the last one (a study that stopped spends no more). A strategy's curve starts where
    all its repetitions have decided once.

    Parameters
    ----------
    table : DataFrame
        ``strategy, repetition, flop`` (spent up to then) and ``regret``, a row a decision.
    prob : float
        Of the band.

    Returns
    -------
    DataFrame
        ``strategy, flop, median, lo, hi, repetitions``; strategies in the table's order.

    Raises
    ------
    InputError
        No row, ``prob`` outside (0, 1), or a value that is no number.
    """
    _require(table, prob)
    parts = [_bands(name, rows, prob) for name, rows in table.groupby("strategy", sort=False)]
    return pd.concat(parts, ignore_index=True)


def _bands(name: Any, rows: pd.DataFrame, prob: float) -> pd.DataFrame:
    studies = [study.sort_values("flop") for _, study in rows.groupby("repetition")]
    start = max(study["flop"].iloc[0] for study in studies)
    at = np.unique(rows.loc[rows["flop"] >= start, "flop"].to_numpy(dtype=float))
    standing = np.array([_standing(study, at) for study in studies])
    levels = [0.5, 0.5 * (1 - prob), 0.5 * (1 + prob)]
    median, low, high = np.quantile(standing, levels, axis=0)
    columns = {"flop": at, "median": median, "lo": low, "hi": high}
    return pd.DataFrame({"strategy": name, **columns, "repetitions": len(studies)})


def _standing(study: pd.DataFrame, at: Array) -> Array:
    """Regret of the last decision made by each amount spent."""
    last = np.searchsorted(study["flop"].to_numpy(dtype=float), at, side="right") - 1
    return study["regret"].to_numpy(dtype=float)[last]


def regret_curves(table: pd.DataFrame, unit: str, prob: float = 0.8) -> Figure:
    """Regret of the recommended recipe against spent FLOP, a line and a band a strategy.

    Parameters
    ----------
    table : DataFrame
        As in `regret_bands`, with ``truth`` where there are several: a panel each.
    unit : str
        Of the regret.
    prob : float
        Of the bands.

    Raises
    ------
    InputError
        As `regret_bands`, or more strategies than there are looks that can be told apart.
    """
    _require(table, prob)
    strategies = list(dict.fromkeys(table["strategy"]))
    looks = _looks(strategies)
    groups = table.groupby("truth", sort=False) if "truth" in table else [("", table)]
    panels = [(str(truth), regret_bands(rows, prob)) for truth, rows in groups]
    figure = blank(1.6 + 3.4 * len(panels), 3.6)
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    _scale(every[0], pd.concat([bands for _, bands in panels]))
    for axes, (truth, bands) in zip(every, panels, strict=True):
        for name, rows in bands.groupby("strategy", sort=False):
            _curve(axes, str(name), rows, looks[name])
        log_ticks(axes)
        tidy(axes, truth, "FLOP spent")
    every[0].set_ylabel(f"regret, {unit}\n(median, {prob:.0%} of repetitions)", fontsize=9)
    every[0].legend(fontsize=8, frameon=False)
    return figure


def _curve(axes: Any, name: str, rows: pd.DataFrame, look: dict[str, Any]) -> None:
    label = f"{name} ({rows['repetitions'].iloc[0]})"
    band = {"color": look["color"], "alpha": 0.18, "lw": 0, "step": "post"}
    axes.fill_between(rows["flop"], rows["lo"], rows["hi"], **band)
    axes.step(rows["flop"], rows["median"], where="post", lw=1.5, label=label, **look)


def _scale(axes: Any, bands: pd.DataFrame) -> None:
    """Log axis; where a median or an end is zero, linear below the least positive one."""
    drawn = bands[["lo", "median", "hi"]].to_numpy()
    positive = drawn[drawn > 0]
    if len(positive) == drawn.size:
        axes.set_yscale("log")
    elif len(positive):
        axes.set_yscale("symlog", linthresh=float(positive.min()))


def _looks(strategies: Sequence[Any]) -> dict[Any, dict[str, Any]]:
    most = len(SERIES) * len(STYLES)
    if len(strategies) > most:
        raise InputError(f"strategies: must be at most {most} in one figure, got {len(strategies)}")
    return {
        name: {"color": SERIES[i % len(SERIES)], "ls": STYLES[i // len(SERIES)]}
        for i, name in enumerate(strategies)
    }


def _require(table: pd.DataFrame, prob: float) -> None:
    require_probability("prob", prob)
    if table.empty:
        raise InputError("regret: at least one decision is needed, got an empty table")
    for column in ("flop", "regret"):
        values = table[column].to_numpy(dtype=float)
        bad = values[~np.isfinite(values)]
        if bad.size:
            raise InputError(f"{column}: must be a finite number, got {bad[0]}")
