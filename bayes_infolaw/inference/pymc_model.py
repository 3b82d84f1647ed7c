"""The hierarchical model as a PyMC model: the same joint density as NumPyro's, uncollapsed.

`pymc_sample.py` draws from it; no other module of the package knows PyMC.
"""

from typing import Any

import numpy as np

try:
    import pymc as pm
    import pytensor.tensor as pt
    from pytensor.tensor.linalg import cholesky, solve_triangular
except ImportError as error:
    message = "the PyMC back end needs PyMC and nutpie: pip install 'bayes_infolaw[pymc]'"
    raise ImportError(message) from error

from bayes_infolaw.inference.textbook import (
    HIERARCHY_PRIORS,
    TEXTBOOK_PRIORS,
    TextbookData,
    textbook_log_loss,
)
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.linear import (
    LEVEL,
    SLOPE,
    LinearBlock,
    expected_log_loss,
    irreducible_loss,
    linear_block,
    log_prior_rates,
    noise_sd,
)
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.model.sites import sites_of
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["build_pymc_model", "build_textbook_model", "pymc_prior"]


def pymc_prior(prior: Prior) -> tuple[Any, dict[str, Any]]:
    """The PyMC distribution class of a prior and its parameters.

    Parameters are float64 arrays: PyTensor would take the logarithm of a plain 2.0 in float32.
    """
    first, second = (np.asarray(value) for value in (*prior.values, 0.0)[:2])
    match prior.family:
        case "normal":
            return pm.Normal, {"mu": first, "sigma": second}
        case "halfnormal":
            return pm.HalfNormal, {"sigma": first}
        case "lognormal":
            return pm.LogNormal, {"mu": np.log(first), "sigma": second}
        case "truncnormal":
            return pm.TruncatedNormal, {"mu": first, "sigma": second, "lower": np.float64(0.0)}
        case "gamma":
            return pm.Gamma, {"alpha": first, "beta": second}
        case "beta":
            return pm.Beta, {"alpha": first, "beta": second}
    return pm.Uniform, {"lower": first, "upper": second}


def build_pymc_model(
    data: ModelData, spec: ModelSpec, layout: Layout, *, coordinates: str = "conditional"
) -> Any:
    """Build the model of a model file for one table.

    Parameters
    ----------
    data : ModelData
        Arrays of one table; rows with ``mask`` 0 are dropped.
    spec, layout : ModelSpec, Layout
    coordinates : {"conditional", "natural"}
        ``conditional`` samples the linear coefficients through standardised residuals of their
        Gaussian conditional, as NumPyro's full model does; ``natural`` samples them as they are,
        under their own PyMC distributions. The density is the same.

    Returns
    -------
    pymc.Model
        Free variables are the sites of the collapsed model plus the coefficients' coordinates;
        the deterministic ``coefficients`` (p,) are `linear.coefficient_names`, in order.
    """
    if coordinates not in ("conditional", "natural"):
        raise ValueError(f"coordinates must be conditional or natural, got {coordinates!r}")
    rows = data.mask > 0
    data = ModelData(*(array[rows] if np.ndim(array) else array for array in data))
    with pm.Model() as model:
        draw = _free_sites(spec, layout)
        draw |= _rate_sites(draw, data, spec)
        log_info = log_information(draw, data, spec, layout, pt)
        block = linear_block(draw, log_info, data, spec, layout, pt)
        sd, floor = noise_sd(draw, data, spec, pt), irreducible_loss(draw, data, spec)
        if coordinates == "natural":
            c = _natural_coefficients(block, spec, layout)
        else:
            c = _conditional_coefficients(block, floor, sd, data, spec)
        c = pm.Deterministic("coefficients", c)
        mean = expected_log_loss(block.offset + block.columns @ c, floor, spec, pt)
        _likelihood(mean, sd, draw, data)
    return model


def _free(name: str, prior: Prior, size: int = 0) -> Any:
    distribution, parameters = pymc_prior(prior)
    return distribution(name, **parameters, **({"shape": size} if size else {}))


def _log_density(prior: Prior, value: Any) -> Any:
    distribution, parameters = pymc_prior(prior)
    return pm.logp(distribution.dist(**parameters), value)


def _free_sites(spec: ModelSpec, layout: Layout) -> dict[str, Any]:
    """Every site with a prior of its own; the rates' prior is joint."""
    sites = sites_of(spec, layout, collapsed=True)
    return {s.name: _free(s.name, s.prior, s.size) for s in sites if s.prior is not None}


