"""beats: its fields, the Python numbers behind them, and what it refuses."""

import numpy as np
import pytest

import bayes_infolaw

FIELDS = {
    *("fits", "weighting", "loss_unit", "simulated", "notes", "plan", "a", "b", "prob", "draws"),
    *("p_a_better", "gap_mean", "gap_sd", "gap_lo", "gap_hi", "forms", "ranking"),
    "standard_errors",
}
A, B = "7.7B-MHQ-S425B", "7.7B-MQ-S425B"


@pytest.fixture(scope="module")
def plan(study):
    return study / "plan_7b.csv"


def test_json_is_the_direct_computation(run, shipped, plan):
    answer = run("beats", shipped, "--plan", plan, "--a", A, "--b", B, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    loss = bayes_infolaw.load_fit(shipped).predict(plan)["expected_loss"]
    gap = (loss.sel(run=B) - loss.sel(run=A)).to_numpy().ravel()
    assert found["p_a_better"] == pytest.approx((gap > 0).mean())
    assert found["gap_mean"] == pytest.approx(gap.mean(), rel=1e-9)
    ends = np.quantile(gap, [0.05, 0.95])
    np.testing.assert_allclose([found["gap_lo"], found["gap_hi"]], ends, rtol=1e-9)
    naive = gap.std() / np.sqrt(len(gap))  # what independent draws would have
    assert 0.7 * naive < found["standard_errors"]["gap_mean"] < 3 * naive
    assert 0 < found["standard_errors"]["p_a_better"] < 0.05
    assert len(found["ranking"]) == 10
    means = [row["loss_mean"] for row in found["ranking"]]
    assert means == sorted(means)


def test_without_a_pair_the_plan_is_ranked(run, shipped, plan):
    found = run("beats", shipped, "--plan", plan, "--json").json
    assert (found["a"], found["p_a_better"], found["gap_mean"]) == (None, None, None)
    assert found["standard_errors"] == {"p_a_better": None, "gap_mean": None}
    assert found["ranking"][0]["behind_se"] == 0.0
    assert sum(row["p_best"] for row in found["ranking"]) == pytest.approx(1.0)


def test_people_see_the_sentence_and_the_ranking(run, shipped, plan):
    out = run("beats", shipped, "--plan", plan, "--a", A, "--b", B).out
    assert f"{A} beats {B} with probability" in out
    assert "common draws" in out
    assert "7.7B-LQ-S500B" in out
    assert "1-1" not in out


def test_several_fits_are_weighed_and_named(run, shipped, fit_file, plan):
    flags = ["--plan", plan, "--a", A, "--b", B, "--json"]
    both = run("beats", shipped, fit_file, *flags, "--weight", "equal").json
    alone = [run("beats", path, *flags).json["gap_mean"] for path in (shipped, fit_file)]
    assert both["gap_mean"] == pytest.approx(np.mean(alone))
    assert [row["weight"] for row in both["fits"]] == [0.5, 0.5]
    given = ["--weight", "paper_design=3", "--weight", "small=1"]
    weighed = run("beats", shipped, fit_file, *flags, *given).json
    assert weighed["gap_mean"] == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])
    assert weighed["weighting"] == "given"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--a", A], "both --a and --b"),
        (["--a", A, "--b", "nobody"], "got 'nobody'"),
        (["--a", A, "--b", A], "--b: must be another run than --a"),
        (["--prob", "2"], "--prob"),
        (["--weight", "other=1"], "must name exactly paper_design"),
        (["--weight", "paper_design=x"], "must be a number"),
    ],
)
def test_bad_input_is_one_line(run, shipped, plan, flags, message):
    answer = run("beats", shipped, "--plan", plan, *flags)
    assert (answer.code, answer.crash) == (2, None)
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_a_fit_given_twice_is_refused(run, shipped, plan):
    answer = run("beats", shipped, shipped, "--plan", plan)
    assert answer.code == 2
    assert "once" in answer.err
