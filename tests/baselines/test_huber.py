import numpy as np
import pytest
from scipy.special import huber

from bayes_infolaw.baselines.huber import huber_slope, huber_sum

RESIDUALS = np.array([[-3e-3, -1e-3, -2e-4, 0.0], [4e-4, 1e-3, 1.5e-3, 0.2]])


def test_huber_sum_is_scipys_and_keeps_the_leading_axis():
    np.testing.assert_allclose(huber_sum(RESIDUALS), huber(1e-3, RESIDUALS).sum(axis=-1))


def test_slope_is_the_derivative():
    step = 1e-9
    residual = np.array([-3e-3, -2e-4, 4e-4, 0.2])
    numeric = (huber(1e-3, residual + step) - huber(1e-3, residual - step)) / (2 * step)
    assert huber_slope(residual) == pytest.approx(numeric, rel=1e-5)
