"""Held-out scores of a fit and its baselines, and runs that the law says nothing about."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_infolaw
from bayes_infolaw.baselines import fit_chinchilla, fit_power_law
from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.validation import validate as module
from bayes_infolaw.validation.validate import score_held_out, validate

SETTINGS = {"chains": 4, "draws": 300, "warmup": 300, "seed": 3}
SPLIT = "largest-size:2"
METHODS = {"chinchilla", "power_law", "paper_procedure", "data_constrained"}
SCORES = {
    *("method", "reason", "runs", "missing", "errors_percent", "coverage", "log_score", "crps"),
    "interval_score",
}
FIELDS = SCORES | {
    *("hold_out", "model", "runs_fitted", "runs_held_out", "outside", "loss_unit", "baselines"),
    *("verdict", "simulated", "notes"),
}


@pytest.fixture(scope="module")
def study(repo_root):
    return repo_root / "runs" / "paper_design"


@pytest.fixture(scope="module")
def found(study):
    return validate(study, SPLIT, **SETTINGS)


@pytest.fixture
def quick(monkeypatch):
    """Leave the baselines out where a test is not about them."""
    monkeypatch.setattr(module, "fit_baselines", lambda runs, **options: {})


def test_json_fields_are_the_contract(found):
    payload = found.to_dict()
    assert set(payload) == FIELDS
    assert set(payload["errors_percent"]) == {"mean", "median", "maximum"}
    assert list(payload["coverage"]) == ["0.5", "0.8", "0.9", "0.95"]
    assert set(payload["baselines"]) == METHODS
    for method in payload["baselines"].values():
        assert set(method) == SCORES | {"parameters"}
    assert payload["verdict"]["converged"] is True
    assert payload["simulated"] is True


def test_the_split_is_the_rule(found, study):
    table = bayes_infolaw.read_runs(study)
    sizes = np.unique(table.arrays().params)[-2:]
    held = set(table.frame["run"][np.isin(table.arrays().params, sizes)])
    assert set(found.held.frame["run"]) == held
    assert set(found.fit.table.frame["run"]) == set(table.frame["run"]) - held


def test_errors_and_coverage_follow_from_the_rows(found):
    rows, scores = found.rows, found.law.scores
    error = 100 * (rows["loss_mean"] / rows["loss"] - 1).abs()
    assert scores.errors.mean == pytest.approx(error.mean(), rel=1e-9)
    assert scores.errors.median == pytest.approx(error.median(), rel=1e-9)
    assert scores.errors.maximum == pytest.approx(error.max(), rel=1e-9)
    inside = rows["loss"].between(rows["loss_lo"], rows["loss_hi"]).sum()
    assert scores.coverage[0.9].inside == inside
    np.testing.assert_allclose(rows["error_percent"].abs(), error)


def test_the_log_score_is_the_mixture_over_draws(found):
    predicted = found.fit.predict(found.held)
    draws = {n: predicted[n].to_numpy().reshape(-1, len(found.held)) for n in predicted}
    loss, mean, sd = found.rows["loss"].to_numpy(), draws["expected_loss"], draws["noise_sd"]
    density = stats.lognorm.pdf(loss, sd, scale=mean).mean(axis=0)
    assert found.law.scores.log_score == pytest.approx(np.log(density).mean(), rel=1e-9)


def test_baselines_are_fitted_and_scored_on_the_same_split(found):
    runs, held = found.fit.table.arrays(), found.held.arrays()
    for key, fit in (("chinchilla", fit_chinchilla), ("power_law", fit_power_law)):
        error = 100 * np.abs(fit(runs).predict(held) / held.loss - 1)
        assert found.baselines[key].scores.errors.mean == pytest.approx(error.mean())
        assert found.baselines[key].scores.runs == len(found.held)
    refused = found.baselines["data_constrained"]
    assert refused.scores is None
    assert "one bucket only" in refused.reason


def test_the_law_beats_the_baselines_on_its_own_simulation(found):
    mean = found.table().set_index("method")["mean %"].dropna()
    assert mean.idxmin() == "infolaw (this fit)"


def test_the_table_has_a_row_a_method(found):
    table = found.table()
    assert len(table) == 1 + len(METHODS)
    assert list(table["runs"]) == [6, 6, 6, 6, 0]
    assert table["mean %"].isna().sum() == 1


def held_with(study, **changes):
    """The first held-out runs with the third one changed."""
    frame = pd.read_csv(study / "heldout.csv").head(6)
    for column, value in changes.items():
        frame[column] = frame[column].astype(float)
        frame.loc[2, column] = value
    return bayes_infolaw.read_runs(frame)


def test_runs_outside_the_law_are_left_out_and_named(found, study, quick):
    tiny = {"tokens": 5e8, "source_tokens": 5e8}
    held = held_with(study, **tiny)
    name = held.frame["run"][2]
    scored = score_held_out(found.fit, held)
    assert list(scored.outside) == [name]
    assert "K_0" in scored.outside[name]
    assert scored.law.scores.runs == len(scored.held) == 5
    assert name not in set(scored.rows["run"])
    assert scored.to_dict()["runs_held_out"] == 6


def test_nothing_left_to_score_is_an_error(found, study, quick):
    held = held_with(study, tokens=5e8, source_tokens=5e8).subset([2])
    with pytest.raises(InputError, match=r"hold-out 'given'.*K_0"):
        score_held_out(found.fit, held)


def test_baselines_score_the_same_runs(found, study):
    held = held_with(study, tokens=5e8, source_tokens=5e8)
    scored = score_held_out(found.fit, held)
    assert {m.scores.runs for m in scored.baselines.values() if m.scores} == {5}


def test_a_bad_verdict_is_refused(found, study, quick):
    bad = replace(found.fit, verdict=replace(found.fit.verdict, divergences=3))
    held = held_with(study)
    with pytest.raises(RefusedError, match="3 divergent"):
        score_held_out(bad, held)
    allowed = score_held_out(bad, held, allow_unconverged=True)
    assert allowed.to_dict()["verdict"]["converged"] is False


def test_too_few_runs_left_are_refused(study):
    with pytest.raises(InputError, match="at least as many runs"):
        validate(study, "tokens > 2.8e10", **SETTINGS)


def test_plans_cannot_be_scored(found, study):
    plan = bayes_infolaw.read_plan(study / "plan_7b.csv", buckets=found.fit.table.buckets)
    with pytest.raises(InputError, match="loss"):
        score_held_out(found.fit, plan)


@pytest.mark.parametrize(("smallest", "expected"), [(4e9, 1e9), (3e9, 1e9), (2e9, 2e8)])
def test_the_papers_procedure_gets_the_default_K_0_where_the_fit_has_none(smallest, expected):
    anchors = SimpleNamespace(tokens_0=None, tokens_min=smallest)
    assert module._tokens_0(SimpleNamespace(anchors=anchors)) == expected
    anchors.tokens_0 = 7e8
    assert module._tokens_0(SimpleNamespace(anchors=anchors)) == 7e8


def test_student_t_noise_is_a_scale_mixture():
    nu, draws = 4.0, 40_000
    fit = SimpleNamespace(draws={"nu": np.full((4, draws // 4), nu)}, info={"seed": 1})
    sd = module._scale_weights(fit, np.ones(draws, dtype=bool), (draws, 3))
    for z in (0.0, 1.0, 3.0):
        density = stats.norm.pdf(z, scale=sd[:, 0])
        error = density.std() / np.sqrt(draws)
        assert abs(density.mean() - stats.t.pdf(z, nu)) < 4 * error
