"""PyMC builds the same joint density; compiled without optimisation, for speed of compilation."""

import subprocess
import sys

import numpy as np
import pytest

from .plain_density import log_joint
from .test_density import EXACT, PRIORS, distribution, points, with_coordinates

pm = pytest.importorskip("pymc", reason="PyMC is absent: install the extra `pymc`")

from pymc.model.transform.conditioning import remove_value_transforms  # noqa: E402
from pytensor.compile.mode import Mode  # noqa: E402

from bayes_infolaw.inference.pymc_model import (  # noqa: E402
    build_pymc_model,
    build_textbook_model,
    pymc_prior,
)
from bayes_infolaw.inference.textbook import textbook_data, textbook_log_loss  # noqa: E402

PLAIN = Mode(linker="py", optimizer=None)


def log_density(model):
    """The model's density as a function of named values on the parameters' own scale."""
    bare = remove_value_transforms(model)
    compiled = bare.compile_logp(jacobian=False, mode=PLAIN)
    names = [variable.name for variable in bare.free_RVs]
    return lambda draw: float(compiled({name: np.asarray(draw[name]) for name in names}))


def with_natural_coefficients(case, draw):
    """The coefficients under the names of the natural coordinates, and log |d c / d names|."""
    c = draw["coefficients"]
    effects = {"effects": c[2:]} if case.layout.coefficients else {}
    if case.spec.loss_block == "anchored":
        return draw | {"loss_centre": c[0], "loss_drop": c[1]} | effects, 0.0
    return draw | {"alpha": np.exp(c[0]), "beta": c[1]} | effects, -c[0]


def test_natural_coordinates(case):
    model = build_pymc_model(case.data, case.spec, case.layout, coordinates="natural")
    density = log_density(model)
    for draw in points(case):
        named, log_jacobian = with_natural_coefficients(case, draw)
        np.testing.assert_allclose(density(named) - log_jacobian, log_joint(draw, case), **EXACT)


@pytest.mark.parametrize("name", ["default", "irreducible", "natural", "groups", "D = 1", "smooth"])
def test_conditional_coordinates(make_case, name):
    case = make_case(name)
    density = log_density(build_pymc_model(case.data, case.spec, case.layout))
    rng = np.random.default_rng(4)
    for draw in points(case):
        point, z, log_jacobian = with_coordinates(case, draw, rng)
        value = density(draw | {"coefficient_z": z}) - log_jacobian
        np.testing.assert_allclose(value, log_joint(point, case), **EXACT)


def test_masked_rows_are_dropped(make_case):
    case = make_case("default")
    mask = case.data.mask.copy()
    mask[::4] = 0.0
    draw = points(case, 1)[0] | {"coefficient_z": np.full(5, 0.2)}
    kept = mask > 0
    fewer = type(case.data)(*(a[kept] if np.ndim(a) else a for a in case.data))
    values = [
        log_density(build_pymc_model(data, case.spec, case.layout))(draw)
        for data in (case.data._replace(mask=mask), fewer)
    ]
    assert values[0] == values[1]


def test_unknown_coordinates_are_refused(make_case):
    case = make_case("default")
    with pytest.raises(ValueError, match="conditional or natural, got 'flat'"):
        build_pymc_model(case.data, case.spec, case.layout, coordinates="flat")


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p.family)
def test_priors_agree_with_scipy(prior):
    x = np.array([0.15, 0.4, 0.9])
    family, parameters = pymc_prior(prior)
    value = pm.logp(family.dist(**parameters), x).eval(mode=PLAIN)
    np.testing.assert_allclose(value, distribution(prior).logpdf(x), rtol=1e-8)


@pytest.mark.parametrize("pooled", [True, False])
def test_textbook_form(runs42, pooled):
    """At the constants that simulated the table, the residuals are the noise that was drawn."""
    data = textbook_data(runs42)
    draw = {"theta": 0.922, "a": 0.14, "b": 0.018, "beta": 0.0441, "sigma": 0.0015, "tau": 0.05}
    alpha = np.array([3.7373, 3.80])
    shape = {"alpha": alpha[0], "gamma": 0.0, "e_m": np.log(alpha / alpha[0])}
    draw = {k: np.asarray(v) for k, v in (draw | (shape if pooled else {"alpha": alpha})).items()}
    residual = data.log_loss - textbook_log_loss(draw, data)
    assert 0.001 < residual.std() < 0.002
    assert abs(residual.mean()) < 0.001
    bare = remove_value_transforms(build_textbook_model(data, pooled=pooled))
    compiled = bare.compile_logp(vars=bare.observed_RVs, jacobian=False, mode=PLAIN)
    reference = -0.5 * (residual / 0.0015) ** 2 - np.log(0.0015 * np.sqrt(2 * np.pi))
    given = {variable.name: draw[variable.name] for variable in bare.free_RVs}
    np.testing.assert_allclose(compiled(given), reference.sum(), rtol=1e-9)


def test_without_pymc_one_clear_error():
    code = "import sys; sys.modules['pymc'] = None\nimport bayes_infolaw.inference.pymc_model"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == (
        "ImportError: the PyMC back end needs PyMC and nutpie: pip install 'bayes_infolaw[pymc]'"
    )
