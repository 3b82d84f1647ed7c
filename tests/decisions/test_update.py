"""New runs into a fit: reweighted draws against a refit, and which of the two is chosen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions import update
from bayes_infolaw.decisions.new_runs import joined_table, repeated_runs, require_new_runs
from bayes_infolaw.decisions.update import update_fit, update_weights
from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.warm import warm_start
from bayes_infolaw.model.sites import constrain
from bayes_infolaw.posterior.pointwise import expected_draws
from bayes_infolaw.posterior.rows import flat_draws
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

from .made_fits import made_fit, simulated

TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}
NAMES = ("theta", "a", "b", "alpha", "beta", "sigma")


@pytest.fixture(scope="module")
def fitted(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


@pytest.fixture(scope="module")
def heldout(repo_root):
    return bi.read_runs(repo_root / "runs" / "paper_design" / "heldout.toml")


def part(heldout, **columns):
    chosen = np.ones(len(heldout), dtype=bool)
    for name, value in columns.items():
        chosen &= (heldout.frame[name] == value).to_numpy()
    return heldout.subset(chosen)


@pytest.fixture(scope="module")
def two_runs(heldout):
    return part(heldout, part="unseen recipe", model="252M")


@pytest.fixture(scope="module")
def reweighted(fitted, two_runs):
    return update_fit(fitted, two_runs)


def test_a_joined_table_is_the_table_read_together(fitted, two_runs):
    joined = joined_table(fitted.table, two_runs)
    assert len(joined) == 29
    assert joined.simulated
    together = np.concatenate([t.arrays().loss for t in (fitted.table, two_runs)])
    np.testing.assert_array_equal(joined.arrays().loss, together)
    np.testing.assert_allclose(joined.arrays().unique[:27], fitted.table.arrays().unique)
    with pytest.raises(InputError, match="run"):
        joined_table(joined, two_runs)


def test_few_runs_like_the_fitted_ones_are_reweighted(reweighted, fitted, two_runs):
    assert reweighted.method == "reweighted"
    assert reweighted.pareto_k <= 0.7
    assert 400 <= reweighted.ess < 4000
    assert len(reweighted.fit.table) == 29
    assert reweighted.fit.verdict.converged
    assert "reweighted" in reweighted.fit.info["notes"][-1]


def test_reweighting_is_towards_the_new_loss(fitted, two_runs):
    frame = stated_frame(two_runs).iloc[:1]
    expected = np.log(fitted.predict(two_runs)["expected_loss"].to_numpy()).mean(axis=(0, 1))[0]
    for shift in (-0.0025, 0.0025):
        study = Study(buckets=fitted.table.buckets, simulated=True)
        seen = build_table(frame.assign(loss=np.exp(expected + shift)), study)
        updated = update_fit(fitted, seen)
        assert updated.method == "reweighted"
        moved = np.log(updated.fit.predict(seen)["expected_loss"].to_numpy()).mean() - expected
        assert 0.02 < moved / shift < 0.9


def test_resampled_draws_are_whole_and_restated_at_the_new_centre(reweighted, fitted):
    """Every draw is one of the old ones, and says the same of the old rows."""
    ours, theirs = (flat_draws(f)["beta"] for f in (reweighted.fit, fitted))
    position = {value: i for i, value in enumerate(theirs)}
    picked = [position[value] for value in ours]
    new, old = (expected_draws(f)[0].reshape(4000, -1) for f in (reweighted.fit, fitted))
    np.testing.assert_allclose(new[:, :27], old[picked], atol=1e-10)


def test_an_updated_fit_is_saved_and_read(reweighted, tmp_path):
    reweighted.fit.save(tmp_path / "u.nc")
    again = bi.load_fit(tmp_path / "u.nc")
    assert again.info["notes"] == reweighted.fit.info["notes"]
    np.testing.assert_array_equal(again.draws["beta"], reweighted.fit.draws["beta"])


def test_runs_without_loss_or_of_other_names_are_refused(fitted, heldout):
    plan = bi.read_plan(
        stated_frame(part(heldout, part="m = 22")).drop(columns=["loss", "simulated"]),
        buckets=heldout.buckets,
    )
    with pytest.raises(InputError, match="column loss is missing"):
        update_fit(fitted, plan)
    with pytest.raises(InputError, match="run"):
        update_fit(fitted, fitted.table)


@pytest.fixture
def refits(monkeypatch):
    """Refits are noted, not run: which tables were asked for."""
    asked = []

    def noted(fit, table, seed):
        asked.append(table)
        return replace(fit, table=table), "refitted from the old posterior"

    monkeypatch.setattr(update, "_refitted", noted)
    return asked


@pytest.mark.parametrize("shift", [1.003, 1.02])
def test_a_high_pareto_k_is_refitted(fitted, heldout, refits, shift):
    """At 1.02 one draw has all the weight: k is infinite, which is high as well."""
    frame = stated_frame(part(heldout, part="unseen recipe"))
    study = Study(buckets=fitted.table.buckets, simulated=True)
    done = update_fit(fitted, build_table(frame.assign(loss=frame["loss"] * shift), study))
    assert done.method == "refitted from the old posterior"
    assert done.pareto_k > 0.7
    assert "Pareto k" in done.reason
    assert "> 0.7" in done.reason
    assert [len(table) for table in refits] == [27 + len(frame)]


def test_too_few_effective_draws_are_refitted(fitted, two_runs, reweighted, refits):
    """The same weights on draws that are worth 450: 0.7 of them are below 400."""
    poor = replace(fitted, verdict=replace(fitted.verdict, ess_bulk_min=450.0))
    done = update_fit(poor, two_runs)
    assert len(refits) == 1
    assert done.pareto_k == reweighted.pareto_k
    assert done.ess == pytest.approx(450 * reweighted.ess / 4000)
    assert "effective draws < 400" in done.reason


@pytest.mark.parametrize("noise", ["normal", "studentt"])
def test_an_unseen_level_is_refitted_whatever_the_noise(refits, noise):
    """Resampled draws have no effect for it, so that the fit would never hold the level."""
    table = replace(simulated(family=["a", "b", "c"] * 12), groups=("family",))
    fit = made_fit(table=table, n_draws=1000)
    fit = replace(fit, spec=replace(fit.spec, noise=noise))
    fit.draws["nu"] = np.full_like(fit.draws["sigma"], 5.0)
    fit.draws["sigma"] = np.full_like(fit.draws["sigma"], 0.3)  # so that a run hardly tells
    for family, method in (("a", "reweighted"), ("new", "refitted from the old posterior")):
        rows = stated_frame(table).iloc[:1].assign(run="next", family=family)
        expected = fit.predict(bi.read_plan(rows, buckets=None))["loss_mean"].to_numpy().mean()
        new = bi.read_runs(rows.assign(loss=expected), prior_dominated=True)
        done = update_fit(fit, new)
        assert done.method == method, done.reason
    assert done.reason == "the new runs have a degree or group level that was not fitted"
    assert done.pareto_k is None
    assert len(refits) == 1


def test_a_fit_tells_every_update(reweighted, heldout, two_runs):
    more = part(heldout, part="unseen recipe", model="1.2B")
    twice = update_fit(reweighted.fit, more).fit
    steps = twice.info["updates"]
    assert [step["runs"] for step in steps] == [
        list(two_runs.frame["run"]),
        list(more.frame["run"]),
    ]
    assert all(step["method"] == "reweighted" for step in steps)
    told = [note for note in twice.info["notes"] if "Updated with" in note]
    assert len(told) == 2
    assert "resampled, so of equal weight" in told[0]
    facts = {k: twice.table.provenance[k] for k in ("title", "source", "parameters")}
    assert facts.items() <= reweighted.fit.table.provenance.items()


# What a measured table can have that the fit cannot take in: the change, and the error.
UNFIT = {
    "known name": (lambda f, old: f.assign(run=list(old["run"][:2])), "among the runs that were"),
    "diverged": (
        lambda f, old: f.assign(status=["finished", "diverged"]),
        r"column status: must be finished .* got 'diverged'",
    ),
    "other unit": (lambda f, old: f.assign(loss_unit="bits per byte"), "loss_unit must be"),
    "no M": (
        lambda f, old: f.drop(columns=["layers", "hidden", "seq_len"]),
        "flops_per_token .* is missing, for the fitted runs have it",
    ),
    "other buckets": (
        lambda f, old: f.rename(columns={"w_5": "w_x", "share_5": "share_x"}),
        "buckets must be the fit's",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_runs_that_cannot_be_taken_in_are_one_error(fitted, two_runs, refits, what):
    change, message = UNFIT[what]
    frame = change(stated_frame(two_runs), fitted.table.frame)
    buckets = [c[2:] for c in frame.columns if c.startswith("w_")]
    new = bi.read_runs(frame, buckets=buckets, prior_dominated=True)
    for entry in (
        lambda: update_fit(fitted, new),
        lambda: update_weights({"a": fitted}, {"a": 1.0}, new),
    ):
        with pytest.raises(InputError, match=message):
            entry()
    assert refits == []


def test_the_fit_that_has_a_run_is_named(fitted, reweighted, two_runs):
    with pytest.raises(InputError, match="among the runs of 'after' that were fitted"):
        require_new_runs({"before": fitted, "after": reweighted.fit}, two_runs)
    require_new_runs({"before": fitted}, two_runs)


def test_a_group_that_the_fit_has_must_be_filled():
    table = simulated(family=["a", "b", "c"] * 12)
    fit = made_fit(table=replace(table, groups=("family",)))
    rows = stated_frame(simulated(degrees=(4.0,))).iloc[:3]
    rows = rows.assign(run=["x", "y", "z"])
    with pytest.raises(InputError, match="column family must be filled"):
        require_new_runs({"a": fit}, bi.read_runs(rows, prior_dominated=True))
    rows = rows.assign(family=["a", "b", "new"])
    require_new_runs({"a": fit}, bi.read_runs(rows, prior_dominated=True))


def test_a_degree_that_only_one_table_states_is_kept_for_both(fitted, two_runs):
    stated = stated_frame(two_runs).assign(overtraining=3.7)
    new = bi.read_runs(stated, prior_dominated=True)
    degrees = joined_table(fitted.table, new).arrays().overtraining
    np.testing.assert_allclose(degrees[:27], fitted.table.arrays().overtraining)
    np.testing.assert_allclose(degrees[27:], 3.7)


def test_the_same_run_under_another_name_is_seen(fitted, two_runs):
    twin = stated_frame(fitted.table).iloc[:1].assign(run="twin")
    new = bi.read_runs(pd.concat([twin, stated_frame(two_runs)]), prior_dominated=True)
    assert repeated_runs(fitted.table, new) == ["twin"]


def test_a_warm_start_has_the_posteriors_own_centre_and_spread(fitted):
    problem = Problem(fitted.spec, fitted.layout, collapsed=True)
    mode = warm_start(problem, flat_draws(fitted))
    z = np.random.default_rng(1).standard_normal((20_000, problem.dimension))
    drawn = constrain(mode.whitening.forward(z), problem.sites)
    for name in ("theta", "lambda_min", "sigma"):
        ours, theirs = np.log(drawn[name]), np.log(flat_draws(fitted)[name])
        assert ours.mean() == pytest.approx(theirs.mean(), abs=0.1 * theirs.std())
        assert ours.std() == pytest.approx(theirs.std(), rel=0.15)


def test_weights_of_forms_follow_bayes(fitted, two_runs):
    """Two forms that differ by a level: the densities of both runs, averaged over draws."""
    draws = {**fitted.draws, "log_alpha": fitted.draws["log_alpha"] + 0.002}
    fits = {"a": fitted, "b": replace(fitted, draws=draws)}
    seen = np.log(two_runs.arrays().loss)
    at = np.log(fitted.predict(two_runs)["expected_loss"].to_numpy()).reshape(-1, 2)
    sd = fitted.draws["sigma"].reshape(-1, 1)
    evidence = [stats.norm.pdf(seen, at + up, sd).prod(axis=1).mean() for up in (0.0, 0.002)]
    exact = np.array([0.25, 0.75]) * evidence
    found = update_weights(fits, {"a": 1.0, "b": 3.0}, two_runs)
    np.testing.assert_allclose(list(found.values()), exact / exact.sum(), rtol=1e-9)


@pytest.mark.slow
def test_reweighting_agrees_with_a_refit(reweighted, fitted):
    refit = bi.fit(reweighted.fit.table, seed=5)
    ours, theirs, before = (f.summary() for f in (reweighted.fit, refit, fitted))
    for name in NAMES:
        sd = theirs[name]["sd"]
        assert ours[name]["mean"] == pytest.approx(theirs[name]["mean"], abs=0.15 * sd)
        assert ours[name]["sd"] == pytest.approx(sd, rel=0.15)
    assert theirs["beta"]["sd"] < before["beta"]["sd"]
    recipes = [expected_loss_recipe(f.target(**TARGET)).recipe for f in (reweighted.fit, refit)]
    np.testing.assert_allclose(recipes[0], recipes[1], atol=0.02)


@pytest.mark.slow
def test_surprising_runs_are_refitted_from_the_old_posterior(fitted, heldout):
    frame = stated_frame(part(heldout, part="random recipe"))
    study = Study(buckets=fitted.table.buckets, simulated=True)
    odd = build_table(frame.assign(loss=frame["loss"] * 1.02), study)
    done = update_fit(fitted, odd)
    assert done.method == "refitted from the old posterior"
    assert "Pareto k" in done.reason or "effective draws" in done.reason
    assert done.fit.verdict.converged
    cold = bi.fit(done.fit.table, seed=6)
    for name in NAMES:
        mean, sd = (cold.summary()[name][key] for key in ("mean", "sd"))
        assert done.fit.summary()[name]["mean"] == pytest.approx(mean, abs=0.15 * sd)


@pytest.mark.slow
def test_a_new_degree_is_refitted(fitted, heldout):
    done = update_fit(fitted, part(heldout, part="m = 22"))
    assert done.method == "refitted"
    assert done.pareto_k is None
    assert done.fit.anchors.intercept == "clusters"
    assert done.fit.verdict.converged
