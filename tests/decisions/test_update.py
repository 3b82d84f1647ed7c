"""New runs into a fit: reweighted draws against a refit, and which of the two is chosen."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.update import joined_table, update_fit, update_weights
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
    update = update_fit(fitted, odd)
    assert update.method == "refitted from the old posterior"
    assert "Pareto k" in update.reason or "effective draws" in update.reason
    assert update.fit.verdict.converged
    cold = bi.fit(update.fit.table, seed=6)
    for name in NAMES:
        mean, sd = (cold.summary()[name][key] for key in ("mean", "sd"))
        assert update.fit.summary()[name]["mean"] == pytest.approx(mean, abs=0.15 * sd)


@pytest.mark.slow
def test_a_new_degree_is_refitted(fitted, heldout):
    update = update_fit(fitted, part(heldout, part="m = 22"))
    assert update.method == "refitted"
    assert update.pareto_k is None
    assert update.fit.anchors.intercept == "clusters"
    assert update.fit.verdict.converged
