"""A loss to reach with a probability -> the cheapest size, tokens and recipe that does."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from bayes_infolaw.decisions.budget import BudgetAnswer, best_at, loss_at
from bayes_infolaw.decisions.candidates import BudgetQuestion, Candidate
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_probability
from bayes_infolaw.decisions.risk import least_quantile
from bayes_infolaw.decisions.sizes import largest_run
from bayes_infolaw.errors import InfeasibleError, InputError, require_probability

__all__ = ["CheapestAnswer", "cheapest_plan"]

TOLERANCE = 1e-3  # of ln C
GRID = 13
FARTHEST = 1e6  # times the largest fitted compute, and its inverse
STEP = 4.0  # factor of compute between the first trials of the bracket


@dataclass(frozen=True)
class CheapestAnswer:
    """The cheapest plan found: no less than a thousandth less compute reaches the loss."""

    answer: BudgetAnswer
    target_loss: float
    probability: float  # asked for
    reached: Estimate  # P(loss <= target) of the plan, >= probability
    cheaper_fails: bool  # False where even the least compute that was tried reaches the loss


def cheapest_plan(
    question: BudgetQuestion, target_loss: float, probability: float
) -> CheapestAnswer:
    """The least compute of which some plan has ``P(loss <= target) >= probability``.

    At every compute the plan is the one whose loss at that probability is least, among the recipes
    of least expected loss at each size; the compute is then a root in ln C. The last plan's recipe
    is replaced by one of a lower quantile where the search of `risk.least_quantile` finds one.

    Parameters
    ----------
    target_loss : float
        Noise-free, in the fits' loss unit.
    probability : float
        Between 0 and 1.

    Raises
    ------
    InputError
        A bad loss or probability, or nothing inside the law's domain.
    InfeasibleError
        No plan reaches the loss, up to a million times the largest fitted compute.
    RefusedError
        As `budget.best_plan`.
    """
    _require(target_loss, probability)
    start = largest_run(question.kept).compute
    search = _Search(question, target_loss, probability, {})
    low, high = _bracket(search, start)
    if low is None:
        answer = search.at(np.log(high))
    else:
        root = brentq(search.excess, np.log(low), np.log(high), xtol=TOLERANCE / 2)
        while search.excess(root) > 0.0:
            root += TOLERANCE / 2
        answer = search.at(root)
    answer = _with_least_quantile(question, answer, probability)
    draws, loss = answer.best.draws, answer.best.loss
    reached = estimate_probability(draws, loss <= target_loss)
    return CheapestAnswer(answer, target_loss, probability, reached, low is not None)


def _require(target_loss: float, probability: float) -> None:
    if not (np.isfinite(target_loss) and target_loss > 0):
        raise InputError(f"target loss: must be a positive number, got {target_loss!r}")
    require_probability("probability", probability)


@dataclass(frozen=True)
class _Search:
    question: BudgetQuestion
    target_loss: float
    probability: float
    seen: dict[float, BudgetAnswer]  # by ln C

    def at(self, log_compute: float) -> BudgetAnswer:
        """The best plan at a compute."""
        if log_compute not in self.seen:
            score = loss_at(self.probability)
            found = best_at(self.question, float(np.exp(log_compute)), score, GRID)
            self.seen[log_compute] = found
        return self.seen[log_compute]

    def excess(self, log_compute: float) -> float:
        """Loss reached with the probability, minus the target."""
        return loss_at(self.probability)(self.at(log_compute).best) - self.target_loss


def _bracket(search: _Search, start: float) -> tuple[float | None, float]:
    """A compute that does not reach the loss (None where all do) and one that does."""
    reaches = search.excess(np.log(start)) <= 0.0
    step = 1.0 / STEP if reaches else STEP
    compute = start
    while 1.0 / FARTHEST < compute / start < FARTHEST:
        previous, compute = compute, compute * step
        step = step if reaches else step**2  # downwards the law's domain ends: in even steps
        try:
            reaches_now = search.excess(np.log(compute)) <= 0.0
        except InputError:
            if not reaches:
                raise
            return None, previous
        if reaches_now != reaches:
            return (compute, previous) if reaches else (previous, compute)
    if reaches:
        return None, compute
    least = search.excess(np.log(compute)) + search.target_loss
    raise InfeasibleError(
        f"target loss: no plan up to {compute:.3g} FLOP reaches {search.target_loss:g} with "
        f"probability {search.probability:g}; the best there reaches {least:.5g}"
    )


def _with_least_quantile(
    question: BudgetQuestion, answer: BudgetAnswer, probability: float
) -> BudgetAnswer:
    best = answer.best
    if len(best.draws.buckets) == 1:
        return answer
    found = least_quantile(best.draws, question.allowed(best.draws), probability)
    better: Candidate = replace(best, recipe=found.recipe)
    score: Callable[[Candidate], float] = loss_at(probability)
    if score(better) >= score(best):
        return answer
    others = tuple(better if c is best else c for c in answer.candidates)
    return replace(answer, best=better, candidates=others)
