"""next: its fields, the Python numbers behind them, and what it refuses."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw
from bayes_infolaw.decisions.next_run.propose import propose_runs
from bayes_infolaw.decisions.next_run.search import next_run
from bayes_infolaw.harness.sweep.plan import resolve_plan

from ..decisions.made_fits import made_fit, simulated
from .conftest import TARGET, TARGET_FLAGS

FIELDS = {
    *("stop", "reason", "candidates", "batch", "recipe", "expected_loss", "evpi", "evpi_kept"),
    *("value_per_nat", "value_per_nat_given", "target_flop", "n_recipes", "draws"),
    *("fits", "weighting", "loss_unit", "simulated", "notes", "target"),
    *("updates", "constraints"),
}
OF_CANDIDATE = {"run", "value_per_flop", "regret_reduction", "information_gain", "ess"}
OF_CANDIDATE |= {"runs", "rows", "repetition", "beyond"}
OF_ROW = {"run", "params_nonembedding", "tokens", "source_tokens", "flops_per_token"}
OF_ROW |= {"overtraining", "layers", "hidden", "seq_len"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return tmp_path_factory.mktemp("answer") / "next.json"


@pytest.fixture(scope="module")
def default(run, shipped, plan, written):
    answer = run("next", shipped, "--candidates", plan, *TARGET_FLAGS, "--out", written, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def test_json_is_the_python_answer(shipped, plan, default, written):
    found = default
    assert set(found) == FIELDS
    assert json.loads(written.read_text()) == found
    fit = bayes_infolaw.load_fit(shipped)
    ours = next_run({"a": fit}, bayes_infolaw.read_plan(plan, buckets=fit.table.buckets), TARGET)
    assert found["stop"] is ours.stop
    assert [c["run"] for c in found["candidates"]] == [c.run for c in ours.candidates]
    for theirs, candidate in zip(found["candidates"], ours.candidates, strict=True):
        assert set(theirs) >= OF_CANDIDATE
        assert theirs["regret_reduction"] == pytest.approx(candidate.regret_reduction)
        assert theirs["ess"] == pytest.approx(candidate.ess)


def test_stop_is_an_answer_and_has_a_price(run, shipped, plan, default):
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS, "--json"]
    dear = run(*flags, "--value-per-nat", "1e40").json
    assert default["stop"] is True
    assert dear["stop"] is False
    assert dear["value_per_nat"] == 1e40
    assert 1e22 < default["value_per_nat"] < 1e25


def test_a_budget_proposes_runs_within_it(run, shipped):
    found = run("next", shipped, "--budget", "1e20", *TARGET_FLAGS, "--q", "2", "--json").json
    fit = bayes_infolaw.load_fit(shipped)
    assert len(found["batch"]) == 2
    assert max(c["flop"] for c in found["candidates"]) <= 1e20
    recipe = np.array(list(found["recipe"].values()))
    names = {c["run"] for c in found["candidates"]}
    assert names == set(propose_runs(fit, 1e20, recipe=recipe).frame["set"])


@pytest.fixture(scope="module")
def budgeted(run, shipped, tmp_path_factory):
    """An answer with proposals, a pair at a new degree among them, and the files it wrote."""
    folder = tmp_path_factory.mktemp("plans")
    flags = ["--budget", "1e21", *TARGET_FLAGS, "--q", "3", "--outcomes", "32", "--json"]
    files = ["--plan-out", folder / "all.csv", "--batch-out", folder / "batch.csv"]
    answer = run("next", shipped, *flags, *files)
    assert answer.code == 0, answer.err
    return answer.json, folder


def test_proposals_are_told_whole(budgeted):
    found, _ = budgeted
    for c in [*found["candidates"], *found["batch"]]:
        assert [row["run"] for row in c["rows"]] == c["runs"]
        for row in c["rows"]:
            shares = {f"{p}_{d}" for p in ("w", "share") for d in range(6)}
            assert set(row) == OF_ROW | shares
        assert set(c["beyond"]) == {"compute", "repetition", "degree"}
        assert c["beyond"]["repetition"] <= 1 + 1e-9  # the fitted runs' 16.3 epochs
    runs = [run for c in found["candidates"] for run in c["runs"]]
    assert len(set(runs)) == len(runs)
    assert any(len(c["runs"]) == 2 and c["beyond"]["degree"] > 5 for c in found["candidates"])
    assert not any("more often than any fitted run" in note for note in found["notes"])


def test_the_written_plan_gives_the_same_answer(run, shipped, budgeted):
    found, folder = budgeted
    flags = ["--candidates", folder / "all.csv", *TARGET_FLAGS, "--q", "3", "--outcomes", "32"]
    again = run("next", shipped, *flags, "--json").json
    for name in ("stop", "reason", "candidates", "batch", "recipe", "evpi", "value_per_nat"):
        assert again[name] == found[name], name


def test_the_batch_is_a_plan_to_train(shipped, budgeted):
    """`sweep` takes it as it stands: sizes by their shape, tokens, source and shares."""
    found, folder = budgeted
    frame = pd.read_csv(folder / "batch.csv")
    rows = {row["run"]: row for c in found["batch"] for row in c["rows"]}
    assert list(frame["run"]) == list(rows)
    buckets = bayes_infolaw.load_fit(shipped).table.buckets
    held = SimpleNamespace(tokens=10**13)
    corpus = SimpleNamespace(
        buckets=buckets,
        shares=(0.05, 0.15, 0.2, 0.2, 0.2, 0.2),
        vocab_size=32000,
        bucket=lambda name: held,
    )
    for settings in resolve_plan(frame, corpus).runs:
        asked = rows[settings.name]
        assert (settings.shape.layers, settings.shape.hidden) == (asked["layers"], asked["hidden"])
        assert settings.shape.seq_len == 2048
        assert settings.tokens == pytest.approx(asked["tokens"], rel=1e-6)
        assert settings.source_tokens == pytest.approx(asked["source_tokens"], rel=1e-4)
        shares = [asked[f"w_{name}"] for name in buckets]
        np.testing.assert_allclose([settings.recipe.get(b, 0.0) for b in buckets], shares)


def test_a_larger_repetition_is_asked_for_by_name_and_noted(run, shipped):
    flags = ["--budget", "6e19", *TARGET_FLAGS, "--outcomes", "32", "--json"]
    for most in (4, 40):
        found = run("next", shipped, *flags, "--max-run-repetition", most).json
        told = [c["repetition"] for c in found["candidates"]]
        assert 0.99 * most < max(told) <= most * (1 + 1e-9)
        far = sum(c["repetition"] > 16.33 for c in found["candidates"])
        notes = [note for note in found["notes"] if "more often than any fitted run" in note]
        assert len(notes) == (far > 0) == (most == 40)
    assert notes[0].startswith(f"{far} of {len(told)} candidates repeat a bucket more often")
    assert "40 times; fitted: up to 16.3)" in notes[0]


def test_a_target_may_need_more_than_the_fitted_repetition(run, shipped):
    """What the target's own recipe repeats is what must be learned."""
    small = [*TARGET_FLAGS[:4], "--source-tokens", "3e10"]
    found = run("next", shipped, "--budget", "6e19", *small, "--outcomes", "32", "--json").json
    shares = np.array([0.05, 0.15, 0.2, 0.2, 0.2, 0.2])
    needed = (np.array(list(found["recipe"].values())) / shares).max() * 425e9 / 3e10
    told = max(c["repetition"] for c in found["candidates"])
    assert needed > 1.2 * 16.33
    assert 0.98 * needed < told <= needed * 1.001


