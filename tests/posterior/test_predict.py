"""Predictions against an independent evaluation of the law, and the parts of their spread."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw as bi
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.predict import prediction_table

TARGET = {"params_nonembedding": 6.442e9, "tokens": 425e9, "source_tokens": 500e9}


def row(**changes):
    """One planned run of the paper's recipe MQ with HQ's packing order."""
    weights = np.array([0.48, 0.23, 0.13, 0.07, 0.07, 0.0])
    plan = {"run": "target", **TARGET, "overtraining": 3.6}
    plan |= {f"w_{d}": w for d, w in enumerate(weights / weights.sum())}
    return pd.DataFrame([{**plan, **changes}])


def test_draws_are_the_published_law_at_the_reported_parameters(one_degree):
    """Independent path: tables.simulate in published units, a draw at a time."""
    seen = one_degree.predict(row())
    draws = one_degree.parameters()
    for chain, draw in [(0, 0), (1, 250), (3, 499)]:
        at = {k: draws[k][chain, draw] for k in ("theta", "a", "b", "alpha", "beta")}
        plan = plan_for(one_degree, row())
        expected = bi.simulate(plan, {**at, "sigma": 1e-12}, seed=0).frame["loss"].iloc[0]
        found = float(seen["expected_loss"][chain, draw, 0])
        assert found == pytest.approx(expected, rel=1e-8)


def test_variance_parts_add_up_and_intervals_nest(two_degrees):
    plan = pd.concat([row(run="a"), row(run="b", overtraining=60.0)], ignore_index=True)
    seen = two_degrees.predict(plan)
    parts = sum(seen[f"variance_{p}"] for p in ("parameters", "group", "noise"))
    log_loss = np.log(seen["loss"]).var(("chain", "draw"))
    np.testing.assert_allclose(parts, log_loss, rtol=0.15)
    known = seen.isel(run=0)  # noise is lost beside the spread of a new degree
    assert known["loss_hi"] - known["loss_lo"] > known["mean_hi"] - known["mean_lo"]
    assert (seen["loss_lo"] < seen["loss_mean"]).all()
    assert float(seen["variance_group"][0]) == 0.0
    assert float(seen["variance_group"][1]) > 0.0


def test_an_unseen_degree_is_predicted_from_the_hierarchy(two_degrees):
    """Spread beyond the known degree's: tau per draw, shared by runs of one degree."""
    plan = pd.concat(
        [row(run="a", overtraining=60.0), row(run="b", overtraining=60.0, tokens=3e11)],
        ignore_index=True,
    )
    seen = two_degrees.predict(plan)
    tau = two_degrees.parameters()["tau"]
    assert float(seen["variance_group"][0]) == pytest.approx((tau**2).mean(), rel=1e-6)
    log_loss = np.log(seen["expected_loss"]).stack(d=("chain", "draw")).to_numpy()
    assert np.corrcoef(log_loss)[0, 1] > 0.98


def test_one_degree_predicts_another_from_the_priors(one_degree):
    near, far = one_degree.predict(row()), one_degree.predict(row(overtraining=22.0))
    spec = one_degree.spec.priors
    away = np.log(22 / 3.6)
    tau2 = spec["tau"].frozen().var() + spec["tau"].frozen().mean() ** 2
    expected = tau2 + (spec["gamma"].sigma * away) ** 2
    # 2,000 prior draws of tau: the mean of tau^2 has a relative sd of sqrt(2 / 2000) = 3 %.
    assert float(far["variance_group"][0]) == pytest.approx(expected, rel=0.1)
    assert float(near["variance_group"][0]) == 0.0


def test_what_rests_on_priors_is_said(one_degree, two_degrees):
    far = one_degree.predict(row(overtraining=22.0)).attrs["notes"]
    assert any("m = 3.6" in note and "priors of gamma and tau" in note for note in far)
    near = two_degrees.predict(row(overtraining=22.0)).attrs["notes"]
    assert not any("was not fitted" in note for note in near)


def test_noise_is_the_residual(one_degree):
    seen = one_degree.predict(row())
    residual = np.log(seen["loss"] / seen["expected_loss"])
    sigma = float(np.sqrt((one_degree.parameters()["sigma"] ** 2).mean()))
    # sd of an sd over 2,000 draws is 1.6 %; 5 of them
    assert float(residual.std()) == pytest.approx(sigma, rel=0.08)


def test_held_out_runs_are_covered(one_degree, heldout):
    runs = heldout.subset(heldout.arrays().overtraining < 10)
    seen = one_degree.predict(runs, 0.9)
    loss = runs.arrays().loss
    inside = (loss >= seen["loss_lo"].to_numpy()) & (loss <= seen["loss_hi"].to_numpy())
    # Errors of one fit are correlated, so the band is wide.
    assert inside.mean() > 0.7
    error = np.abs(np.log(loss / seen["loss_mean"].to_numpy()))
    assert error.mean() < 3 * 0.0015


def test_intervals_name_their_probability_and_unit(one_degree):
    seen = one_degree.predict(row(), prob=0.5)
    assert seen.attrs["prob"] == 0.5
    assert seen["loss"].attrs["units"] == "nats per token"
    wide = one_degree.predict(row(), prob=0.95)
    assert float(wide["loss_hi"][0]) > float(seen["loss_hi"][0])
    table = prediction_table(seen, plan_for(one_degree, row()))
    assert {"w_0", "loss_mean", "loss_lo", "mean_hi", "prob", "inside_hull"} <= set(table.columns)