def _rate_sites(draw: dict[str, Any], data: ModelData, spec: ModelSpec) -> dict[str, Any]:
    """(lambda_min, lambda_gain), flat in both but for the joint prior of the rate block."""
    if spec.rate_block == "anchored":
        low = _free("lambda_min", spec.priors["lambda_min"])
        gain = pm.HalfFlat("lambda_gain")
        log_max = pt.log(low) + gain
        joint = _log_density(spec.priors["lambda_max"], pt.exp(log_max)) + log_max
    else:
        low = pm.HalfFlat("lambda_min")
        gain = pm.HalfFlat("lambda_gain")
        rates = {"lambda_min": low, "lambda_gain": gain}
        joint = log_prior_rates(draw | rates, data, spec, pt)
    pm.Potential("rate_prior", joint)
    return {"lambda_min": low, "lambda_gain": gain}


def _natural_coefficients(block: LinearBlock, spec: ModelSpec, layout: Layout) -> Any:
    if spec.loss_block == "natural":
        pair = [pt.log(_free("alpha", spec.priors["alpha"])), _free("beta", spec.priors["beta"])]
    else:
        pair = [_free(name, spec.priors[name]) for name in ("loss_centre", "loss_drop")]
    if not layout.coefficients:
        return pt.stack(pair)
    size = len(layout.coefficients)
    effects = pm.Normal("effects", mu=block.mean[2:], sigma=block.sd[2:], shape=size)
    return pt.concatenate([pt.stack(pair), effects])


def _conditional_coefficients(
    block: LinearBlock, floor: Any, sd: Any, data: ModelData, spec: ModelSpec
) -> Any:
    """Coefficients from residuals of their Gaussian conditional; see `conditional_coordinates`."""
    z = pm.Flat("coefficient_z", shape=len(block.mean))
    reducible = 1.0 - floor / np.exp(data.log_loss)
    proxy = data.log_loss + pt.log(reducible)
    c, log_jacobian = conditional_coordinates(z, proxy, sd / reducible, block)
    pm.Potential("coefficient_jacobian", log_jacobian)
    pm.Potential("coefficient_prior", _coefficient_prior(c, block, spec))
    return c


def _coefficient_prior(c: Any, block: LinearBlock, spec: ModelSpec) -> Any:
    if spec.loss_block == "natural":
        level = _log_density(spec.priors["alpha"], pt.exp(c[LEVEL])) + c[LEVEL]
    else:
        level = _log_density(spec.priors["loss_centre"], c[LEVEL])
    others = pm.logp(pm.Normal.dist(block.mean[2:], block.sd[2:]), c[2:])
    return level + _log_density(spec.slope_prior, c[SLOPE]) + others.sum()


def conditional_coordinates(z: Any, log_loss: Any, sd: Any, block: LinearBlock) -> tuple[Any, Any]:
    """`collapsed.conditional_coordinates` in PyTensor: coefficients and the log Jacobian."""
    p = len(block.mean)
    order = np.array([SLOPE, *(i for i in range(p) if i != SLOPE)])
    scaled = block.columns * block.sd
    weight = 1.0 / sd**2
    residual = log_loss - block.offset - block.columns @ block.mean
    chol = cholesky(pt.eye(p) + scaled.T @ (weight[:, None] * scaled))
    half = solve_triangular(chol, scaled.T @ (weight * residual), lower=True)
    inverse = solve_triangular(chol, pt.eye(p), lower=True)
    centre = (block.mean + block.sd * (inverse.T @ half))[order]
    covariance = (inverse.T @ inverse) * block.sd[:, None] * block.sd
    root = cholesky(covariance[order][:, order])
    ratio = centre[0] / root[0, 0] + z[0]
    slope_z = pt.softplus(ratio) - centre[0] / root[0, 0]
    ordered = centre + root @ pt.concatenate([slope_z[None], z[1:]])
    log_jacobian = pt.log(pt.diagonal(root)).sum() - pt.softplus(-ratio)
    return ordered[np.argsort(order)], log_jacobian


def _likelihood(mean: Any, sd: Any, draw: dict[str, Any], data: ModelData) -> None:
    if "nu" in draw:
        pm.StudentT("log_loss", nu=draw["nu"], mu=mean, sigma=sd, observed=data.log_loss)
    else:
        pm.Normal("log_loss", mu=mean, sigma=sd, observed=data.log_loss)


def build_textbook_model(data: TextbookData, *, pooled: bool = True) -> Any:
    """The law with `textbook.TEXTBOOK_PRIORS`, for comparison only.

    Parameters
    ----------
    data : TextbookData
    pooled : bool
        True adds the hierarchy over degrees; False gives every degree a free alpha.
    """
    sizes = {} if pooled else {"alpha": len(data.log_degrees)}
    priors = TEXTBOOK_PRIORS | (HIERARCHY_PRIORS if pooled else {})
    with pm.Model() as model:
        draw = {name: _free(name, prior, sizes.get(name, 0)) for name, prior in priors.items()}
        if pooled:
            draw["e_m"] = pm.Normal("e_m", 0.0, draw["tau"], shape=len(data.log_degrees))
        mean = textbook_log_loss(draw, data, pt)
        pm.Normal("log_loss", mu=mean, sigma=draw["sigma"], observed=data.log_loss)
    return model
