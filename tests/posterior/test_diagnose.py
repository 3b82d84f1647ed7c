"""Diagnostics against independent computations on the small fits."""

import json
import logging
from dataclasses import replace

import arviz_stats
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.errors import InputError
from bayes_infolaw.model.linear import SLOPE, linear_block, noise_sd
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.posterior.compare_samplers import compare_samplers
from bayes_infolaw.posterior.diagnose import diagnose
from bayes_infolaw.posterior.extrapolate import scaled_largest_run
from bayes_infolaw.posterior.loo import _integrated_terms, leave_one_out
from bayes_infolaw.posterior.pointwise import expected_draws
from bayes_infolaw.posterior.predictive_check import residual_check
from bayes_infolaw.posterior.prior_posterior import prior_parameters, prior_posterior
from bayes_infolaw.posterior.sensitivity import power_scaling
from bayes_infolaw.posterior.tokens_reference import (
    _admissible,
    tokens_reference,
)


@pytest.fixture(scope="module")
def diagnosis(one_degree):
    """With refits: about three seconds each."""
    return diagnose(one_degree)


def test_stated_priors_come_back_as_stated(one_degree):
    prior = prior_parameters(one_degree, n=40_000)
    for name in ("theta", "sigma"):
        stated = one_degree.spec.priors[name].frozen()
        levels = [0.05, 0.5, 0.95]
        np.testing.assert_allclose(
            np.log(np.quantile(prior[name], levels)), np.log(stated.ppf(levels)), atol=0.06
        )
    assert (prior["lambda_max"] >= prior["lambda_min"]).all()


def test_implied_prior_of_a_follows_from_the_rates(one_degree):
    prior, anchors = prior_parameters(one_degree), one_degree.anchors
    level = np.log10(anchors.tokens_ref / anchors.tokens_0)
    gain = prior["lambda_max"] - prior["lambda_min"]
    by_hand = level * gain / np.log(anchors.flops_max / anchors.flops_min)
    np.testing.assert_allclose(prior["a"], by_hand, rtol=1e-10)


def test_prior_posterior_names_what_is_learnt(one_degree, two_degrees):
    table = prior_posterior(one_degree)
    assert list(table.index) == list(one_degree.parameters())
    draws = one_degree.parameters()["theta"]
    assert table.loc["theta", "posterior_sd"] == pytest.approx(draws.std(ddof=1))
    assert table.loc["theta", "sd_ratio"] < 0.4
    # two degrees say next to nothing about the spread between degrees
    assert prior_posterior(two_degrees).loc["tau", "sd_ratio"] > 0.7


def test_one_size_is_flagged_prior_only(one_degree):
    fit = replace(one_degree, anchors=replace(one_degree.anchors, one_size=True))
    table = prior_posterior(fit)
    assert "one model size" in table.loc["a", "prior_only"]
    assert table.loc["beta", "prior_only"] is None


def cumulative_js(draws, weights):
    """Symmetrised cumulative Jensen-Shannon distance, by integrals over a fine grid."""
    order = np.argsort(draws)
    x, w = draws[order], weights[order] / weights.sum()
    p, q = np.arange(1, len(x)) / len(x), np.cumsum(w)[:-1]
    m, dx = 0.5 * (p + q), np.diff(x)

    def half(f):
        return dx @ (f * np.log2(f / m)) + 0.5 / np.log(2) * dx @ (2 * (m - f))

    return np.sqrt((half(p) + half(q)) / (dx @ (p + q)))


@pytest.mark.parametrize("name", ["theta", "sigma"])
def test_power_scaling_is_what_reweighting_says(one_degree, name):
    tree = one_degree.to_arviz(log_likelihood=True, log_prior=True)
    log_prior = sum(v.to_numpy().ravel() for v in tree["log_prior"].data_vars.values())
    log_likelihood = tree["log_likelihood"]["log_loss"].sum("run").to_numpy().ravel()
    draws, found = one_degree.parameters()[name].ravel(), power_scaling(one_degree).loc[name]
    for group, log_density in (("prior", log_prior), ("likelihood", log_likelihood)):
        distances = []
        for power in (0.99, 1.01):
            weights = np.exp((power - 1) * (log_density - log_density.mean()))
            distance = max(cumulative_js(draws, weights), cumulative_js(-draws, weights))
            distances.append(distance / abs(np.log2(power)))
        assert found[group] == pytest.approx(np.mean(distances), rel=0.03, abs=1e-3)


def test_power_scaling_leaves_group_effects_alone(two_degrees):
    scaled = set(two_degrees.to_arviz(log_prior=True)["log_prior"].data_vars)
    assert {"theta", "tau", "gamma"} <= scaled
    assert not any(name.startswith("e_m") for name in scaled)