def test_distance_beyond_the_data(one_degree):
    inside = one_degree.table.frame.drop(columns="loss").iloc[[4]]
    assert bool(one_degree.predict(inside.reset_index(drop=True))["inside_hull"][0])
    far = one_degree.predict(row(overtraining=22.0))
    runs, compute = one_degree.table.arrays(), 6 * 6.442e9 * 425e9
    assert float(far["beyond_compute"][0]) == pytest.approx(compute / runs.compute.max())
    assert float(far["beyond_degree"][0]) == pytest.approx(22 / 3.6, rel=1e-3)
    assert not bool(far["inside_hull"][0])


def test_a_mixture_of_fitted_runs_is_inside_the_hull():
    from bayes_infolaw.posterior.beyond import _inside_hull

    rng = np.random.default_rng(5)
    data = rng.standard_normal((30, 4))
    mixtures = rng.dirichlet(np.ones(30), size=10) @ data
    outside = data.mean(axis=0) + 1.01 * (data[[int(np.argmax(data[:, 0]))]] - data.mean(axis=0))
    assert _inside_hull(mixtures, data).all()
    assert not _inside_hull(outside, data).any()


def test_rows_outside_the_domain_are_errors_naming_them(one_degree):
    with pytest.raises(bi.InputError, match=r"small: tokens.*K_0 = 1e\+09.*9e\+08"):
        one_degree.predict(row(run="small", tokens=9e8, params_nonembedding=1e8))
    with pytest.raises(bi.InputError, match=r"tiny: lambda\(N\).*0\.1%"):
        one_degree.predict(row(run="tiny", params_nonembedding=1e7))


def test_bad_plans_are_refused(one_degree):
    with pytest.raises(bi.InputError, match="prob"):
        one_degree.predict(row(), prob=1.0)
    with pytest.raises(bi.InputError, match="w_0"):
        one_degree.predict(row(w_0=-0.5))
    other = replace(plan_for(one_degree, row()), buckets=tuple("543210"))
    with pytest.raises(bi.InputError, match="buckets"):
        one_degree.predict(other)


def test_the_target_is_the_plans_row(one_degree):
    """`recommend` and `predict` state the same expected loss for the same recipe."""
    law = one_degree.target(**TARGET, overtraining=3.6)
    recipe = row()[[f"w_{d}" for d in range(6)]].to_numpy()[0]
    seen = one_degree.predict(row())["expected_loss"].to_numpy().ravel()
    np.testing.assert_allclose(law.loss(recipe), seen, rtol=1e-10)


def test_information_comes_in_the_reported_units(one_degree):
    """Published units: the published formula at the reported theta, a, b."""
    law = one_degree.target(**TARGET, overtraining=3.6)
    draws = {k: v.ravel() for k, v in one_degree.parameters().items()}
    rate = draws["a"] * np.log(6 * TARGET["params_nonembedding"] / 1e9) + draws["b"]
    np.testing.assert_allclose(law.rate, rate, rtol=1e-9)
    np.testing.assert_allclose(law.normaliser, np.log10(425.0), rtol=1e-12)
    assert law.token_unit == 1e9
    np.testing.assert_allclose(law.log_alpha, np.log(draws["alpha"]), rtol=1e-9)


def test_recommendations_beat_the_named_recipes_under_the_same_draws(one_degree):
    target = {**TARGET, "overtraining": 3.6}
    best = one_degree.recommend(**target, incumbent=dict(zip("012345", MQ, strict=True)))
    law = one_degree.target(**target)
    assert best.expected_loss < law.loss(np.array(MQ)).mean()
    assert best.difference.mean > 0
    assert best.relative_gap < 1e-8


MQ = tuple(np.array([0.48, 0.23, 0.13, 0.07, 0.07, 0.0]) / 0.98)


def test_a_new_group_level_spreads_and_a_seen_one_does_not(one_degree):
    frame = one_degree.table.frame.copy()
    frame["lab"] = np.where(np.arange(len(frame)) % 2, "x", "y")
    frame["loss"] *= np.where(frame["lab"] == "x", 1.01, 0.99)
    table = bi.read_runs(frame)
    table = replace(table, groups=("lab",))
    table = replace(table, data_hash=table.compute_hash())
    fit = bi.fit(table, draws=300, warmup=600)
    seen = fit.predict(pd.concat([row(run="a", lab="x"), row(run="b", lab="z")], ignore_index=True))
    assert float(seen["variance_group"][0]) == 0.0
    tau = fit.parameters()["tau_lab"]
    assert float(seen["variance_group"][1]) == pytest.approx((tau**2).mean(), rel=1e-6)
    missing = fit.predict(row())
    assert float(missing["variance_group"][0]) == pytest.approx((tau**2).mean(), rel=1e-6)
    x, y = (fit.parameters()[f"lab[{v}]"].mean() for v in "xy")
    assert x - y == pytest.approx(np.log(1.01 / 0.99), abs=4 * 0.0006)
