"""Mean and spread of a predicted loss, under noise that has moments and noise that has none."""

import numpy as np
import pytest

from bayes_infolaw.posterior.predict import loss_moments

DRAWS = 20_000


@pytest.fixture
def expected_loss():
    rng = np.random.default_rng(1)
    return 3.0 * np.exp(0.01 * rng.standard_normal((DRAWS, 2)))


def test_normal_noise_keeps_the_moments_of_the_draws(expected_loss):
    noise = 0.02 * np.random.default_rng(2).standard_normal(expected_loss.shape)
    loss = expected_loss * np.exp(noise)
    mean, sd = loss_moments(loss, expected_loss, "normal")
    np.testing.assert_allclose(mean, loss.mean(axis=0))
    np.testing.assert_allclose(sd, loss.std(axis=0, ddof=1))


def test_heavy_tails_do_not_reach_the_mean(expected_loss):
    noise = 0.02 * np.random.default_rng(2).standard_t(1.1, expected_loss.shape)
    loss = expected_loss * np.exp(noise)
    assert loss.mean(axis=0).max() > 1e3 or loss.std(axis=0).max() > 10  # what the draws say
    mean, sd = loss_moments(loss, expected_loss, "studentt")
    np.testing.assert_allclose(mean, 3.0, rtol=2e-3)
    assert (sd < 0.2).all()
