"""Which parameters of the law a table can inform, and whether it has runs enough for them."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.runs import RunArrays, RunTable

__all__ = ["one_recipe", "one_size", "require_enough_runs", "runs_informing"]

PARAMETERS = ("theta", "a", "b", "alpha", "beta")
SIZE_STEP = 1.05
"""Sizes nearer than 5 % count as one: no slope in ln N can be read off them."""
RECIPE_STEP = 0.005
"""Recipes that differ by less than shares may be off count as one."""


def one_recipe(runs: RunArrays) -> bool:
    """Whether all runs share one recipe and one pattern of repetition: theta is not informed.

    Parameters
    ----------
    runs : RunArrays
        n runs, D buckets.

    Returns
    -------
    bool
        No packed share w_d and no U_d / K moves by more than 0.005; always True for one bucket.
    """
    pattern = np.hstack([runs.weights, runs.unique / runs.tokens[:, None]])
    return runs.weights.shape[1] == 1 or bool(np.all(np.ptp(pattern, axis=0) <= RECIPE_STEP))


def one_size(runs: RunArrays) -> bool:
    """Whether all models are within 5 % of one size (parameters): a is not informed."""
    return bool(runs.params.max() <= SIZE_STEP * runs.params.min())


def runs_informing(table: RunTable) -> tuple[str, ...]:
    """Parameters of the law that the table can inform, in the law's order.

    Returns
    -------
    tuple of str
        Of theta, a, b, alpha, beta. theta needs more than one bucket and two distinct recipes, or
        one recipe under two patterns of repetition; a needs two sizes more than 5 % apart.
    """
    runs = table.arrays()
    uninformed = {"theta": one_recipe(runs), "a": one_size(runs)}
    return tuple(name for name in PARAMETERS if not uninformed.get(name, False))


def require_enough_runs(table: RunTable, prior_dominated: bool = False) -> RunTable:
    """Refuse runs that cannot inform the law; note it where that is allowed.

    Parameters
    ----------
    table : RunTable
        With losses.
    prior_dominated : bool
        Accept them, with a note for each rule that they break.

    Returns
    -------
    RunTable

    Raises
    ------
    InputError
        Fewer runs than the parameters they inform, or the same loss in every run.
    """
    lacks = [lack for lack in (_too_few(table), _one_loss(table)) if lack is not None]
    if lacks and not prior_dominated:
        raise InputError(lacks[0].error)
    return replace(table, notes=(*table.notes, *(lack.note for lack in lacks)))


class _Lack(NamedTuple):
    error: str
    note: str


def _too_few(table: RunTable) -> _Lack | None:
    informed = runs_informing(table)
    if len(table) >= len(informed):
        return None
    said = f"{len(informed)} parameters of the law that they inform ({', '.join(informed)})"
    rule = f"needs at least as many runs as the {said}, or --prior-dominated"
    return _Lack(
        error=f"table: {rule}, got {len(table)} runs",
        note=f"{len(table)} runs are fewer than the {said}: the priors dominate.",
    )


def _one_loss(table: RunTable) -> _Lack | None:
    loss = table.arrays().loss
    if loss is None or len(loss) == 1 or np.ptp(loss) > 0:  # one run is already told to be few
        return None
    rule = "needs at least two different losses to fit the law, or --prior-dominated"
    every = f"{loss[0]:.8g} in all {len(loss)} runs"
    return _Lack(
        error=f"column loss: {rule}, got {every}",
        note=f"the loss is {every}: the priors dominate.",
    )
