"""A fit and a budget -> candidate runs within it, where the user names none.

Sizes, degrees and recipes are the fit's own, and beside them what the paper's design lacks: the
best bucket alone, a source smaller and larger than the run, and another overtraining degree. Runs
at a degree that was not fitted come in pairs: the first of them only tells the degree's level.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.decisions.labels import label_columns
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.degrees import degree_clusters
from bayes_infolaw.laws.overtraining import tokens_at_degree
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.state import FittedModel
from bayes_infolaw.posterior.target import source_shares
from bayes_infolaw.tables.runs import RunTable

__all__ = ["common_labels", "propose_runs", "within_budget"]

Array = np.ndarray
SIZES = 5  # at most, spread over the fit's
SOURCE_RATIOS = (0.1, 0.5, 1.0, 4.0)  # S / K
OTHER_DEGREE = 6.0  # factor on m of a degree that is new to a fit with one


def propose_runs(
    fit: FittedModel,
    budget: float,
    *,
    recipe: Array | None = None,
    shares: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
) -> RunTable:
    """Candidate runs that cost at most `budget` each (each set of runs together).

    Parameters
    ----------
    fit : FittedModel
    budget : float
        Training FLOP of one candidate.
    recipe : array of shape (D,), optional
        The target's recipe: run as well.
    shares : mapping, optional
        Source shares by bucket name; by default those of the fitted runs, if all agree.
    labels : mapping, optional
        Values of corpus and group columns; by default the table's most frequent. Those of columns
        that this fit lacks are stated all the same, for fits that have them.

    Raises
    ------
    InputError
        No such run is within the budget.
    """
    if not (np.isfinite(budget) and budget > 0):
        raise InputError(f"budget: must be FLOP > 0, got {budget!r}")
    source = source_shares(fit, shares)
    rows = list(_rows(fit, _recipes(fit, recipe, source)))
    columns = {f"share_{name}": share for name, share in source.items()}
    frame = pd.DataFrame(rows).assign(**columns, **common_labels(fit) | dict(labels or {}))
    affordable = within_budget(plan_for(fit, frame), budget).frame["run"]
    return plan_for(fit, frame[frame["run"].isin(affordable)])


def common_labels(fit: FittedModel) -> dict[str, str]:
    """The most frequent value of every grouping column of a fit, and of its corpus column."""
    frame = fit.table.frame
    return {name: frame[name].astype(str).mode().iloc[0] for name in label_columns(fit)}


def within_budget(plan: RunTable, budget: float) -> RunTable:
    """The candidates of a plan that cost at most `budget` FLOP, each set of runs together.

    Raises
    ------
    InputError
        None does.
    """
    alone = plan.frame["run"].astype(str)
    groups = plan.frame["set"].fillna(alone) if "set" in plan.frame else alone
    cost = pd.Series(plan.arrays().compute).groupby(groups).transform("sum").to_numpy()
    within = cost <= budget
    if not within.any():
        raise InputError(
            f"budget: must pay for a candidate (the cheapest costs {cost.min():.3g} FLOP), "
            f"got {budget:.3g}"
        )
    return plan.subset(within)


def _rows(fit: FittedModel, recipes: Mapping[str, Array]) -> Iterator[dict[str, Any]]:
    degrees, new = _degrees(fit)
    least = fit.anchors.tokens_min
    for size, (params, flops) in _sizes(fit):
        for degree in degrees:
            tokens = float(tokens_at_degree(flops, degree))
            if tokens < 0.99 * least:  # below the fitted lengths the law may not hold
                continue
            base = {"params_nonembedding": params, "tokens": tokens} | _flops(fit, flops)
            where = f"{size}-m{degree:.3g}"
            for name, weights in recipes.items():
                for ratio in SOURCE_RATIOS:
                    run = _row(fit, f"{where}-{name}-S{ratio:g}K", base, weights, ratio)
                    yield run | {"set": run["run"]}
                    if degree in new:
                        yield _partner(fit, run, base, recipes)


def _row(
    fit: FittedModel, run: str, base: Mapping[str, Any], weights: Array, ratio: float
) -> dict[str, Any]:
    packed = {f"w_{b}": w for b, w in zip(fit.table.buckets, weights, strict=True)}
    return {"run": run, **base, "source_tokens": ratio * base["tokens"], **packed}


def _partner(
    fit: FittedModel,
    run: Mapping[str, Any],
    base: Mapping[str, Any],
    recipes: Mapping[str, Array],
) -> dict[str, Any]:
    """A run of the same size and degree whose source is another: the level cancels."""
    ratio = 1.0 if run["source_tokens"] != base["tokens"] else SOURCE_RATIOS[0]
    weights = next(iter(recipes.values()))
    return _row(fit, f"{run['run']}-pair", base, weights, ratio) | {"set": run["run"]}


def _sizes(fit: FittedModel) -> list[tuple[str, tuple[float, float]]]:
    """At most SIZES of the fitted (parameters, M), spread from the smallest to the largest."""
    runs = fit.table.arrays()
    pairs = np.unique(np.column_stack([runs.params, runs.flops_per_token]), axis=0)
    _, first = np.unique(pairs[:, 0], return_index=True)
    pairs = pairs[first]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(SIZES, len(pairs))).round().astype(int))
    return [(_million(p), (float(p), float(m))) for p, m in pairs[chosen]]


def _million(params: float) -> str:
    return f"{params / 1e9:.3g}B" if params >= 1e9 else f"{params / 1e6:.3g}M"


def _degrees(fit: FittedModel) -> tuple[list[float], set[float]]:
    """Two degrees, for a second one is what tells forms apart, and which of them is new.

    The most frequent one (the middle one of equals) and the fitted one farthest from it; of a fit
    that knows one level, a new one.
    """
    centres, counts, _ = degree_clusters(np.log(fit.table.arrays().overtraining))
    off_middle = np.abs(centres - np.median(centres))
    common = centres[np.lexsort((off_middle, -counts))[0]]
    if fit.anchors.intercept == "single":
        other = float(np.exp(common)) * OTHER_DEGREE
        return [float(np.exp(common)), other], {other}
    farthest = centres[np.argmax(np.abs(centres - common))]
    return np.exp(np.unique([common, farthest])).tolist(), set()


def _recipes(
    fit: FittedModel, recipe: Array | None, shares: Mapping[str, float]
) -> dict[str, Array]:
    """The least and the most concentrated fitted recipe, the best bucket alone, the target's.

    Each once, and only where the source has every bucket that is packed.
    """
    fitted = np.unique(fit.table.arrays().weights.round(6), axis=0)
    fitted = fitted[np.argsort(fitted.max(axis=1), kind="stable")]
    fitted = fitted / fitted.sum(axis=1, keepdims=True)
    named = {"fitted1": fitted[0], "fitted2": fitted[-1]}
    named[f"only-{fit.table.buckets[0]}"] = np.eye(fit.table.n_buckets)[0]
    if recipe is not None:
        named["target"] = np.asarray(recipe, dtype=float)
    source = np.array([shares[name] for name in fit.table.buckets])
    found: dict[str, Array] = {}
    for name, weights in named.items():
        known = any(np.allclose(weights, other, atol=1e-6) for other in found.values())
        if not known and not (weights[source <= 0] > 0).any():
            found[name] = weights
    if not found:
        raise InputError(f"shares: must be > 0 where a recipe to run needs them, got {shares}")
    return found


def _flops(fit: FittedModel, flops: float) -> dict[str, float]:
    """M, where the fitted table has one: plan and fit must derive m alike."""
    return {"flops_per_token": flops} if fit.table.provenance.get("flops_from") == "table" else {}
