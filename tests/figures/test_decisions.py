"""Figures of decisions: what is drawn is what was given, with its labels and units."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from bayes_infolaw.errors import InputError
from bayes_infolaw.figures import decisions
from bayes_infolaw.figures.ranking import ranking

UNIT = "nats per byte"
NAMES = ("high", "mid", "low", "web")
MARKS = {"recommended": {"high": 0.6, "mid": 0.4}, "incumbent": dict.fromkeys(NAMES, 0.25)}


def profile_table() -> pd.DataFrame:
    share = np.linspace(0.0, 0.9, 10)
    parts = []
    for d, name in enumerate(NAMES):
        mean = (share - 0.1 * d) ** 2 - 0.01
        ends = {"difference_lo": mean - 0.02, "difference_hi": mean + 0.03}
        gain = {"expected_improvement": 0.5 * np.maximum(-mean, 0.0)}
        columns = {"bucket": name, "share": share, "difference_mean": mean, **ends, **gain}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def line(axes, label):
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def panels_by_title(figure) -> dict:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def vertical_range(collection, x: float) -> tuple[float, float]:
    """Lowest and highest y of a band's outline at one of its x."""
    (path,) = collection.get_paths()
    y = path.vertices[np.isclose(path.vertices[:, 0], x), 1]
    return y.min(), y.max()


def test_profiles_draw_every_bucket_its_loss_band_and_improvement():
    table = profile_table()
    figure = decisions.profiles(table, MARKS, UNIT, 0.9)
    assert len(figure.axes) == 2 * len(NAMES)
    for i, (name, rows) in enumerate(table.groupby("bucket", sort=False)):
        loss, gain = figure.axes[2 * i : 2 * i + 2]
        assert loss.get_title(loc="left") == name
        np.testing.assert_array_equal(line(loss, "mean").get_xdata(), rows["share"])
        np.testing.assert_array_equal(line(loss, "mean").get_ydata(), rows["difference_mean"])
        np.testing.assert_array_equal(gain.lines[0].get_ydata(), rows["expected_improvement"])
        (band,) = loss.collections
        for row in rows.itertuples():
            ends = (row.difference_lo, row.difference_hi)
            assert vertical_range(band, row.share) == pytest.approx(ends)


def test_profiles_mark_a_recipe_at_its_own_share_in_every_panel():
    figure = decisions.profiles(profile_table(), MARKS, UNIT, 0.9)
    for i, name in enumerate(NAMES):
        for axes in figure.axes[2 * i : 2 * i + 2]:
            at = {label: line(axes, label).get_xdata() for label in MARKS}
            assert at["recommended"] == [MARKS["recommended"].get(name, 0.0)] * 2
            assert at["incumbent"] == [0.25, 0.25]


def test_profiles_name_units_and_interval_and_keep_one_scale():
    figure = decisions.profiles(profile_table(), MARKS, UNIT, 0.8, top=0.05)
    losses, gains = figure.axes[::2], figure.axes[1::2]
    assert {axes.get_ylim()[1] for axes in losses} == {0.05}
    assert len({axes.get_ylim() for axes in gains}) == 1
    assert UNIT in losses[0].get_ylabel()
    assert "incumbent" in losses[0].get_ylabel()
    assert UNIT in gains[0].get_ylabel()
    assert {axes.get_xlabel() for axes in gains} == {"share of the packed tokens"}
    (legend,) = figure.legends
    texts = {text.get_text() for text in legend.get_texts()}
    assert texts == {"80% interval", "mean", "recommended", "incumbent"}


def optima():
    rng = np.random.default_rng(4)
    recipes = rng.dirichlet(np.arange(4, 0, -1), 500)
    recipes[:200, 3] = 0.0
    recipes /= recipes.sum(axis=1, keepdims=True)
    weight = rng.uniform(size=500)
    return recipes, weight / weight.sum(), rng.integers(0, 2, 500)


def heights_by_label(axes) -> dict[str, np.ndarray]:
    return {
        bars[0].get_label(): np.array([bar.get_height() for bar in bars])
        for bars in axes.containers
    }


