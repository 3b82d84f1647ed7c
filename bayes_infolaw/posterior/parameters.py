"""Draws -> the parameters a reader knows: theta, a, b, alpha, beta, sigma and the hierarchy's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_infolaw.laws.published import K_0
from bayes_infolaw.model.anchors import Anchors
from bayes_infolaw.model.layout import Layout, ModelData
from bayes_infolaw.model.linear import (
    coefficient_names,
    irreducible_loss,
    level_and_slope,
)
from bayes_infolaw.model.mean import (
    log_information,
    normaliser_shape,
    published_rates,
    published_shift,
)
from bayes_infolaw.model.spec import ModelSpec

__all__ = ["derived_draws", "prior_only", "published_units", "reported_draws", "units_of"]

Draws = Mapping[str, np.ndarray]
INTERNAL = {"coefficients", "theta_corpus_z", "step_z", "lambda_gain", "log_alpha"}


def published_units(spec: ModelSpec, anchors: Anchors) -> bool:
    """Whether parameters can be stated in the paper's units: its own forms and K_0 = 1e9."""
    forms = spec.normaliser == "log" and spec.rate == "log"
    return forms and anchors.tokens_0 == K_0


def units_of(spec: ModelSpec, anchors: Anchors, loss_unit: str) -> dict[str, Any]:
    """Units in which parameters are reported, for the JSON."""
    units: dict[str, Any] = {
        "loss": loss_unit,
        "model_size": "N = 6 x non-embedding parameters, FLOP per token",
        "K_0_tokens": anchors.tokens_0,
        "degree_ref": float(np.exp(anchors.log_degree_ref)),
    }
    if published_units(spec, anchors):
        return {
            "system": "published",
            "information": "1e9 tokens x log10(K / 1e9 tokens)",
            "N_0_flop_per_token": 1e9,
            **units,
        }
    return {
        "system": "scale-free",
        "information": "K_ref tokens, normaliser 1 at K_ref",
        "K_ref_tokens": anchors.tokens_ref,
        "N_ref_flop_per_token": anchors.flops_ref,
        **units,
    }


def derived_draws(
    draws: Draws, data: ModelData, spec: ModelSpec, layout: Layout
) -> dict[str, np.ndarray]:
    """What predictions need beyond the sites: scale-free log alpha (degrees apart), beta, E.

    Every array has the draws' leading axes.
    """
    log_info = log_information(draws, data, spec, layout)
    log_alpha, beta = level_and_slope(draws["coefficients"], draws, log_info, data, spec)
    return {
        "log_alpha": log_alpha,
        "beta": beta,
        "irreducible_loss": irreducible_loss(draws, data, spec) + np.zeros_like(beta),
    }


def reported_draws(
    draws: Draws, data: ModelData, spec: ModelSpec, layout: Layout, anchors: Anchors
) -> dict[str, np.ndarray]:
    """Draws of every reported scalar, in the units of `units_of`; leading axes kept.

    ``alpha`` is the intercept at m_ref, that degree's own deviation included; ``lambda_min`` and
    ``lambda_max`` are scale-free (divided by the normaliser at K_ref).
    """
    published = published_units(spec, anchors)
    out = {} if layout.n_buckets == 1 else {"theta": draws["theta"]}
    out |= _rates(draws, data, spec, published)
    shift = published_shift(draws, data, spec) if published else 0.0
    level = draws["log_alpha"] + draws["beta"] * shift + _reference_effect(draws, layout, anchors)
    out |= {"alpha": np.exp(level), "beta": draws["beta"], "sigma": draws["sigma"]}
    scalars = {k: v for k, v in draws.items() if v.ndim == draws["sigma"].ndim}
    out |= {k: v for k, v in scalars.items() if k not in INTERNAL and k not in out}
    if not spec.irreducible:
        del out["irreducible_loss"]
    out |= _lambda_max(draws)
    return out | _vectors(draws, data, spec, layout, anchors)


def _lambda_max(draws: Draws) -> dict[str, np.ndarray]:
    return {"lambda_max": draws["lambda_min"] * np.exp(draws["lambda_gain"])}


def _rates(
    draws: Draws, data: ModelData, spec: ModelSpec, published: bool
) -> dict[str, np.ndarray]:
    """(a, b) of the logarithmic rate; the alternatives have no a and b and report lambda only."""
    if spec.rate != "log":
        return {}
    if published:
        a, b, _ = published_rates(draws, data, spec)
        return {"a": a, "b": b}
    slope = draws["lambda_min"] * np.expm1(draws["lambda_gain"])
    slope = slope / np.log(data.flops_max / data.flops_min)
    at_ref = draws["lambda_min"] + slope * np.log(data.flops_ref / data.flops_min)
    return {"a": slope, "b": at_ref}


def _reference_effect(draws: Draws, layout: Layout, anchors: Anchors) -> np.ndarray | float:
    """e_m of the reference degree (0 where the intercept is smooth or single)."""
    if anchors.intercept != "clusters":
        return 0.0
    nearest = int(np.argmin(np.abs(np.array(anchors.log_degrees) - anchors.log_degree_ref)))
    return draws["coefficients"][..., 2 + layout.coefficients.index("gamma") + 1 + nearest]


def _vectors(
    draws: Draws, data: ModelData, spec: ModelSpec, layout: Layout, anchors: Anchors
) -> dict[str, np.ndarray]:
    """Coefficients by name, theta by corpus, density steps, K_0 where it is sampled."""
    names = coefficient_names(spec, layout)
    out = {name: draws["coefficients"][..., 2 + i] for i, name in enumerate(names[2:])}
    if layout.n_corpora > 1 and layout.n_buckets > 1:
        spread = np.exp(draws["theta_sd"][..., None] * draws["theta_corpus_z"])
        for i, corpus in enumerate(anchors.corpora):
            out[f"theta[{corpus}]"] = draws["theta"] * spread[..., i]
    if spec.densities == "monotone" and layout.n_buckets > 1:
        steps = np.exp(draws["step_sd"][..., None] * draws["step_z"])
        for i in range(layout.n_buckets - 1):
            out[f"step[{i + 1}]"] = draws["theta"] * steps[..., i]
    if spec.tokens_0 == "sampled":
        out["K_0"] = data.tokens_ref * np.exp(-1.0 / normaliser_shape(draws, data, spec))
    return out


def prior_only(table_buckets: int, anchors: Anchors) -> dict[str, str]:
    """Parameters that the table cannot inform, each with the reason."""
    flags = {}
    if anchors.one_size:
        flags["a"] = "one model size: a is what its prior says"
    if anchors.one_recipe and table_buckets > 1:
        flags["theta"] = "one recipe and repetition pattern: theta is what its prior says"
    return flags
