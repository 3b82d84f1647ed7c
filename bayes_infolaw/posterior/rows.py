"""A fit and planned rows -> the law's draws row by row, effects of degrees and groups included."""

from typing import NamedTuple

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.degrees import degree_clusters, degree_of
from bayes_infolaw.laws.infolaw import log_loss, normaliser
from bayes_infolaw.model.layout import ModelData, model_data
from bayes_infolaw.model.linear import noise_sd
from bayes_infolaw.model.mean import densities, log_information, normaliser_shape, rates
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["RowDraws", "law_at_rows", "row_draws"]

Array = np.ndarray
OUTSIDE_SHARE = 0.001  # draws in which a row may lie outside the law's domain


class LawAtRows(NamedTuple):
    """The law's own parameters at each row; J joint draws, n rows, D buckets."""

    density: Array  # (J, n, D)
    rate: Array  # (J, n)
    normaliser: Array  # (J, n)
    log_alpha: Array  # (J, n) degree and group effects included
    group_sd: Array  # (J, n) sd of those effects that the data have not seen


class RowDraws(NamedTuple):
    """Draws of the rows' log losses; shapes (J, n)."""

    log_reducible: Array  # log alpha - beta ln info + effects
    irreducible: Array  # (J, 1) E, loss unit
    group_sd: Array  # sd of log loss from unseen degrees and groups
    noise_sd: Array  # sd of log loss of a new run


def flat_draws(fit: FittedModel) -> dict[str, Array]:
    """Every draw with chains joined: (J, ...)."""
    return {name: value.reshape(-1, *value.shape[2:]) for name, value in fit.draws.items()}


def row_draws(fit: FittedModel, plan: RunTable, seed: int) -> RowDraws:
    """Log reducible loss, E and the sds of a plan's rows, draw by draw.

    Raises
    ------
    InputError
        A row outside the law's domain (K <= K_0, lambda <= 0 or l <= 0).
    """
    data = model_data(plan, fit.spec, fit.anchors)
    law = law_at_rows(fit, plan, seed)
    draws = flat_draws(fit)
    with np.errstate(invalid="ignore"):  # draws outside the domain, at most 0.1 %, become NaN
        log_info = log_information(draws, data, fit.spec, fit.layout)
    return RowDraws(
        log_reducible=log_loss(law.log_alpha, draws["beta"][:, None], log_info),
        irreducible=draws["irreducible_loss"][:, None],
        group_sd=law.group_sd,
        noise_sd=noise_sd(draws, data, fit.spec),
    )


def law_at_rows(fit: FittedModel, plan: RunTable, seed: int) -> LawAtRows:
    """The law's parameters at each row of a plan, joint over draws."""
    draws, data = flat_draws(fit), model_data(plan, fit.spec, fit.anchors)
    by_row = {k: v[:, None] for k, v in draws.items() if v.ndim == 1}
    rate = rates(by_row, data, fit.spec, data.flops) + 0.0 * data.flops
    shape = normaliser_shape(by_row, data, fit.spec)
    tokens_ref = float(data.tokens_ref)
    level = normaliser(data.tokens, tokens_ref, fit.spec.normaliser, shape) + 0.0 * rate
    _require_domain(fit, plan, rate, level)
    density = np.broadcast_to(
        densities(draws, fit.spec, fit.layout), (len(rate), fit.layout.n_corpora, plan.n_buckets)
    )
    effects, sd = _effects(fit, plan, data, draws, seed)
    return LawAtRows(
        density=density[:, data.corpus, :],
        rate=rate,
        normaliser=level,
        log_alpha=draws["log_alpha"][:, None] + effects,
        group_sd=sd,
    )


def _require_domain(fit: FittedModel, plan: RunTable, rate: Array, level: Array) -> None:
    tokens_0 = fit.anchors.tokens_0
    for i, (run, tokens) in enumerate(zip(plan.frame["run"], plan.arrays().tokens, strict=True)):
        if tokens_0 is not None and tokens <= tokens_0:
            raise InputError(
                f"run {run}: tokens must exceed K_0 = {tokens_0:.4g}, got {tokens:.4g}"
            )
        for name, value in (("lambda(N)", rate[:, i]), ("l(K)", level[:, i])):
            outside = float((value <= 0).mean())
            if outside > OUTSIDE_SHARE:
                rule = f"must be positive in all but {OUTSIDE_SHARE:.1%} of draws"
                raise InputError(f"run {run}: {name} {rule}, got {outside:.1%} at or below 0")


def _effects(
    fit: FittedModel,
    plan: RunTable,
    data: ModelData,
    draws: dict[str, Array],
    seed: int,
) -> tuple[Array, Array]:
    """Summed effects (J, n) of degree and groups, and the sd of the unseen ones (J, n).

    Each group has its own stream, so that an unseen level has the same effects whatever else is
    asked for: plans read apart stay comparable draw by draw.
    """
    known = draws["coefficients"][:, 2:] @ data.columns.T
    new, variance = _unseen_degree(fit, plan, draws, np.random.default_rng([seed, 2]))
    for i, (group, levels) in enumerate(fit.anchors.groups.items()):
        rng = np.random.default_rng([seed, 4, i])
        column, part = _unseen_levels(plan, group, levels, draws[f"tau_{group}"], rng)
        new, variance = new + column, variance + part
    return known + new, np.sqrt(variance)


def _unseen_degree(
    fit: FittedModel, plan: RunTable, draws: dict[str, Array], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Effect and variance of degrees in no cluster; runs of one degree share their effect."""
    n_draws, kind = len(draws["sigma"]), fit.anchors.intercept
    log_degree = np.log(plan.arrays().overtraining)
    effect = np.zeros((n_draws, len(plan)))
    if kind == "smooth":
        return effect, effect
    new = degree_of(log_degree, np.array(fit.anchors.log_degrees)) < 0
    if not new.any():
        return effect, effect
    tau, gamma = _degree_prior(fit, draws, kind, rng)
    _, counts, degree = degree_clusters(log_degree)
    z = rng.standard_normal((n_draws, len(counts)))
    for i in np.flatnonzero(new):
        away = log_degree[i] - fit.anchors.log_degree_ref
        effect[:, i] = gamma * away + tau * z[:, degree[i]]
    away = np.where(new, log_degree - fit.anchors.log_degree_ref, 0.0)
    prior_slope = fit.spec.priors["gamma"].sigma if kind == "single" else 0.0
    return effect, new * (tau[:, None] ** 2 + (prior_slope * away) ** 2)


def _degree_prior(
    fit: FittedModel, draws: dict[str, Array], kind: str, rng: np.random.Generator
) -> tuple[Array, Array]:
    """(tau, slope not in the columns): prior draws where one degree informed neither."""
    if kind == "clusters":
        return draws["tau"], np.zeros_like(draws["tau"])
    size = len(draws["sigma"])
    priors = (fit.spec.priors[name].frozen() for name in ("tau", "gamma"))
    tau, gamma = (prior.rvs(size=size, random_state=rng) for prior in priors)
    return tau, gamma


def _unseen_levels(
    plan: RunTable, group: str, levels: tuple[str, ...], tau: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Effect and variance of levels that the fit has not seen (a missing column is one level)."""
    names = np.full(len(plan), "", dtype=object)
    if group in plan.frame:
        names = plan.frame[group].astype(str).to_numpy(dtype=object)
    effect, variance = np.zeros((2, len(tau), len(plan)))
    for name in sorted(set(names) - set(levels)):
        rows = names == name
        effect[:, rows] = (tau * rng.standard_normal(len(tau)))[:, None]
        variance[:, rows] = tau[:, None] ** 2
    return effect, variance
