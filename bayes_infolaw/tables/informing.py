"""Which parameters of the law a table can inform, and whether it has runs enough for them."""

from dataclasses import replace

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.runs import RunTable

__all__ = ["require_enough_runs", "runs_informing"]

SIZE_STEP = 1.05
"""Sizes nearer than 5 % count as one: no slope in ln N can be read off them."""
RECIPE_STEP = 0.005
"""Recipes that differ by less than shares may be off count as one."""


def runs_informing(table: RunTable) -> tuple[str, ...]:
    """Parameters of the law that the table can inform, in the law's order.

    Returns
    -------
    tuple of str
        Of theta, a, b, alpha, beta. theta needs more than one bucket and two distinct recipes, or
        one recipe under two patterns of repetition; a needs two sizes more than 5 % apart.
    """
    arrays = table.arrays()
    pattern = np.hstack([arrays.weights, arrays.unique / arrays.tokens[:, None]])
    mixed = table.n_buckets > 1 and bool(np.any(np.ptp(pattern, axis=0) > RECIPE_STEP))
    sizes = bool(arrays.params.max() > SIZE_STEP * arrays.params.min())
    informed = {"theta": mixed, "a": sizes, "b": True, "alpha": True, "beta": True}
    return tuple(name for name, has in informed.items() if has)


def require_enough_runs(table: RunTable, prior_dominated: bool = False) -> RunTable:
    """Refuse fewer runs than the parameters they inform (InputError); note it where allowed."""
    informed = runs_informing(table)
    if len(table) >= len(informed):
        return table
    said = f"{len(informed)} parameters of the law that they inform ({', '.join(informed)})"
    if not prior_dominated:
        rule = f"needs at least as many runs as the {said}, or --prior-dominated"
        raise InputError(f"table: {rule}, got {len(table)} runs")
    note = f"{len(table)} runs are fewer than the {said}: the priors dominate."
    return replace(table, notes=(*table.notes, note))
