from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from bayes_infolaw.baselines.base import TooFewRunsError
from bayes_infolaw.baselines.chinchilla import _objective, fit_chinchilla
from bayes_infolaw.errors import InputError


def hoffmann(params, tokens, scale=1.0):
    return scale * (1.69 + 406.4 / params**0.34 + 410.7 / tokens**0.28)


@pytest.fixture
def runs(simulated):
    rng = np.random.default_rng(5)
    params = np.exp(rng.uniform(np.log(2e7), np.log(1e10), 40))
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(1e12), 40))
    return simulated.one_bucket(params, tokens, loss=hoffmann(params, tokens))


def test_noise_free_runs_give_their_constants_back(runs):
    found = fit_chinchilla(runs)
    expected = {"A": 406.4, "B": 410.7, "E": 1.69, "alpha": 0.34, "beta": 0.28}
    assert found.parameters == pytest.approx(expected, rel=1e-8)
    assert found.log_sd < 1e-10


def test_predicts_far_beyond_the_runs(runs, simulated):
    target = simulated.one_bucket([7e10, 1e6], [1.4e12, 1e8])
    expected = hoffmann(target.params, target.tokens)
    assert fit_chinchilla(runs).predict(target) == pytest.approx(expected, rel=1e-8)


def test_the_unit_of_the_loss_only_scales_the_coefficients(runs):
    noisy = runs.loss * np.exp(0.01 * np.random.default_rng(1).standard_normal(40))
    nats = fit_chinchilla(replace(runs, loss=noisy))
    bits = fit_chinchilla(replace(runs, loss=0.33 * noisy))
    assert bits.parameters["E"] == pytest.approx(0.33 * nats.parameters["E"], rel=1e-4)
    assert bits.parameters["alpha"] == pytest.approx(nats.parameters["alpha"], rel=1e-4)
    assert bits.log_sd == pytest.approx(nats.log_sd, rel=1e-5)


def test_gradient_matches_finite_differences(runs):
    data = (np.log(runs.params / 1e9), np.log(runs.tokens / 1e10), np.log(runs.loss / 2.5))
    point = np.array([-1.2, -0.9, -0.6, 0.4, 0.3])
    numeric = approx_fprime(point, lambda v: _objective(v, *data)[0], 1e-7)
    assert _objective(point, *data)[1] == pytest.approx(numeric, rel=1e-4)


def test_residual_sd_estimates_the_noise(simulated):
    """4 sd of a chi-square estimate on 395 degrees of freedom; false alarm 6e-5, seed fixed."""
    rng = np.random.default_rng(8)
    params = np.exp(rng.uniform(np.log(2e7), np.log(1e10), 400))
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(1e12), 400))
    loss = hoffmann(params, tokens) * np.exp(0.01 * rng.standard_normal(400))
    found = fit_chinchilla(simulated.one_bucket(params, tokens, loss=loss))
    assert found.log_sd == pytest.approx(0.01, rel=4 / np.sqrt(2 * 395))


def test_published_points_give_the_published_refit(public_table, simulated):
    """Besiroglu et al.'s plain Huber fit, as reproduced to five digits in the table's own notes."""
    table = public_table("chinchilla.csv").query("epoch_outlier == 0")
    assert len(table) == 240
    loss = table["loss"].to_numpy()
    found = fit_chinchilla(simulated.one_bucket(table["n_params"], table["tokens"], loss=loss))
    expected = {"A": 477.83, "B": 2143.42, "E": 1.81722, "alpha": 0.34731, "beta": 0.36717}
    assert found.parameters == pytest.approx(expected, rel=2e-5)
    assert found.huber == pytest.approx(0.00101827, abs=5e-9)


@pytest.mark.parametrize(
    ("params", "tokens"),
    [
        ([1e8, 2e8, 3e8, 1e8, 2e8], [1e9, 2e9, 3e9, 3e9, 1e9]),
        ([1e8, 2e8] * 4, np.geomspace(1e9, 1e10, 8)),
        (np.geomspace(1e8, 1e9, 8), [1e9, 2e9] * 4),
    ],
)
def test_too_few_runs_sizes_or_token_counts_name_the_rule(simulated, params, tokens):
    params, tokens = np.array(params), np.array(tokens)
    runs = simulated.one_bucket(params, tokens, loss=hoffmann(params, tokens))
    with pytest.raises(TooFewRunsError, match="6 runs over 3 model sizes and 3 token counts"):
        fit_chinchilla(runs)


def test_a_plan_is_refused(runs):
    with pytest.raises(InputError, match="column loss is missing"):
        fit_chinchilla(replace(runs, loss=None))
