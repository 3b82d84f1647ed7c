import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from bayes_infolaw.validation.scores import (
    COVERAGE_PROBS,
    central_interval,
    coverage,
    crps,
    interval_score,
    log_predictive_density,
    log_score,
    normal_draws,
    percentage_errors,
    score,
)


def test_percentage_errors_by_hand():
    errors = percentage_errors(np.array([2.0, 4.0, 2.5]), np.array([2.1, 3.96, 2.0]))
    expected = (26 / 3, 5.0, 20.0)  # 5 %, 1 %, 20 %
    assert (errors.mean, errors.median, errors.maximum) == pytest.approx(expected)


def test_right_intervals_cover_at_their_probability():
    """300 data sets of 20 losses from their own predictive distribution.

    Within 4 binomial standard errors at four probabilities: false alarm below 4 x 6.4e-5 = 2.6e-4
    for a new seed (this one is fixed). 2,000 quantile draws move the ends by less than 1e-3.
    """
    rng = np.random.default_rng(11)
    predicted, log_sd = np.linspace(2.0, 3.0, 20), 0.01
    draws = normal_draws(predicted, log_sd)
    found = [coverage(predicted * np.exp(log_sd * rng.standard_normal(20)), draws)
             for _ in range(300)]  # fmt: skip
    for prob in COVERAGE_PROBS:
        fraction = np.mean([result[prob].fraction for result in found])
        assert abs(fraction - prob) < 4 * np.sqrt(prob * (1 - prob) / 6000)


def test_overconfident_intervals_cover_less():
    rng = np.random.default_rng(12)
    loss = 2.0 * np.exp(0.02 * rng.standard_normal(4000))
    found = coverage(loss, normal_draws(np.full(4000, 2.0), 0.01))
    for prob in COVERAGE_PROBS:
        expected = 1 - 2 * stats.norm.sf(stats.norm.isf((1 - prob) / 2) / 2)
        assert found[prob].fraction == pytest.approx(expected, abs=4 * found[prob].se + 1e-3)
        assert found[prob].fraction < prob - 0.1


def test_coverage_error_is_binomial():
    loss, draws = np.array([1.0, 2.0, 3.0, 9.0]), np.tile(np.linspace(0, 4, 101)[:, None], 4)
    found = coverage(loss, draws, probs=(0.8,))[0.8]
    assert (found.inside, found.runs, found.fraction) == (3, 4, 0.75)
    assert found.se == pytest.approx(stats.binom(4, 0.8).std() / 4)


def test_central_interval_of_normal_draws_is_the_log_normals():
    lower, upper = central_interval(normal_draws(np.array([2.0, 3.0]), 0.05, 20_000), 0.9)
    exact = stats.lognorm(0.05, scale=np.array([2.0, 3.0]))
    assert lower == pytest.approx(exact.ppf(0.05), rel=1e-4)
    assert upper == pytest.approx(exact.ppf(0.95), rel=1e-4)


def test_log_density_of_one_component_is_the_log_normals():
    loss, mean, sd = np.array([2.0, 3.3]), np.array([[0.7, 1.1]]), np.array([[0.01, 0.2]])
    expected = stats.lognorm(sd[0], scale=np.exp(mean[0])).logpdf(loss)
    assert log_predictive_density(loss, mean, sd) == pytest.approx(expected)
    assert log_score(loss, mean, sd) == pytest.approx(expected.mean())


def test_mixture_density_integrates_to_one_and_averages_its_components():
    rng = np.random.default_rng(0)
    mean, sd = 0.9 + 0.05 * rng.standard_normal((30, 1)), rng.uniform(0.02, 0.1, (30, 1))

    def density(loss):
        return np.exp(log_predictive_density(np.array([loss]), mean, sd)[0])

    average = np.mean(stats.lognorm(sd[:, 0], scale=np.exp(mean[:, 0])).pdf(2.4))
    assert density(2.4) == pytest.approx(average)
    assert quad(density, 0.5, 8.0, points=[2.0, 3.0])[0] == pytest.approx(1.0, abs=1e-7)


def test_far_tail_does_not_underflow():
    found = log_predictive_density(np.array([30.0]), np.full((5, 1), 1.0), np.full((5, 1), 0.01))
    assert found[0] == pytest.approx(stats.norm(1.0, 0.01).logpdf(np.log(30.0)) - np.log(30.0))


def test_interval_score_by_hand():
    loss = np.array([2.5, 1.5, 3.4])
    found = interval_score(loss, np.full(3, 2.0), np.full(3, 3.0), 0.9)
    assert found == pytest.approx(np.mean([1.0, 1.0 + 20 * 0.5, 1.0 + 20 * 0.4]))


def test_interval_score_is_least_at_the_true_quantiles():
    loss = stats.norm(3.0, 0.1).ppf((np.arange(20_000) + 0.5) / 20_000)
    scores = [
        interval_score(loss, *stats.norm(3.0, 0.1 * scale).interval(0.8), 0.8)
        for scale in (0.8, 1.0, 1.25)
    ]
    assert np.argmin(scores) == 1


def test_crps_of_normal_draws_is_the_closed_form():
    mean, sd = np.array([2.0, 3.0, 3.0]), 0.1
    loss = np.array([2.05, 2.7, 3.0])
    z = (loss - mean) / sd
    expected = sd * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - np.pi**-0.5)
    quantiles = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    assert crps(loss, mean + sd * quantiles) == pytest.approx(expected.mean(), rel=1e-3)


def test_crps_is_the_pairwise_definition_in_any_order_of_draws():
    rng = np.random.default_rng(4)
    loss, draws = rng.normal(size=3), rng.normal(size=(40, 3))
    apart = np.abs(draws[:, None] - draws[None]).mean(axis=(0, 1))
    expected = np.abs(draws - loss).mean(axis=0) - 0.5 * apart
    assert crps(loss, draws) == pytest.approx(expected.mean())


def test_score_leaves_out_and_counts_what_a_method_cannot_predict():
    loss, predicted = np.array([2.0, 2.2, 2.6]), np.array([2.1, np.nan, 2.5])
    log_mean = np.log(predicted)[None]
    found = score(loss, predicted, normal_draws(predicted, 0.02), log_mean, np.full((1, 3), 0.02))
    assert (found.runs, found.missing) == (2, 1)
    known = [0, 2]
    assert found.errors == percentage_errors(loss[known], predicted[known])
    exact = stats.lognorm(0.02, scale=predicted[known])
    assert found.log_score == pytest.approx(exact.logpdf(loss[known]).mean())
    draws = normal_draws(predicted[known], 0.02)
    assert found.crps == pytest.approx(crps(loss[known], draws))
    assert found.coverage == coverage(loss[known], draws)
    ends = central_interval(draws, 0.9)
    assert found.interval_score == pytest.approx(interval_score(loss[known], *ends, 0.9))


def test_score_of_a_method_without_predictions_is_none():
    nothing = np.full(3, np.nan)
    draws = normal_draws(nothing, 0.02)
    assert score(np.full(3, 2.0), nothing, draws, nothing[None], np.full((1, 3), 0.02)) is None
