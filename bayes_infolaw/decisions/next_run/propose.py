"""A fit and a budget -> candidate runs within it, where the user names none.

Sizes, degrees and recipes are the fit's own, and beside them what the paper's design lacks: the
best bucket alone, the source as it is, a source smaller and larger than the run, and another
overtraining degree. Runs at a degree that was not fitted come in pairs: the first of them only
tells the degree's level. No run repeats a bucket more than fitted ones do: beyond that runs
overfit, which no form of the law follows, so that one could be believed for the wrong reason.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from bayes_infolaw.tables.schema import ARCHITECTURE

__all__ = ["common_labels", "fitted_repetition", "propose_runs", "within_budget"]

Array = np.ndarray
SIZES = 5  # at most, spread over the fit's
SOURCE_RATIOS = (0.1, 0.5, 1.0, 4.0)  # S / K, or the least that the largest repetition allows
APART = 1.25  # factor on S below which two runs of one recipe tell the same
ALIKE = 1e-3  # shares that differ by less are one recipe
SHAPE = (*ARCHITECTURE, "heads", "mlp")  # columns that say what a model of this size looks like
OTHER_DEGREE = 6.0  # factor on m of a degree that is new to a fit with one


def propose_runs(
    fit: FittedModel,
    budget: float,
    *,
    recipe: Array | None = None,
    shares: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    max_repetition: float | None = None,
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
    max_repetition : float, optional
        Most that a run may repeat a bucket, at least 1; by default the most that a fitted run does.

    Returns
    -------
    RunTable
        Every run once; runs that are bought together have one value in column ``set``.

    Raises
    ------
    InputError
        No such run is within the budget.
    """
    if not (np.isfinite(budget) and budget > 0):
        raise InputError(f"budget: must be FLOP > 0, got {budget!r}")
    most = fitted_repetition([fit]) if max_repetition is None else max_repetition
    if not (np.isfinite(most) and most >= 1):
        raise InputError(f"max_repetition: must be a number >= 1, got {most!r}")
    source = source_shares(fit, shares)
    rows = list(
        _rows(fit, _recipes(fit, recipe, source), _Sources(fit.table.buckets, source, most))
    )
    columns = {f"share_{name}": share for name, share in source.items()}
    frame = pd.DataFrame(rows).assign(**columns, **common_labels(fit) | dict(labels or {}))
    affordable = within_budget(plan_for(fit, frame), budget).frame["run"]
    return plan_for(fit, frame[frame["run"].isin(affordable)])


def fitted_repetition(fits: Iterable[FittedModel]) -> float:
    """The most that any run of the fits' tables repeats a bucket."""
    return float(max(fit.table.arrays().repetition.max() for fit in fits))


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


@dataclass(frozen=True)
class _Sources:
    """Source shares by bucket, and the most that a run may repeat one of them."""

    buckets: tuple[str, ...]
    shares: Mapping[str, float]
    most: float

    def ratios(self, weights: Array) -> list[float]:
        """S / K of a recipe's runs: smaller and larger, none below what repetition allows.

        Nor above what repeats nothing: a larger source makes the same run.
        """
        source = np.array([self.shares[name] for name in self.buckets])
        used = weights > 0
        fresh = float((weights[used] / source[used]).max())
        least, most = (np.ceil(1e3 * x - 1e-6) / 1e3 for x in (fresh / self.most, fresh))
        kept: list[float] = []
        for ratio in np.clip(SOURCE_RATIOS, least, most):
            if not kept or ratio > APART * kept[-1]:
                kept.append(float(ratio))
        return kept


def _rows(
    fit: FittedModel, recipes: Mapping[str, Array], sources: _Sources
) -> Iterator[dict[str, Any]]:
    degrees, new = _degrees(fit)
    for size, (params, flops) in _sizes(fit):
        for degree in degrees:
            tokens = round(float(tokens_at_degree(flops, degree)))
            if tokens < 0.99 * fit.anchors.tokens_min:  # below, the law may not hold
                continue
            base = {"params_nonembedding": params, "tokens": tokens} | _shape(fit, params, flops)
            where = f"{size}-m{degree:.3g}"
            runs = [
                _row(fit, (where, f"{name}-S{ratio:g}K"), base, weights, ratio)
                for name, weights in recipes.items()
                for ratio in sources.ratios(weights)
            ]
            yield from _paired(runs) if degree in new else _alone(runs)


def _row(
    fit: FittedModel, parts: tuple[str, str], base: Mapping[str, Any], weights: Array, ratio: float
) -> dict[str, Any]:
    """One run, under a name that no fitted run has: a proposal may be measured and made again."""
    run, known = "-".join(parts), set(fit.table.frame["run"].astype(str))
    names = itertools.chain([run], (f"{run}-{n}" for n in itertools.count(2)))
    free = next(name for name in names if name not in known)
    packed = {f"w_{b}": w for b, w in zip(fit.table.buckets, weights, strict=True)}
    return {"run": free, **base, "source_tokens": math.ceil(ratio * base["tokens"]), **packed}


def _alone(runs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({**run, "set": run["run"]} for run in runs)


def _paired(runs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pairs at one size and degree, so that its level cancels, and every run in one of them.

    The first with the last, and so on inwards: they differ in recipe and source. An odd one is
    left out.
    """
    half = len(runs) // 2
    for one, other in zip(runs[:half], runs[::-1][:half], strict=True):
        name = f"{one['run']}+{other['run']}"
        yield from ({**run, "set": name} for run in (one, other))


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

    And the source as it is: no recipe can be repeated more, on the whole, within the same limit.
    Each once, and only where the source has every bucket that is packed.
    """
    source = np.array([shares[name] for name in fit.table.buckets])
    fitted = np.unique(fit.table.arrays().weights.round(6), axis=0)
    fitted = fitted[np.argsort(fitted.max(axis=1), kind="stable")]
    fitted = fitted / fitted.sum(axis=1, keepdims=True)
    named = {"fitted1": fitted[0], "fitted2": fitted[-1]}
    named[f"only-{fit.table.buckets[0]}"] = np.eye(fit.table.n_buckets)[0]
    if recipe is not None:
        named["target"] = np.asarray(recipe, dtype=float)
    named["source"] = source / source.sum()
    found: dict[str, Array] = {}
    for name, weights in named.items():
        known = any(np.abs(weights - other).max() < ALIKE for other in found.values())
        if not known and not (weights[source <= 0] > 0).any():
            found[name] = weights
    return found


def _shape(fit: FittedModel, params: float, flops: float) -> dict[str, float]:
    """M and what the fitted models of a size look like, where the fitted table has them.

    Plan and fit must derive m alike, and who trains the run must know its sequence length.
    """
    if fit.table.provenance.get("flops_from") != "table":
        return {}
    of_size = fit.table.frame["params_nonembedding"] == params
    columns = [name for name in SHAPE if name in fit.table.frame]
    looks = fit.table.frame.loc[of_size, columns].drop_duplicates().dropna(axis=1)
    whole = len(looks) == 1 and set(ARCHITECTURE) <= set(looks)
    shape = {str(name): float(value) for name, value in looks.iloc[0].items()} if whole else {}
    return {"flops_per_token": flops} | shape
