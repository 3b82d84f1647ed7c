"""recommend: fields, nulls without a posterior, and the Python API's numbers."""

import itertools
import json

import pytest

import bayes_infolaw
from bayes_infolaw.recipes.published import published_target
from bayes_infolaw.recipes.recommend import recommend

from .conftest import TARGET, TARGET_FLAGS

FIELDS = {
    *("recipe", "expected_loss", "loss_lo", "loss_hi", "prob", "information", "repetition"),
    *("recipe_sd", "recipe_quantiles", "relative_gap", "ordered", "incumbent", "difference"),
    *("fit", "constants", "converged", "loss_unit", "token_unit", "draws", "simulated", "notes"),
    *("target", "labels", "beyond", "fits", "weighting", "constraints", "backing"),
    *("objective", "objective_value", "objective_se", "reported_on", "expected_improvement"),
    *("p_better", "expected_regret", "evpi", "equivalent_set", "standard_errors"),
    *("batch", "across_forms", "sensitivity", "figures", "any_weights"),
    *("level", "evpi_held_out", "objective_held_out"),
}
INCUMBENT = {"0": 0.5, "1": 0.3, "2": 0.2}
NOW = ",".join(f"{name}={share}" for name, share in INCUMBENT.items())


def test_a_fit_recommends_what_python_recommends(run, fit_file, tmp_path):
    out = tmp_path / "recipe.json"
    flags = [*TARGET_FLAGS, "--incumbent", NOW, "--out", out, "--json"]
    answer = run("recommend", fit_file, *flags)
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    ours = bayes_infolaw.load_fit(fit_file).recommend(**TARGET, incumbent=INCUMBENT)
    for name in ("expected_loss", "loss_lo", "loss_hi", "information"):
        assert found[name] == pytest.approx(getattr(ours, name), rel=1e-9)
    assert found["recipe"] == pytest.approx(ours.recipe, abs=1e-5)
    assert found["recipe_quantiles"]["0"] == pytest.approx(ours.recipe_quantiles["0"], abs=1e-5)
    assert found["difference"]["mean"] == pytest.approx(ours.difference.mean, rel=1e-6)
    assert sum(found["recipe"].values()) == pytest.approx(1)
    assert found["difference"]["lo"] > 0
    assert found["beyond"]["compute"] == pytest.approx(20, rel=0.15)
    assert found["beyond"]["inside_hull"] is False
    assert json.loads(out.read_text()) == found


def test_the_written_recipe_is_an_incumbent(run, fit_file, tmp_path):
    out = tmp_path / "recipe.json"
    run("recommend", fit_file, *TARGET_FLAGS, "--out", out)
    again = run("recommend", fit_file, *TARGET_FLAGS, "--incumbent", out, "--json").json
    assert again["incumbent"]["recipe"] == pytest.approx(again["recipe"], abs=1e-9)
    assert again["difference"]["mean"] == pytest.approx(0, abs=1e-12)


def test_ordered_keeps_the_order_and_costs_something(run, fit_file):
    free = run("recommend", fit_file, *TARGET_FLAGS, "--json").json
    ordered = run("recommend", fit_file, *TARGET_FLAGS, "--ordered", "--json").json
    shares = list(ordered["recipe"].values())
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(shares))
    assert (free["ordered"], ordered["ordered"]) == (False, True)
    assert ordered["expected_loss"] > free["expected_loss"]
    assert free == run("recommend", fit_file, *TARGET_FLAGS, "--free", "--json").json


