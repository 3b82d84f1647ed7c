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

__all__ = ["law_at_target", "laws_at_rows", "source_shares"]


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
    laws, _ = laws_at_rows(fit, plan_for(fit, pd.DataFrame([row])))
    return laws[0]


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


def laws_at_rows(fit: FittedModel, plan: RunTable) -> tuple[tuple[LawAtTarget, ...], np.ndarray]:
    """The law at every row of a plan under the same draws; the rows' recipes are not read.

    Effects that the data have not seen are common to the rows of one degree, or of one level.

    Parameters
    ----------
    plan : RunTable
        n rows, checked against the fit (`posterior.plan.plan_for`).

    Returns
    -------
    laws : tuple of n LawAtTarget
        Of the same J draws: those in which every row lies inside the law's domain.
    inside : bool array
        Which of the fit's draws (chains joined) those are.

    Raises
    ------
    InputError
        A row outside the law's domain.
    """
    rows = law_at_rows(fit, plan, int(fit.info.get("seed", 0)))
    inside = ((rows.rate > 0) & (rows.normaliser > 0)).all(axis=1)
    draws, runs = flat_draws(fit), plan.arrays()
    level, unit, shift = _reported_scale(fit)
    beta = draws["beta"][inside]
    laws = tuple(
        LawAtTarget(
            buckets=fit.table.buckets,
            source=runs.shares[i] * runs.source_tokens[i],
            tokens=float(runs.tokens[i]),
            token_unit=unit,
            density=rows.density[inside, i],
            rate=rows.rate[inside, i] * level,
            normaliser=rows.normaliser[inside, i] * level,
            log_alpha=rows.log_alpha[inside, i] + beta * shift,
            beta=beta,
            irreducible=draws["irreducible_loss"][inside],
            loss_unit=fit.table.loss_unit,
        )
        for i in range(len(plan))
    )
    return laws, inside


def _reported_scale(fit: FittedModel) -> tuple[float, float, float]:
    """(factor on lambda and l, tokens per unit of information, shift of log alpha per beta).

    Information comes out in the units that the fit reports its parameters in.
    """
    reference = fit.anchors.tokens_ref
    if not published_units(fit.spec, fit.anchors):
        return 1.0, reference, 0.0
    level = float(np.log10(reference / K_0))
    return level, TOKEN_UNIT, float(np.log(level * reference / TOKEN_UNIT))
