"""A fit recovers what was simulated, says what it knows, and is reproducible."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw as bi
from bayes_infolaw.laws import published
from bayes_infolaw.posterior.verdict import judge

TRUTH = {"theta": published.THETA, "a": published.A, "b": published.B}
TRUTH |= {"alpha": published.ALPHA, "beta": published.BETA, "sigma": 0.0015}


@pytest.mark.parametrize("name", TRUTH)
def test_published_constants_are_recovered(two_degrees, name):
    # Six parameters, |z| < 4 each: under 4e-4 false alarms if the posterior is near normal.
    summary = two_degrees.summary()[name]
    assert abs(summary["mean"] - TRUTH[name]) < 4 * summary["sd"]
    assert summary["lo"] < summary["mean"] < summary["hi"]


def test_the_posterior_is_as_narrow_as_the_fisher_information_says(one_degree):
    # design.md: 27 runs give sd theta 0.124, a 0.023, b 0.0070, log alpha 0.0040, beta 0.0012 with
    # flat priors; with the weak ones here within a factor 1.6 of that.
    summary = one_degree.summary()
    fisher = {"theta": 0.124, "a": 0.023, "b": 0.0070, "beta": 0.0012}
    for name, sd in fisher.items():
        assert sd / 1.6 < summary[name]["sd"] < 1.6 * sd, name


def test_the_verdict_is_good_and_says_why(one_degree, two_degrees):
    for fit in (one_degree, two_degrees):
        assert fit.verdict.converged, fit.verdict.failures()
        assert fit.info["starts_at_best_mode"] >= 14


def test_units_are_published_only_with_the_published_K_0(one_degree):
    assert one_degree.units["system"] == "published"
    other = bi.fit(
        one_degree.table, bi.find_model("infolaw").with_tokens_0(1e8), draws=100, warmup=600
    )
    assert other.units["system"] == "scale-free"
    assert other.units["K_0_tokens"] == 1e8


def test_scale_free_and_published_parameters_say_the_same(one_degree):
    """The law rebuilt from the reported published parameters gives the fit's own losses."""
    draws = one_degree.parameters()
    runs = one_degree.table.arrays()
    at = {name: draws[name][1, 17] for name in ("theta", "a", "b", "alpha", "beta")}
    clean = bi.simulate(one_degree.table, {**at, "sigma": 1e-12}, seed=0).arrays().loss
    plan = one_degree.table.frame.drop(columns="loss")
    own = one_degree.predict(plan)["expected_loss"].to_numpy()[1, 17]
    np.testing.assert_allclose(clean, own, rtol=1e-9)
    assert len(own) == len(runs.loss)


def test_one_degree_samples_neither_gamma_nor_tau(one_degree):
    assert not {"gamma", "tau"} & set(one_degree.parameters())
    assert any("share overtraining degree" in note for note in one_degree.info["notes"])


def test_alpha_is_the_intercept_at_the_reference_degree(two_degrees):
    draws = two_degrees.draws["coefficients"]
    names = two_degrees.layout.coefficients
    away = draws[..., 2 + names.index("e_m[3.6]")]
    without = np.log(two_degrees.parameters()["alpha"]) - away
    again = np.log(two_degrees.parameters()["alpha"])
    assert np.abs(without + away - again).max() < 1e-12
    # alpha itself is far better determined than the population level it is split into
    assert again.std() < 0.3 * without.std()


def test_same_seed_same_draws(one_degree):
    again = bi.fit(one_degree.table, draws=500, warmup=600, seed=3)
    for name, value in one_degree.draws.items():
        np.testing.assert_array_equal(again.draws[name], value)
    other = bi.fit(one_degree.table, draws=500, warmup=600, seed=4)
    assert not np.array_equal(other.draws["theta"], one_degree.draws["theta"])


