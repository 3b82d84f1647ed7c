"""next --measured and --updated: new runs are taken in whole, or refused before any work."""

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw
from bayes_infolaw.decisions.surprise import form_surprises
from bayes_infolaw.decisions.update import Update, update_fit, update_weights

from .conftest import TARGET_FLAGS


def test_measured_runs_are_taken_in_first(run, shipped, fit_file, plan, repo_root, tmp_path):
    rows = pd.read_csv(repo_root / "runs" / "paper_design" / "heldout.csv")
    rows[rows["part"] == "unseen recipe"].tail(2).to_csv(tmp_path / "new.csv", index=False)
    flags = ["--candidates", plan, *TARGET_FLAGS, "--measured", tmp_path / "new.csv", "--json"]
    answer = run("next", shipped, fit_file, *flags, "--weight", "equal")
    assert answer.code == 0, answer.err
    found = answer.json
    assert [u["form"] for u in found["updates"]] == ["paper_design", "small"]
    fields = {"form", "method", "reason", "pareto_k", "ess", "surprise_p"}
    assert all(set(u) == fields for u in found["updates"])
    assert found["updates"][0]["method"] == "reweighted"
    fits = {name: bayes_infolaw.load_fit(p) for name, p in (("a", shipped), ("b", fit_file))}
    new = bayes_infolaw.read_runs(tmp_path / "new.csv", prior_dominated=True)
    expected = update_weights(fits, {"a": 0.5, "b": 0.5}, new)
    foreseen = [s.p for s in form_surprises(fits, new).values()]
    assert [u["surprise_p"] for u in found["updates"]] == foreseen
    assert min(foreseen) > 0.01
    assert not any("foresaw" in note for note in found["notes"])
    weights = [row["weight"] for row in found["fits"]]
    np.testing.assert_allclose(weights, list(expected.values()), rtol=1e-9)
    assert found["weighting"] == "equal, then the new runs"
    said = "each form's weight times the density that it gave 2 new runs"
    assert f"weights of the fits: equal, then the new runs ({said})." in found["notes"]


@pytest.fixture(scope="module")
def new_runs(repo_root, tmp_path_factory):
    rows = pd.read_csv(repo_root / "runs" / "paper_design" / "heldout.csv")
    path = tmp_path_factory.mktemp("new") / "new.csv"
    rows[rows["part"] == "unseen recipe"].tail(2).to_csv(path, index=False)
    return path


def test_measured_runs_start_from_equal_weights(run, shipped, fit_file, plan, new_runs):
    flags = ["--candidates", plan, *TARGET_FLAGS, "--measured", new_runs, "--json"]
    first, second = (
        run("next", shipped, fit_file, *flags, *weight).json
        for weight in ([], ["--weight", "equal"])
    )
    assert first["fits"] == second["fits"]
    assert any("start from equal weights" in note for note in first["notes"])
    assert not any("start from equal weights" in note for note in second["notes"])
    assert all(row["weight"] > 0 for row in first["fits"])


def test_updated_fits_are_what_recommend_takes_up(run, shipped, fit_file, plan, new_runs, tmp_path):
    folder = tmp_path / "after"
    flags = ["--candidates", plan, *TARGET_FLAGS, "--measured", new_runs, "--json"]
    answer = run("next", shipped, fit_file, *flags, "--updated", folder)
    assert answer.code == 0, answer.err
    found = answer.json
    words = next(n for n in found["notes"] if "recommend" in n).split(": recommend ")[1].split()
    assert {p.name for p in folder.iterdir()} == {shipped.name, fit_file.name}
    before, after = (bayes_infolaw.load_fit(p) for p in (shipped, folder / shipped.name))
    assert len(after.table) == len(before.table) + 2
    theirs = run("recommend", *words, *TARGET_FLAGS, "--json")
    assert theirs.code == 0, theirs.err
    assert theirs.json["evpi"] == pytest.approx(found["evpi"], rel=0.02)
    weights = [row["weight"] for row in found["fits"]]
    assert [row["weight"] for row in theirs.json["fits"]] == pytest.approx(weights, rel=1e-12)


def test_an_updated_fit_is_a_whole_fit(run, shipped, plan, new_runs, tmp_path, repo_root):
    """What `fit` would have written: every command takes it, and it says how it came about."""
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS, "--measured", new_runs]
    answer = run(*flags, "--updated", tmp_path, "--json")
    after = tmp_path / shipped.name
    (step,) = bayes_infolaw.load_fit(after).info["updates"]
    assert step["method"] == "reweighted"
    assert "resampled, so of equal weight" in step["reason"]
    assert answer.json["updates"][0]["reason"] == step["reason"]
    assert step["runs"] == list(pd.read_csv(new_runs)["run"])
    of_plan = repo_root / "runs" / "paper_design" / "plan_7b.csv"
    for arguments in (
        ["diagnose", after, "--no-refits"],
        ["recommend", after, *TARGET_FLAGS],
        ["predict", after, "--plan", of_plan],
        ["beats", after, "--plan", of_plan],
    ):
        told = run(*arguments)
        assert (told.code, told.crash) == (0, None), told.err
    assert "Updated with 2 new runs: reweighted" in run("diagnose", after, "--no-refits").out
    again = run("next", after, *flags[2:], "--json")
    assert (again.code, again.crash) == (2, None)
    assert "among the runs that were fitted" in again.err


