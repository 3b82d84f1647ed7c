from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.baselines.base import TooFewRunsError
from bayes_infolaw.baselines.paper_procedure import PaperProcedure, fit_paper_procedure

ALL = ("HQ", "MHQ", "MQ", "MLQ", "LQ")


@pytest.fixture(scope="module")
def procedures(simulated):
    runs = simulated.paper_runs()
    return [fit_paper_procedure(runs, seed=seed) for seed in range(5)]


def test_noise_free_runs_are_ranked_nearly_perfectly(procedures):
    """-1 is reached by about half of the seeds; one swapped pair among 27 runs costs 0.0006."""
    assert all(found.found.spearman <= -0.999 for found in procedures)


def test_large_models_are_predicted_from_small_noise_free_ones(procedures, simulated):
    """Median over seeds of the mean error on 1.5B-7.7B: 0.17 % measured, asserted below 0.6 %.

    The search maximises ranks only: with no noise at all single seeds still reach 2 % here (8
    seeds: 0.05 to 2.2 %), which is what the baseline is worth, not a defect of its code.
    """
    large = simulated.design(simulated.LARGE, ALL)
    truth = simulated.law_loss(large, **simulated.PUBLISHED)
    errors = [100 * np.abs(found.predict(large) / truth - 1).mean() for found in procedures]
    assert np.median(errors) < 0.6
    assert max(errors) < 3.0


def test_prediction_is_the_law_at_the_reported_constants(procedures, simulated):
    found = procedures[0]
    values = found.parameters
    large = simulated.design(simulated.LARGE, ALL)
    constants = {name: values[name] for name in ("theta", "a", "b", "beta")}
    expected = simulated.law_loss(large, **constants, alpha=values["alpha[m=3.6]"])
    assert found.predict(large) == pytest.approx(expected, rel=1e-12)


def test_curve_and_line_are_least_squares(procedures, simulated):
    found, runs = procedures[1], simulated.paper_runs()
    design = np.column_stack([np.log(found.found.sizes / 1e9), np.ones(9)])
    assert (found.a, found.b) == pytest.approx(np.linalg.lstsq(design, found.found.rates)[0])
    design = np.column_stack([np.ones(27), -np.log(found.information(runs))])
    log_alpha, beta = np.linalg.lstsq(design, np.log(runs.loss))[0]
    assert found.parameters["beta"] == pytest.approx(beta)
    assert found.parameters["alpha[m=3.6]"] == pytest.approx(np.exp(log_alpha))


def test_every_degree_has_its_own_alpha(simulated):
    runs = simulated.paper_runs(overtrained=True)
    found = fit_paper_procedure(runs, seed=0)
    residual = np.log(found.predict(runs) / runs.loss)
    heavy = runs.overtraining > 10
    assert [residual[heavy].mean(), residual[~heavy].mean()] == pytest.approx([0, 0], abs=1e-12)
    assert set(found.parameters) >= {"alpha[m=3.6]", "alpha[m=22]"}


def test_outside_the_domain_predictions_are_nan_and_fitting_runs_counted(procedures, simulated):
    found = procedures[0]
    runs = simulated.paper_runs()
    tiny = replace(runs, tokens=np.where(np.arange(27) < 4, 1e9, runs.tokens))
    assert np.isnan(found.predict(tiny)).tolist() == [True] * 4 + [False] * 23
    negative = replace(found, a=0.2, b=-0.2 * np.log(runs.flops[3] / 1e9))
    assert np.isnan(negative.predict(runs)).tolist() == [True] * 6 + [False] * 21
    assert fit_paper_procedure(tiny, seed=0, samples=2000).outside >= 4


def test_one_bucket_has_no_theta(simulated):
    rng = np.random.default_rng(0)
    params, tokens = np.repeat([1e9, 2e9, 4e9], 5), np.exp(rng.uniform(24, 27, 15))
    runs = simulated.one_bucket(params, tokens, unique=np.full(15, 2e10))
    constants = {**simulated.PUBLISHED, "theta": 0.0}
    runs = replace(runs, loss=simulated.law_loss(runs, **constants))
    found = fit_paper_procedure(runs, samples=20_000)
    assert isinstance(found, PaperProcedure)
    assert np.isnan(found.parameters["theta"])
    assert found.predict(runs) == pytest.approx(runs.loss, rel=0.01)


def test_one_model_size_is_refused(simulated):
    runs = simulated.paper_runs()
    with pytest.raises(TooFewRunsError, match=r"2 model sizes with K > K_0 = 1e\+09, got 1"):
        fit_paper_procedure(replace(runs, flops=np.full(27, 1e10)), samples=100)


def test_no_run_above_k_0_is_refused(simulated):
    with pytest.raises(TooFewRunsError, match="got 0"):
        fit_paper_procedure(simulated.paper_runs(), K_0=1e13, samples=100)