def test_one_bucket_has_no_theta_and_nothing_to_recommend():
    rng = np.random.default_rng(0)
    tokens = np.geomspace(4e9, 4e10, 12)
    frame = pd.DataFrame(
        {
            "run": [f"r{i}" for i in range(12)],
            "loss": 3.6 * (tokens / 4e9) ** -0.06 * np.exp(0.004 * rng.standard_normal(12)),
            "params_nonembedding": np.geomspace(1e8, 1e9, 12),
            "tokens": tokens,
            "unique_tokens": np.minimum(tokens, 1e10),
        }
    )
    fit = bi.fit(frame, draws=200, warmup=600)
    assert fit.summary()["theta"] is None
    assert "theta" not in fit.draws
    with pytest.raises(bi.RefusedError, match="one bucket"):
        fit.recommend(params_nonembedding=2e9, tokens=1e11, source_tokens=1e11)


def test_one_recipe_and_one_size_are_flagged(one_degree):
    frame = one_degree.table.frame
    one_recipe = frame[frame["recipe"] == "MQ"]
    fit = bi.fit(bi.read_runs(one_recipe.reset_index(drop=True)), draws=100, warmup=600)
    assert "theta" in fit.prior_only
    one_size = frame[frame["model"] == "1.2B"].copy()
    table = bi.read_runs(one_size.reset_index(drop=True), prior_dominated=True)
    assert "a" in bi.fit(table, draws=100, warmup=600).prior_only


def test_bad_settings_are_named(one_degree):
    with pytest.raises(bi.InputError, match="chains"):
        bi.fit(one_degree.table, chains=0)
    with pytest.raises(bi.InputError, match="backend"):
        bi.fit(one_degree.table, backend="stan")
    with pytest.raises(bi.InputError, match="device"):
        bi.fit(one_degree.table, device="tpu")
    with pytest.raises(bi.InputError, match="collapsed"):
        bi.fit(one_degree.table, "infolaw_studentt", collapsed=True)


def test_an_unconverged_fit_is_refused_unless_allowed(one_degree, design):
    verdict = replace(one_degree.verdict, rhat_max=1.2)
    bad = replace(one_degree, verdict=verdict)
    plan = design / "plan_7b.csv"
    with pytest.raises(bi.RefusedError, match=r"R-hat 1\.200"):
        bad.predict(plan)
    with pytest.raises(bi.RefusedError, match="allow-unconverged"):
        bad.recommend(params_nonembedding=6e9, tokens=4e11, source_tokens=4e11)
    assert bad.predict(plan, allow_unconverged=True)["loss_mean"].notnull().all()


def test_another_table_is_refused(one_degree, heldout):
    one_degree.require_data(one_degree.table)
    with pytest.raises(bi.RefusedError, match="hash"):
        one_degree.require_data(heldout)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda x: x + np.arange(4)[:, None], "R-hat"),
        (lambda x: np.cumsum(x, axis=1) / 30, "ESS"),
    ],
)
def test_the_verdict_catches_bad_chains(spoil, words):
    rng = np.random.default_rng(0)
    good, energy = rng.standard_normal((4, 500)), rng.standard_normal((4, 500))
    none = np.zeros((4, 500), dtype=bool)
    assert judge({"x": good}, none, energy).converged
    assert words in " ".join(judge({"x": spoil(good)}, none, energy).failures())


def test_the_verdict_counts_divergences_and_energy():
    rng = np.random.default_rng(0)
    good, none = rng.standard_normal((4, 500)), np.zeros((4, 500), dtype=bool)
    one = none.copy()
    one[2, 7] = True
    assert "1 divergent" in judge({"x": good}, one, good).failures()[0]
    slow = np.cumsum(rng.standard_normal((4, 500)), axis=1)
    assert any("BFMI" in text for text in judge({"x": good}, none, slow).failures())


@pytest.mark.slow
def test_the_pymc_back_end_gives_the_same_fit(one_degree, tmp_path):
    """Through the public entry, saved and read back; |z| < 4.5 for six means (ESS above 400)."""
    pytest.importorskip("pymc")
    other = bi.fit(one_degree.table, backend="pymc", draws=700, warmup=700, seed=5)
    assert other.verdict.converged, other.verdict.failures()
    for name in TRUTH:
        one, two = one_degree.parameters()[name], other.parameters()[name]
        assert abs(one.mean() - two.mean()) < 4.5 * np.sqrt(2 / 400) * one.std(), name
    other.save(tmp_path / "pymc.nc")
    assert bi.load_fit(tmp_path / "pymc.nc").info["backend"] == "pymc"
