"""A fit and new runs -> the updated fit: by reweighting its draws, or by a warm-started refit."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from bayes_infolaw.decisions.draws import form_weights
from bayes_infolaw.decisions.new_runs import joined_table, require_new_runs
from bayes_infolaw.decisions.next_run.effects import unseen_effects
from bayes_infolaw.decisions.next_run.outcomes import (
    RunOutcomes,
    fit_outcomes,
    joint_log_density,
    weights_after,
)
from bayes_infolaw.errors import InputError
from bayes_infolaw.model.anchors import Anchors, anchors_of
from bayes_infolaw.model.layout import layout_of, model_data
from bayes_infolaw.model.linear import reducible_share
from bayes_infolaw.model.mean import centre_and_spread, log_information
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.fitting import FitSettings, assemble, collapses, judged
from bayes_infolaw.posterior.fitting import fit as fit_cold
from bayes_infolaw.posterior.many import stack_tables
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import flat_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.verdict import ESS_MIN
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.threads import one_blas_thread

__all__ = ["Update", "refit_warm", "update_fit", "update_weights"]

Array = np.ndarray
K_HIGH = 0.7  # Pareto k above which importance weights are not to be trusted
WARM_WARMUP = 300
UPDATED = "Updated with"


@dataclass(frozen=True)
class Update:
    """The updated fit and how it came about."""

    fit: Fit
    method: str  # "reweighted", "refitted from the old posterior" or "refitted"
    reason: str
    pareto_k: float | None  # of the weights; None where reweighting was out of the question
    ess: float | None  # effective draws after reweighting, of the fit's bulk ESS


def update_fit(fit: Fit, new: RunTable, *, seed: int = 0) -> Update:
    """Take new measured runs into a fit.

    The draws are reweighted by the new runs' likelihood (Pareto-smoothed) and resampled where k is
    at most 0.7 and at least 400 effective draws are left; else the joined table is fitted again,
    from the old posterior's coordinates where the model keeps its shape.

    Parameters
    ----------
    fit : Fit
    new : RunTable
        Runs with losses, in the fit's buckets and unit, with names of their own.

    Returns
    -------
    Update
        Its fit is whole, of the joined table, and says in ``info["updates"]`` (one dict an update:
        method, reason, pareto_k, ess, runs) and in a note how it came about.

    Raises
    ------
    InputError
        Runs without loss or that did not finish, of other buckets, with a name that the fit has, or
        outside the law's domain.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao, Gabry: Pareto smoothed importance sampling, JMLR 25 (2024).
    """
    require_new_runs({"": fit}, new)
    checked = plan_for(fit, new)
    table = joined_table(fit.table, checked)
    against, k, ess, weights = _reweighting(fit, checked)
    if not against:
        assert weights is not None
        updated = _resampled(fit, table, weights, ess, seed)
        reason = f"Pareto k {k:.2f}, {ess:.0f} effective draws; resampled, so of equal weight"
        return _told(Update(updated, "reweighted", reason, k, ess), fit, new)
    updated, method = _refitted(fit, table, seed)
    return _told(Update(updated, method, against, k, ess), fit, new)


def update_weights(
    fits: Mapping[str, FittedModel], weights: Mapping[str, float], new: RunTable
) -> dict[str, float]:
    """Weights of forms after new runs: each times the density that its fit gave their losses.

    Bayes' rule, with the fits (before the update) as what was known: the weights that `next` has in
    mind when it values a run by what it tells of the forms. Unlike stacking it needs no
    leave-one-out, which few runs of high leverage make unreliable.

    Parameters
    ----------
    fits, weights : mapping by form name
        Before the new runs.
    new : RunTable
        Runs with losses.

    Raises
    ------
    InputError
        Runs that a fit cannot take in (`require_new_runs`), weights that do not fit, or losses that
        no form thinks possible.
    """
    require_new_runs(fits, new)
    before = form_weights(tuple(fits), weights)
    loss = new.arrays().loss
    assert loss is not None
    log_density = {}
    for name, fit in fits.items():
        outcomes = fit_outcomes(fit, plan_for(fit, new))
        each = joint_log_density(outcomes, range(len(new)), np.log(loss)[None])[0]
        log_density[name] = float(logsumexp(each) - np.log(len(each)))
    with np.errstate(divide="ignore"):
        score = np.array([np.log(before[name]) + log_density[name] for name in fits])
    if not np.isfinite(score.max()):
        raise InputError("new runs: no form gives these losses a positive density")
    after = np.exp(score - logsumexp(score))
    return dict(zip(fits, after.tolist(), strict=True))


def _reweighting(fit: Fit, new: RunTable) -> tuple[str, float | None, float | None, Array | None]:
    """(why not to reweight, or nothing; Pareto k; effective draws; weights (J,))."""
    # Asked of the effects themselves: under Student-t noise the outcomes have them drawn in.
    if unseen_effects(fit, new).columns.any():
        return "the new runs have a degree or group level that was not fitted", None, None, None
    log_weights, k = _smoothed(fit, fit_outcomes(fit, new), new)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    share = float(1.0 / (weights**2).sum() / len(weights))
    ess = share * min(fit.verdict.ess_bulk_min, len(weights))
    if not k <= K_HIGH:
        return f"Pareto k {k:.2f} > {K_HIGH}", k, ess, None
    if ess < ESS_MIN:
        return f"{ess:.0f} effective draws < {ESS_MIN:.0f}", k, ess, None
    return "", k, ess, weights


def _smoothed(fit: Fit, outcomes: RunOutcomes, new: RunTable) -> tuple[Array, float]:
    loss = new.arrays().loss
    assert loss is not None
    rows: Sequence[int] = range(len(new))
    flat = np.full(fit.draws["sigma"].size, 1.0 / fit.draws["sigma"].size)
    weights = weights_after(outcomes, rows, np.log(loss)[None], flat)[0]
    with np.errstate(divide="ignore"):
        ratios = np.maximum(np.log(weights), -700.0)
    log_weights, k = array_stats.psislw(-ratios)  # it takes minus the log ratio, as LOO has it
    # Where a single draw has all the weight there is no tail to fit, and k is no number.
    return np.asarray(log_weights), float(k) if np.isfinite(k) else np.inf


def _resampled(fit: Fit, table: RunTable, weights: Array, ess: float | None, seed: int) -> Fit:
    """Draws picked systematically by their weights, in random order over the chains."""
    rng = np.random.default_rng([seed, 9])
    shape, size = fit.draws["sigma"].shape, len(weights)
    grid = (np.arange(size) + rng.uniform()) / size
    picked = np.minimum(np.searchsorted(np.cumsum(weights), grid), size - 1)
    picked = rng.permutation(picked)

    def take(values: dict[str, Array]) -> dict[str, Array]:
        flat = {name: v.reshape(-1, *v.shape[2:])[picked] for name, v in values.items()}
        return {name: v.reshape(*shape, *v.shape[1:]) for name, v in flat.items()}

    draws = take(fit.draws)
    draws["coefficients"] = _recentred(fit, table, draws)
    share = float(ess or 0.0) / min(fit.verdict.ess_bulk_min, size)
    verdict = replace(
        fit.verdict,
        ess_bulk_min=share * fit.verdict.ess_bulk_min,
        ess_tail_min=share * fit.verdict.ess_tail_min,
    )
    info = dict(fit.info)
    parts = (table, fit.spec, fit.anchors, fit.layout, verdict, info)
    return Fit(draws, take(fit.stats), *parts)


def _recentred(fit: Fit, table: RunTable, draws: dict[str, Array]) -> Array:
    """Coefficients of the same laws, level and drop stated at the joined rows' centre."""
    c = draws["coefficients"].copy()
    if fit.spec.loss_block == "natural":
        return c
    data = model_data(table, fit.spec, fit.anchors)
    log_info = log_information(draws, data, fit.spec, fit.layout)
    centre, spread = centre_and_spread(log_info, data.mask)
    reducible = reducible_share(draws, data, fit.spec)
    beta, level = draws["beta"], draws["log_alpha"]
    c[..., 0] = level - data.log_loss_mean - np.log(reducible) - beta * centre[..., 0]
    c[..., 1] = beta * reducible * spread[..., 0] / data.log_loss_range
    return c


