"""The part of the model that is linear given the rest: level, slope, overtraining, groups.

Given the law's shape parameters, log (reducible) loss is ``offset + columns @ c`` with independent
priors on the coefficients c. With Gaussian noise, normal priors and no irreducible loss that block
can be integrated out and drawn back exactly (`inference/collapsed.py`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.mean import centre_and_spread, published_rates, published_shift
from bayes_infolaw.model.prior import Prior
from bayes_infolaw.model.spec import ModelSpec

__all__ = [
    "LinearBlock",
    "coefficient_names",
    "expected_log_loss",
    "irreducible_loss",
    "level_and_slope",
    "linear_block",
    "log_prior_coefficients",
    "log_prior_rates",
    "noise_sd",
    "pair_priors",
]

Draw = Mapping[str, Any]
LEVEL, SLOPE = 0, 1  # the first two coefficients of every block


class LinearBlock(NamedTuple):
    """``log reducible loss = offset + columns @ c``, ``c ~ Normal(mean, diag(sd ** 2))``.

    The p coefficients are level, slope, then `Layout.coefficients`. Level and slope are
    (loss_centre, loss_drop) with anchored priors: log loss at the centre minus the data's mean,
    and its drop over the data in units of the observed range; (log alpha, beta) in published units
    with natural ones. Where the slope's or level's prior is not normal, mean and sd are moments.
    """

    offset: Any  # (..., n)
    columns: Any  # (..., n, p)
    mean: np.ndarray  # (p,)
    sd: Any  # (..., p)


def coefficient_names(spec: ModelSpec, layout: Layout) -> tuple[str, ...]:
    """Names of the block's coefficients, in order."""
    natural = spec.loss_block == "natural"
    pair = ("log_alpha", "beta") if natural else ("loss_centre", "loss_drop")
    return (*pair, *layout.coefficients)


def linear_block(
    draw: Draw, log_info: Any, data: ModelData, spec: ModelSpec, layout: Layout, xp: Any = np
) -> LinearBlock:
    """Design and prior of the linear coefficients at a draw of the other parameters.

    ``log_info`` is that of the rows of ``data``, shape (..., n); centre and spread are taken over
    them, so ``data`` must be the fitted rows here (predictions use `expected_log_loss`).
    """
    offset, scaled = _offset_and_information(draw, log_info, data, spec, xp)
    pair = xp.stack([0.0 * scaled + 1.0, -scaled], axis=-1)
    others = 0.0 * scaled[..., None] + data.columns
    columns = xp.concatenate([pair, others], axis=-1) if layout.coefficients else pair
    moments = [_moments(prior) for prior in pair_priors(spec)]
    mean = [m for m, _ in moments] + [_other_mean(scale, spec) for scale in layout.scales]
    sd = _prior_sds(draw, [s for _, s in moments], spec, layout, xp)
    return LinearBlock(offset, columns, np.array(mean), sd)


def _offset_and_information(
    draw: Draw, log_info: Any, data: ModelData, spec: ModelSpec, xp: Any
) -> tuple[Any, Any]:
    if spec.loss_block == "natural":
        shift = published_shift(draw, data, spec, xp)
        return 0.0 * log_info, log_info + shift[..., None]
    centre, spread = centre_and_spread(log_info, data.mask, xp)
    reducible = reducible_share(draw, data, spec, xp)[..., None]
    scaled = (log_info - centre) / spread * data.log_loss_range / reducible
    return 0.0 * log_info + data.log_loss_mean + xp.log(reducible), scaled


def pair_priors(spec: ModelSpec) -> tuple[Prior, Prior]:
    """Priors of level and slope on their own scale (log alpha for a natural level)."""
    if spec.loss_block == "anchored":
        return spec.priors["loss_centre"], spec.priors["loss_drop"]
    return spec.priors["alpha"], spec.priors["beta"]


def _moments(prior: Prior) -> tuple[float, float]:
    """Mean and sd of the Gaussian that stands for a prior: its own for (truncated) normal ones."""
    if prior.family in ("normal", "truncnormal"):
        return prior.values[0], prior.values[1]
    if prior.family == "lognormal":  # only ever a level: the coefficient is log alpha
        return float(np.log(prior.values[0])), prior.values[1]
    frozen = prior.frozen()
    return float(frozen.mean()), float(frozen.std())


