"""A run table and a hold-out rule -> how well the law predicts what it has not seen."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_infolaw.baselines import BaselineFit, fit_baselines
from bayes_infolaw.errors import InputError
from bayes_infolaw.model.anchors import default_tokens_0
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.fitting import fit
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.predict import loss_moments, prediction_table
from bayes_infolaw.posterior.rows import law_at_rows
from bayes_infolaw.tables import read_runs
from bayes_infolaw.tables.informing import require_enough_runs
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.validation.report import MethodScores, Validation
from bayes_infolaw.validation.scores import Scores, normal_draws, score
from bayes_infolaw.validation.split import split

__all__ = ["score_held_out", "validate"]

Array = np.ndarray


def validate(
    table: RunTable | pd.DataFrame | str | Path,
    hold_out: str,
    model: str | Path | ModelSpec = "infolaw",
    *,
    buckets: Sequence[str] | None = None,
    prior_dominated: bool = False,
    allow_unconverged: bool = False,
    prob: float = 0.9,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Validation:
    """Fit a part of a table, predict the rest and score that, beside the baselines.

    Parameters
    ----------
    table : RunTable, DataFrame or path
        Anything `read_runs` reads.
    hold_out : str
        Which runs to hold out: ``largest-compute``, ``largest-size``, ``group=NAME`` or an
        expression; see `validation.split.split`.
    model : str, Path or ModelSpec
        Name of a shipped model, or a model file.
    buckets : sequence of str, optional
        Bucket names, best first, where the table does not declare them.
    prior_dominated : bool
        Accept fewer runs than parameters that they can inform.
    allow_unconverged : bool
        Score a fit that did not converge.
    prob : float
        Of the intervals in `Validation.rows`.
    progress : callable, optional
        Called with (blocks done, blocks in all).
    **settings
        Fields of `posterior.fitting.FitSettings`.

    Raises
    ------
    InputError
        A bad table, rule, model or setting, or no held-out run inside the law's domain.
    RefusedError
        The fit did not converge.
    """
    if not isinstance(table, RunTable):
        table = read_runs(table, buckets=buckets, prior_dominated=prior_dominated)
    rest, held = split(table, hold_out)
    rest = require_enough_runs(rest, prior_dominated)
    fitted = fit(rest, model, progress=progress, **settings)
    return score_held_out(fitted, held, hold_out, prob, allow_unconverged=allow_unconverged)


def score_held_out(
    fitted: Fit,
    held: RunTable,
    hold_out: str = "given",
    prob: float = 0.9,
    *,
    allow_unconverged: bool = False,
) -> Validation:
    """Score a fit, and baselines fitted to the same runs, on measured runs that it has not seen.

    Held-out runs outside the law's domain are left out for every method, and listed with the
    reason.

    Raises
    ------
    InputError
        No held-out run is inside the law's domain (the first one's reason), or they do not match
        the fit's buckets or loss unit.
    RefusedError
        The fit did not converge.
    """
    fitted.require_usable(allow_unconverged)
    outside = _outside(fitted, held)
    if len(outside) == len(held):
        raise InputError(f"hold-out {hold_out!r}: {next(iter(outside.values()))}")
    inside = held.subset(~held.frame["run"].astype(str).isin(outside).to_numpy())
    predicted = fitted.predict(inside, prob, allow_unconverged=allow_unconverged)
    runs, known = fitted.table.arrays(), inside.arrays()
    baselines = fit_baselines(runs, K_0=_tokens_0(fitted), seed=int(fitted.info.get("seed", 0)))
    return Validation(
        hold_out=hold_out,
        fit=fitted,
        held=inside,
        outside=outside,
        law=MethodScores(f"{fitted.spec.name} (this fit)", _law_scores(fitted, predicted, inside)),
        baselines={key: _baseline_scores(found, known) for key, found in baselines.items()},
        rows=_rows(predicted, inside),
    )


def _outside(fitted: Fit, held: RunTable) -> dict[str, str]:
    """Held-out runs outside the law's domain and why; row by row only where there is one."""
    plan, seed = plan_for(fitted, held), int(fitted.info.get("seed", 0))
    try:
        law_at_rows(fitted, plan, seed)
    except InputError:
        return _each_outside(fitted, plan, seed)
    return {}


def _each_outside(fitted: Fit, plan: RunTable, seed: int) -> dict[str, str]:
    reasons = {}
    for position, run in enumerate(plan.frame["run"].astype(str)):
        try:
            law_at_rows(fitted, plan.subset([position]), seed)
        except InputError as error:
            reasons[run] = str(error)
    return reasons


def _tokens_0(fitted: Fit) -> float:
    """K_0 of the paper's procedure: the fit's, or the default rule where the fit has none."""
    fixed = fitted.anchors.tokens_0
    return default_tokens_0(fitted.anchors.tokens_min) if fixed is None else fixed


def _law_scores(fitted: Fit, predicted: xr.Dataset, held: RunTable) -> Scores | None:
    names = ("loss", "expected_loss", "noise_sd")
    flat = [predicted[name].to_numpy().reshape(-1, len(held)) for name in names]
    # A draw in which one row leaves the law's domain (at most 0.1 % a row) is dropped for all.
    kept = np.isfinite(flat[0]).all(axis=1)
    draws, expected, sd = (array[kept] for array in flat)
    if fitted.spec.noise == "studentt":
        sd = sd * _scale_weights(fitted, kept, sd.shape)
    centre, _ = loss_moments(draws, expected, fitted.spec.noise)
    return score(_loss(held), centre, draws, np.log(expected), sd)


def _scale_weights(fitted: Fit, kept: Array, shape: tuple[int, ...]) -> Array:
    """Student's t as a normal with a drawn scale, so that its log density is a normal mixture."""
    nu = fitted.draws["nu"].reshape(-1, 1)[kept]
    rng = np.random.default_rng([int(fitted.info.get("seed", 0)), 4])
    return np.sqrt(nu / rng.chisquare(np.broadcast_to(nu, shape)))


def _baseline_scores(found: BaselineFit, known: Any) -> MethodScores:
    if found.baseline is None:
        return MethodScores(found.name, None, found.reason)
    predicted, sd = found.baseline.predict(known), found.baseline.log_sd
    scores = score(
        known.loss,
        predicted,
        normal_draws(predicted, sd),
        np.log(predicted)[None],
        np.full((1, len(predicted)), sd),
    )
    reason = "" if scores else f"{found.name}: no held-out run lies inside its domain"
    return MethodScores(found.name, scores, reason, found.baseline.parameters)


def _rows(predicted: xr.Dataset, held: RunTable) -> pd.DataFrame:
    loss, mean = _loss(held), predicted["loss_mean"].to_numpy()
    table = prediction_table(predicted, held)
    return table.assign(loss=loss, error_percent=100.0 * (mean / loss - 1.0))


def _loss(held: RunTable) -> Array:
    loss = held.arrays().loss
    if loss is None:
        raise InputError("held-out runs: column loss is missing; scores need measured losses")
    return loss
