"""Compute, or a loss to reach -> size, tokens and recipe together.

At one size and its tokens the recipe is a convex program; over sizes the problem is not convex, so
they are searched: a grid in ln m at the given compute, then a bounded descent between the
neighbours of its best. Everything stays inside the fitted degrees m unless asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from bayes_infolaw.decisions.candidates import (
    BudgetQuestion,
    Candidate,
    Rows,
    candidates_at,
    rows_of,
)
from bayes_infolaw.decisions.monte_carlo import inverse_cdf
from bayes_infolaw.decisions.pairs import PlanDraws, rank
from bayes_infolaw.decisions.sizes import Sizes
from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.laws.degrees import SAME_DEGREE
from bayes_infolaw.laws.overtraining import overtraining_degree

__all__ = ["BudgetAnswer", "best_at", "best_plan", "candidate_table", "loss_at"]

Array = np.ndarray
Score = Callable[[Candidate], float]

GRID = 25
BEYOND = 30.0  # factor on either end of the range of m with `extrapolate`
AT_EDGE = 0.01  # of the range of ln m
EPSILON = 1e-3


@dataclass(frozen=True)
class BudgetAnswer:
    """The best candidate, the others it was chosen from, and whether it lies on an edge."""

    best: Candidate
    candidates: tuple[Candidate, ...]  # the best among them
    edge: str | None  # what the optimum is stopped by; None where it is inside
    searched: tuple[float, float]  # degrees m


def loss_at(probability: float | None) -> Score:
    """What a candidate is chosen by: expected loss, or the loss it reaches with a probability."""
    if probability is None:
        return lambda candidate: candidate.expected_loss
    return lambda found: float(inverse_cdf(found.draws, found.loss, probability))


def best_plan(question: BudgetQuestion, compute: float) -> BudgetAnswer:
    """Size, tokens and recipe of least expected loss for a compute.

    Parameters
    ----------
    compute : float
        C = M K, FLOP.

    Raises
    ------
    InputError
        A compute that is not positive, or no candidate inside the law's domain.
    InfeasibleError
        No recipe satisfies the constraints at any size.
    RefusedError
        The data cannot weigh size against tokens, or no listed size lies in the range of m.
    """
    if not (np.isfinite(compute) and compute > 0):
        raise InputError(f"compute: must be a positive number of FLOP, got {compute!r}")
    return best_at(question, compute, loss_at(None))


def best_at(
    question: BudgetQuestion, compute: float, score: Score, grid: int = GRID
) -> BudgetAnswer:
    """`best_plan` by another score and grid."""
    low, high = _searched(question)
    if question.sizes is not None:
        return _best_listed(question, question.sizes, compute, score, (low, high))
    ends = np.log([low, high])
    found = candidates_at(question, compute, np.exp(np.linspace(ends[0], ends[1], grid)))
    trend = _descend(question, compute, score, found)
    found += [trend] if trend not in found else []
    found = _with_fitted_degrees(question, compute, found)
    best = min(found, key=score)
    edge = _edge(best, found, ends, question.extrapolate)
    ordered = sorted(found, key=lambda candidate: candidate.params)
    return BudgetAnswer(best, tuple(ordered), edge, (low, high))


def _searched(question: BudgetQuestion) -> tuple[float, float]:
    degrees = question.degrees
    factor = BEYOND if question.extrapolate else 1.0
    return degrees.low / factor, degrees.high * factor


def _descend(
    question: BudgetQuestion, compute: float, score: Score, grid: list[Candidate]
) -> Candidate:
    """The best between the neighbours of the grid's best."""
    log_degrees = np.log([candidate.overtraining for candidate in grid])
    at = int(np.argmin([score(candidate) for candidate in grid]))
    order = np.argsort(log_degrees)
    place = int(np.flatnonzero(order == at)[0])
    around = log_degrees[order[[max(place - 1, 0), min(place + 1, len(grid) - 1)]]]
    seen: list[Candidate] = [grid[at]]
    if around[1] > around[0]:

        def value(log_degree: float) -> float:
            seen.extend(candidates_at(question, compute, np.exp([log_degree])))
            return score(seen[-1])

        minimize_scalar(value, bounds=tuple(around), method="bounded", options={"xatol": 2e-3})
    return min(seen, key=score)


def _with_fitted_degrees(
    question: BudgetQuestion, compute: float, trend: list[Candidate]
) -> list[Candidate]:
    """At a fitted degree its own level, in the place of the trend's: as `predict` has it."""
    fitted = question.degrees.fitted
    if not fitted:
        return trend
    try:
        own = candidates_at(question, compute, np.array(fitted), fitted_degree=True)
    except InputError:  # none of them lies in the law's domain at this compute
        return trend
    known = np.log([candidate.overtraining for candidate in own])
    apart = [np.abs(np.log(candidate.overtraining) - known).min() for candidate in trend]
    return [c for c, away in zip(trend, apart, strict=True) if away > SAME_DEGREE] + own


