"""Standard errors are as wide as means and quantiles scatter over repeated draws."""

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.monte_carlo import (
    estimate_mean,
    estimate_quantile,
    inverse_cdf,
)


def bare_draws(weight, form=None):
    """Draws of which only the weights and forms matter."""
    weight = np.asarray(weight, dtype=float)
    n = len(weight)
    form = np.zeros(n, dtype=int) if form is None else np.asarray(form)
    return TargetDraws(
        buckets=("a", "b"),
        capacity=np.array([0.3, 0.8]),
        tokens=1e11,
        density=np.tile([1.0, 0.5], (n, 1)),
        exposure=np.full(n, 0.3),
        log_level=np.zeros(n),
        beta=np.full(n, 0.05),
        irreducible=np.zeros(n),
        weight=weight / weight.sum(),
        form=form,
        forms=tuple(f"form {i}" for i in range(form.max() + 1)),
    )


def autoregressive(rng, n, rho):
    """A stationary chain of variance one."""
    x = np.empty(n)
    x[0] = rng.standard_normal()
    for i, z in enumerate(rng.standard_normal(n - 1) * np.sqrt(1 - rho**2), start=1):
        x[i] = rho * x[i - 1] + z
    return x


def scatter_and_error(estimates):
    """Sd of the estimates over repetitions, and their mean stated standard error."""
    values, errors = np.array([(e.value, e.se) for e in estimates]).T
    return values.std(ddof=1), np.sqrt((errors**2).mean())


def test_error_of_a_mean_of_independent_draws():
    rng = np.random.default_rng(0)
    draws = bare_draws(np.ones(1000))
    scatter, error = scatter_and_error(
        [estimate_mean(draws, rng.standard_normal(1000)) for _ in range(400)]
    )
    assert error == pytest.approx(1000**-0.5, rel=0.05)
    assert scatter == pytest.approx(error, rel=0.15)  # sd of an sd over 400: 3.5 %


def test_error_knows_of_autocorrelation():
    rng, rho = np.random.default_rng(1), 0.7
    draws = bare_draws(np.ones(2000))
    scatter, error = scatter_and_error(
        [estimate_mean(draws, autoregressive(rng, 2000, rho)) for _ in range(200)]
    )
    exact = np.sqrt((1 + rho) / (1 - rho) / 2000)
    assert scatter == pytest.approx(exact, rel=0.2)
    assert error == pytest.approx(exact, rel=0.12)  # batches of 44 miss some 5 %


def test_error_knows_of_weights():
    """Importance weights of Normal(0.5, 1) under draws of Normal(0, 1), redrawn every time."""
    rng = np.random.default_rng(2)
    estimates = []
    for _ in range(400):
        x = rng.standard_normal(1000)
        estimates.append(estimate_mean(bare_draws(np.exp(0.5 * x)), x))
    scatter, error = scatter_and_error(estimates)
    assert np.mean([e.value for e in estimates]) == pytest.approx(0.5, abs=0.01)
    assert scatter == pytest.approx(error, rel=0.15)
    assert error > 1.15 * 1000**-0.5  # wider than with equal weights


def test_forms_add_by_their_given_weights():
    """The distance between forms is not error: their weights are given."""
    rng = np.random.default_rng(3)
    form = np.repeat([0, 1], [800, 200])
    draws = bare_draws(np.where(form == 0, 0.5 / 800, 0.5 / 200), form)
    estimates = [estimate_mean(draws, rng.standard_normal(1000) + 100 * form) for _ in range(300)]
    scatter, error = scatter_and_error(estimates)
    assert error == pytest.approx(0.5 * np.sqrt(1 / 800 + 1 / 200), rel=0.06)
    assert scatter == pytest.approx(error, rel=0.15)


def test_a_single_draw_states_no_error():
    estimate = estimate_mean(bare_draws([1.0]), [2.5])
    assert estimate.to_dict() == {"value": 2.5, "se": None}
    assert estimate_quantile(bare_draws([1.0]), [2.5], 0.9).value == 2.5


def test_quantile_is_the_least_value_with_that_probability_below():
    draws = bare_draws([1.0, 2.0, 3.0, 4.0])
    values = np.array([7.0, 5.0, 9.0, 6.0])  # in order: 5 (0.2), 6 (0.6), 7 (0.7), 9 (1.0)
    found = [float(inverse_cdf(draws, values, p)) for p in (0.2, 0.21, 0.6, 0.7, 0.71, 1.0)]
    assert found == [5.0, 6.0, 6.0, 7.0, 9.0, 9.0]
    np.testing.assert_array_equal(inverse_cdf(draws, np.array([values, -values]), 0.6), [6, -6])


def test_error_of_a_quantile():
    rng = np.random.default_rng(4)
    draws = bare_draws(np.ones(2000))
    scatter, error = scatter_and_error(
        [estimate_quantile(draws, rng.standard_normal(2000), 0.9) for _ in range(300)]
    )
    exact = np.sqrt(0.9 * 0.1 / 2000) / 0.17549833  # the normal density at its 0.9 quantile
    assert scatter == pytest.approx(exact, rel=0.15)
    assert error == pytest.approx(exact, rel=0.1)