def test_your_own_candidates_beyond_the_data_are_noted(default):
    """The plan's runs from a tenth of the source repeat a bucket 163 times."""
    assert default["candidates"][0]["rows"][0]["recipe"] in ("HQ", "MQ", "LQ")
    far = [c for c in default["candidates"] if c["beyond"]["repetition"] > 1]
    assert 0 < len(far) < len(default["candidates"])
    (note,) = [note for note in default["notes"] if "more often than any fitted run" in note]
    assert note.startswith(f"{len(far)} of 8 candidates")


def test_without_limits_the_choice_is_that_of_recommend(run, shipped, fit_file, plan):
    """Two forms of unequal weight: one recipe, one loss, one value of perfect information."""
    flags = [shipped, fit_file, *TARGET_FLAGS, "--weight", "small=0.3"]
    flags += ["--weight", "paper_design=0.7", "--json"]
    ours = run("next", *flags, "--candidates", plan).json
    theirs = run("recommend", *flags).json
    assert ours["evpi"] == pytest.approx(theirs["evpi"], rel=1e-6)
    assert ours["expected_loss"] == pytest.approx(theirs["expected_loss"], rel=1e-12)
    assert ours["recipe"] == pytest.approx(theirs["recipe"], abs=1e-9)


def test_a_budget_leaves_dear_candidates_out(run, shipped, plan, default):
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS, "--json"]
    every = default["candidates"]
    cheapest = min(c["flop"] for c in every)
    few = run(*flags, "--budget", cheapest * 1.01).json["candidates"]
    assert 0 < len(few) < len(every)


