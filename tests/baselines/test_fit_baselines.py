from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.baselines import fit_baselines
from bayes_infolaw.baselines.base import select_runs
from bayes_infolaw.errors import InputError

NAMES = {"chinchilla", "power_law", "paper_procedure", "data_constrained"}


def test_every_baseline_is_fitted_or_says_why_not(simulated):
    runs = simulated.paper_runs(noise_sd=0.0015, overtrained=True)
    fits = fit_baselines(runs, K_0=1e9, seed=1)
    assert set(fits) == NAMES
    assert fits["data_constrained"].baseline is None
    assert "one bucket only" in fits["data_constrained"].reason
    for key in NAMES - {"data_constrained"}:
        fit = fits[key]
        assert (fit.reason, fit.name) == ("", fit.baseline.name)
        error = np.log(fit.baseline.predict(runs) / runs.loss)
        assert np.sqrt(np.nanmean(error**2)) <= fit.baseline.log_sd < 0.03
        assert np.isnan(error).sum() == getattr(fit.baseline, "outside", 0)


def test_repeated_runs_on_one_bucket_get_the_data_constrained_law(simulated):
    rng = np.random.default_rng(6)
    params, tokens = np.exp(rng.uniform(18, 22, 30)), np.exp(rng.uniform(22, 25, 30))
    runs = simulated.one_bucket(params, tokens, unique=np.exp(rng.uniform(21, 24, 30)))
    loss = 1.8 + 400 / params**0.34 + 900 / (runs.unique[:, 0] ** 0.5 * tokens**0.5) ** 0.3
    fits = fit_baselines(replace(runs, loss=loss), K_0=1e7, seed=1)
    assert {key for key in NAMES if fits[key].baseline is None} == set()


def test_three_runs_inform_none_of_them(simulated):
    few = select_runs(simulated.paper_runs(), np.arange(27) < 3)
    fits = fit_baselines(few, K_0=1e9, seed=1)
    for fit in fits.values():
        assert fit.baseline is None
        assert fit.reason.startswith(f"{fit.name}: ")


def test_a_plan_is_an_error(simulated):
    plan = replace(simulated.paper_runs(), loss=None)
    with pytest.raises(InputError, match="loss is missing"):
        fit_baselines(plan, K_0=1e9, seed=1)
