"""A fit and planned rows -> the random effects of degrees and groups that it has not seen.

The same effects that `posterior.rows` draws, kept as columns and variances: given the other
parameters they are normal, so that an outcome's density integrates them in closed form, and two
runs that share one are correlated.
"""

from typing import NamedTuple

import numpy as np

from bayes_infolaw.laws.degrees import degree_clusters, degree_of
from bayes_infolaw.posterior.rows import flat_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["UnseenEffects", "unseen_effects"]

Array = np.ndarray


class UnseenEffects(NamedTuple):
    """``offset + columns @ u`` on log reducible loss; ``u_e ~ Normal(0, variance_je)``, draw j."""

    offset: Array  # (n,)
    columns: Array  # (n, E)
    variance: Array  # (J, E)


def unseen_effects(fit: FittedModel, plan: RunTable) -> UnseenEffects:
    """Columns and variances of what a plan's rows bring that the fit has no level for.

    Parameters
    ----------
    fit : FittedModel
    plan : RunTable
        n rows, checked by `posterior.plan.plan_for`.

    Returns
    -------
    UnseenEffects
        E = 0 where every degree and group level was fitted.
    """
    offset, columns, variances = _degree_effects(fit, plan)
    for group, levels in fit.anchors.groups.items():
        new = _level_columns(plan, group, levels)
        columns += new
        variances += [flat_draws(fit)[f"tau_{group}"] ** 2] * len(new)
    n_draws = fit.draws["sigma"].size
    return UnseenEffects(
        offset,
        np.column_stack(columns) if columns else np.zeros((len(plan), 0)),
        np.column_stack(variances) if variances else np.zeros((n_draws, 0)),
    )


def _degree_effects(fit: FittedModel, plan: RunTable) -> tuple[Array, list[Array], list[Array]]:
    """Offset, columns and variances of degrees in no cluster; one degree is one column."""
    log_degree, anchors = np.log(plan.arrays().overtraining), fit.anchors
    if anchors.intercept == "smooth":
        return np.zeros(len(plan)), [], []
    new = degree_of(log_degree, np.array(anchors.log_degrees)) < 0
    if not new.any():
        return np.zeros(len(plan)), [], []
    _, counts, member = degree_clusters(log_degree)
    columns = [new * (member == i) for i in range(len(counts)) if (new & (member == i)).any()]
    away = np.where(new, log_degree - anchors.log_degree_ref, 0.0)
    draws = flat_draws(fit)
    if anchors.intercept == "clusters":  # the slope was fitted: it is among the seen columns
        return np.zeros(len(plan)), columns, [draws["tau"] ** 2] * len(columns)
    # One degree informed neither the slope nor tau: both come from their priors.
    tau, gamma = _prior_scale(fit), fit.spec.priors["gamma"]
    slope = np.full(len(tau), gamma.sigma**2)
    return gamma.mu * away, [*columns, away], [*[tau**2] * len(columns), slope]


def _prior_scale(fit: FittedModel) -> Array:
    """Prior draws of tau, one a posterior draw."""
    rng = np.random.default_rng([int(fit.info.get("seed", 0)), 4])
    return fit.spec.priors["tau"].frozen().rvs(size=fit.draws["sigma"].size, random_state=rng)


def _level_columns(plan: RunTable, group: str, levels: tuple[str, ...]) -> list[Array]:
    """An indicator (n,) of each level that was not fitted; a missing column is one level."""
    names = np.full(len(plan), "", dtype=object)
    if group in plan.frame:
        names = plan.frame[group].astype(str).to_numpy(dtype=object)
    return [(names == name).astype(float) for name in sorted(set(names) - set(levels))]
