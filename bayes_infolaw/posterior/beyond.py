"""How far a planned run lies beyond the fitted ones: compute, repetition, degree, convex hull."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from bayes_infolaw.tables.runs import RunArrays

__all__ = ["distance_beyond", "factors_beyond", "run_beyond"]

Array = np.ndarray
SLACK = 1e-6


def distance_beyond(plan: RunArrays, data: RunArrays) -> pd.DataFrame:
    """Distances of every plan row from the fitted rows.

    Returns
    -------
    DataFrame of len(plan) rows
        ``beyond_compute``: C over the largest fitted C; ``beyond_repetition``: the largest T over
        the largest fitted T (both below 1 inside); ``beyond_degree``: factor by which m leaves the
        fitted range, 1 inside; ``inside_hull``: whether (ln N, ln K, ln S, shares, ln T) is a
        convex combination of fitted rows.
    """
    factors = {f"beyond_{name}": value for name, value in factors_beyond(plan, data).items()}
    return pd.DataFrame({**factors, "inside_hull": _inside_hull(_features(plan), _features(data))})


def run_beyond(run: RunArrays, data: RunArrays) -> dict[str, Any]:
    """`distance_beyond` of a plan of one row: ``compute, repetition, degree, inside_hull``."""
    distance = distance_beyond(run, data).iloc[0].to_dict()
    return {str(name).removeprefix("beyond_"): value for name, value in distance.items()}


def factors_beyond(plan: RunArrays, data: RunArrays) -> dict[str, Array]:
    """Factors (n,) of every plan row beyond the fitted ones, as `distance_beyond` has them.

    Returns
    -------
    dict of array
        ``compute``, ``repetition``, ``degree``.
    """
    low, high = data.overtraining.min(), data.overtraining.max()
    m = plan.overtraining
    return {
        "compute": plan.compute / data.compute.max(),
        "repetition": plan.repetition.max(axis=1) / data.repetition.max(),
        "degree": np.maximum(np.maximum(m / high, low / m), 1.0),
    }


def _features(runs: RunArrays) -> Array:
    sizes = [np.log(runs.flops), np.log(runs.tokens), np.log(runs.source_tokens)]
    return np.column_stack([*sizes, runs.weights[:, :-1], np.log(runs.repetition)])


def _inside_hull(points: Array, data: Array) -> Array:
    scale = np.maximum(np.ptp(data, axis=0), SLACK)
    centred, vertices = (points - data.mean(axis=0)) / scale, (data - data.mean(axis=0)) / scale
    in_box = ((centred >= vertices.min(0) - SLACK) & (centred <= vertices.max(0) + SLACK)).all(1)
    return np.array(
        [ok and _is_mixture(p, vertices) for ok, p in zip(in_box, centred, strict=True)]
    )


def _is_mixture(point: Array, vertices: Array) -> bool:
    """Least total deviation from a convex combination, as a linear program (always feasible)."""
    n, d = vertices.shape
    equal = np.hstack([vertices.T, np.eye(d), -np.eye(d)])
    equal = np.vstack([equal, np.r_[np.ones(n), np.zeros(2 * d)]])
    cost = np.r_[np.zeros(n), np.ones(2 * d)]
    solution = linprog(cost, A_eq=equal, b_eq=np.r_[point, 1.0], method="highs")
    return bool(solution.status == 0 and solution.fun < SLACK * d)