def test_constants_have_no_intervals(run):
    answer = run("recommend", "--constants", "published", *TARGET_FLAGS, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == FIELDS
    ours = recommend(published_target(**TARGET))
    assert found["recipe"] == pytest.approx(ours.recipe, abs=1e-6)
    assert found["expected_loss"] == pytest.approx(ours.expected_loss, rel=1e-12)
    assert [found[name] for name in ("evpi_held_out", "objective_held_out")] == [None, None]
    none = ("loss_lo", "loss_hi", "prob", "recipe_sd", "recipe_quantiles", "beyond", "fit")
    assert [found[name] for name in none] == [None] * len(none)


def test_shares_by_name_in_any_order(run):
    flags = ["recommend", "--constants", "published", *TARGET_FLAGS, "--json"]
    named = [*("--shares", "books=0.25"), *("--shares", "web=0.75")]
    found = run(*flags, *named, "--buckets", "books,web").json
    ours = recommend(published_target(**TARGET, shares=[0.25, 0.75], buckets=["books", "web"]))
    assert found["recipe"] == pytest.approx(ours.recipe, abs=1e-6)
    undeclared = run(*flags, *named)
    assert undeclared.code == 2
    assert "order" in undeclared.err


def test_another_degree_is_warned_about_on_stderr(run):
    answer = run(
        "recommend", "--constants", "published", *TARGET_FLAGS, "--overtraining", "22", "--json"
    )
    assert answer.code == 0
    assert answer.err.startswith("warning: overtraining 22")
    assert answer.json["target"]["overtraining"] == 22


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "either a fit"),
        (["{fit}", "--constants", "published"], "either a fit"),
        (["--constants", "guessed"], "--constants"),
        (["--constants", "published", "--label", "corpus=c4"], "--label"),
        (["--constants", "published", "--shares", "0"], "--shares"),
        (["--constants", "published", "--shares", "0=half"], "must be a number"),
        (["--constants", "published", "--incumbent", "0=0.5"], "sum to 1"),
        (["--constants", "published", "--incumbent", "web=1"], "web"),
        (["--constants", "published", "--prob", "2"], "prob"),
        (["--constants", "published", "--weight", "equal"], "--weight: goes with fit files"),
        (["--constants", "published", "--held-out", "v.json"], "--held-out: goes with fit files"),
        (["--constants", "published", "--table", "runs"], "--table: goes with fit files"),
        (["--constants", "published", "--data-dir", "x"], "--data-dir: goes with fit files"),
        (["--constants", "published", "--allow-unconverged"], "--allow-unconverged: goes with"),
        (["{fit}", "--buckets", "a,b"], "--buckets: goes with --constants"),
        (["{fit}", "--data-dir", "x"], "--data-dir: needs --table"),
        (["--constants", "published", "--objective", "ei", "--incumbent", "0=1"], "needs 2 draws"),
        (["{fit}", "--label", "corpus=c4"], "label: must name a column"),
        (["{fit}", "--shares", "0=1"], "shares"),
        (["{fit}", "--overtraining", "3", "--flops-per-token", "1e10"], "not both"),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(run, fit_file, tmp_path, arguments, word):
    named = [text.format(fit=fit_file) for text in arguments]
    answer = run("recommend", *named, *TARGET_FLAGS, "--out", tmp_path / "r.json", "--json")
    assert answer.code == 2
    assert answer.crash is None
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert word in answer.err
    assert list(tmp_path.iterdir()) == []


def test_people_see_the_recipe_and_the_incumbent(run, fit_file):
    out = run("recommend", fit_file, *TARGET_FLAGS, "--incumbent", NOW).out
    assert "Recommended recipe (free, mean)" in out
    assert "The incumbent is expected at" in out
    assert "90%, equal-tailed" in out
    assert "outside the convex hull" in out
    assert "loss at most 0.1 % higher, with probability 0.9" in out
    assert "by draws that did not choose the recipe): on average no study can gain more" in out


def test_improvement_on_the_incumbent_is_a_mean_of_positive_parts(run, fit_file):
    found = run("recommend", fit_file, *TARGET_FLAGS, "--incumbent", NOW, "--json").json
    assert found["expected_improvement"] >= found["difference"]["mean"] - 1e-12
    assert 0.5 < found["p_better"] <= 1
    assert found["evpi"] == pytest.approx(found["expected_regret"], abs=1e-12)
    assert found["standard_errors"]["evpi"] < found["evpi"]
    alone = run("recommend", fit_file, *TARGET_FLAGS, "--json").json
    assert (alone["expected_improvement"], alone["p_better"]) == (None, None)


@pytest.mark.parametrize("objective", ["ei", "quantile", "cvar", "thompson"])
def test_every_objective_gives_a_recipe_that_the_limits_allow(run, fit_file, objective):
    flags = ["--objective", objective, "--incumbent", NOW, "--floor", "3=0.05", "--cap", "1=0.4"]
    found = run("recommend", fit_file, *TARGET_FLAGS, *flags, "--json").json
    shares = found["recipe"]
    assert found["objective"] == objective
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["3"] >= 0.05 - 1e-9
    assert shares["1"] <= 0.4 + 1e-9
    assert found["relative_gap"] >= 0
    assert found["level"] == (0.9 if objective in ("quantile", "cvar") else None)
    flattered = objective in ("quantile", "cvar")
    assert ("which also chose" in found["reported_on"]) == flattered
    held_out = found["objective_held_out"]
    assert held_out == pytest.approx(found["objective_value"], rel=1e-3 if flattered else 1e-12)


def test_probabilities_of_intervals_and_of_equivalence_are_apart(run, fit_file):
    flags = ["--prob", "0.5", "--equivalent-probability", "0.99", "--epsilon", "0.002"]
    found = run("recommend", fit_file, *TARGET_FLAGS, *flags, "--json").json
    assert (found["prob"], found["equivalent_set"]["prob"]) == (0.5, 0.99)
    assert found["equivalent_set"]["epsilon"] == 0.002
    by_prob = run("recommend", fit_file, *TARGET_FLAGS, *flags[:2], "--json").json
    assert by_prob["equivalent_set"]["prob"] == 0.9


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--objective", "quantile", "--level", "0.8"], "Quantile 0.8 of the loss: "),
        (["--objective", "cvar"], "Mean loss beyond quantile 0.9: "),
        (["--objective", "thompson"], "over all draws but the one whose optimum it is."),
    ],
)
def test_people_see_which_draws_the_objective_is_over(run, fit_file, flags, told):
    out = run("recommend", fit_file, *TARGET_FLAGS, *flags).out
    assert told in out
    if "thompson" not in flags:
        assert "by others (each half judges the other's choice)" in out