def test_several_fits_count_by_their_weight(run, shipped, fit_file, plan, default):
    flags = ["--candidates", plan, *TARGET_FLAGS, "--json"]
    both = run("next", shipped, fit_file, *flags, "--weight", "equal").json
    assert [row["weight"] for row in both["fits"]] == [0.5, 0.5]
    one = run(
        "next", shipped, fit_file, *flags, "--weight", "small=0", "--weight", "paper_design=1"
    )
    alone = run("next", shipped, *flags).json
    assert one.json["candidates"] == alone["candidates"]


# What `recommend` would decide between, and the same of `next`.
LIMITS = [
    ["--cap", "0=0.3", "--floor", "4=0.05"],
    ["--max-repetition", "3", "--max-mean-repetition", "1.5"],
    ["--ordered-repetition", "--fix", "3=0.1"],
    ["--ordered", "--cap", "0=0.4"],
    ["--max-buckets", "2", "--at-least", "1=0.58"],
]


@pytest.mark.parametrize("limits", LIMITS)
def test_limits_are_those_of_recommend(run, shipped, plan, default, limits):
    """Perfect information is worth the same, 1e-6 relative, to one choice under one set."""
    found = run("next", shipped, "--candidates", plan, *TARGET_FLAGS, *limits, "--json")
    assert found.code == 0, found.err
    ours = found.json
    theirs = run("recommend", shipped, *TARGET_FLAGS, *limits, "--json").json
    assert ours["constraints"] == theirs["constraints"]
    assert ours["evpi"] == pytest.approx(theirs["evpi"], rel=1e-6, abs=1e-12)
    assert ours["expected_loss"] == pytest.approx(theirs["expected_loss"], rel=1e-9)
    assert ours["evpi"] != pytest.approx(default["evpi"], rel=1e-3)
    assert ours["evpi_kept"] > 0.97
    assert all(c["regret_reduction"] <= ours["evpi"] * 1.05 + 1e-12 for c in ours["candidates"])


def test_limits_hold_for_proposals_as_well(run, shipped):
    flags = ["--budget", "6e19", *TARGET_FLAGS, "--cap", "0=0.2", "--json"]
    found = run("next", shipped, *flags).json
    assert found["recipe"]["0"] <= 0.2 + 1e-9
    assert any("-target-" in c["run"] for c in found["candidates"])


def test_an_empty_set_is_one_error(run, shipped, plan):
    limits = ["--floor", "0=0.6", "--cap", "0=0.5"]
    answer = run("next", shipped, "--candidates", plan, *TARGET_FLAGS, *limits, "--json")
    theirs = run("recommend", shipped, *TARGET_FLAGS, *limits, "--json")
    assert (answer.code, answer.out, answer.crash) == (theirs.code, "", None)
    assert answer.code != 0
    assert answer.err == theirs.err.replace("recommend", "next")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """A fit with a group, of names as the shipped one's are not: 4 buckets, 3 degrees."""
    folder = tmp_path_factory.mktemp("grouped")
    plain = simulated()
    with_family = replace(simulated(family=["a", "b", "c"] * 12), groups=("family",)).subset(
        range(36)
    )
    for name, table in (("plain", plain), ("family", with_family)):
        made_fit(table=table).save(folder / f"{name}.nc")
    return folder


AT = ("--params-nonembedding", "6e9", "--tokens", "2e11", "--source-tokens", "1e11")


