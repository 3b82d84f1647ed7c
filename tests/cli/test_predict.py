"""predict: rows, files and the Python API's numbers."""

import pandas as pd
import pytest

import bayes_infolaw
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.predict import prediction_table
from bayes_infolaw.tables.files import read_frame

COLUMNS = {
    *("loss_mean", "loss_sd", "loss_lo", "loss_hi", "mean_lo", "mean_hi", "prob"),
    *("variance_parameters", "variance_group", "variance_noise"),
    *("beyond_compute", "beyond_repetition", "beyond_degree", "inside_hull"),
}
FIELDS = {
    *("fit", "prob", "interval", "loss_unit", "converged", "rows", "out", "simulated", "notes")
}


@pytest.fixture(scope="module")
def plan(study):
    return study / "plan_7b.csv"


def test_json_and_file_are_the_python_table(run, fit_file, plan, tmp_path):
    out = tmp_path / "p.csv"
    answer = run("predict", fit_file, "--plan", plan, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == FIELDS
    assert (answer.json["prob"], answer.json["interval"]) == (0.9, "equal-tailed")
    fit = bayes_infolaw.load_fit(fit_file)
    planned = plan_for(fit, plan)
    ours = prediction_table(fit.predict(planned), planned)
    assert set(ours) - set(planned.frame) == COLUMNS
    rows = pd.DataFrame(answer.json["rows"])
    numbers = sorted(COLUMNS)
    pd.testing.assert_frame_equal(rows[numbers], ours[numbers], rtol=0, atol=0)
    written = read_frame(out)
    pd.testing.assert_frame_equal(written[numbers], ours[numbers], rtol=0, atol=0)
    given = pd.read_csv(plan)
    assert set(given) <= set(written)
    assert list(written["run"]) == list(given["run"])


def test_another_prob_narrows_the_interval(run, fit_file, plan):
    wide = run("predict", fit_file, "--plan", plan, "--json").json["rows"][0]
    narrow = run("predict", fit_file, "--plan", plan, "--prob", "0.5", "--json").json["rows"][0]
    assert narrow["prob"] == 0.5
    assert wide["loss_lo"] < narrow["loss_lo"] < narrow["loss_hi"] < wide["loss_hi"]
    assert narrow["loss_mean"] == wide["loss_mean"]


def test_people_see_losses_and_distances(run, fit_file, plan):
    out = run("predict", fit_file, "--plan", plan).out
    assert "90% equal-tailed intervals" in out
    assert "7.7B-HQ-S425B" in out
    assert "C beyond" in out
    assert "simulated" in out


def bad_plan(plan, tmp_path, **changes):
    frame = pd.read_csv(plan).assign(**changes)
    path = tmp_path / "bad.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"tokens": 5e8, "source_tokens": 5e8}, "K_0"),
        ({"w_0": 0.2}, "sum to 1"),
        ({"params_nonembedding": 2e7, "tokens": 4e9}, "lambda"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_written(run, fit_file, plan, tmp_path, changes, word):
    path, out = bad_plan(plan, tmp_path, **changes), tmp_path / "out.csv"
    answer = run("predict", fit_file, "--plan", path, "--out", out)
    assert answer.code == 2
    assert answer.crash is None
    assert word in answer.err
    assert "7.7B-HQ-S425B" in answer.err
    assert answer.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.csv"]


def test_a_parquet_file_holds_the_same(run, fit_file, plan, tmp_path):
    out = tmp_path / "p.parquet"
    answer = run("predict", fit_file, "--plan", plan, "--out", out, "--json")
    means = [row["loss_mean"] for row in answer.json["rows"]]
    assert list(pd.read_parquet(out)["loss_mean"]) == means