def test_integrated_density_is_the_dense_conditional(two_degrees):
    """p(y_i | y_-i, rest) by the textbook formula on the dense n x n covariance."""
    fit, data = two_degrees, two_degrees.data
    terms = _integrated_terms(fit)
    draw = {k: v[1, 17] for k, v in fit.draws.items()}
    block = linear_block(
        draw, log_information(draw, data, fit.spec, fit.layout), data, fit.spec, fit.layout
    )
    x, noise = block.columns, np.diag(noise_sd(draw, data, fit.spec) ** 2)
    covariance = noise + x @ np.diag(block.sd**2) @ x.T
    residual = data.log_loss - block.offset - x @ block.mean

    def slope_positive(rows):
        """P(slope > 0 | those rows): the truncation's normaliser."""
        gain = block.sd[SLOPE] ** 2 * x[rows, SLOPE]
        solved = np.linalg.solve(covariance[np.ix_(rows, rows)], np.c_[residual[rows], gain])
        sd = np.sqrt(block.sd[SLOPE] ** 2 - gain @ solved[:, 1])
        return stats.norm.sf(-(block.mean[SLOPE] + gain @ solved[:, 0]) / sd)

    every = np.arange(len(residual))
    for i in (0, 13, 41):
        rest = np.delete(every, i)
        gain = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, i])
        sd = np.sqrt(covariance[i, i] - gain @ covariance[rest, i])
        z = (residual[i] - gain @ residual[rest]) / sd
        expected = stats.norm.logpdf(z) - np.log(sd)
        expected += np.log(slope_positive(every) / slope_positive(rest))
        assert terms.log_density[1, 17, i] == pytest.approx(expected, abs=1e-6)
        assert terms.cdf[1, 17, i] == pytest.approx(stats.norm.cdf(z), abs=1e-7)
        assert terms.residual[1, 17, i] == pytest.approx(z * sd, rel=1e-6)


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_integrated_loo_agrees_with_arviz_on_the_plain_likelihood(one_degree):
    loo = leave_one_out(one_degree)
    plain = arviz_stats.loo(one_degree.to_arviz(log_likelihood=True), pointwise=True)
    assert loo.method == "integrated"
    assert loo.elpd == pytest.approx(float(plain.elpd), abs=0.5)
    assert loo.p_loo == pytest.approx(float(plain.p), abs=0.5)
    good = plain.pareto_k.to_numpy() < 0.5
    np.testing.assert_allclose(loo.elpd_pointwise[good], plain.elpd_i.to_numpy()[good], atol=0.15)
    weights = np.exp(plain.log_weights.transpose("chain", "draw", "run").to_numpy())
    mean = (weights * expected_draws(one_degree)[0]).sum(axis=(0, 1))
    apart = loo.residual - (one_degree.data.log_loss - mean)
    assert np.abs(apart[good]).max() < 0.1 * np.abs(loo.residual).mean()
    assert loo.error_percent == pytest.approx(100 * np.abs(loo.residual).mean(), rel=0.01)


def test_pit_agrees_with_arviz_on_replicated_losses(one_degree):
    rng, tree = np.random.default_rng(5), one_degree.to_arviz(log_likelihood=True)
    mean, sd = expected_draws(one_degree)
    replicated = tree["log_likelihood"]["log_loss"].copy(data=rng.normal(mean, sd))
    tree["posterior_predictive"] = replicated.to_dataset(name="log_loss")
    theirs = arviz_stats.loo_pit(tree, random_state=1)["log_loss"].to_numpy()
    loo = leave_one_out(one_degree)
    np.testing.assert_allclose(loo.pit, theirs, atol=0.05)
    assert loo.pit_p_value == stats.kstest(loo.pit, "uniform").pvalue


@pytest.fixture(scope="module")
def with_outlier(design):
    """One loss moved by ten noise sds."""
    frame = pd.read_csv(design / "fit.csv")
    frame.loc[4, "loss"] *= np.exp(0.015)
    return bi.fit(frame, buckets=list("012345"), draws=500, warmup=600, seed=3)


def test_an_outlier_is_found_by_every_check(with_outlier):
    run = str(with_outlier.table.frame["run"][4])
    loo, check = leave_one_out(with_outlier), residual_check(with_outlier)
    assert loo.runs[int(np.argmin(loo.elpd_pointwise))] == run
    assert loo.pit[4] > 0.999
    assert check.run == run
    assert check.p_value < 0.02


def test_residual_check_agrees_with_simulated_maxima(one_degree):
    rng, found = np.random.default_rng(8), residual_check(one_degree)
    mean, sd = expected_draws(one_degree)
    observed = np.abs((one_degree.data.log_loss - mean) / sd).max(axis=-1)
    replicated = np.abs(rng.standard_normal(mean.shape)).max(axis=-1)
    assert found.p_value == pytest.approx((replicated >= observed).mean(), abs=0.04)
    assert found.replicated == pytest.approx(replicated.mean(), abs=0.05)
    assert found.maximum == pytest.approx(observed.mean())


