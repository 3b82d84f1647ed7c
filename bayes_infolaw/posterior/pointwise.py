"""Draws -> pointwise log likelihood and log prior, by numpy: what LOO and power scaling read."""

import numpy as np
from scipy import stats

from bayes_infolaw.model.linear import (
    expected_log_loss,
    linear_block,
    noise_sd,
    pair_priors,
)
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.sites import sites_of
from bayes_infolaw.posterior.state import FittedModel

__all__ = ["expected_draws", "log_likelihood_draws", "log_prior_draws"]

Array = np.ndarray


def expected_draws(fit: FittedModel) -> tuple[Array, Array]:
    """Expected log loss and noise sd of the fitted rows, each (chain, draw, n)."""
    draws, data = fit.draws, fit.data
    log_info = log_information(draws, data, fit.spec, fit.layout)
    block = linear_block(draws, log_info, data, fit.spec, fit.layout)
    linear = block.offset + (block.columns @ draws["coefficients"][..., None])[..., 0]
    mean = expected_log_loss(linear, draws["irreducible_loss"], fit.spec)
    return mean, noise_sd(draws, data, fit.spec)


def log_likelihood_draws(fit: FittedModel) -> Array:
    """Log density of each observed log loss, (chain, draw, n)."""
    mean, sd = expected_draws(fit)
    if fit.spec.noise == "studentt":
        nu = fit.draws["nu"][..., None]
        return stats.t.logpdf((fit.data.log_loss - mean) / sd, nu) - np.log(sd)
    return stats.norm.logpdf(fit.data.log_loss, mean, sd)


def log_prior_draws(fit: FittedModel) -> dict[str, Array]:
    """Log prior density of every top-level parameter, (chain, draw).

    Group effects are not here: power scaling must leave the inner levels of a hierarchy alone.
    """
    draws, priors = fit.draws, fit.spec.priors
    out = {}
    for site in sites_of(fit.spec, fit.layout, collapsed=True):
        if site.prior is not None and not site.size:
            out[site.name] = site.prior.log_density(draws[site.name])
    if fit.spec.rate_block == "anchored":
        largest = draws["lambda_min"] * np.exp(draws["lambda_gain"])
        out["lambda_min"] = priors["lambda_min"].log_density(draws["lambda_min"])
        out["lambda_max"] = priors["lambda_max"].log_density(largest)
    else:
        parameters = fit.parameters()
        out |= {name: priors[name].log_density(parameters[name]) for name in ("a", "b")}
    return out | _coefficient_priors(fit)


def _coefficient_priors(fit: FittedModel) -> dict[str, Array]:
    c, priors = fit.draws["coefficients"], fit.spec.priors
    level, slope = pair_priors(fit.spec)
    natural = fit.spec.loss_block == "natural"
    first, second = ("alpha", "beta") if natural else ("loss_centre", "loss_drop")
    at = np.exp(c[..., 0]) if natural else c[..., 0]
    out = {first: level.log_density(at), second: slope.log_density(c[..., 1])}
    for i, scale in enumerate(fit.layout.scales):
        if scale in ("gamma", "smooth"):
            out[fit.layout.coefficients[i]] = priors[scale].log_density(c[..., 2 + i])
    return out
