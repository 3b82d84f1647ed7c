"""Stacking finds the weights that a grid finds, and the form that made the data."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.stacking import stacking_weights, weigh_forms
from bayes_infolaw.errors import InputError


def score(weights, log_density):
    return np.log(weights @ np.exp(log_density)).sum(axis=-1)


def simplex_grid(steps):
    i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1))
    inside = i + j <= steps
    pairs = np.column_stack([i[inside], j[inside]]) / steps
    return np.column_stack([pairs, 1 - pairs.sum(axis=1)])


@pytest.mark.parametrize("seed", range(6))
def test_three_forms_against_a_grid(seed):
    rng = np.random.default_rng(seed)
    log_density = rng.normal(2.0, 1.0, (3, 25)) + rng.normal(0, 0.5, (3, 1))
    grid = simplex_grid(200)
    scores = score(grid, log_density)
    found = stacking_weights(log_density)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    assert score(found, log_density) >= scores.max() - 1e-9
    assert abs(found - grid[scores.argmax()]).max() < 0.02


def test_no_other_weights_could_do_better():
    """The first-order conditions, for many forms and for densities far apart."""
    rng = np.random.default_rng(7)
    for scale in (0.1, 3.0, 60.0):
        log_density = scale * rng.normal(size=(9, 40))
        found = stacking_weights(log_density)
        ratio = np.exp(log_density - np.logaddexp.reduce(
            log_density + np.log(np.maximum(found, 1e-300))[:, None], axis=0
        )).mean(axis=1)  # fmt: skip
        assert ratio.max() < 1 + 1e-6
        assert ratio[found > 1e-3] == pytest.approx(1.0, abs=1e-5)


def test_a_form_that_is_never_better_gets_nothing_and_twins_share():
    rng = np.random.default_rng(8)
    first, second = rng.normal(size=(2, 30))
    worse = np.minimum(first, second) - 0.5
    found = stacking_weights(np.array([first, second, worse]))
    assert found[2] == 0.0
    twins = stacking_weights(np.array([first, first]))
    assert twins == pytest.approx([0.5, 0.5], abs=1e-6)


def test_mixture_of_known_densities_is_recovered():
    """Data of 0.7 Normal(0, 1) + 0.3 Normal(3, 1): the components' weights, within 4 sd."""
    rng = np.random.default_rng(9)
    component = rng.random(4000) < 0.3
    y = rng.normal(3.0 * component, 1.0)
    log_density = np.array([stats.norm.logpdf(y, 0, 1), stats.norm.logpdf(y, 3, 1)])
    assert stacking_weights(log_density) == pytest.approx([0.7, 0.3], abs=0.035)


@pytest.fixture(scope="module")
def shipped(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


def vaguer(fit, factor):
    """The same posterior, but for a noise sd that is wrong by a factor."""
    return replace(fit, draws={**fit.draws, "sigma": factor * fit.draws["sigma"]})


def test_fits_of_one_table_are_stacked(shipped):
    chosen = weigh_forms({"right": shipped, "vague": vaguer(shipped, 4.0)})
    assert chosen.method == "stacking"
    assert chosen.weights["right"] > 0.95
    assert chosen.elpd["right"] > chosen.elpd["vague"]
    assert chosen.elpd_stacked >= max(chosen.elpd.values()) - 1e-6
    assert chosen.to_dict()["high_k"].keys() == {"right", "vague"}


def other_table(fit):
    frame = fit.table.frame.iloc[::-1].reset_index(drop=True)
    return replace(fit, table=replace(fit.table, frame=frame, data_hash="0" * 64))


def test_fits_of_other_tables_are_not(shipped):
    fits = {"a": shipped, "b": other_table(shipped)}
    with pytest.raises(
        InputError, match=r"one table only; 'a' has data hash .*'b' has 000000000000"
    ):
        weigh_forms(fits, "stacking")
    fallen = weigh_forms(fits, "auto")
    assert fallen.weights == {"a": 0.5, "b": 0.5}
    assert (fallen.method, fallen.elpd) == ("equal", None)
    assert "one table only" in fallen.reason


def test_unreliable_scores_are_not_evidence(shipped):
    """A noise sd far too small makes leave-one-out hang on a few draws."""
    fits = {"a": shipped, "sure": vaguer(shipped, 0.15)}
    with pytest.raises(InputError, match=r"Pareto k <= 0.7 in 90% of runs; 'sure' exceeds it in"):
        weigh_forms(fits, "stacking")
    assert weigh_forms(fits, "auto").method == "equal"


def test_given_equal_and_bad_weights(shipped):
    fits = {"a": shipped, "b": shipped}
    assert weigh_forms(fits, {"a": 3, "b": 1}).weights == {"a": 0.75, "b": 0.25}
    assert weigh_forms(fits, "equal").weights == {"a": 0.5, "b": 0.5}
    assert weigh_forms({"a": shipped}).weights == {"a": 1.0}
    with pytest.raises(InputError, match="weights: must be stacking, equal, auto or numbers"):
        weigh_forms(fits, "loo")
    with pytest.raises(InputError, match="must name exactly a, b; off at 'b'"):
        weigh_forms(fits, {"a": 1, "c": 1})
    with pytest.raises(InputError, match="at least one is needed"):
        weigh_forms({})


@pytest.mark.slow
def test_the_form_that_made_the_data_gets_the_weight(repo_root):
    """Two overtraining degrees tell the logarithmic normaliser from a constant one."""
    table = bi.read_runs(repo_root / "runs" / "paper_design" / "benchmark42.toml")
    fits = {
        name: bi.fit(table, name, chains=2, draws=400, warmup=600, seed=1)
        for name in ("infolaw", "infolaw_constant")
    }
    chosen = weigh_forms(fits, "stacking")
    assert chosen.weights["infolaw"] > 0.8
    assert chosen.elpd["infolaw"] > chosen.elpd["infolaw_constant"] + 2
