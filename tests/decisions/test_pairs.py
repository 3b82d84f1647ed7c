"""beats: the gap of two planned runs is the direct one over a fit's own draws, taken in common."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.pairs import PlanDraws, compare, plan_draws, rank
from bayes_infolaw.decisions.weighted import weighted_quantile
from bayes_infolaw.errors import InputError


@pytest.fixture(scope="module")
def fit(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


@pytest.fixture(scope="module")
def plan(repo_root):
    return repo_root / "runs" / "paper_design" / "plan_7b.csv"


@pytest.fixture(scope="module")
def other(fit):
    """The same fit with a lower density step: another form that ranks recipes otherwise."""
    return replace(fit, draws=fit.draws | {"theta": 0.2 * fit.draws["theta"]})


def predicted(fit, plan):
    """(J, n) noise-free losses as `Fit.predict` gives them, and the runs' names."""
    found = fit.predict(plan)
    loss = found["expected_loss"].to_numpy()
    return loss.reshape(-1, loss.shape[-1]), [str(run) for run in found["run"].to_numpy()]


def test_the_pair_is_the_direct_computation(fit, plan):
    loss, runs = predicted(fit, plan)
    draws = plan_draws({"f": fit}, plan)
    for a, b in ((0, 1), (3, 8), (2, 5)):
        found = compare(draws, runs[a], runs[b], prob=0.8)
        gap = loss[:, b] - loss[:, a]
        assert found.p_a_better == pytest.approx((gap > 0).mean())
        assert found.gap_mean == pytest.approx(gap.mean(), rel=1e-9)
        assert found.gap_sd == pytest.approx(gap.std(), rel=1e-9)
        ends = np.quantile(gap, [0.1, 0.9])
        np.testing.assert_allclose([found.gap_lo, found.gap_hi], ends, rtol=1e-9)


def test_draws_are_common(fit, plan):
    """With independent draws the sd of the gap would be that of two levels, many times larger."""
    loss, runs = predicted(fit, plan)
    found = compare(plan_draws({"f": fit}, plan), runs[1], runs[2])
    independent = np.hypot(loss[:, 1].std(), loss[:, 2].std())
    assert found.gap_sd < independent / 5
    shuffled = np.random.default_rng(1).permutation(loss[:, 2]) - loss[:, 1]
    assert found.p_a_better != pytest.approx((shuffled > 0).mean(), abs=0.02)


def test_an_unseen_degree_is_one_effect_for_both(fit, plan):
    """Both runs at one new m: its effect's spread (some 0.05) cancels in the gap."""
    frame = pd.read_csv(plan).assign(overtraining=22.0)
    draws = plan_draws({"f": fit}, frame)
    level_sd = draws.loss.std(axis=0)
    assert level_sd.min() > 0.1
    assert compare(draws, draws.runs[0], draws.runs[1]).gap_sd < level_sd.min() / 20


def test_antisymmetry_and_a_run_against_itself(fit, other, plan):
    draws = plan_draws({"f": fit, "g": other}, plan, {"f": 3.0, "g": 1.0})
    for a, b in ((0, 1), (4, 9)):
        there = compare(draws, draws.runs[a], draws.runs[b])
        back = compare(draws, draws.runs[b], draws.runs[a])
        assert there.p_a_better + back.p_a_better == pytest.approx(1.0, abs=1e-12)
        assert there.gap_mean == pytest.approx(-back.gap_mean, abs=1e-15)
        np.testing.assert_allclose(there.gap_lo, -back.gap_hi, atol=1e-12)
    same = compare(draws, draws.runs[0], draws.runs[0])
    assert (same.p_a_better, same.gap_mean, same.gap_hi) == (pytest.approx(0.5), 0.0, 0.0)


def test_forms_are_weighed(fit, other, plan):
    draws = plan_draws({"f": fit, "g": other}, plan, {"f": 3.0, "g": 1.0})
    ours, theirs = (predicted(form, plan)[0] for form in (fit, other))
    gaps = [loss[:, 0] - loss[:, 4] for loss in (ours, theirs)]
    found = compare(draws, draws.runs[4], draws.runs[0])
    by_hand = 0.75 * gaps[0].mean() + 0.25 * gaps[1].mean()
    assert found.gap_mean == pytest.approx(by_hand, rel=1e-9)
    assert [row["weight"] for row in found.forms] == [0.75, 0.25]
    assert [row["gap_mean"] for row in found.forms] == pytest.approx([g.mean() for g in gaps])