def test_tokens_reference_moves_theta_as_a_fit_at_that_reference(one_degree, diagnosis):
    rows = diagnosis.tokens_reference.rows
    assert [row["K_0"] for row in rows] == [1e9, 1e8, 1e10]
    assert rows[0]["elpd_difference"] == 0.0
    # the table was simulated with K_0 = 1e9: a smaller one lowers theta, a larger one raises it
    assert rows[1]["theta"] < rows[0]["theta"] < rows[2]["theta"]
    assert rows[2]["elpd_difference"] < -2.0
    for row in rows:
        assert row["converged"]
        assert row["loss_lo"] < row["loss_mean"] < row["loss_hi"]
    assert rows[0]["theta"] == pytest.approx(one_degree.summary()["theta"]["mean"])


def test_a_scaled_run_keeps_recipe_repetition_and_degree(one_degree):
    plan = scaled_largest_run(one_degree.table, [10.0]).arrays()
    runs = one_degree.table.arrays()
    largest = np.argmax(runs.compute)
    assert plan.loss is None
    assert plan.compute[0] == pytest.approx(10 * runs.compute.max())
    assert plan.params[0] == pytest.approx(np.sqrt(10) * runs.params[largest])
    for name in ("weights", "repetition", "shares", "overtraining"):
        np.testing.assert_allclose(getattr(plan, name)[0], getattr(runs, name)[largest])
    expected = plan.shares * plan.source_tokens[:, None]
    np.testing.assert_allclose(
        plan.unique, np.minimum(plan.weights * plan.tokens[:, None], expected), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("factor", "expected"), [(20.0, [0.1, 10.0]), (8.0, [0.1, 4.0]), (1.5, [0.1])]
)
def test_a_reference_above_the_smallest_k_is_replaced(one_degree, factor, expected):
    tokens_0 = one_degree.anchors.tokens_min / factor
    fit = replace(one_degree, anchors=replace(one_degree.anchors, tokens_0=tokens_0))
    found = _admissible(fit)
    np.testing.assert_allclose([value / tokens_0 for value, _ in found], expected)
    assert ("half the smallest K" in found[-1][1]) == (factor == 8.0)


def test_tokens_reference_says_where_it_does_not_apply(one_degree):
    loo = leave_one_out(one_degree)
    sampled = replace(one_degree, anchors=replace(one_degree.anchors, tokens_0=None))
    assert "sampled" in tokens_reference(sampled, loo).why_not
    constant = replace(one_degree, spec=replace(one_degree.spec, normaliser="constant"))
    assert "constant normaliser" in tokens_reference(constant, loo).why_not
    assert "not asked" in tokens_reference(one_degree, loo, refits=False).why_not


def test_diagnosis_is_json_and_names_its_parts(diagnosis):
    found = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
    assert found["verdict"]["converged"] is True
    assert [rule["holds"] for rule in found["verdict"]["rules"]] == [True] * 5
    assert found["parameters"]["theta"]["sd_ratio"] < 1
    high = {run for run, k in found["loo"]["k"].items() if k > 0.7}
    assert set(found["loo"]["runs_with_high_k"]) == high
    assert len(found["pit"]["values"]) == 27
    assert found["K_0"]["rows"][1]["note"] == "K_0 / 10"
    assert found["prob"] == 0.9
    titles = [title for title, _ in diagnosis.tables()]
    assert len(titles) == len(set(titles)) == 6


def test_diagnosis_is_silent(one_degree, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        diagnose(one_degree, refits=False)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_progress_counts_every_refit(one_degree, monkeypatch):
    seen = []

    def stand_in(table, spec, *, progress, **settings):
        progress(1, 2)
        progress(2, 2)
        return one_degree

    monkeypatch.setattr("bayes_infolaw.posterior.tokens_reference.fit_table", stand_in)
    diagnose(one_degree, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_bad_probability_is_refused(one_degree):
    with pytest.raises(InputError, match=r"prob: must lie between 0 and 1, got 1.5"):
        diagnose(one_degree, prob=1.5)


def test_samplers_are_compared_by_verdict_and_cost(one_degree):
    good = one_degree.to_arviz()
    bad = one_degree.to_arviz()
    theta = bad["posterior"]["theta"]
    bad["posterior"]["theta"] = theta + 5.0 * (theta["chain"] == 0)
    table = compare_samplers({"good": good, "bad": bad})
    assert table.loc["good", "failures"] == "none"
    assert "R-hat" in table.loc["bad", "failures"]
    steps = one_degree.stats["n_steps"]
    assert table.loc["good", "steps_per_draw"] == pytest.approx(steps.mean())
    cost = 1000 * table.loc["good", "ess_bulk_min"] / steps.sum()
    assert table.loc["good", "ess_per_1000_steps"] == pytest.approx(cost)
