"""Draws, a recipe and a tolerance -> whether another recipe is as good, and how far one may go.

A recipe w is *equivalent* to the best one b if::

    P( L(w) <= (1 + epsilon) L(b) ) >= prob,

both losses noise-free, at the target and under the same draw. Each draw's loss is convex in w, so
on a straight line from b the draws that agree only ever leave: seen from b the equivalent
recipes are star-shaped, and how far they reach along a line is found by halving.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import gain_for, gain_matrix
from bayes_infolaw.decisions.monte_carlo import inverse_cdf

__all__ = ["Membership", "loss_gradient", "membership"]

Array = np.ndarray

HALVINGS = 16
ROUNDING = 1e-12
NEIGHBOURS = 0.1  # probability of the draws whose mean gradient is the boundary's normal


@dataclass(frozen=True)
class Membership:
    """The equivalent recipes, by the loss that every draw allows them."""

    draws: TargetDraws
    limit: Array  # (J,) loss of the best recipe times 1 + epsilon
    prob: float

    def probability(self, recipes: Array) -> Array:
        """Probability that each recipe (R, D) stays within the limit, (R,)."""
        within = gain_matrix(self.draws, recipes) >= self.enough
        return self.draws.mean(within.astype(float))

    @cached_property
    def enough(self) -> Array:
        """Gain of each draw at its limit, (J,)."""
        return gain_for(self.draws, self.limit * (1.0 + ROUNDING))

    def holds(self, recipes: Array) -> Array:
        """Whether each recipe (R, D) is equivalent, (R,)."""
        return self.probability(recipes) >= self.prob - ROUNDING

    def reach(self, member: Array, targets: Array) -> Array:
        """Equivalent recipes on the lines from a member (D,) to targets (R, D), (R, D).

        The target itself where it is one; else the last before the boundary.
        """
        low, high = np.zeros(len(targets)), np.ones(len(targets))
        low[self.holds(targets)] = 1.0
        open_ = np.flatnonzero(low < 1.0)
        for _ in range(HALVINGS if open_.size else 0):
            middle = 0.5 * (low[open_] + high[open_])
            held = self.holds(member + middle[:, None] * (targets[open_] - member))
            low[open_[held]], high[open_[~held]] = middle[held], middle[~held]
        return member + low[:, None] * (targets - member)

    def normal(self, recipe: Array) -> Array:
        """Outward normal of the boundary near a recipe (D,): how the decisive losses rise, (D,).

        The mean gradient, over the limit, of the draws whose loss is nearest to it at `prob`.
        """
        ratio = self.draws.loss(recipe) / self.limit
        order = np.argsort(np.abs(ratio - inverse_cdf(self.draws, ratio, self.prob)))
        mass = np.cumsum(self.draws.weight[order])
        near = self.draws.take(order[: np.searchsorted(mass, NEIGHBOURS) + 1])
        limit = self.limit[order[: len(near)]]
        return near.weight @ (loss_gradient(near, recipe) / limit[:, None])


def membership(draws: TargetDraws, best: Array, epsilon: float, prob: float) -> Membership:
    """Equivalence to the recipe `best` (D,) within `epsilon` of its loss at probability `prob`."""
    return Membership(draws, (1.0 + epsilon) * draws.loss(best), prob)


def loss_gradient(draws: TargetDraws, recipe: Array) -> Array:
    """Gradient of every draw's loss by share, (J, D); at w_d = c_d that towards larger shares."""
    r, capacity = draws.exposure[:, None], draws.capacity
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(capacity > 0, recipe / capacity, 0.0)
    slope = np.where(times < 1.0, -np.expm1(-r), r * np.exp(-r * np.maximum(times, 1.0)))
    slope = draws.density * np.where(capacity > 0, slope, 0.0)
    gain = draws.gain(recipe)
    reducible = np.exp(draws.log_level - draws.beta * np.log(gain))
    return -(draws.beta * reducible / gain)[:, None] * slope