def _refitted(fit: Fit, table: RunTable, seed: int) -> tuple[Fit, str]:
    """A refit from the old posterior, or from scratch where that cannot be or does not converge."""
    anchors = anchors_of(table, fit.spec)
    same_shape = layout_of(table, fit.spec, anchors) == fit.layout
    chains, draws = fit.draws["sigma"].shape
    settings = FitSettings(chains=chains, draws=draws, seed=seed)
    if same_shape:
        updated = refit_warm(fit, [table], [anchors], settings)[0]
        if updated.verdict.converged or not fit.verdict.converged:
            return updated, "refitted from the old posterior"
    return fit_cold(table, fit.spec, chains=chains, draws=draws, seed=seed), "refitted"


@one_blas_thread
def refit_warm(
    fit: Fit, tables: Sequence[RunTable], anchors: Sequence[Anchors], settings: FitSettings
) -> list[Fit]:
    """Fit tables beside the fit's own, in one program, from its posterior's coordinates.

    Parameters
    ----------
    tables : sequence of RunTable
        Of the fit's layout under `anchors`.
    settings : FitSettings
        Its warm-up is not used: 300 transitions follow a start that is nearly right.
    """
    from bayes_infolaw.inference.device import prepare_device
    from bayes_infolaw.inference.nuts import NutsSettings
    from bayes_infolaw.inference.problem import Problem
    from bayes_infolaw.inference.sample import sample_from
    from bayes_infolaw.inference.warm import warm_start

    started, spec = time.perf_counter(), fit.spec
    plan = prepare_device(settings.device, settings.chains * len(tables))
    problem = Problem(spec, fit.layout, collapses(spec, settings))
    mode = warm_start(problem, flat_draws(fit), settings.seed)
    data = [model_data(t, spec, a) for t, a in zip(tables, anchors, strict=True)]
    nuts = NutsSettings(settings.chains, settings.draws, WARM_WARMUP, seed=settings.seed)
    every = sample_from(problem, stack_tables(data), [mode] * len(data), nuts, plan)
    seconds = round(time.perf_counter() - started, 3)
    chosen = replace(settings, warmup=WARM_WARMUP)
    parts = zip(every, tables, anchors, strict=True)
    return [assemble(*judged(s), t, spec, a, fit.layout, chosen, seconds) for s, t, a in parts]


def _told(update: Update, before: Fit, new: RunTable) -> Update:
    """The update with its history in the fit: ``info["updates"]``, and a note for each."""
    info, runs = update.fit.info, [str(name) for name in new.frame["run"]]
    step = {name: getattr(update, name) for name in ("method", "reason", "pareto_k", "ess")}
    steps = [*before.info.get("updates", []), {**step, "runs": runs}]
    own = [note for note in info.get("notes", []) if not note.startswith(UPDATED)]
    told = [f"{UPDATED} {len(s['runs'])} new runs: {s['method']} ({s['reason']})." for s in steps]
    fit = replace(update.fit, info={**info, "notes": [*own, *told], "updates": steps})
    return replace(update, fit=fit)