def _other_mean(scale: str, spec: ModelSpec) -> float:
    return spec.priors[scale].mu if scale in ("gamma", "smooth") else 0.0


def _prior_sds(draw: Draw, pair: list[float], spec: ModelSpec, layout: Layout, xp: Any) -> Any:
    one = 1.0 + 0.0 * draw["sigma"]
    fixed = {name: spec.priors[name].sigma * one for name in ("gamma", "smooth")}
    others = [fixed[s] if s in fixed else draw[s] for s in layout.scales]
    return xp.stack([*(sd * one for sd in pair), *others], axis=-1)


def log_prior_coefficients(c: Any, block: LinearBlock, spec: ModelSpec, xp: Any = np) -> Any:
    """Log prior density of the coefficients (..., p), the slope's truncation included."""
    level, slope = pair_priors(spec)
    first = level.log_density(c[..., LEVEL], xp)
    if spec.loss_block == "natural":
        first = level.log_density(xp.exp(c[..., LEVEL]), xp) + c[..., LEVEL]
    z = (c[..., 2:] - block.mean[2:]) / block.sd[..., 2:]
    normal = -0.5 * z**2 - xp.log(block.sd[..., 2:]) - 0.5 * np.log(2.0 * np.pi)
    return first + slope.log_density(c[..., SLOPE], xp) + normal.sum(axis=-1)


def irreducible_loss(draw: Draw, data: ModelData, spec: ModelSpec) -> Any:
    """E in the loss unit: the sampled fraction of the smallest fitted loss, or 0."""
    return draw["irreducible"] * data.loss_min if spec.irreducible else 0.0 * draw["sigma"]


def reducible_share(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> Any:
    """1 - E / (geometric mean loss): turns level and slope of the loss into the reducible one's."""
    return 1.0 - irreducible_loss(draw, data, spec) / xp.exp(data.log_loss_mean)


def level_and_slope(
    c: Any, draw: Draw, log_info: Any, data: ModelData, spec: ModelSpec, xp: Any = np
) -> tuple[Any, Any]:
    """(log alpha~, beta) of the law from the coefficients, for scale-free information.

    ``log_info`` and ``data`` are the fitted rows'. log alpha~ leaves degrees and groups out.
    """
    level, slope = c[..., LEVEL], c[..., SLOPE]
    if spec.loss_block == "natural":
        return level - slope * published_shift(draw, data, spec, xp), slope
    centre, spread = centre_and_spread(log_info, data.mask, xp)
    reducible = reducible_share(draw, data, spec, xp)
    beta = slope * data.log_loss_range / spread[..., 0] / reducible
    return level + data.log_loss_mean + xp.log(reducible) + beta * centre[..., 0], beta


def expected_log_loss(log_reducible: Any, irreducible: Any, spec: ModelSpec, xp: Any = np) -> Any:
    """Log of the whole loss (..., n) from log reducible loss (..., n) and E (...)."""
    if not spec.irreducible:
        return log_reducible
    return xp.log(irreducible[..., None] + xp.exp(log_reducible))


def noise_sd(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> Any:
    """Sd of log loss of every row: evaluation error and residual, shape (..., n)."""
    residual = draw["sigma"][..., None]
    if spec.grows_with_repetition:
        residual = residual * xp.exp(draw["noise_growth"][..., None] * data.log_repetition)
    return xp.sqrt(residual**2 + data.loss_se**2)


def log_prior_rates(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> Any:
    """Log prior of the rate block on the sampler's coordinates (lambda_min, lambda_gain).

    Anchored: priors on lambda_min and lambda_max >= lambda_min (unnormalised by that constraint's
    constant probability); natural: priors on (a, b); Jacobians included.
    """
    log_max = xp.log(draw["lambda_min"]) + draw["lambda_gain"]
    if spec.rate_block == "anchored":
        low = spec.priors["lambda_min"].log_density(draw["lambda_min"], xp)
        return low + spec.priors["lambda_max"].log_density(xp.exp(log_max), xp) + log_max
    a, b, level = published_rates(draw, data, spec, xp)
    jacobian = 2.0 * xp.log(level) - xp.log(xp.log(data.flops_max / data.flops_min)) + log_max
    return spec.priors["a"].log_density(a, xp) + spec.priors["b"].log_density(b, xp) + jacobian