def test_a_label_goes_to_the_fits_that_have_it(run, grouped):
    """One fit has the group: it gets the label, the other does without, in any order."""
    flags = ["--budget", "3e20", *AT, "--weight", "equal", "--json"]
    named = [grouped / "plain.nc", grouped / "family.nc"]
    told = {}
    for label in ("a", "b"):
        answers = [
            run("next", *fits, *flags, "--label", f"family={label}")
            for fits in (named, named[::-1])
        ]
        assert [a.code for a in answers] == [0, 0], answers[0].err
        told[label], other = (a.json["expected_loss"] for a in answers)
        assert told[label] == pytest.approx(other, rel=1e-9)
        flag = ["--label", f"family={label}", "--weight", "equal", "--json"]
        theirs = run("recommend", *named, *AT, *flag).json
        assert theirs["expected_loss"] == pytest.approx(told[label], rel=1e-6)
    assert told["a"] != told["b"]
    unknown = run("next", *named, *flags, "--label", "kind=a")
    assert (unknown.code, unknown.out, unknown.crash) == (2, "", None)
    assert "label: must name a column of the fits (family), got 'kind'" in unknown.err


def test_progress_counts_every_round_of_a_batch(run, shipped, plan):
    answer = run("next", shipped, "--candidates", plan, *TARGET_FLAGS, "--q", "3", "--json")
    assert len(answer.json["batch"]) == 3
    assert answer.err.splitlines() == [f"candidates: {p} %" for p in (25, 50, 75, 100)]


def test_ranking_by_information(run, shipped, plan):
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS, "--rank-by", "information"]
    ranks = [c["information_per_flop"] for c in run(*flags, "--json").json["candidates"]]
    assert ranks == sorted(ranks, reverse=True)


def test_people_see_the_verdict_and_the_candidates(run, shipped, plan, default):
    answer = run("next", shipped, "--candidates", plan, *TARGET_FLAGS)
    verdict = answer.out.splitlines()[0]
    best = default["candidates"][0]
    assert verdict.startswith("Stop: nothing on offer is worth its cost. The best for its price: ")
    assert f"{best['run']} costs {best['flop']:.3g} FLOP and" in verdict
    assert f"by {best['regret_reduction']:.3g} nats per token on average" in verdict
    assert f"One nat per token is taken to be worth {default['value_per_nat']:.3g} FLOP" in verdict
    assert f"1 % more than its {default['target_flop']:.3g} FLOP lowers" in verdict
    assert "Candidates by worth per FLOP (8 in all)" in answer.out
    assert "simulated" in answer.out


def test_people_see_what_to_buy(run, shipped, plan):
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS, "--value-per-nat", "1e40"]
    head, reason = run(*flags).out.splitlines()[:2]
    assert head.startswith("Next: ")
    assert reason.startswith(f"{head.removeprefix('Next: ')} costs ")
    assert reason.endswith("One nat per token is taken to be worth 1e+40 FLOP, as given.")
    informed = run(*flags, "--rank-by", "information").out
    assert "Candidates by information per FLOP" in informed


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([], "--candidates, or --budget"),
        (["--budget", "1e10"], "budget: must pay for a candidate"),
        (["--budget", "-1"], "budget: must be FLOP > 0"),
        (["--budget", "1e20", "--q", "0"], "q: must be"),
        (["--budget", "1e20", "--outcomes", "100"], "power of two"),
        (["--budget", "1e20", "--rank-by", "luck"], "rank_by"),
        (["--budget", "1e20", "--value-per-nat", "0"], "value_per_nat"),
        (["--budget", "1e20", "--refit", "-1"], "--refit"),
        (["--budget", "1e20", "--label", "corpus=c4"], "label: must name a column"),
        (["--budget", "1e20", "--shares", "0=1"], "shares"),
        (["--budget", "1e20", "--overtraining", "3", "--flops-per-token", "1e10"], "not both"),
        (["--candidates", "missing.csv"], "missing.csv"),
        (["--budget", "1e20", "--max-run-repetition", "0.5"], "--max-run-repetition: must be"),
        (["--candidates", "x.csv", "--max-run-repetition", "9"], "for runs that --budget proposes"),
        (["--budget", "1e20", "--plan-out", "no/all.csv"], "--plan-out: folder must exist"),
        (["--candidates", "p.csv", "--batch-out", "p.csv"], "must not be the file of --candidates"),
        (
            ["--budget", "1e20", "--plan-out", "a.csv", "--batch-out", "a.csv"],
            "--batch-out: must not be the file of --plan-out",
        ),
    ],
)
def test_bad_requests_are_one_line_and_write_nothing(run, shipped, tmp_path, flags, word):
    answer = run("next", shipped, *TARGET_FLAGS, *flags, "--out", tmp_path / "n.json", "--json")
    assert answer.code == 2
    assert answer.crash is None
    assert answer.out == ""
    assert word in answer.err
    assert list(tmp_path.iterdir()) == []
