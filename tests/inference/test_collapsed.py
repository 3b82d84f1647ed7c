"""Drawing the integrated coefficients back: moments against the closed form."""

import numpy as np
import pytest
from scipy import stats

from bayes_infolaw.inference.collapsed import draw_back
from bayes_infolaw.model.linear import LinearBlock

DRAWS = 40_000
Z_BOUND = 4.5  # 20 checks in all: a false alarm once in 7,000 reseeded runs


def block_of(noise, repeats=1):
    """Sixteen rows, four coefficients; loud noise leaves the slope's truncation in force."""
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(16), rng.standard_normal((16, 3))])
    mean, sd = np.array([0.1, 0.5, 0.0, -0.2]), np.array([0.3, 1.0, 0.5, 0.4])
    log_loss = x @ np.array([0.2, 0.05, 0.3, 0.0]) + 0.01 * rng.standard_normal(16)
    stacked = LinearBlock(
        np.zeros((repeats, 16)), np.tile(x, (repeats, 1, 1)), mean, np.tile(sd, (repeats, 1))
    )
    return stacked, log_loss, np.full((repeats, 16), noise)


def closed_form(block, log_loss, noise):
    """Mean and covariance of the coefficients given slope > 0 (truncated normal, regression)."""
    x, sd = block.columns[0], block.sd[0]
    precision = np.diag(1 / sd**2) + x.T @ x / noise**2
    covariance = np.linalg.inv(precision)
    centre = covariance @ (block.mean / sd**2 + x.T @ log_loss / noise**2)
    root = np.sqrt(covariance[1, 1])
    slope = stats.truncnorm(-centre[1] / root, np.inf, centre[1], root)
    gain = covariance[:, 1] / covariance[1, 1]
    mean = centre + gain * (slope.mean() - centre[1])
    return mean, covariance + np.outer(gain, gain) * (slope.var() - covariance[1, 1])


@pytest.mark.parametrize("noise", [0.02, 2.0], ids=["informed", "truncated"])
def test_moments_of_draws(noise):
    block, log_loss, sd = block_of(noise, DRAWS)
    c = draw_back(log_loss, sd, block, np.random.default_rng(17))
    mean, covariance = closed_form(block, log_loss, noise)
    assert (c[:, 1] > 0).all()
    z_mean = (c.mean(axis=0) - mean) / np.sqrt(np.diag(covariance) / DRAWS)
    assert np.abs(z_mean).max() < Z_BOUND
    squares = (c - mean)[:, :, None] * (c - mean)[:, None, :]
    z_covariance = (squares.mean(axis=0) - covariance) / (squares.std(axis=0) / np.sqrt(DRAWS))
    assert np.abs(z_covariance).max() < Z_BOUND


def test_truncation_matters_in_the_loud_case():
    """Else the test above would not see a missing truncation."""
    block, log_loss, _ = block_of(2.0)
    x, sd = block.columns[0], block.sd[0]
    covariance = np.linalg.inv(np.diag(1 / sd**2) + x.T @ x / 4.0)
    centre = covariance @ (block.mean / sd**2 + x.T @ log_loss / 4.0)
    assert centre[1] < np.sqrt(covariance[1, 1])


def test_every_draw_has_its_own_noise():
    """Two noise levels in one call give the spreads of two calls."""
    block, log_loss, sd = block_of(0.02, 4000)
    sd[2000:] = 0.2
    c = draw_back(log_loss, sd, block, np.random.default_rng(1))
    for half, noise in ((c[:2000], 0.02), (c[2000:], 0.2)):
        _, covariance = closed_form(block, log_loss, noise)
        ratio = half.var(axis=0) / np.diag(covariance)
        assert np.abs(ratio - 1).max() < Z_BOUND * np.sqrt(2 / 2000)