def test_optimum_histograms_hold_the_weight_of_each_form():
    recipes, weight, form = optima()
    names = ["infolaw", "constant"]
    figure = decisions.optimum_posterior(recipes, weight, NAMES, (form, names), MARKS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(NAMES)
    for d, axes in enumerate(figure.axes):
        stacks = heights_by_label(axes)
        edges = np.linspace(0.0, recipes.max(), len(axes.containers[0]) + 1)
        for i, name in enumerate(names):
            mine = form == i
            expected = np.histogram(recipes[mine, d], edges, weights=weight[mine])[0]
            np.testing.assert_allclose(stacks[name], expected, atol=1e-12)
        tops = [bar.get_y() + bar.get_height() for bar in axes.containers[1]]
        assert sum(tops) == pytest.approx(1.0)


def test_optimum_histograms_reach_to_the_largest_share_and_mark():
    recipes, weight, _ = optima()
    far = {"all in one": {"high": 0.99 * recipes.max() + 0.01}}
    plain = decisions.optimum_posterior(recipes, weight, NAMES).axes[0]
    marked = decisions.optimum_posterior(recipes, weight, NAMES, marks=far).axes[0]
    ends = [axes.patches[-1].get_x() + axes.patches[-1].get_width() for axes in (plain, marked)]
    assert ends == pytest.approx([recipes.max(), far["all in one"]["high"]])
    assert sum(bar.get_height() for bar in plain.patches) == pytest.approx(1.0)
    assert plain.get_ylabel() == "probability per bin"


def test_optima_of_another_shape_are_refused():
    recipes, weight, _ = optima()
    with pytest.raises(InputError, match=r"recipes must have shape \(500, 3\), got \(500, 4\)"):
        decisions.optimum_posterior(recipes, weight, NAMES[:3])


def trend_table() -> pd.DataFrame:
    rows = [
        {"tokens": tokens, "bucket": name, "share": 0.4 - 0.1 * d + 0.01 * i, "median": 0.3}
        for i, tokens in enumerate((4e11, 1e11, 2e11))  # not by growing tokens
        for d, name in enumerate(NAMES)
    ]
    table = pd.DataFrame(rows)
    return table.assign(lo=table["share"] - 0.05, hi=table["share"] + 0.1)


def test_trend_runs_by_growing_tokens_with_the_incumbent_as_a_level():
    table = trend_table()
    figure = decisions.tokens_trend(table, 0.9, {"incumbent": MARKS["incumbent"]})
    shown = panels_by_title(figure)
    assert list(shown) == list(NAMES)
    for name, axes in shown.items():
        rows = table[table["bucket"] == name].sort_values("tokens")
        best = line(axes, "least expected loss")
        assert best.get_xdata().tolist() == [1e11, 2e11, 4e11]
        np.testing.assert_array_equal(best.get_ydata(), rows["share"])
        np.testing.assert_array_equal(line(axes, "their median").get_ydata(), 0.3)
        assert line(axes, "incumbent").get_ydata() == [0.25, 0.25]
        (band,) = axes.collections
        assert band.get_label() == "90% of the draws' optima"
        for row in rows.itertuples():
            assert vertical_range(band, row.tokens) == pytest.approx((row.lo, row.hi))
        assert axes.get_xscale() == "log"
        assert axes.get_ylim()[0] == 0.0


def test_trend_over_less_than_a_power_of_ten_still_labels_tokens():
    figure = decisions.tokens_trend(trend_table(), 0.9)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    labels = {
        tick.get_loc(): tick.label1.get_text()
        for tick in axes.xaxis.get_major_ticks()
        if low <= tick.get_loc() <= high
    }
    assert set(labels) == {1e11, 2e11, 4e11}
    assert all(labels.values())


def test_trend_of_several_forms_draws_each_with_its_own_band():
    first = trend_table().assign(form="infolaw")
    second = first.assign(form="constant", share=0.5 * first["share"], lo=0.0, hi=0.02)
    both = pd.concat([first, second]).sample(frac=1.0, random_state=1)
    shown = panels_by_title(decisions.tokens_trend(both, 0.9))
    assert len({tuple(line.get_color() for line in axes.lines) for axes in shown.values()}) == 1
    for name, axes in shown.items():
        drawn = {line.get_label().split(" (")[0]: line for line in axes.lines}
        assert list(drawn) == list(dict.fromkeys(both["form"]))
        assert len({line.get_color() for line in drawn.values()}) == 2
        order = list(drawn)
        for form, table in (("infolaw", first), ("constant", second)):
            rows = table[table["bucket"] == name].sort_values("tokens")
            np.testing.assert_array_equal(drawn[form].get_ydata(), rows["share"])
            band = axes.collections[order.index(form)]
            ends = (rows["lo"].iloc[0], rows["hi"].iloc[0])
            assert vertical_range(band, 1e11) == pytest.approx(ends)


def rank_table(n: int) -> pd.DataFrame:
    behind = 1e-3 * np.arange(n)
    return pd.DataFrame(
        {
            "run": [f"plan {i}" for i in range(n)],
            "behind_mean": behind,
            "behind_lo": 0.5 * behind,
            "behind_hi": 2.0 * behind,
            "p_best": 0.5 ** np.arange(1, n + 1),
            "rank_mean": np.arange(1.0, n + 1),
            "rank_lo": np.maximum(np.arange(n), 1),
            "rank_hi": np.arange(2, n + 2),
        }
    )


def test_ranking_puts_the_best_on_top_with_both_intervals():
    table = rank_table(5)
    left, right = ranking(table, UNIT, 0.9).axes
    rows = np.array([4, 3, 2, 1, 0])
    for axes, column in ((left, "behind"), (right, "rank")):
        segments = np.array(axes.collections[0].get_segments())
        np.testing.assert_array_equal(segments[:, 0, 1], rows)
        np.testing.assert_array_equal(segments[:, 0, 0], table[f"{column}_lo"])
        np.testing.assert_array_equal(segments[:, 1, 0], table[f"{column}_hi"])
        np.testing.assert_array_equal(axes.lines[0].get_xdata(), table[f"{column}_mean"])
    at = dict(zip(left.get_yticks(), left.get_yticklabels(), strict=True))
    assert [at[row].get_text() for row in rows] == list(table["run"])
    said = [(text.get_position()[1], text.get_text()) for text in right.texts]
    expected = ["0.50", "0.25", "0.12", "0.06", "0.03"]
    assert said == list(zip(rows, expected, strict=True))
    assert UNIT in left.get_xlabel()
    assert "90%" in left.get_xlabel()
    assert "90%" in right.get_xlabel()


def test_ranking_of_many_counts_what_it_leaves_out():
    left, _ = ranking(rank_table(9), UNIT, 0.9, shown=4).axes
    assert len(left.get_yticks()) == 4
    assert left.get_title(loc="left") == "Plans by expected loss, the first 4 of 9"


def test_a_fourth_mark_is_refused():
    marks = {f"m{i}": MARKS["incumbent"] for i in range(4)}
    with pytest.raises(InputError, match="marks: must be at most 3 recipes, got 4"):
        decisions.profiles(profile_table(), marks, UNIT, 0.9)
