"""A fit and one target -> the law's draws there, for the recipe search."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.laws.published import K_0, TOKEN_UNIT
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.parameters import published_units
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import flat_draws, law_at_rows
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["law_at_target"]


def law_at_target(
    fit: FittedModel,
    *,
    params_nonembedding: float,
    tokens: float,
    source_tokens: float,
    shares: Mapping[str, float] | None = None,
    flops_per_token: float | None = None,
    overtraining: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> LawAtTarget:
    """The law's joint draws at a target.

    Parameters
    ----------
    params_nonembedding : float
        Parameters, embeddings apart.
    tokens, source_tokens : float
        Packed tokens K and source tokens S.
    shares : mapping, optional
        Source share of each bucket by name; by default those of the fitted runs, if all agree.
    flops_per_token, overtraining : float, optional
        M, or the degree m itself; with neither, m is derived from N.
    labels : mapping, optional
        Values of the fit's corpus and grouping columns; one left out is an unseen level.

    Returns
    -------
    LawAtTarget
        One law a posterior draw, in the fit's loss unit; draws outside the law's domain (at most
        0.1 %) are left out.

    Raises
    ------
    InputError
        A bad value, or a target outside the law's domain.
    RefusedError
        The fit has one bucket: there is no mixture to choose.
    """
    if fit.layout.n_buckets == 1:
        raise RefusedError("recommend: the fit has one bucket, so there is no mixture to choose")
    chosen = source_shares(fit, shares)
    row: dict[str, Any] = {"run": "target", "params_nonembedding": params_nonembedding}
    row |= {"tokens": tokens, "source_tokens": source_tokens, **(labels or {})}
    given = {"flops_per_token": flops_per_token, "overtraining": overtraining}
    row |= {name: value for name, value in given.items() if value is not None}
    row |= {f"share_{name}": share for name, share in chosen.items()}
    row |= {f"w_{name}": share for name, share in chosen.items()}  # any recipe: the law is read off
    plan = plan_for(fit, pd.DataFrame([row]))
    return _law(fit, plan)


def source_shares(fit: FittedModel, shares: Mapping[str, float] | None) -> dict[str, float]:
    """Source shares by bucket name: the given ones, else the ones all fitted runs agree on."""
    if shares is not None:
        unknown = sorted(set(shares) ^ set(fit.table.buckets))
        if unknown:
            names = ", ".join(fit.table.buckets)
            raise InputError(f"shares: must name exactly {names}; off at {unknown[0]!r}")
        return {name: float(shares[name]) for name in fit.table.buckets}
    fitted = fit.table.arrays().shares
    if np.ptp(fitted, axis=0).max() > 1e-6:
        raise InputError("shares: the fitted runs differ in source shares; give the target's")
    return dict(zip(fit.table.buckets, map(float, fitted[0]), strict=True))


def _law(fit: FittedModel, plan: RunTable) -> LawAtTarget:
    law = law_at_rows(fit, plan, int(fit.info.get("seed", 0)))
    draws, runs = flat_draws(fit), plan.arrays()
    inside = (law.rate[:, 0] > 0) & (law.normaliser[:, 0] > 0)
    level, unit, shift = _reported_scale(fit)
    beta = draws["beta"][inside]
    return LawAtTarget(
        buckets=fit.table.buckets,
        source=runs.shares[0] * runs.source_tokens[0],
        tokens=float(runs.tokens[0]),
        token_unit=unit,
        density=law.density[inside, 0],
        rate=law.rate[inside, 0] * level,
        normaliser=law.normaliser[inside, 0] * level,
        log_alpha=law.log_alpha[inside, 0] + beta * shift,
        beta=beta,
        irreducible=draws["irreducible_loss"][inside],
        loss_unit=fit.table.loss_unit,
    )


def _reported_scale(fit: FittedModel) -> tuple[float, float, float]:
    """(factor on lambda and l, tokens per unit of information, shift of log alpha per beta).

    Information comes out in the units that the fit reports its parameters in.
    """
    reference = fit.anchors.tokens_ref
    if not published_units(fit.spec, fit.anchors):
        return 1.0, reference, 0.0
    level = float(np.log10(reference / K_0))
    return level, TOKEN_UNIT, float(np.log(level * reference / TOKEN_UNIT))
