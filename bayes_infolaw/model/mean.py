"""Parameters and data -> log information and expected log loss: the model's one mean function.

Written once for numpy, JAX and PyTensor (``xp``). ``draw`` maps the names of the sampled
parameters to values; leading axes (chain, draw) are carried through.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_infolaw.laws import infolaw
from bayes_infolaw.laws.published import N_0, TOKEN_UNIT
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.spec import ModelSpec

__all__ = [
    "centre_and_spread",
    "densities",
    "log_information",
    "normaliser_shape",
    "published_rates",
    "published_shift",
    "rates",
]

Draw = Mapping[str, Any]
PER_ROW = {"lambda_min", "lambda_gain", "rho", "normaliser_min"}
SPREAD = float(np.sqrt(12.0))  # an evenly spread sample has range sqrt(12) sd


def densities(draw: Draw, spec: ModelSpec, layout: Layout, xp: Any = np) -> Any:
    """Information densities (..., corpora, D) of every corpus; ones for a single bucket."""
    if layout.n_buckets == 1:
        return np.ones((1, 1))
    theta = draw["theta"][..., None]
    if layout.n_corpora > 1:
        theta = theta * xp.exp(draw["theta_sd"][..., None] * draw["theta_corpus_z"])
    if spec.densities == "constant":
        return infolaw.constant_step_density(theta, layout.n_buckets, xp)
    steps = xp.exp(draw["step_sd"][..., None] * draw["step_z"])
    return infolaw.step_density(theta[..., None] * steps[..., None, :], xp)


def normaliser_shape(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> Any:
    """Kappa of the logarithmic normaliser, rho of the power one (0 for the constant)."""
    if spec.normaliser == "power":
        return draw["rho"]
    if spec.tokens_0 == "sampled":
        return (1.0 - draw["normaliser_min"]) / xp.log(data.tokens_ref / data.tokens_min)
    return data.kappa


def rates(draw: Draw, data: ModelData, spec: ModelSpec, flops: Any, xp: Any = np) -> Any:
    """lambda~ at ``flops``, from lambda~ at the smallest model and the log gain."""
    rate_min = draw["lambda_min"]
    rate_max = rate_min * xp.exp(draw["lambda_gain"])
    return infolaw.rate(flops, data.flops_min, data.flops_max, rate_min, rate_max, spec.rate, xp)


def published_rates(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> tuple:
    """(a, b, l(K_ref)) in published units, ``lambda = a ln(N / 1e9) + b``, l to base ten."""
    level = 1.0 / (np.log(10.0) * normaliser_shape(draw, data, spec, xp))
    rate_min = draw["lambda_min"] * level
    range_ = xp.log(data.flops_max / data.flops_min)
    a = rate_min * xp.expm1(draw["lambda_gain"]) / range_
    return a, rate_min - a * xp.log(data.flops_min / N_0), level


def published_shift(draw: Draw, data: ModelData, spec: ModelSpec, xp: Any = np) -> Any:
    """Log of published information (1e9 tokens, l to base ten) minus log of the scale-free one."""
    level = 1.0 / (np.log(10.0) * normaliser_shape(draw, data, spec, xp))
    return xp.log(level) + xp.log(data.tokens_ref / TOKEN_UNIT)


def log_information(
    draw: Draw, data: ModelData, spec: ModelSpec, layout: Layout, xp: Any = np
) -> Any:
    """Log of the scale-free information of every row, shape (..., n), K_ref tokens per unit."""
    batched = {k: v[..., None] if k in PER_ROW else v for k, v in draw.items()}
    shape = normaliser_shape(batched, data, spec, xp)
    level = infolaw.normaliser(data.tokens, data.tokens_ref, spec.normaliser, shape, xp)
    rate = rates(batched, data, spec, data.flops, xp)
    density = densities(draw, spec, layout, xp)
    rows = density[..., data.corpus, :] if layout.n_corpora > 1 else density
    return xp.log(infolaw.information(data.unique, data.repetition, rows, rate, level, xp))


def centre_and_spread(log_info: Any, mask: Any, xp: Any = np) -> tuple[Any, Any]:
    """Mean and spread (sqrt(12) sd, an even sample's range) of log information over the rows."""
    count = mask.sum()
    centre = (log_info * mask).sum(axis=-1, keepdims=True) / count
    variance = (((log_info - centre) ** 2) * mask).sum(axis=-1, keepdims=True) / count
    return centre, SPREAD * xp.sqrt(variance)
