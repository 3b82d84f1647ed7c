"""plan: its fields, the Python numbers behind them, and what it refuses."""

import importlib.util
from pathlib import Path

import pytest

from bayes_infolaw.decisions.budget import best_plan
from bayes_infolaw.decisions.candidates import BudgetQuestion, Corpus

FIELDS = {
    *("fits", "weighting", "loss_unit", "simulated", "notes", "target_loss", "probability"),
    *("p_reached", "compute", "params_nonembedding", "tokens", "flops_per_token", "flops_from"),
    *("overtraining", "fitted_degree", "recipe", "repetition", "expected_loss", "loss_lo"),
    *("loss_hi", "prob", "draws", "edge", "degrees_searched", "degrees_fitted", "source_tokens"),
    *("labels", "equivalent", "candidates", "beyond", "constraints"),
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
    path.write_text("params_nonembedding\n8e8\n1.4e9\n")
    flags = ["--sizes", path, "--cap", "0=0.3", "--max-repetition", "4", *FLAGS]
    found = run("plan", three, "--compute", "1e21", *flags).json
    assert found["params_nonembedding"] in (8e8, 1.4e9)
    assert found["recipe"]["0"] <= 0.3 + 1e-9
    assert max(found["repetition"].values()) <= 4 + 1e-6
    assert found["constraints"] == {"cap": ["0=0.3"], "max_repetition": ["4"]}


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
