from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import linregress

from bayes_infolaw.baselines.base import TooFewRunsError
from bayes_infolaw.baselines.degrees import cluster_degrees
from bayes_infolaw.baselines.power_law import fit_power_law


def grid(simulated, degrees, jitter=0.0):
    rng = np.random.default_rng(3)
    n = len(degrees)
    params, tokens = np.exp(rng.uniform(18, 22, n)), np.exp(rng.uniform(21, 26, n))
    degree = np.array(degrees) * np.exp(jitter * rng.uniform(-1, 1, n))
    runs = simulated.one_bucket(params, tokens, degree=degree)
    return replace(runs, loss=np.exp(2.9 - 0.05 * np.log(runs.compute)))


def test_one_degree_is_the_ordinary_regression(simulated):
    runs = grid(simulated, [3.6] * 20)
    noise = 0.01 * np.random.default_rng(4).standard_normal(20)
    runs = replace(runs, loss=runs.loss * np.exp(noise))
    expected = linregress(np.log(runs.compute), np.log(runs.loss))
    found = fit_power_law(runs)
    assert found.parameters["gamma"] == pytest.approx(-expected.slope)
    fitted = expected.intercept + expected.slope * np.log(runs.compute)
    assert found.predict(runs) == pytest.approx(np.exp(fitted))
    residual = np.log(runs.loss) - fitted
    assert found.log_sd == pytest.approx(np.sqrt(np.sum(residual**2) / 18))


def test_each_degree_has_its_own_intercept_and_unseen_ones_the_nearest(simulated):
    runs = grid(simulated, [3.6] * 6 + [22.0] * 5, jitter=0.02)
    shift = np.where(runs.overtraining > 10, np.log(0.97), 0.0)
    found = fit_power_law(replace(runs, loss=runs.loss * np.exp(shift)))
    assert found.parameters["gamma"] == pytest.approx(0.05)
    target = grid(simulated, [3.6, 22.0, 30.0, 1.0])
    expected = target.loss * [1.0, 0.97, 0.97, 1.0]
    assert found.predict(target) == pytest.approx(expected)


@pytest.mark.parametrize("degrees", [[1.0] * 4 + [2.0] * 2, np.repeat(np.geomspace(1, 64, 7), 3)])
def test_rare_or_many_degrees_share_one_line(simulated, degrees):
    runs = grid(simulated, degrees)
    assert len(cluster_degrees(np.log(runs.overtraining))) == 1
    assert len(fit_power_law(runs).lines.intercepts) == 1


def test_degrees_within_five_percent_are_one():
    log_degree = np.array([0.0, 0.01, 0.049, 0.06, 0.07, 0.1])
    assert cluster_degrees(log_degree) == pytest.approx([0.059 / 3, 0.23 / 3])


@pytest.mark.parametrize("degrees", [[3.6] * 3, [3.6] * 4])
def test_too_few_runs_or_one_compute_are_refused(simulated, degrees):
    runs = grid(simulated, degrees)
    runs = replace(runs, compute=np.full(len(degrees), 1e20))
    with pytest.raises(TooFewRunsError, match="at least 4 runs over 2 computes"):
        fit_power_law(runs)
