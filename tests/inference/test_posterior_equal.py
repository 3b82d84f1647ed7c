"""Collapsed, full and PyMC samplers give one posterior, within Monte Carlo error."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.inference.nuts import NutsSettings
from bayes_infolaw.inference.problem import Problem
from bayes_infolaw.inference.sample import sample_numpyro

Z_BOUND = 4.5
"""Means and sds of ten quantities: a false alarm once in 7,000 reseeded comparisons."""
SETTINGS = NutsSettings(chains=4, draws=1000, warmup=900, seed=3)


def sampled(case, collapsed, settings=SETTINGS):
    plan = prepare_device("cpu", settings.chains)
    return sample_numpyro(Problem(case.spec, case.layout, collapsed), case.data, settings, plan)


def quantities(draws):
    """One (chain, draw) array a scalar, positive parameters in logs."""
    found = {}
    for name, value in draws.items():
        if name == "coefficients":
            found |= {f"{name}[{i}]": value[..., i] for i in range(value.shape[-1])}
        elif value.ndim == 2:
            found[name] = np.log(value) if value.min() > 0 else value
    return found


def monte_carlo_error(x, of):
    return float(array_stats.mcse(x, chain_axis=0, draw_axis=1, method=of))


def z_scores(one, other):
    """Differences of means and of sds, each over its Monte Carlo standard error."""
    scores = {}
    for name, x in quantities(one).items():
        y = quantities(other)[name]
        for of in (np.mean, np.std):
            error = np.hypot(
                *(monte_carlo_error(v, of.__name__.replace("std", "sd")) for v in (x, y))
            )
            scores[name, of.__name__] = float((of(x) - of(y)) / error)
    return scores


def assert_equal_posteriors(one, other):
    far = {key: z for key, z in z_scores(one.draws, other.draws).items() if abs(z) > Z_BOUND}
    assert not far


@pytest.fixture(scope="module")
def collapsed(make_case):
    case = make_case("default")
    return case, sampled(case, True)


def test_full_and_collapsed(collapsed):
    case, result = collapsed
    assert_equal_posteriors(result, sampled(case, False))


def test_comparison_sees_a_shift_of_a_fifth_of_an_sd(collapsed):
    _, result = collapsed
    moved = dict(result.draws)
    moved["theta"] = moved["theta"] * np.exp(0.2 * np.log(moved["theta"]).std())
    assert abs(z_scores(result.draws, moved)["theta", "mean"]) > Z_BOUND


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "natural", "monotone"])
def test_pymc_by_nutpie(make_case, name):
    pytest.importorskip("pymc", reason="PyMC is absent: install the extra `pymc`")
    from bayes_infolaw.inference.pymc_sample import PymcSettings, sample_pymc

    case = make_case(name)
    other = sample_pymc(case.data, case.spec, case.layout, PymcSettings(seed=5))
    assert_equal_posteriors(sampled(case, True), other)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["groups", "corpora", "smooth", "growing noise", "D = 1"])
def test_full_and_collapsed_in_other_models(make_case, name):
    case = make_case(name)
    assert_equal_posteriors(sampled(case, True), sampled(case, False))


@pytest.mark.slow
def test_pymc_s_own_sampler(make_case):
    pytest.importorskip("pymc", reason="PyMC is absent: install the extra `pymc`")
    from bayes_infolaw.inference.pymc_sample import PymcSettings, sample_pymc

    case = make_case("default")
    settings = PymcSettings(chains=2, draws=500, warmup=500)
    other = sample_pymc(case.data, case.spec, case.layout, settings, sampler="pymc")
    assert_equal_posteriors(sampled(case, True), other)
