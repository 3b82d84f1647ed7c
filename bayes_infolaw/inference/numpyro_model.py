"""The hierarchical model as a NumPyro program, collapsed (linear block integrated out) or full."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from bayes_infolaw.inference.collapsed import conditional_coordinates, marginal_log_density
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.linear import (
    LinearBlock,
    expected_log_loss,
    irreducible_loss,
    linear_block,
    log_prior_coefficients,
    log_prior_rates,
    noise_sd,
)
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["coefficients_of", "infolaw_model", "numpyro_prior"]


def numpyro_prior(prior: Prior) -> dist.Distribution:
    """The NumPyro distribution of a prior."""
    first, second = (*prior.values, 0.0)[:2]
    match prior.family:
        case "normal":
            return dist.Normal(first, second)
        case "halfnormal":
            return dist.HalfNormal(first)
        case "lognormal":
            return dist.LogNormal(jnp.log(first), second)
        case "truncnormal":
            return dist.TruncatedNormal(first, second, low=0.0)
        case "gamma":
            return dist.Gamma(first, second)
        case "beta":
            return dist.Beta(first, second)
    return dist.Uniform(first, second)


def infolaw_model(data: ModelData, spec: ModelSpec, layout: Layout, collapsed: bool) -> None:
    """One program for every option of the model file.

    Parameters
    ----------
    data : ModelData
        Arrays of one table (rows with ``mask`` 0 are padding and count for nothing).
    spec, layout : ModelSpec, Layout
        Static; decide which sites exist.
    collapsed : bool
        True integrates level, slope, overtraining and group effects out (needs
        ``spec.collapses``); False samples them.
    """
    draw = _shape_sites(spec, layout)
    draw |= _rate_sites(draw, data, spec)
    draw |= _noise_sites(spec, layout)
    log_info = log_information(draw, data, spec, layout, jnp)
    if collapsed:
        _collapsed_likelihood(draw, log_info, data, spec, layout)
    else:
        _full_likelihood(draw, log_info, data, spec, layout)


def _site(name: str, spec: ModelSpec, prior: str = "") -> Any:
    return numpyro.sample(name, numpyro_prior(spec.priors[prior or name]))


def _shape_sites(spec: ModelSpec, layout: Layout) -> dict[str, Any]:
    draw: dict[str, Any] = {}
    if layout.n_buckets > 1:
        draw["theta"] = _site("theta", spec)
        if layout.n_corpora > 1:
            draw["theta_sd"] = _site("theta_sd", spec)
            draw["theta_corpus_z"] = _standard("theta_corpus_z", layout.n_corpora)
        if spec.densities == "monotone":
            draw["step_sd"] = _site("step_sd", spec)
            draw["step_z"] = _standard("step_z", layout.n_buckets - 1)
    optional = {
        "rho": spec.normaliser == "power",
        "normaliser_min": spec.tokens_0 == "sampled",
        "irreducible": spec.irreducible,
    }
    return draw | {name: _site(name, spec) for name, used in optional.items() if used}


def _standard(name: str, size: int) -> Any:
    return numpyro.sample(name, dist.Normal(0.0, 1.0).expand([size]).to_event(1))


def _flat(name: str, support: Any, event_shape: tuple[int, ...] = ()) -> Any:
    return numpyro.sample(name, dist.ImproperUniform(support, (), event_shape))


def _rate_sites(draw: dict[str, Any], data: ModelData, spec: ModelSpec) -> dict[str, Any]:
    sites = {name: _flat(name, constraints.positive) for name in ("lambda_min", "lambda_gain")}
    numpyro.factor("rate_prior", log_prior_rates(draw | sites, data, spec, jnp))
    return sites


def _noise_sites(spec: ModelSpec, layout: Layout) -> dict[str, Any]:
    draw = {"sigma": _site("sigma", spec)}
    for name in layout.sampled_scales:
        draw[name] = _site(name, spec, "tau" if name == "tau" else "tau_group")
    if spec.noise == "studentt":
        draw["nu"] = _site("nu", spec)
    if spec.grows_with_repetition:
        draw["noise_growth"] = _site("noise_growth", spec)
    return draw


def _collapsed_likelihood(
    draw: dict[str, Any], log_info: Any, data: ModelData, spec: ModelSpec, layout: Layout
) -> None:
    block = linear_block(draw, log_info, data, spec, layout, jnp)
    sd = noise_sd(draw, data, spec, jnp)
    marginal = marginal_log_density(data.log_loss, sd, data.mask, block, spec.slope_prior)
    numpyro.factor("log_marginal", marginal)


def _full_likelihood(
    draw: dict[str, Any], log_info: Any, data: ModelData, spec: ModelSpec, layout: Layout
) -> None:
    """Sample the coefficients too, as standardised residuals of their Gaussian conditional.

    The conditional (exact for Gaussian noise, a proxy otherwise) only chooses coordinates; the
    density is the model's own, Jacobian included.
    """
    z = _flat("coefficient_z", constraints.real_vector, (2 + len(layout.coefficients),))
    c, log_jacobian, block = _coefficients(
        draw | {"coefficient_z": z}, log_info, data, spec, layout
    )
    numpyro.deterministic("coefficients", c)
    numpyro.factor("coefficient_prior", log_prior_coefficients(c, block, spec, jnp) + log_jacobian)
    floor, sd = irreducible_loss(draw, data, spec), noise_sd(draw, data, spec, jnp)
    mean = expected_log_loss(block.offset + block.columns @ c, floor, spec, jnp)
    noise = dist.StudentT(draw["nu"], mean, sd) if "nu" in draw else dist.Normal(mean, sd)
    numpyro.factor("log_likelihood", (noise.log_prob(data.log_loss) * data.mask).sum())


def _coefficients(
    draw: dict[str, Any], log_info: Any, data: ModelData, spec: ModelSpec, layout: Layout
) -> tuple[Any, Any, LinearBlock]:
    """(coefficients, log Jacobian, block) from the standardised coordinates of a full draw.

    With an irreducible loss the conditional is that of log(loss - E), its noise to first order.
    """
    block = linear_block(draw, log_info, data, spec, layout, jnp)
    sd = noise_sd(draw, data, spec, jnp)
    reducible = 1.0 - irreducible_loss(draw, data, spec) / jnp.exp(data.log_loss)
    proxy = data.log_loss + jnp.log(reducible)
    z = draw["coefficient_z"]
    c, log_jacobian = conditional_coordinates(z, proxy, sd / reducible, data.mask, block)
    return c, log_jacobian, block


def coefficients_of(draw: dict[str, Any], data: ModelData, spec: ModelSpec, layout: Layout) -> Any:
    """Coefficients (p,) of the linear block at one draw of the full model's sites."""
    log_info = log_information(draw, data, spec, layout, jnp)
    return _coefficients(draw, log_info, data, spec, layout)[0]
