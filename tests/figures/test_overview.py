"""The demo's page: drawn from what it is given, written whole or not at all."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytest.importorskip("matplotlib")

import bayes_infolaw as bi
from bayes_infolaw.figures import canvas, diagnostics, forecast
from bayes_infolaw.figures.overview import overview, simulated_from
from bayes_infolaw.posterior.chain_statistics import energy_change, rank_counts


@pytest.fixture(scope="module")
def small_fit(repo_root):
    return bi.fit(repo_root / "runs" / "paper_design", draws=200, warmup=300, seed=3)


def held_out():
    rows = pd.DataFrame({"loss": [3.0, 3.2, 3.4], "loss_mean": [3.01, 3.2, 3.3]})
    rows = rows.assign(loss_lo=rows["loss_mean"] - 0.02, loss_hi=rows["loss_mean"] + 0.02)
    return SimpleNamespace(rows=rows.assign(prob=0.9))


def prediction():
    values = {"loss_mean": 3.1, "loss_lo": 3.0, "loss_hi": 3.2, "mean_lo": 3.05, "mean_hi": 3.15}
    columns = {name: ("run", np.array([value, value])) for name, value in values.items()}
    attrs = {"prob": 0.9, "loss_unit": "nats per token"}
    return xr.Dataset(columns, {"run": ["HQ", "LQ"]}, attrs)


def recommendation(buckets):
    recipe = dict.fromkeys(buckets, 1 / 6)
    ends = {name: {"lo": 0.1, "median": 0.17, "hi": 0.2} for name in buckets}
    return SimpleNamespace(
        recipe=recipe,
        recipe_quantiles=ends,
        incumbent=SimpleNamespace(recipe=recipe),
        expected_loss=3.1,
        difference=SimpleNamespace(mean=0.01, lo=0.005, hi=0.02),
    )


def test_overview_is_one_png(small_fit, tmp_path):
    path = tmp_path / "demo.png"
    overview(small_fit, held_out(), prediction(), recommendation("012345"), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["demo.png"]


def test_overview_says_what_it_was_not_given(small_fit, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "bayes_infolaw.figures.overview.save", lambda figure, path: drawn.append(figure)
    )
    overview(small_fit, None, prediction(), None, tmp_path / "demo.png")
    said = {text.get_text() for axes in drawn[0].axes for text in axes.texts}
    assert {"no runs were held out", "no mixture to choose"} <= said
    assert "simulated" in drawn[0].get_suptitle()


def test_a_failed_save_leaves_nothing(tmp_path):
    figure = canvas.blank(2, 2)
    figure.savefig = None
    with pytest.raises(TypeError):
        canvas.save(figure, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_known_truth_is_read_only_from_a_simulated_table(small_fit):
    from dataclasses import replace

    truth = simulated_from(small_fit)
    assert truth["theta"] == 0.922
    assert truth["alpha"] == 3.7373  # the one at m = 3.6
    measured = replace(small_fit, table=replace(small_fit.table, simulated=False))
    assert simulated_from(measured) == {}


def test_held_out_panel_counts_what_lies_outside():
    rows = held_out().rows
    columns = (rows[name].to_numpy() for name in ("loss", "loss_mean"))
    ends = (rows["loss_lo"].to_numpy(), rows["loss_hi"].to_numpy())
    figure = forecast.held_out(*columns, ends, 0.9)
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert labels == ["inside: 2", "outside: 1"]


def test_variance_bars_are_shares_of_one():
    parts = {"parameters": np.array([3.0, 1.0]), "noise": np.array([1.0, 1.0])}
    bars = forecast.variance_parts(["x", "y"], parts).axes[1].patches
    ends = sorted(round(bar.get_x() + bar.get_width(), 12) for bar in bars)
    assert ends == [0.5, 0.75, 1.0, 1.0]


def test_pit_points_are_sorted_against_uniform_quantiles():
    figure = diagnostics.pit(np.array([0.9, 0.1]), 0.5)
    x, y = figure.axes[0].lines[1].get_data()
    assert x.tolist() == [0.25, 0.75]
    assert y.tolist() == [0.1, 0.9]


def test_bad_runs_are_named_in_the_loo_plot():
    elpd, k = np.array([1.0, 2.0, -3.0]), np.array([0.1, 0.9, 0.2])
    figure = diagnostics.leave_one_out(["p", "q", "r"], elpd, k)
    assert {text.get_text() for text in figure.axes[0].texts} == {"q", "r"}


def test_rank_counts_are_level_for_equal_chains_and_not_for_a_shifted_one():
    draws = np.random.default_rng(2).standard_normal((4, 1000))
    level = rank_counts(draws)
    assert level.sum(axis=1).tolist() == [1000] * 4
    expected = 50.0
    # pooled ranks: each of the 4 x 20 counts is near hypergeometric, chi-square over 3 x 19
    assert ((level - expected) ** 2 / expected).sum() < 95
    draws[0] += 1.0
    shifted = rank_counts(draws)
    assert shifted[0, -1] > 2 * shifted[0, 0]


def test_energy_change_is_within_chains():
    energy = np.array([[1.0, 2.0, 4.0], [10.0, 10.0, 9.0]])
    centred, change = energy_change(energy)
    assert centred.sum() == pytest.approx(0.0)
    assert change.tolist() == [1.0, 2.0, 0.0, -1.0]


def test_without_matplotlib_one_clear_error():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "try:\n    import bayes_infolaw.figures.overview\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "figures need matplotlib: pip install 'bayes-infolaw[plots]'"
