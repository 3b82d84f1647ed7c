"""What the outcome of some runs would be worth to a decision, before they are run.

For outcomes y simulated from the posterior predictive, every draw is weighted by p(y | draw), the
decision is made again under those weights, and what it gains over today's choice is averaged. The
draws' level cancels: gains are differences under the same draw.

Source: knowledge gradient, Frazier, Powell, Dayanik, INFORMS J Comput 21 (2009); expected
information gain, Lindley, Ann Math Stat 27 (1956).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import qmc

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.next_run.choices import Choices
from bayes_infolaw.decisions.next_run.outcomes import RunOutcomes, weights_after
from bayes_infolaw.errors import InputError

__all__ = ["OutcomeStudy", "OutcomeValue"]

Array = np.ndarray
TINY = 1e-300


@dataclass(frozen=True)
class OutcomeValue:
    """Value of learning the outcomes of some runs; losses in the fit's unit, information in nats.

    ``regret_reduction`` chooses and reports on the same draws, which flatters it where they are
    few; ``regret_reduction_low`` chooses on one half and reports on the other, which errs the other
    way. ``standard_error`` is that of the outcomes, as if they were independent (they are spread
    evenly, so it is an upper bound).
    """

    regret_reduction: float
    regret_reduction_low: float
    standard_error: float
    information_gain: float  # about which class of loss differences the truth is in
    form_information_gain: float  # about which form holds
    ess: float  # median over outcomes of the weights' effective sample size


@dataclass(frozen=True)
class OutcomeStudy:
    """A decision, the runs that could inform it, and the random numbers that all of them share."""

    choices: Choices
    outcomes: RunOutcomes
    weight: Array  # (J,) of the draws
    form: Array  # (J,) int
    halves: tuple[Array, Array]  # positions: one half to choose by, the other to report
    points: Array  # (M, 1 + k) uniform
    cache: dict[tuple[int, ...], Array] = field(default_factory=dict, repr=False)

    @classmethod
    def make(
        cls,
        choices: Choices,
        outcomes: RunOutcomes,
        draws: TargetDraws,
        *,
        n_outcomes: int = 128,
        most_runs: int = 1,
        seed: int = 0,
    ) -> "OutcomeStudy":
        """Lay out `n_outcomes` (a power of two) scrambled Sobol points for `most_runs` at once."""
        if n_outcomes < 2 or n_outcomes & (n_outcomes - 1):
            raise InputError(f"outcomes: must be a power of two, at least 2, got {n_outcomes}")
        sobol = qmc.Sobol(1 + most_runs, scramble=True, rng=np.random.default_rng([seed, 7]))
        points = np.clip(sobol.random(n_outcomes), 1e-9, 1.0 - 1e-9)
        return cls(choices, outcomes, draws.weight, draws.form, draws.half_positions(), points)

    def keep(self, rows: Sequence[int]) -> None:
        """Remember the likelihoods of runs that every later set will begin with."""
        self.cache.clear()
        outcomes = self.simulate(rows)
        for block in self.outcomes.blocks(np.asarray(rows)):
            columns = [list(rows).index(row) for row in block]
            key = tuple(map(int, block))
            self.cache[key] = self.outcomes.log_likelihood(block, outcomes[:, columns])
        self.cache[()] = np.sum(list(self.cache.values()), axis=0)

    def simulate(self, rows: Sequence[int]) -> Array:
        """Outcomes (M, k) of some runs under the common random numbers."""
        taken = self.points[:, : 1 + len(rows)]
        return self.outcomes.simulate(np.asarray(rows), taken, self.weight)

    def posterior_weights(self, rows: Sequence[int]) -> Array:
        """Weights (M, J) of the draws after each simulated outcome; rows sum to one."""
        return weights_after(self.outcomes, rows, self.simulate(rows), self.weight, self.cache)

    def value(self, rows: Sequence[int]) -> OutcomeValue:
        """Value of learning the outcomes of some runs (positions) together."""
        weights = self.posterior_weights(rows)
        regret, low, error = self._regret(weights)
        return OutcomeValue(
            regret_reduction=regret,
            regret_reduction_low=low,
            standard_error=error,
            information_gain=information_gain(weights, self.weight, self.choices.member),
            form_information_gain=information_gain(weights, self.weight, self.form),
            ess=float(np.median(effective_sizes(weights))),
        )

    def _regret(self, weights: Array) -> tuple[float, float, float]:
        """Mean gain over outcomes, chosen on all draws and by halves, and its standard error."""
        gains, sums = [], []
        for part in self.halves:
            gains.append(weights[:, part] @ self.choices.gain[part])
            sums.append(np.maximum(weights[:, part].sum(axis=1), TINY))
        best = (gains[0] + gains[1]).max(axis=1) / (sums[0] + sums[1])
        rows = np.arange(len(weights))
        crossed = [gains[b][rows, gains[a].argmax(axis=1)] / sums[b] for a, b in ((0, 1), (1, 0))]
        error = best.std(ddof=1) / np.sqrt(len(best))
        return float(best.mean()), float(np.mean(crossed)), float(error)


def effective_sizes(weights: Array) -> Array:
    """Effective sample size ``1 / sum w^2`` of each row of weights, (M,)."""
    return 1.0 / (weights**2).sum(axis=1)


def information_gain(weights: Array, prior: Array, member: Array) -> float:
    """Mutual information (nats) of the outcome and the draws' class, never below 0.

    The class probabilities after an outcome are sums of its weights, so nothing but the outcome is
    simulated. Weights that vary for reasons other than the class add about
    ``(C - 1) (1 / ESS - 1 / ESS before) / 2``, which is taken off.
    """
    classes = np.unique(member)
    if len(classes) < 2:
        return 0.0
    one_hot = (member[:, None] == classes).astype(float)
    before, after = prior @ one_hot, weights @ one_hot
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(after > 0, after * np.log(after / before), 0.0)
    sizes = 1.0 / effective_sizes(weights) - (prior**2).sum() / prior.sum() ** 2
    bias = 0.5 * (len(classes) - 1) * np.maximum(sizes, 0.0)
    return float(max((terms.sum(axis=1) - bias).mean(), 0.0))
