"""Regret curves: step functions of repeated studies, their median and band, and their looks."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures.regret import regret_bands, regret_curves

UNIT = "nats per token"


def study(strategy, repetition, flop, regret) -> pd.DataFrame:
    columns = {"strategy": strategy, "repetition": repetition, "flop": flop, "regret": regret}
    return pd.DataFrame(columns)


def studies(n_repetitions=5, strategies=("gradient", "random")) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    parts = []
    for strategy in strategies:
        for i in range(n_repetitions):
            flop = 1e20 * np.cumsum(rng.gamma(2.0, 1.0, rng.integers(3, 7)))
            parts.append(study(strategy, i, flop, rng.gamma(2.0, 1e-3, len(flop))))
    return pd.concat(parts, ignore_index=True).sample(frac=1.0, random_state=1)


def standing_regret(rows: pd.DataFrame, flop: float) -> float:
    made = rows[rows["flop"] <= flop]
    return made.loc[made["flop"].idxmax(), "regret"]


def test_a_regret_stands_until_the_next_run_is_paid_for():
    a = study("s", 0, [1.0, 3.0], [10.0, 4.0])
    b = study("s", 1, [2.0, 5.0], [8.0, 2.0])
    bands = regret_bands(pd.concat([a, b]), prob=0.5)
    assert bands["flop"].tolist() == [2.0, 3.0, 5.0]  # from where both have decided
    assert bands["median"].tolist() == [9.0, 6.0, 3.0]
    assert bands["lo"].tolist() == [8.5, 5.0, 2.5]
    assert bands["hi"].tolist() == [9.5, 7.0, 3.5]


def test_bands_are_the_quantiles_over_repetitions_one_by_one():
    table = studies()
    bands = regret_bands(table, prob=0.8)
    assert set(bands["strategy"]) == {"gradient", "random"}
    for row in bands.itertuples():
        mine = table[table["strategy"] == row.strategy]
        values = [standing_regret(rows, row.flop) for _, rows in mine.groupby("repetition")]
        expected = np.quantile(values, [0.5, 0.1, 0.9])
        np.testing.assert_allclose([row.median, row.lo, row.hi], expected)
        assert row.repetitions == 5


def test_a_study_that_stopped_keeps_its_last_regret():
    stopped = study("s", 0, [1.0], [6.0])
    longer = study("s", 1, [1.0, 9.0], [6.0, 2.0])
    bands = regret_bands(pd.concat([stopped, longer]))
    assert bands["median"].tolist() == [6.0, 4.0]


def test_curves_draw_the_bands_in_strategies_order():
    table = studies()
    (axes,) = regret_curves(table, UNIT).axes
    bands = regret_bands(table)
    names = list(dict.fromkeys(table["strategy"]))
    assert [line.get_label() for line in axes.lines] == [f"{name} (5)" for name in names]
    for name, line, band in zip(names, axes.lines, axes.collections, strict=True):
        mine = bands[bands["strategy"] == name]
        np.testing.assert_array_equal(line.get_xdata(), mine["flop"])
        np.testing.assert_array_equal(line.get_ydata(), mine["median"])
        assert line.get_drawstyle() == "steps-post"
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(mine["lo"].min())
        assert heights.max() == pytest.approx(mine["hi"].max())
    assert axes.get_xlabel() == "FLOP spent"
    assert UNIT in axes.get_ylabel()
    assert "80%" in axes.get_ylabel()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_every_truth_has_a_panel_of_its_own_runs():
    first, second = studies(3), studies(4)
    table = pd.concat([first.assign(truth="in the family"), second.assign(truth="off it")])
    figure = regret_curves(table, UNIT)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["in the family", "off it"]
    for axes, rows in zip(figure.axes, (first, second), strict=True):
        bands = regret_bands(rows)
        for line in axes.lines:
            strategy = line.get_label().split(" (")[0]
            median = bands.loc[bands["strategy"] == strategy, "median"]
            np.testing.assert_array_equal(line.get_ydata(), median)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_strategy_keeps_its_look_where_a_truth_lacks_another():
    lacking = studies(3, strategies=("random",)).assign(truth="off it")
    table = pd.concat([studies(3).assign(truth="in the family"), lacking])
    left, right = regret_curves(table, UNIT).axes
    colour = {line.get_label(): line.get_color() for line in left.lines}
    (only,) = right.lines
    assert only.get_color() == colour["random (3)"] != colour["gradient (3)"]


def test_a_regret_of_zero_is_drawn():
    table = studies()
    table.loc[table["strategy"] == "gradient", "regret"] *= table["flop"] < 5e20
    axes = regret_curves(table, UNIT).axes[0]
    assert axes.get_yscale() == "symlog"
    assert min(line.get_ydata().min() for line in axes.lines) == 0.0
    assert axes.get_ylim()[0] <= 0.0


def test_bad_tables_are_refused():
    table = studies(1)
    with pytest.raises(InputError, match="prob: must lie between 0 and 1"):
        regret_bands(table, prob=1.0)
    with pytest.raises(InputError, match="got an empty table"):
        regret_curves(table.iloc[:0], UNIT)
    with pytest.raises(InputError, match="regret: must be a finite number, got nan"):
        regret_bands(table.assign(regret=np.nan))
    many = pd.concat([study(f"s{i}", 0, [1.0], [1.0]) for i in range(19)])
    with pytest.raises(InputError, match="at most 18 in one figure, got 19"):
        regret_curves(many, UNIT)
