"""A fit and a plan -> posterior predictive losses, with what their spread is made of."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

from bayes_infolaw.errors import require_probability
from bayes_infolaw.model.linear import expected_log_loss
from bayes_infolaw.posterior.beyond import distance_beyond
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import RowDraws, row_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.tables.runs import RunTable

__all__ = ["loss_moments", "predict", "prediction_table"]

Array = np.ndarray
PARTS = ("parameters", "group", "noise")


def predict(
    fit: FittedModel,
    plan: RunTable | pd.DataFrame | str | Path,
    prob: float = 0.9,
    *,
    allow_unconverged: bool = False,
) -> xr.Dataset:
    """Predict the losses of planned runs.

    Parameters
    ----------
    fit : Fit
    plan : RunTable, DataFrame or path
        Run-table columns without loss; a grouping column left out, or a level never seen, is
        predicted as a new one (its spread is part of the interval).
    prob : float
        Probability of the equal-tailed intervals.
    allow_unconverged : bool

    Returns
    -------
    Dataset
        Dims (chain, draw, run): ``loss`` (a new run: parameters, group, noise), ``expected_loss``
        (no noise), ``log_loss`` (its mean given the draw, seen effects only) and ``noise_sd``
        (of log loss). Dim (run): the columns of `prediction_table`. Units are in the attrs.

    Raises
    ------
    InputError
        A bad plan row, or one outside the law's domain (K <= K_0, or lambda <= 0 in more than
        0.1 % of draws).
    RefusedError
        The fit did not converge.
    """
    require_probability("prob", prob)
    fit.require_usable(allow_unconverged)
    checked = plan_for(fit, plan)
    seed = int(fit.info.get("seed", 0))
    rows = row_draws(fit, checked, seed)
    mean_log = expected_log_loss(rows.log_reducible, rows.irreducible[:, 0], fit.spec)
    noise = _noise(fit, rows, seed)
    draws = {
        "loss": np.exp(mean_log + noise),
        "expected_loss": np.exp(mean_log),
        "noise_sd": rows.noise_sd,
    }
    dataset = _dataset(fit, checked, draws)
    moments = loss_moments(draws["loss"], draws["expected_loss"], fit.spec.noise)
    table = _per_run(draws, moments, _variances(rows, mean_log), prob)
    beyond = distance_beyond(checked.arrays(), fit.table.arrays())
    return _with_runs(dataset, pd.concat([table, beyond], axis=1), fit, checked, prob)


def _noise(fit: FittedModel, rows: RowDraws, seed: int) -> Array:
    rng = np.random.default_rng([seed, 3])
    z = rng.standard_normal(rows.noise_sd.shape)
    if fit.spec.noise == "studentt":
        nu = fit.draws["nu"].reshape(-1, 1)
        z = z / np.sqrt(rng.chisquare(np.broadcast_to(nu, z.shape)) / nu)
    return rows.noise_sd * z


def _variances(rows: RowDraws, mean_log: Array) -> dict[str, Array]:
    """Variance of log loss by cause; by the law of total variance they add up."""
    reducible = 1.0 - rows.irreducible / np.exp(mean_log)
    group = np.nanmean((reducible * rows.group_sd) ** 2, axis=0)
    parameters = np.nanvar(mean_log, axis=0) - group
    noise = np.nanmean(rows.noise_sd**2, axis=0)
    return dict(zip(PARTS, (np.maximum(parameters, 0.0), group, noise), strict=True))


def loss_moments(loss: Array, expected_loss: Array, noise: str) -> tuple[Array, Array]:
    """Mean and standard deviation of each run's loss over the draws (draws, runs).

    The exponential of a Student-t variable has no moments, so under such noise these are the mean
    without noise and half the width of the central 68.3 % interval.
    """
    if noise != "studentt":
        return np.nanmean(loss, axis=0), np.nanstd(loss, axis=0, ddof=1)
    low, high = np.nanquantile(loss, ndtr([-1.0, 1.0]), axis=0)
    return np.nanmean(expected_loss, axis=0), (high - low) / 2.0


def _per_run(
    draws: dict[str, Array],
    moments: tuple[Array, Array],
    variance: dict[str, Array],
    prob: float,
) -> pd.DataFrame:
    tails = [(1 - prob) / 2, (1 + prob) / 2]
    loss_lo, loss_hi = np.nanquantile(draws["loss"], tails, axis=0)
    mean_lo, mean_hi = np.nanquantile(draws["expected_loss"], tails, axis=0)
    columns = {
        "loss_mean": moments[0],
        "loss_sd": moments[1],
        "loss_lo": loss_lo,
        "loss_hi": loss_hi,
        "mean_lo": mean_lo,
        "mean_hi": mean_hi,
        "prob": np.full(len(loss_lo), prob),
    }
    return pd.DataFrame(columns | {f"variance_{part}": variance[part] for part in PARTS})


def _dataset(fit: FittedModel, plan: RunTable, draws: dict[str, Array]) -> xr.Dataset:
    shape = (*fit.draws["sigma"].shape, len(plan))
    dims = ("chain", "draw", "run")
    coords = {
        "chain": np.arange(shape[0]),
        "draw": np.arange(shape[1]),
        "run": plan.frame["run"].astype(str).to_numpy(dtype=object),
    }
    variables = {name: (dims, value.reshape(shape)) for name, value in draws.items()}
    return xr.Dataset(variables, coords)


def _with_runs(
    dataset: xr.Dataset, table: pd.DataFrame, fit: FittedModel, plan: RunTable, prob: float
) -> xr.Dataset:
    dataset = dataset.assign({name: ("run", table[name].to_numpy()) for name in table})
    unit = fit.table.loss_unit
    for name in ("loss", "expected_loss", "loss_mean", "loss_sd", "loss_lo", "loss_hi"):
        dataset[name].attrs["units"] = unit
    for name in ("mean_lo", "mean_hi"):
        dataset[name].attrs["units"] = unit
    dataset["noise_sd"].attrs["units"] = "log loss"
    for part in PARTS:
        dataset[f"variance_{part}"].attrs["units"] = "squared log loss"
    attrs = {"prob": prob, "interval": "equal-tailed", "loss_unit": unit}
    return dataset.assign_attrs(attrs | {"notes": list(plan.notes)})


def prediction_table(dataset: xr.Dataset, plan: RunTable) -> pd.DataFrame:
    """Plan columns and, beside them, the predictions of `predict`: one row a planned run."""
    names = [str(n) for n, v in dataset.data_vars.items() if v.dims == ("run",)]
    columns = {name: dataset[name].to_numpy() for name in names}
    given = [c for c in plan.frame.columns if c not in columns]
    return plan.frame[given].assign(**columns)