def made(loss, weight=None):
    n_draws = len(loss)
    weight = np.full(n_draws, 1.0 / n_draws) if weight is None else weight
    names = tuple("abcdefgh"[: loss.shape[1]])
    return PlanDraws(names, loss, weight, np.zeros(n_draws, int), ("f",), (1.0,), "nats per token")


def test_ranks_against_counting():
    loss = np.random.default_rng(5).normal([3.0, 2.99, 3.01, 3.3], 0.02, (400, 4))
    found = rank(made(loss), prob=0.8).set_index("run")
    order = loss.argsort(axis=1).argsort(axis=1) + 1
    for i, run in enumerate("abcd"):
        assert found.loc[run, "p_best"] == pytest.approx((order[:, i] == 1).mean())
        assert found.loc[run, "rank_mean"] == pytest.approx(order[:, i].mean())
        inside = (order[:, i] >= found.loc[run, "rank_lo"]) & (
            order[:, i] <= found.loc[run, "rank_hi"]
        )
        assert inside.mean() >= 0.8
    regret = (loss - loss.min(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(found.loc[list("abcd"), "expected_regret"], regret)
    assert list(found.index) == ["abcd"[i] for i in loss.mean(axis=0).argsort()]
    assert found["p_best"].sum() == pytest.approx(1.0)


def test_ties_are_split():
    loss = np.array([[1.0, 1.0, 2.0], [3.0, 2.0, 2.0]])
    found = rank(made(loss)).set_index("run")
    assert found.loc[["a", "b", "c"], "p_best"].tolist() == [0.25, 0.5, 0.25]
    assert compare(made(loss), "a", "b").p_a_better == 0.25


def test_p_better_of_a_normal_gap():
    """Independent draws of a known normal gap: Phi(mean / sd) within four standard errors."""
    n_draws, gap = 40_000, 0.3
    z = np.random.default_rng(2).standard_normal((n_draws, 2))
    level = 10.0 * z[:, 1]
    found = compare(made(np.column_stack([level, level + gap + z[:, 0]])), "a", "b")
    expected = stats.norm.cdf(gap)
    error = np.sqrt(expected * (1 - expected) / n_draws)
    assert abs(found.p_a_better - expected) < 4 * error


def test_weighted_quantiles_are_those_of_repeated_draws():
    rng = np.random.default_rng(3)
    values, levels = rng.normal(size=50), np.linspace(0, 1, 11)
    plain = weighted_quantile(values, np.full(50, 0.02), levels)
    np.testing.assert_allclose(plain, np.quantile(values, levels), rtol=1e-12)
    counts = rng.integers(1, 40, 2000)
    many = rng.normal(size=2000)
    weighted = weighted_quantile(many, counts / counts.sum(), [0.05, 0.5, 0.95])
    repeated = np.quantile(np.repeat(many, counts), [0.05, 0.5, 0.95])
    np.testing.assert_allclose(weighted, repeated, atol=0.01)  # two neighbours


def test_bad_input_is_named(fit, plan):
    draws = plan_draws({"f": fit}, plan)
    with pytest.raises(InputError, match=r"must be in the plan .* got 'nobody'"):
        compare(draws, "nobody", draws.runs[0])
    with pytest.raises(InputError, match=r"prob: must lie between 0 and 1, got 1\.5"):
        compare(draws, draws.runs[0], draws.runs[1], prob=1.5)
    with pytest.raises(InputError, match="must name exactly f; off at 'g'"):
        plan_draws({"f": fit}, plan, {"f": 1.0, "g": 1.0})
    twice = pd.concat([pd.read_csv(plan).iloc[:1]] * 2)
    with pytest.raises(InputError, match=r"once|distinct|unique|repeat"):
        plan_draws({"f": fit}, twice)
