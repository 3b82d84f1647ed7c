"""Priors as data against scipy's densities."""

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.prior import FAMILIES, Prior

EXAMPLES = {
    "normal": (0.3, 1.7),
    "halfnormal": (0.4,),
    "lognormal": (0.8, 0.7),
    "truncnormal": (1.0, 1.3),
    "gamma": (2.0, 6.0),
    "beta": (1.5, 2.5),
    "uniform": (0.2, 3.0),
}


def test_every_family_has_an_example():
    assert set(EXAMPLES) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_log_density_is_scipys(family):
    prior = Prior(family, EXAMPLES[family])
    draws = prior.frozen().rvs(size=200, random_state=np.random.default_rng(1))
    np.testing.assert_allclose(
        prior.log_density(draws), prior.frozen().logpdf(draws), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_numpyro_has_the_same_density(family):
    from bayes_infolaw.inference.device import prepare_device
    from bayes_infolaw.inference.numpyro_model import numpyro_prior

    prepare_device("cpu")
    prior = Prior(family, EXAMPLES[family])
    draws = prior.frozen().rvs(size=50, random_state=np.random.default_rng(2))
    np.testing.assert_allclose(
        np.asarray(numpyro_prior(prior).log_prob(draws)), prior.log_density(draws), rtol=1e-9
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_tables_round_trip(family):
    prior = Prior(family, EXAMPLES[family])
    assert Prior.from_table("x", prior.to_table()) == prior


def test_lognormal_is_stated_by_its_median():
    assert Prior("lognormal", (0.8, 0.7)).frozen().median() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"family": "cauchy"}, ["theta", "family", "cauchy"]),
        (3.0, ["theta", "family", "3.0"]),
        ({"family": "normal", "mu": 0.0}, ["theta", "normal", "sigma"]),
        ({"family": "normal", "mu": 0, "sigma": 1, "nu": 3}, ["theta", "nu"]),
        ({"family": "normal", "mu": 0.0, "sigma": -1.0}, ["theta", "sigma", "> 0", "-1.0"]),
        ({"family": "normal", "mu": "a", "sigma": 1.0}, ["theta", "mu", "'a'"]),
        ({"family": "lognormal", "median": float("inf"), "sigma": 1.0}, ["theta", "median", "inf"]),
    ],
)
def test_a_bad_prior_is_one_clear_error(table, words):
    with pytest.raises(InputError) as error:
        Prior.from_table("theta", table)
    for word in words:
        assert word in str(error.value)


def test_unknown_attributes_are_not_parameters():
    with pytest.raises(AttributeError):
        _ = Prior("normal", (0.0, 1.0)).median