def test_runs_that_no_form_foresaw_are_said(run, shipped, plan, new_runs, monkeypatch, tmp_path):
    """One run 5 % above; the refit that this asks for is left out."""
    rows = pd.read_csv(new_runs)
    rows.loc[1, "loss"] *= 1.05
    rows.to_csv(tmp_path / "off.csv", index=False)
    monkeypatch.setattr(
        "bayes_infolaw.decisions.update.update_fit",
        lambda fit, *_, **__: Update(fit, "refitted", "", None, None),
    )
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS]
    flags += ["--measured", tmp_path / "off.csv"]
    found = run(*flags, "--json").json
    assert found["updates"][0]["surprise_p"] == pytest.approx(1 / 4001)
    (note,) = (note for note in found["notes"] if "foresaw" in note)
    assert note.startswith("no form foresaw the new runs (p = 0.00025 under the best, paper_design")
    assert f"largest miss is run {rows['run'][1]} (" in note
    assert "% above what paper_design expected" in note
    assert "it foresaw the new runs with p = 0.00025." in run(*flags).out


# Measured tables that no fit can take in.
UNFIT = {
    "known run": (lambda new, old: old.tail(2), "among the runs that were fitted"),
    "known run of the second fit": (lambda new, old: new, "of 'after' that were fitted"),
    "no loss": (lambda new, old: new.drop(columns="loss"), "column loss: needed"),
    "a loss missing": (lambda new, old: new.assign(loss=[None, 3.0]), "column loss: must be a pos"),
    "diverged": (lambda new, old: new.assign(status=["finished", "diverged"]), "column status"),
    "other bucket": (
        lambda new, old: new.rename(columns={"w_5": "w_x", "share_5": "share_x"}),
        "unknown bucket 'x'",
    ),
    "bucket missing": (lambda new, old: new.drop(columns=["w_5", "share_5"]), "column w_5"),
    "no M": (lambda new, old: new.drop(columns="layers"), "flops_per_token"),
    "other unit": (lambda new, old: new.assign(loss_unit="bits per byte"), "loss_unit must be"),
    "name twice": (lambda new, old: pd.concat([new, new]), "must occur once"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_bad_measured_runs_are_one_line_and_write_nothing(
    run, shipped, plan, new_runs, repo_root, tmp_path, what
):
    change, words = UNFIT[what]
    old = pd.read_csv(repo_root / "runs" / "paper_design" / "fit.csv")
    measured = tmp_path / "measured.csv"
    change(pd.read_csv(new_runs), old).to_csv(measured, index=False)
    fits = [shipped]
    if "second" in what:
        fit = bayes_infolaw.load_fit(shipped)
        seen = bayes_infolaw.read_runs(new_runs, prior_dominated=True)
        fits.append(tmp_path / "after.nc")
        update_fit(fit, seen).fit.save(fits[1])
    before = sorted(tmp_path.iterdir())
    answer = run(
        *("next", *fits, "--candidates", plan, *TARGET_FLAGS, "--measured", measured),
        *("--updated", tmp_path / "updated", "--out", tmp_path / "out.json", "--json"),
    )
    assert (answer.code, answer.out, answer.crash) == (2, "", None)
    assert words in answer.err
    assert answer.err.count("error:") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--candidates", "{plan}", "--q", "9"], "q: must be at most the number of candidates (8)"),
        (["--candidates", "missing.csv"], "missing.csv"),
        (["--budget", "1e10"], "budget: must pay for a candidate"),
        (["--candidates", "{plan}", "--floor", "0=0.6", "--cap", "0=0.5"], "floor"),
        (["--candidates", "{plan}", "--label", "corpus=c4"], "label: must name a column"),
    ],
)
def test_a_bad_request_is_refused_before_the_fits_are_updated(
    run, shipped, plan, new_runs, monkeypatch, flags, words
):
    """An update may take minutes of refitting, and its fits are lost with the answer."""

    def too_late(*_, **__):
        raise AssertionError("updated")

    monkeypatch.setattr("bayes_infolaw.decisions.update.update_fit", too_late)
    filled = [str(plan) if text == "{plan}" else text for text in flags]
    answer = run("next", shipped, *TARGET_FLAGS, *filled, "--measured", new_runs)
    assert answer.code in (2, 4)
    assert answer.crash is None
    assert words in answer.err


def test_the_same_run_again_is_said(run, shipped, plan, repo_root, tmp_path):
    rows = pd.read_csv(repo_root / "runs" / "paper_design" / "fit.csv").tail(1)
    rows.assign(run="again").to_csv(tmp_path / "new.csv", index=False)
    flags = ["--candidates", plan, *TARGET_FLAGS, "--measured", tmp_path / "new.csv", "--json"]
    notes = run("next", shipped, *flags).json["notes"]
    assert any("count as replicates: again;" in note for note in notes)


def test_updated_needs_runs_and_spares_the_fits(run, shipped, plan, new_runs, tmp_path):
    flags = ["next", shipped, "--candidates", plan, *TARGET_FLAGS]
    alone = run(*flags, "--updated", tmp_path / "x")
    assert (alone.code, alone.crash) == (2, None)
    assert "--updated: needs --measured" in alone.err
    kept = shipped.read_bytes()
    for folder, word in ((shipped.parent, "overwrite"), (new_runs, "folder")):
        answer = run(*flags, "--measured", new_runs, "--updated", folder)
        assert (answer.code, answer.crash) == (2, None)
        assert word in answer.err
    assert shipped.read_bytes() == kept
    assert list(tmp_path.iterdir()) == []
