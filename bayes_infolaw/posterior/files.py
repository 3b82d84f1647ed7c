"""A fit <-> one netCDF file, an ArviZ 1.x DataTree that any xarray can open."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_infolaw.errors import InputError
from bayes_infolaw.model.anchors import Anchors
from bayes_infolaw.model.layout import layout_of
from bayes_infolaw.model.linear import coefficient_names
from bayes_infolaw.model.spec import spec_from_table
from bayes_infolaw.posterior.pointwise import log_likelihood_draws, log_prior_draws
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.verdict import Verdict
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.whole_file import write_whole

__all__ = ["read_fields", "save_fit", "to_datatree"]

FORMAT = 1
DRAW_DIMS = ("chain", "draw")


def to_datatree(
    fit: FittedModel, *, log_likelihood: bool = False, log_prior: bool = False
) -> xr.DataTree:
    """The fit as a DataTree.

    Groups: ``posterior`` (reported parameters, in the units of the attrs), ``draws`` (what the
    sampler moved in), ``sample_stats``, ``observed_data``, ``constant_data`` (the fitted rows), and
    on demand ``log_likelihood`` (pointwise, of log loss) and ``log_prior`` (top-level priors).
    """
    run = fit.table.frame["run"].astype(str).to_numpy(dtype=object)
    groups = {
        "posterior": _by_draw(fit.parameters(), {}),
        "draws": _by_draw(fit.draws, _inner_dims(fit)),
        "sample_stats": _by_draw(fit.stats, {}),
        "observed_data": xr.Dataset({"log_loss": ("run", fit.data.log_loss)}, {"run": run}),
        "constant_data": _frame_dataset(fit.table.frame, run),
    }
    if log_likelihood:
        pointwise = {"log_loss": log_likelihood_draws(fit)}
        per_run = _by_draw(pointwise, {"log_loss": ("run",)})
        groups["log_likelihood"] = per_run.assign_coords(run=run)
    if log_prior:
        groups["log_prior"] = _by_draw(log_prior_draws(fit), {})
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = {"bayes_infolaw": json.dumps(_facts(fit))}
    tree["posterior"].attrs["units"] = json.dumps(fit.units)
    return tree


def _by_draw(values: dict[str, np.ndarray], inner: Mapping[str, tuple[str, ...]]) -> xr.Dataset:
    first = next(iter(values.values()))
    coords = {dim: np.arange(size) for dim, size in zip(DRAW_DIMS, first.shape[:2], strict=True)}
    variables = {
        _safe(name): ((*DRAW_DIMS, *inner.get(name, ())), value) for name, value in values.items()
    }
    return xr.Dataset(variables, coords)


def _safe(name: str) -> str:
    """NetCDF names hold no slash (group levels such as corpus paths may)."""
    return name.replace("/", "|")


def _inner_dims(fit: FittedModel) -> dict[str, tuple[str, ...]]:
    return {
        "coefficients": ("coefficient",),
        "theta_corpus_z": ("corpus",),
        "step_z": ("step",),
    }


def _frame_dataset(frame: pd.DataFrame, run: np.ndarray) -> xr.Dataset:
    variables: dict[str, Any] = {}
    for name in frame.columns:
        if name == "run":
            continue
        numeric = pd.api.types.is_numeric_dtype(frame[name].dtype)
        values = frame[name].to_numpy(dtype=float) if numeric else _text(frame[name])
        variables[_safe(str(name))] = ("run", values)
    return xr.Dataset(variables, {"run": run})


def _text(column: pd.Series) -> np.ndarray:
    return column.astype(object).where(column.notna(), "").astype(str).to_numpy(dtype=object)


def _facts(fit: FittedModel) -> dict[str, Any]:
    table = fit.table
    return {
        "format": FORMAT,
        "model": dict(fit.spec.table),
        "model_name": fit.spec.name,
        "K_0": fit.spec.tokens_0,
        "anchors": fit.anchors.to_dict(),
        "verdict": fit.verdict.to_dict(),
        "units": fit.units,
        "prior_only": fit.prior_only,
        "draws": list(fit.draws),
        "coefficients": coefficient_names(fit.spec, fit.layout),
        "info": fit.info,
        "table": {
            "buckets": table.buckets,
            "loss_unit": table.loss_unit,
            "groups": table.groups,
            "corpus": table.corpus,
            "notes": table.notes,
            "data_hash": table.data_hash,
            "simulated": table.simulated,
            "provenance": table.provenance,
            "columns": [str(c) for c in table.frame.columns],
        },
    }


def save_fit(fit: FittedModel, path: str | Path) -> None:
    """Write a fit; the file appears whole or not at all.

    Raises
    ------
    InputError
        The folder does not exist.
    """
    write_whole(path, lambda name: to_datatree(fit).to_netcdf(name, engine="h5netcdf"))


def read_fields(path: str | Path) -> dict[str, Any]:
    """Read the fields of a fit written by `save_fit`.

    Raises
    ------
    InputError
        No such file, not a fit file, or its rows do not match their hash.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"fit: file must exist, got {str(path)!r}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            loaded = tree.load()
        facts = json.loads(loaded.attrs["bayes_infolaw"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"fit: must be a bayes-infolaw fit file, got {str(path)!r}") from error
    return _fields_from(loaded, facts, path)


def _fields_from(tree: xr.DataTree, facts: dict[str, Any], path: Path) -> dict[str, Any]:
    table = _table_from(tree["constant_data"].to_dataset(), facts["table"])
    if table.compute_hash() != table.data_hash:
        raise InputError(f"fit: rows in {str(path)!r} do not match their data hash")
    spec = spec_from_table(facts["model"]).with_tokens_0(facts["K_0"])
    anchors = Anchors.from_dict(facts["anchors"])
    return dict(
        draws={name: tree["draws"][_safe(name)].to_numpy() for name in facts["draws"]},
        stats={str(k): v.to_numpy() for k, v in tree["sample_stats"].to_dataset().items()},
        table=table,
        spec=spec,
        anchors=anchors,
        layout=layout_of(table, spec, anchors),
        verdict=Verdict.from_dict(facts["verdict"]),
        info=facts["info"],
    )


def _table_from(rows: xr.Dataset, facts: dict[str, Any]) -> RunTable:
    columns = {
        name: rows["run" if name == "run" else _safe(name)].to_numpy() for name in facts["columns"]
    }
    return RunTable(
        frame=pd.DataFrame(columns),
        buckets=tuple(facts["buckets"]),
        loss_unit=facts["loss_unit"],
        groups=tuple(facts["groups"]),
        corpus=facts["corpus"],
        notes=tuple(facts["notes"]),
        data_hash=facts["data_hash"],
        simulated=facts["simulated"],
        provenance=facts["provenance"],
    )