def _edge(best: Candidate, found: list[Candidate], ends: Array, extrapolated: bool) -> str | None:
    """What stops the optimum: an end of the range of m, or where the candidates end before it."""
    which = "searched" if extrapolated else "fitted"
    side = _near(best, ends)
    if side is not None:
        return f"the {side} overtraining degree {which}, m = {best.overtraining:.3g}"
    log_degrees = np.log([candidate.overtraining for candidate in found])
    away = np.abs(np.log(best.overtraining) - [log_degrees.min(), log_degrees.max()])
    if away.min() <= AT_EDGE * (ends[1] - ends[0]):
        return f"the law's domain or the constraints, at m = {best.overtraining:.3g}"
    return None


def _near(candidate: Candidate, ends: Array) -> str | None:
    margin = max(AT_EDGE * (ends[1] - ends[0]), SAME_DEGREE if candidate.fitted_degree else 0.0)
    log_degree = np.log(candidate.overtraining)
    if log_degree <= ends[0] + margin:
        return "smallest"
    return "largest" if log_degree >= ends[1] - margin else None


def _best_listed(
    question: BudgetQuestion,
    sizes: Sizes,
    compute: float,
    score: Score,
    searched: tuple[float, float],
) -> BudgetAnswer:
    """The best of a list of sizes, each with the tokens that the compute buys it."""
    tokens = compute / sizes.flops_per_token
    log_degree = np.log(overtraining_degree(sizes.flops_per_token, tokens))
    ends = np.log(searched)
    inside = (log_degree >= ends[0] - SAME_DEGREE) & (log_degree <= ends[1] + SAME_DEGREE)
    if not inside.any():
        got = ", ".join(f"{m:.3g}" for m in np.exp(log_degree[:6]))
        raise RefusedError(
            f"plan: no listed size has an overtraining degree within {searched[0]:.3g} to "
            f"{searched[1]:.3g} at {compute:.3g} FLOP (m = {got}); --extrapolate goes beyond"
        )
    fitted = np.log(np.array(question.degrees.fitted or (np.inf,)))
    known = np.abs(log_degree[:, None] - fitted).min(axis=1) <= SAME_DEGREE
    found: list[Candidate] = []
    for own in (False, True):
        chosen = np.flatnonzero(inside & (known == own))
        if chosen.size:
            rows = Rows(sizes.params, sizes.flops_per_token, tokens, own).take(chosen.tolist())
            found += rows_of(question, rows)
    ordered = sorted(found, key=lambda candidate: candidate.params)
    best = min(ordered, key=score)
    return BudgetAnswer(best, tuple(ordered), _listed_edge(best, ordered), searched)


def _listed_edge(best: Candidate, ordered: list[Candidate]) -> str | None:
    if len(ordered) > 1 and best in (ordered[0], ordered[-1]):
        side = "smallest" if best is ordered[0] else "largest"
        return f"the {side} listed size that the range of m allows"
    return None


def candidate_table(
    answer: BudgetAnswer, prob: float = 0.9, epsilon: float = EPSILON
) -> pd.DataFrame:
    """Every candidate under common draws, the smallest model first.

    Returns
    -------
    DataFrame
        ``params_nonembedding``, ``tokens``, ``flops_per_token``, ``overtraining``,
        ``fitted_degree``, the columns of `pairs.rank`, ``w_<bucket>``, and ``p_equivalent``: the
        probability that its loss is within ``epsilon`` (relative) of the best plan's.
    """
    losses = np.column_stack([candidate.all_losses() for candidate in answer.candidates])
    shared = np.isfinite(losses).all(axis=1)
    draws = _plan_draws(answer, losses, shared)
    names = list(draws.runs)
    columns = pd.DataFrame(
        {
            "run": names,
            "params_nonembedding": [c.params for c in answer.candidates],
            "tokens": [c.tokens for c in answer.candidates],
            "flops_per_token": [c.flops_per_token for c in answer.candidates],
            "overtraining": [c.overtraining for c in answer.candidates],
            "fitted_degree": [c.fitted_degree for c in answer.candidates],
        }
    )
    best = draws.loss[:, [answer.candidates.index(answer.best)]]
    columns["p_equivalent"] = np.clip(draws.weight @ (draws.loss <= best * (1 + epsilon)), 0, 1)
    for d, bucket in enumerate(answer.best.draws.buckets):
        columns[f"w_{bucket}"] = [float(c.recipe[d]) for c in answer.candidates]
    return columns.merge(rank(draws, prob), on="run").drop(columns="run")


def _plan_draws(answer: BudgetAnswer, losses: Array, shared: Array) -> PlanDraws:
    """The candidates' losses in the draws in which all of them are defined."""
    first = answer.best.draws
    full = np.full(len(shared), -1)
    full[answer.best.inside] = first.form
    weight = np.zeros(len(shared))
    weight[answer.best.inside] = first.weight
    weight = weight[shared] / weight[shared].sum()
    form = full[shared]
    shares = tuple(float(weight[form == i].sum()) for i in range(len(first.forms)))
    names = tuple(f"{i}" for i in range(len(answer.candidates)))
    return PlanDraws(names, losses[shared], weight, form, first.forms, shares, first.loss_unit)
