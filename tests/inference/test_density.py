"""NumPyro's joint density against scipy by hand, whole and with its Gaussian block integrated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayes_infolaw.inference.collapsed import conditional_coordinates
from bayes_infolaw.inference.numpyro_model import coefficients_of, numpyro_prior
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.model.half_line import half_line_inverse
from bayes_infolaw.model.layout import ModelData
from bayes_infolaw.model.linear import linear_block, noise_sd
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.model.sites import constrain, prior_draws, unconstrain

from .plain_density import coefficients_at, distribution, log_joint, log_marginal

POINTS = 2
EXACT = {"rtol": 1e-9, "atol": 1e-7}  # densities of 42 runs reach 1e6 far from the data

PRIORS = [
    Prior("normal", (0.3, 2.0)),
    Prior("halfnormal", (0.7,)),
    Prior("lognormal", (0.8, 0.7)),
    Prior("truncnormal", (0.5, 1.5)),
    Prior("gamma", (2.0, 0.7)),
    Prior("beta", (2.0, 3.0)),
    Prior("uniform", (0.1, 2.5)),
]


def points(case, n=POINTS):
    """Prior draws: sites on their own scale, and coefficients."""
    draws = prior_draws(case.spec, case.layout, case.data, n, np.random.default_rng(11))
    return [{name: value[i] for name, value in draws.items()} for i in range(n)]


def log_jacobian_of_sites(draw, sites):
    """Log |d parameters / d coordinates|: exp, the half line, and the logistic on an interval."""
    total = 0.0
    for site in sites:
        x = draw[site.name]
        if site.support == "positive":
            total += np.log(x)
        if site.support == "half":  # x = s h(z), dx/dz = s Phi(z)
            z = half_line_inverse(np.asarray(x), site.half_scale)
            total += np.log(site.half_scale) + stats.norm.logcdf(z)
        if site.support == "unit":
            uniform = site.prior.family == "uniform"
            low, high = site.prior.values if uniform else (0.0, 1.0)
            total += np.log((x - low) * (high - x) / (high - low))
    return float(total)


def numpyro_log_density(case, draw, collapsed):
    """NumPyro's density at a point, on the parameters' own scale."""
    problem = Problem(case.spec, case.layout, collapsed)
    potential = problem.potential()(jnp.asarray(unconstrain(draw, problem.sites)), case.data)
    return -float(potential) - log_jacobian_of_sites(draw, problem.sites)


def with_coordinates(case, draw, rng):
    """A point with coefficients from random conditional coordinates, and their log Jacobian."""
    z = rng.standard_normal(2 + len(case.layout.coefficients))
    c, log_jacobian = coefficients_at(z, draw, case)
    return {**draw, "coefficients": c}, z, log_jacobian


def padded(data, rows):
    """The same table with ``rows`` more of mask 0."""
    n = len(data.mask)
    longer = [np.concatenate([a, a[:rows]]) if np.ndim(a) else a for a in data]
    return ModelData(*longer)._replace(mask=np.r_[np.ones(n), np.zeros(rows)])


def test_numpyro_full_is_the_joint_density(case):
    rng = np.random.default_rng(5)
    for draw in points(case):
        point, z, log_jacobian = with_coordinates(case, draw, rng)
        value = numpyro_log_density(case, {**point, "coefficient_z": z}, collapsed=False)
        np.testing.assert_allclose(value - log_jacobian, log_joint(point, case), **EXACT)


def test_numpyro_collapsed_is_the_joint_density_integrated(case):
    if not case.spec.collapses:
        pytest.skip("this model's linear block is not Gaussian")
    for draw in points(case):
        value = numpyro_log_density(case, draw, collapsed=True)
        np.testing.assert_allclose(value, log_marginal(draw, case), **EXACT)


@pytest.mark.parametrize("collapsed", [True, False])
def test_padding_counts_for_nothing(make_case, collapsed):
    case = make_case("default")
    problem = Problem(case.spec, case.layout, collapsed)
    draw = points(case, 1)[0] | {"coefficient_z": np.full(5, 0.3)}
    vector = jnp.asarray(unconstrain(draw, problem.sites))
    values = [float(problem.potential()(vector, d)) for d in (case.data, padded(case.data, 7))]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-11)


def test_constrain_and_unconstrain_are_inverse(case):
    sites = Problem(case.spec, case.layout, False).sites
    size = sum(site.width for site in sites)
    vector = np.random.default_rng(2).standard_normal((4, size))
    np.testing.assert_allclose(unconstrain(constrain(vector, sites), sites), vector, atol=1e-10)


def test_conditional_coordinates_follow_the_slope_s_truncation(make_case):
    """Far from the data's own slope the coordinates stay positive, their log Jacobian exact."""
    case = make_case("default")
    draw = {**points(case, 1)[0], "sigma": np.asarray(5.0)}  # the data say next to nothing
    log_info = log_information(draw, case.data, case.spec, case.layout)
    block = linear_block(draw, log_info, case.data, case.spec, case.layout)
    sd = noise_sd(draw, case.data, case.spec)
    for first in (-6.0, 0.0, 3.0):
        z = jnp.array([first, 0.2, -0.4, 1.0, 0.1])

        def move(z):
            return conditional_coordinates(z, case.data.log_loss, sd, case.data.mask, block)

        c, log_jacobian = move(z)
        assert c[1] > 0
        numeric = jnp.linalg.slogdet(jax.jacfwd(lambda z: move(z)[0])(z))[1]
        np.testing.assert_allclose(log_jacobian, numeric, rtol=1e-10)


def test_coefficients_reported_are_those_of_the_coordinates(make_case):
    case = make_case("irreducible")
    draw = points(case, 1)[0]
    z = np.array([0.3, -0.2, 0.5, 1.0, -1.0])
    sites = {name: jnp.asarray(v) for name, v in draw.items()} | {"coefficient_z": jnp.asarray(z)}
    value = coefficients_of(sites, case.data, case.spec, case.layout)
    np.testing.assert_allclose(value, coefficients_at(z, draw, case)[0], rtol=1e-9)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.family)
def test_priors_agree_with_scipy(prior):
    x = np.array([0.15, 0.4, 0.9])
    reference = distribution(prior).logpdf(x)
    np.testing.assert_allclose(prior.log_density(x), reference, rtol=1e-12)
    np.testing.assert_allclose(prior.frozen().logpdf(x), reference, rtol=1e-12)
    np.testing.assert_allclose(numpyro_prior(prior).log_prob(x), reference, rtol=1e-9)
