"""The benchmark of ways to choose a recipe: its truths, its scores, and its plain lines."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_infolaw.tables.simulate import expected_log_loss

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
MODULES = ("answers", "gp", "plain", "table", "truths")


@pytest.fixture(scope="module")
def bench():
    """The benchmark's modules by short name."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: importlib.import_module(f"decision_{name}") for name in MODULES}
    finally:
        sys.path.remove(str(BENCHMARKS))


def recipes_of(n, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(6), n)


@pytest.mark.parametrize("kind", ["published", "prior", "constant", "irreducible", "density"])
def test_a_truth_says_the_same_of_runs_and_at_the_target(bench, kind):
    truth = bench["truths"].truths(kind, 2)[1]
    for target in bench["truths"].targets():
        recipes = recipes_of(20)
        of_runs = truth.log_loss(target.runs(recipes))
        assert of_runs == pytest.approx(np.log(truth.at(target).loss(recipes)[:, 0]), abs=1e-12)


def test_the_published_truth_is_the_published_law(bench):
    truths = bench["truths"]
    plan = truths.design("spread", 3)
    known = {"theta": truths.THETA, "a": truths.A, "b": truths.B}
    known |= {"alpha": truths.ALPHA, "beta": truths.BETA}
    found = truths.truths("published", 1)[0].log_loss(plan.arrays())
    assert found == pytest.approx(expected_log_loss(plan, known), abs=1e-12)


def test_an_irreducible_loss_keeps_level_and_slope_at_the_centre(bench):
    truths = bench["truths"]
    plain = truths.Truth(truths.exponential(0.9))
    moved = truths._with_irreducible(plain)
    info = plain.information(truths.design("paper", 0).arrays())
    centre, step = np.exp(np.log(info).mean()), 1e-4

    def loss(truth, x):
        return truth.irreducible + truth.alpha * x**-truth.beta

    assert moved.irreducible > 1
    assert loss(moved, centre) == pytest.approx(loss(plain, centre), rel=1e-12)
    slopes = [loss(t, centre * (1 + step)) - loss(t, centre) for t in (plain, moved)]
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-3)


def test_regret_is_above_the_best_of_many_recipes(bench):
    truths, answers = bench["truths"], bench["answers"]
    law = truths.truths("density", 1)[0].at(truths.targets()[1])
    asked = recipes_of(3, seed=1)
    scored = [answers.score(answers.Answer("x", w), law, asked, np.zeros(3)) for w in asked]
    best = law.loss(recipes_of(200_000, seed=2))[:, 0].min()
    for recipe, found in zip(asked, scored, strict=True):
        by_search = float(law.loss(recipe)[0]) - best
        assert by_search <= found["regret"] <= by_search + 0.01
        least = float(law.loss(recipe)[0]) - found["regret"]
        assert found["regret_percent"] == pytest.approx(100 * found["regret"] / least)


def test_coverage_is_that_of_the_draws(bench):
    answers = bench["answers"]
    rng = np.random.default_rng(3)
    true, level = np.linspace(1.0, 1.2, 2000), rng.normal(0, 0.5, 3000)
    # A common level moves losses by far more than gaps, which these draws put 0.01 off.
    own = rng.normal(0, 0.001, (3000, 2000))
    draws = true + level[:, None] + own + 0.01 * (np.arange(2000) > 0)
    found = answers.coverage(answers.Answer("x", None, true, draws), true, np.zeros(2000))
    assert found == {"coverage": 1.0, "gap_coverage": 0.0}
    plug_in = answers.Answer("x", None, true, noise_sd=0.01)
    noise = 0.01 * rng.standard_normal(2000)
    assert answers.coverage(plug_in, true, noise)["coverage"] == pytest.approx(0.9, abs=0.03)


def test_plain_methods_answer_with_recipes_and_the_paper_finds_the_optimum(bench):
    truths, plain = bench["truths"], bench["plain"]
    truth, target = truths.truths("published", 1)[0], truths.targets()[0]
    runs = truths.table(truths.design("spread", 0), truth, 0).arrays()
    found = {a.method: a for a in plain.plain_answers(runs, target, recipes_of(50), 1e9, 0)}
    for answer in found.values():
        assert answer.recipe.sum() == pytest.approx(1.0)
        assert (answer.recipe >= 0).all()
    law, score = truth.at(target), bench["answers"].score
    scores = {k: score(a, law, recipes_of(50), np.zeros(50)) for k, a in found.items()}
    assert scores["paper's procedure, exact free optimum"]["regret_percent"] < 0.05
    assert scores["paper's procedure"]["spearman"] > 0.98
    assert scores["source shares"]["regret_percent"] > 3


def test_extra_runs_rank_by_the_truth_at_the_small_scale(bench):
    truths, plain = bench["truths"], bench["plain"]
    truth, target = truths.truths("published", 1)[0], truths.targets()[0]
    asked = recipes_of(100)
    ranked, *fitted = plain.proxies(truth.log_loss, target, asked, 0)
    # At the target itself the best of the proxies is the best of all, within the noise.
    loss = truth.at(target).loss(asked)[:, 0]
    assert float(truth.at(target).loss(ranked.recipe)[0]) < np.sort(loss)[3]
    assert len(fitted) == 2


def test_without_botorch_every_process_says_so(bench, monkeypatch):
    monkeypatch.setattr(bench["gp"].importlib.util, "find_spec", lambda name: None)
    truths = bench["truths"]
    plan = truths.design("paper", 0)
    runs = truths.table(plan, truths.truths("published", 1)[0], 0).arrays()
    found = list(bench["gp"].gp_answers(runs, truths.targets(), recipes_of(5), 0))
    assert len(found) == 8
    assert {answer.note for _, answer in found} == {"botorch is not installed"}
    assert all(answer.recipe is None for _, answer in found)


def test_tables_have_a_line_a_method_and_say_why_one_is_missing(bench):
    common = {"design": "paper", "target": "S = K", "note": ""}
    measures = {"spearman": 0.5, "coverage": 0.9, "gap_coverage": np.nan, "regret": 0.01}
    rows = [
        {**common, **measures, "kind": kind, "method": "a", "regret_percent": value}
        for kind, value in (("x", 1.0), ("x", 3.0), ("y", 0.25))
    ]
    rows.append({**common, "kind": "x", "method": "b", "note": "botorch is not installed"})
    text = bench["table"].simulated_tables(pd.DataFrame(rows))
    assert "| a | 2 | 0.25 | 1.4 ± 0.82 | 2.6 | 0.500 | 90 |  |" in text
    assert "| b |  |  | botorch is not installed |" in text