def test_a_single_draw_claims_nothing_of_studies(run):
    out = run("recommend", "--constants", "published", *TARGET_FLAGS).out
    assert "no study" not in out
    assert "no posterior, so no intervals, no regret and no value of information" in out


def test_limits_cost_what_they_cost(run, fit_file):
    free = run("recommend", fit_file, *TARGET_FLAGS, "--json").json
    limits = ["--max-repetition", "4", "--max-repetition", "0=3", "--fix", "5=0.1"]
    held = run("recommend", fit_file, *TARGET_FLAGS, *limits, "--json").json
    assert held["recipe"]["5"] == pytest.approx(0.1)
    assert held["repetition"]["0"] <= 3 + 1e-6
    assert max(held["repetition"].values()) <= 4 + 1e-6
    assert held["expected_loss"] > free["expected_loss"]
    assert held["constraints"] == {"max_repetition": ["4", "0=3"], "fix": ["5=0.1"]}


def test_a_batch_holds_its_recipes(run, fit_file):
    flags = ["--incumbent", NOW, "--q", "2", "--json"]
    batch = run("recommend", fit_file, *TARGET_FLAGS, *flags).json["batch"]
    assert 1 <= len(batch["recipes"]) <= 2
    assert batch["by_size"] == sorted(batch["by_size"])


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--objective", "best"], 2, "objective: must be one of mean, ei"),
        (["--objective", "ei"], 2, "incumbent: objective ei needs one"),
        (["--level", "0.9"], 2, "level: objective mean uses none, got 0.9"),
        (["--objective", "ei", "--incumbent", NOW, "--level", "0.8"], 2, "objective ei uses none"),
        (["--equivalent-probability", "1.5"], 2, "equivalent_prob: must lie in (0, 1], got 1.5"),
        (["--epsilon", "-1"], 2, "epsilon: must be a number >= 0"),
        (["--tv-max", "0.1", "--incumbent-loss", "3"], 2, "--tv-max: needs --incumbent"),
        (["--unique-budget", "1"], 2, "--unique-budget: needs --unique-price"),
        (["--incumbent", NOW, "--incumbent-loss", "3"], 2, "not both"),
        (["--floor", "x=0.1"], 2, "--floor: the buckets are"),
        (["--floor", "0=0.1", "--fix", "0=0.2"], 2, "--fix: '0' has a --floor as well"),
        (["--kl-max", "0.1"], 2, "--kl-max: needs --incumbent"),
        (["--price", "0=2"], 2, "--price: needs --budget"),
        (["--ordered", "--ordered-repetition"], 2, "goes without --ordered"),
        (["--max-repetition", "2", "--max-repetition", "3"], 2, "one for every bucket"),
        (["--cap", "0=two"], 2, "must be a number"),
        (["--held-out", "none.json"], 2, "--held-out: cannot read"),
    ],
)
def test_bad_questions_are_one_line(run, fit_file, arguments, code, word):
    answer = run("recommend", fit_file, *TARGET_FLAGS, *arguments, "--json")
    assert answer.code == code
    assert answer.crash is None
    assert answer.err.startswith("error: ")
    assert word in answer.err


def test_limits_that_clash_are_named(run, fit_file):
    flags = ["--floor", "0=0.7", "--floor", "1=0.6"]
    answer = run("recommend", fit_file, *TARGET_FLAGS, *flags, "--json")
    assert answer.code != 0
    assert answer.crash is None
    assert "floor" in answer.err


def test_information_is_also_valued_whatever_the_forms_weigh(run, fit_file, repo_root):
    """A form of weight zero is out of the expectation, but not out of the bound."""
    shipped = repo_root / "models" / "paper_design.nc"
    flags = [*TARGET_FLAGS, "--weight", f"{fit_file.stem}=1", "--weight", "paper_design=0"]
    answer = run("recommend", fit_file, shipped, *flags, "--json")
    assert answer.code == 0, answer.err
    free = answer.json["any_weights"]
    assert set(free["weights"]) == set(free["regret"]) == {fit_file.stem, "paper_design"}
    assert free["evpi_bound"] >= max(answer.json["evpi"], free["evpi_equal"]) * (1 - 1e-6)
    assert max(free["regret"].values()) == pytest.approx(free["evpi_bound"], rel=0.05)
    told = run("recommend", fit_file, shipped, *flags).out
    assert "They are uncertain themselves" in told
    assert "Left out one at a time, fitted runs are missed by" in told
    assert run("recommend", shipped, *TARGET_FLAGS, "--json").json["any_weights"] is None
