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
    *("target", "labels", "beyond"),
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
    ours = bayes_infolaw.load_fit(fit_file).recommend(**TARGET, incumbent=INCUMBENT).to_dict()
    assert {name: found[name] for name in ours} == json.loads(json.dumps(ours))
    assert sum(found["recipe"].values()) == pytest.approx(1)
    assert found["difference"]["lo"] > 0
    assert found["beyond"]["compute"] == pytest.approx(20, rel=0.15)
    assert found["beyond"]["inside_hull"] is False
    assert json.loads(out.read_text()) == found


def test_the_written_recipe_is_an_incumbent(run, fit_file, tmp_path):
    out = tmp_path / "recipe.json"
    run("recommend", fit_file, *TARGET_FLAGS, "--out", out)
    again = run("recommend", fit_file, *TARGET_FLAGS, "--incumbent", out, "--json").json
    assert again["incumbent"]["recipe"] == again["recipe"]
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
    ours = recommend(published_target(**TARGET)).to_dict()
    assert {name: found[name] for name in ours} == json.loads(json.dumps(ours))
    none = ("loss_lo", "loss_hi", "prob", "recipe_sd", "recipe_quantiles", "beyond", "fit")
    assert [found[name] for name in none] == [None] * len(none)


def test_shares_by_name_in_any_order(run):
    flags = ["recommend", "--constants", "published", *TARGET_FLAGS, "--json"]
    named = [*("--shares", "books=0.25"), *("--shares", "web=0.75")]
    found = run(*flags, *named, "--buckets", "books,web").json
    ours = recommend(published_target(**TARGET, shares=[0.25, 0.75], buckets=["books", "web"]))
    assert found["recipe"] == ours.recipe
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
        (["{fit}", "--label", "corpus=c4"], "--label"),
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
    assert "Recommended recipe (free)" in out
    assert "The incumbent is expected at" in out
    assert "90%, equal-tailed" in out
    assert "outside the convex hull" in out
