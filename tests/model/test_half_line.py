"""The half-line coordinate against its definition, at both ends."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import log_ndtr

from bayes_infolaw.model.half_line import half_line, half_line_inverse, log_half_line


@pytest.mark.parametrize("z", [-6.0, -3.0, -1.001, -0.999, 0.0, 2.0, 9.0])
def test_it_is_the_integral_of_the_normal_distribution_function(z):
    value, _ = integrate.quad(stats.norm.cdf, -np.inf, z, epsabs=1e-14, epsrel=1e-12)
    assert half_line(np.array(z), 1.0) == pytest.approx(value, rel=1e-8)


def test_inverse():
    z = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(half_line_inverse(half_line(z, 0.3), 0.3), z, atol=1e-9)


def test_far_left_follows_its_asymptote():
    z = np.array([-20.0, -35.0])
    np.testing.assert_allclose(
        log_half_line(z, log_ndtr), stats.norm.logpdf(z) - 2 * np.log(-z) - 3 / z**2, rtol=1e-4
    )


def test_jax_has_the_same_values_and_finite_gradients():
    import jax
    import jax.numpy as jnp
    from jax.scipy.special import log_ndtr as jax_log_ndtr

    from bayes_infolaw.inference.device import prepare_device

    prepare_device("cpu")
    z = np.array([-25.0, -8.0, -1.0, 0.0, 30.0])

    def log_h(x):
        return log_half_line(x, jax_log_ndtr, jnp)

    np.testing.assert_allclose(log_h(jnp.asarray(z)), log_half_line(z, log_ndtr), rtol=1e-8)
    slope = np.exp(log_ndtr(z) - log_half_line(z, log_ndtr))
    np.testing.assert_allclose(jax.vmap(jax.grad(log_h))(jnp.asarray(z)), slope, rtol=1e-5)
