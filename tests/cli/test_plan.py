"""plan: its fields, the Python numbers behind them, and what it refuses."""

import importlib.util
import json
import math
from pathlib import Path

import pytest

from bayes_infolaw.decisions.budget import best_plan
from bayes_infolaw.decisions.candidates import BudgetQuestion, Corpus
from bayes_infolaw.decisions.monte_carlo import estimate_mean

FIELDS = {
    *("fits", "weighting", "loss_unit", "simulated", "notes", "target_loss", "probability"),
    *("p_reached", "compute", "params_nonembedding", "tokens", "flops_per_token", "flops_from"),
    *("overtraining", "fitted_degree", "recipe", "repetition", "expected_loss", "loss_lo"),
    *("loss_hi", "prob", "draws", "edge", "degrees_searched", "degrees_fitted", "source_tokens"),
    *("labels", "equivalent", "candidates", "beyond", "constraints", "standard_errors"),
}
FLAGS = ["--source-tokens", "5e10", "--json"]


@pytest.fixture(scope="module")
def fit():
    path = Path(__file__).parents[1] / "decisions" / "made_fits.py"
    spec = importlib.util.spec_from_file_location("made_fits", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.made_fit("clusters")


@pytest.fixture(scope="module")
def three(fit, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "three.nc"
    fit.save(path)
    return path


def test_json_is_the_python_answer(run, three, fit):
    answer = run("plan", three, "--compute", "1e21", *FLAGS)
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    ours = best_plan(BudgetQuestion({"three": fit}, Corpus(5e10)), 1e21).best
    assert found["params_nonembedding"] == pytest.approx(ours.params, rel=1e-9)
    assert found["expected_loss"] == pytest.approx(ours.expected_loss, rel=1e-9)
    assert list(found["recipe"].values()) == pytest.approx(ours.recipe.tolist())
    assert found["compute"] == pytest.approx(found["tokens"] * found["flops_per_token"])
    error = estimate_mean(ours.draws, ours.loss).se
    assert found["standard_errors"] == {"p_reached": None, "expected_loss": pytest.approx(error)}
    low, high = found["equivalent"]["params_nonembedding"]
    assert low <= found["params_nonembedding"] <= high
    assert found["beyond"]["compute"] > 0
    assert any("trend" in note for note in found["notes"])


def test_a_loss_is_reached_with_its_probability(run, three):
    found = run("plan", three, "--target-loss", "3.45", "--probability", "0.8", *FLAGS).json
    assert found["p_reached"] >= 0.8
    flags = ["--compute", str(0.97 * found["compute"]), "--prob", "0.6", *FLAGS]
    cheaper = run("plan", three, *flags).json  # the upper end at 0.6 is the quantile at 0.8
    assert min(row["loss_hi"] for row in cheaper["candidates"]) > 3.45
    assert found["target_loss"] == 3.45
    error = found["standard_errors"]["p_reached"]  # of 200 draws, nearly independent
    assert error == pytest.approx((found["p_reached"] * (1 - found["p_reached"]) / 200) ** 0.5, 0.4)


def test_the_source_is_the_largest_fitted_runs_by_default(run, three, fit):
    found = run("plan", three, "--compute", "1e21", "--json").json
    runs = fit.table.arrays()
    assert found["source_tokens"] == pytest.approx(runs.source_tokens[runs.compute.argmax()])
    assert any("largest compute" in note for note in found["notes"])


def test_people_see_the_plan_and_its_rivals(run, three):
    out = run("plan", three, "--compute", "1e21", "--source-tokens", "5e10").out
    assert "expected loss" in out
    assert "Recipe (repetition)" in out
    assert "carried from the fitted runs" in out
    assert "times the largest fitted" in out


def test_limits_and_sizes(run, three, tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_text("params_nonembedding\n8e8\n1.4e9\n9e9\n")
    flags = ["--sizes", path, "--cap", "0=0.3", "--max-repetition", "4", *FLAGS]
    found = run("plan", three, "--compute", "1e21", *flags).json
    assert found["params_nonembedding"] in (8e8, 1.4e9)
    assert any("1 of 3 listed sizes are left out" in note for note in found["notes"])
    assert found["recipe"]["0"] <= 0.3 + 1e-9
    assert max(found["repetition"].values()) <= 4 + 1e-6
    assert found["constraints"] == {"cap": ["0=0.3"], "max_repetition": ["4"]}


TODAY = {"0": 0.4, "1": 0.3, "2": 0.2, "3": 0.1}


def test_a_distance_from_todays_recipe_binds_and_the_answer_is_written(run, three, tmp_path):
    out, today = tmp_path / "plan.json", ",".join(f"{k}={v}" for k, v in TODAY.items())
    flags = ["--incumbent", today, "--tv-max", "0.05", "--kl-max", "0.02", "--out", out, *FLAGS]
    answer = run("plan", three, "--compute", "1e21", *flags)
    assert answer.code == 0, answer.err
    found = answer.json
    assert json.loads(out.read_text()) == found
    moved = [(found["recipe"][name], share) for name, share in TODAY.items()]
    variation = sum(abs(w - q) for w, q in moved) / 2
    divergence = sum(w * math.log(w / q) for w, q in moved if w > 0)
    assert variation <= 0.05 + 1e-8
    assert divergence <= 0.02 + 1e-8
    assert variation == pytest.approx(0.05) or divergence == pytest.approx(0.02)


def test_a_price_binds(run, three):
    flags = ["--price", "0=2", "--price", "1=1", "--budget", "0.7", *FLAGS]
    found = run("plan", three, "--compute", "1e21", *flags).json
    paid = 2 * found["recipe"]["0"] + found["recipe"]["1"]
    assert paid == pytest.approx(0.7)
    free = run("plan", three, "--compute", "1e21", *FLAGS).json
    assert 2 * free["recipe"]["0"] + free["recipe"]["1"] > 0.7
    assert free["expected_loss"] < found["expected_loss"]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "either --compute or --target-loss"),
        (["--compute", "1e21", "--target-loss", "3"], 2, "either --compute or --target-loss"),
        (["--compute", "-1"], 2, "compute: must be a positive number"),
        (["--compute", "1e21", "--cap", "z=1"], 2, "--cap"),
        (["--compute", "1e21", "--label", "corpus=a"], 2, "label: must name a column"),
        (["--target-loss", "1", "--probability", "0.9"], 2, "no plan up to"),
        (["--compute", "1e21", "--sizes", "nowhere.csv"], 2, "no such file"),
        (["--compute", "1e21", "--prob", "1"], 2, "--prob"),
        (["--compute", "1e21", "--out", "nowhere/x.json"], 2, "--out: folder must exist"),
        (["--compute", "1e21", "--tv-max", "0.1"], 2, "--tv-max: needs --incumbent"),
        (["--compute", "1e21", "--incumbent", "0=1"], 2, "needs --kl-max or --tv-max"),
        (["--compute", "1e21", "--price", "0=1"], 2, "--price: needs --budget"),
        (["--compute", "1e12"], 2, "plan: "),
    ],
)
def test_bad_input_is_one_line(run, three, flags, code, message):
    answer = run("plan", three, *flags)
    assert (answer.code, answer.crash) == (code, None)
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_one_degree_is_refused_with_the_reason(run, repo_root):
    answer = run("plan", repo_root / "models" / "paper_design.nc", "--compute", "1e21")
    assert answer.code == 4
    assert "at least 3 overtraining degrees" in answer.err
