"""Many tables of one shape -> many fits, in one compiled program: the base of coverage studies."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.model.anchors import Anchors, anchors_of
from bayes_infolaw.model.layout import Layout, ModelData, layout_of, model_data
from bayes_infolaw.model.library import find_model
from bayes_infolaw.model.spec import ModelSpec
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.fitting import FitSettings, assemble, collapses, judged
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.threads import one_blas_thread

__all__ = ["fit_many", "stack_tables"]


def stack_tables(tables: Sequence[ModelData]) -> ModelData:
    """Stack arrays of several tables on a new leading axis.

    Shorter tables are padded by repeating their last row with ``mask`` 0, which the density
    ignores; every value stays finite.
    """
    longest = max(len(table.mask) for table in tables)
    padded = [_pad(table, longest - len(table.mask)) for table in tables]
    stacked: list[Any] = [np.stack(arrays) for arrays in zip(*padded, strict=True)]
    return ModelData(*stacked)


def _pad(table: ModelData, extra: int) -> ModelData:
    n = len(table.mask)
    rows = np.r_[np.arange(n), np.full(extra, n - 1)]
    grown = {k: v[rows] for k, v in table._asdict().items() if np.ndim(v) and len(v) == n}
    return table._replace(**{**grown, "mask": np.r_[table.mask, np.zeros(extra)]})


@one_blas_thread
def fit_many(
    tables: Sequence[RunTable],
    model: str | ModelSpec = "infolaw",
    *,
    anchors: Anchors | None = None,
    n_starts: int = 8,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> list[Fit]:
    """Fit one model to many tables at once.

    Parameters
    ----------
    tables : sequence of RunTable
        Any numbers of rows; bucket number, degrees and group levels must give the same layout.
    model : str or ModelSpec
    anchors : Anchors, optional
        Shared by all tables; by default each table's own.
    n_starts : int
        Mode searches a table.
    **settings
        Fields of `FitSettings` except ``backend``.

    Returns
    -------
    list of Fit, in the order of the tables
        Each with its verdict; unlike `fit`, none is tried again.

    Raises
    ------
    InputError
        Tables of different layouts.
    """
    from bayes_infolaw.inference.nuts import NutsSettings
    from bayes_infolaw.inference.problem import Problem
    from bayes_infolaw.inference.sample import sample_tables

    chosen, spec, started = FitSettings(**settings), find_model(model), time.perf_counter()
    if chosen.backend != "numpyro":
        raise InputError(f"backend: many fits at once need numpyro, got {chosen.backend!r}")
    every = [anchors or anchors_of(table, spec) for table in tables]
    layout = _common_layout([layout_of(t, spec, a) for t, a in zip(tables, every, strict=True)])
    data = [model_data(t, spec, a) for t, a in zip(tables, every, strict=True)]
    plan = prepare_device(chosen.device, chosen.chains * len(tables))
    problem = Problem(spec, layout, collapses(spec, chosen))
    nuts = NutsSettings(chosen.chains, chosen.draws, chosen.warmup, seed=chosen.seed)
    sampled = sample_tables(problem, stack_tables(data), nuts, plan, progress, n_starts)
    seconds = round(time.perf_counter() - started, 3)
    parts = zip(sampled, tables, every, strict=True)
    return [assemble(*judged(s), t, spec, a, layout, chosen, seconds) for s, t, a in parts]


def _common_layout(layouts: list[Layout]) -> Layout:
    for i, layout in enumerate(layouts):
        if layout != layouts[0]:
            raise InputError(
                f"tables: all must have the layout of the first ({layouts[0]}), got {layout} in "
                f"table {i + 1}"
            )
    return layouts[0]
