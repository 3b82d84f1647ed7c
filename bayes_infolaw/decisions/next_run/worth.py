"""A target -> what a nat of its loss is worth in FLOP, and whether any run is worth its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_infolaw.decisions.labels import own_target
from bayes_infolaw.decisions.next_run.outcomes import kept_draws
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.overtraining import TOKENS_EXPONENT
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import law_at_target
from bayes_infolaw.tables.derive import law_flops

__all__ = ["flop_per_nat", "target_compute"]

Array = np.ndarray
STEP = 0.02  # relative increase of compute over which the slope is taken


def target_compute(target: Mapping[str, Any]) -> float:
    """Training FLOP ``C = M K`` of a target; 6 N stands in for a missing M."""
    per_token = target.get("flops_per_token")
    if per_token is None:
        per_token = law_flops(target["params_nonembedding"])
    return float(per_token) * float(target["tokens"])


def flop_per_nat(
    fits: Mapping[str, FittedModel],
    weights: Mapping[str, float],
    target: Mapping[str, Any],
    recipe: Array,
) -> float:
    """FLOP that the target would have to grow by for each nat (loss unit) of expected loss.

    Model and tokens grow together at the target's overtraining degree (``M ~ C^0.5243``,
    ``K ~ C^0.4757``), with the source and the recipe held fixed; the slope is that of the expected
    loss over the draws, which are the same at both ends.

    Parameters
    ----------
    fits, weights : mapping by form name
    target : mapping
        Arguments of `posterior.target.law_at_target`.
    recipe : array of shape (D,)
        The recipe the target would be trained on.

    Raises
    ------
    InputError
        By the law more compute would not lower the loss: no such rate exists.
    """
    larger = _larger(target)
    drop = 0.0
    for name, weight in weights.items():
        if weight > 0:
            drop += weight * _drop(fits[name], target, larger, recipe)
    if not drop > 0:
        raise InputError(
            "value per nat: must be given; at the target more compute lowers the expected loss by "
            f"{drop:.3g}"
        )
    return float((target_compute(larger) - target_compute(target)) / drop)


def _larger(target: Mapping[str, Any]) -> dict[str, Any]:
    grown = dict(target)
    size, tokens = ((1.0 + STEP) ** power for power in (1.0 - TOKENS_EXPONENT, TOKENS_EXPONENT))
    grown["params_nonembedding"] = target["params_nonembedding"] * size
    grown["tokens"] = target["tokens"] * tokens
    if target.get("flops_per_token") is not None:
        grown["flops_per_token"] = target["flops_per_token"] * size
    return grown


def _drop(
    fit: FittedModel, target: Mapping[str, Any], larger: Mapping[str, Any], recipe: Array
) -> float:
    losses = []
    for at in (target, larger):
        law = law_at_target(fit, **own_target(fit, at))
        loss = np.full(fit.draws["sigma"].size, np.nan)
        loss[kept_draws(fit, law)] = law.loss(recipe)
        losses.append(loss)
    return float(np.nanmean(losses[0] - losses[1]))
