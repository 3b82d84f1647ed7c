"""A batch of convex recipe programs -> their optima, by a primal-dual interior point method.

Minimises ``F(y, z)`` over ``0 <= y <= c``, ``z >= 0``, ``sum (y + z) = 1`` and, if ordered,
``w_d >= w_{d+1}`` with ``w = y + z``, with Mehrotra's predictor and corrector (SIAM J. Optim. 2,
1992). Arrays have the program's rows first and one column a problem, so that a step's arithmetic
runs along contiguous memory. Rows of ``slack`` and ``multiplier``: y, c - y, z and w_d - w_{d+1}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bayes_infolaw.recipes.best_iterate import BestIterate, Stopping

__all__ = ["Constraints", "InteriorPoint", "Objective", "Solve", "solve_interior"]

Array = np.ndarray
Solve = Callable[[Array, Array], tuple[Array, Array]]

MAX_STEPS = 100
TARGET = 1e-11
"""Stop at this error (complementarity and stationarity) relative to F's scale: three orders below
the certificate, and short of where slacks are lost in rounding."""
ROUNDING, PATIENCE = 1e-8, 4
"""Below this error, so many steps without improvement are rounding, and the column ends."""
TO_BOUNDARY = 0.995
CAUTIOUS_AFTER = 30
"""From this step on follow the central path without Mehrotra's second-order term, which can
cycle (one draw in a million of the extreme ones did); twelve steps are usual."""
CAUTIOUS_CENTRE = 0.2


class Objective(Protocol):
    """What the method asks of F; ``x`` stacks y and z, shape (2 D, P)."""

    def gradient(self, x: Array) -> Array:
        """Gradient of F, shape (2 D, P)."""

    def newton_solver(self, x: Array, weight: Array, constraints: Constraints) -> Solve:
        """Solver of the Newton system at ``x`` with barrier weights ``multiplier / slack``.

        The solver takes a right-hand side (2 D, P) and the sum wanted (P,), and returns dx and dmu
        with ``(F'' + A' W A) dx + dmu = rhs``, ``sum dx = wanted``.
        """

    def take(self, columns: Array) -> Objective:
        """The same objective for some of the columns."""


@dataclass(frozen=True)
class Constraints:
    """Capacities (D,) and whether the shares are ordered."""

    capacity: Array
    ordered: bool

    def slack_step(self, dx: Array) -> Array:
        """Change of the slacks, A dx."""
        dy, dz = np.split(dx, 2)
        shares = dy + dz
        order = [shares[:-1] - shares[1:]] if self.ordered else []
        return np.concatenate([dy, -dy, dz, *order])

    def pull(self, multiplier: Array) -> Array:
        """A' multiplier, the constraints' pull on y and z, shape (2 D, P)."""
        n = len(self.capacity)
        pull = np.stack([multiplier[:n] - multiplier[n : 2 * n], multiplier[2 * n : 3 * n]])
        if self.ordered:
            pull[:, :-1] += multiplier[3 * n :]
            pull[:, 1:] -= multiplier[3 * n :]
        return pull.reshape(2 * n, -1)


@dataclass
class InteriorPoint:
    """Iterate of the batch: y and z (2 D, P), slacks and multipliers (rows, P), price mu (P,)."""

    x: Array
    slack: Array
    multiplier: Array
    price: Array

    @property
    def shares(self) -> Array:
        """The recipe w = y + z, shape (D, P)."""
        y, z = np.split(self.x, 2)
        return y + z

    @property
    def order_price(self) -> Array:
        """Multipliers of the ordering, shape (D - 1, P), or (0, P) without it."""
        return self.multiplier[3 * (len(self.x) // 2) :]

    def fields(self) -> tuple[Array, Array, Array, Array]:
        """The four arrays."""
        return self.x, self.slack, self.multiplier, self.price

    def complementarity(self) -> Array:
        """Sum of slack times multiplier, shape (P,)."""
        return np.einsum("ip,ip->p", self.slack, self.multiplier)

    def take(self, columns: Array) -> InteriorPoint:
        """Some of the columns, copied."""
        return InteriorPoint(*(field[..., columns] for field in self.fields()))

    def put(self, columns: Array, other: InteriorPoint) -> None:
        """Overwrite columns by another iterate's."""
        for mine, its in zip(self.fields(), other.fields(), strict=True):
            mine[..., columns] = its

    def stepped(self, step: tuple[Array, Array, Array, Array], size: Array) -> InteriorPoint:
        """The iterate after a step of ``size`` (P,)."""
        return InteriorPoint(*(f + size * d for f, d in zip(self.fields(), step, strict=True)))


def solve_interior(
    objective: Objective, constraints: Constraints, start: Array, scale: Array
) -> InteriorPoint:
    """Minimise a batch of objectives from strictly feasible shares.

    Parameters
    ----------
    start : array of shape (D, P)
        Positive shares that sum to one, strictly decreasing if ordered.
    scale : array of shape (P,)
        Size of F against which the stopping rule is relative.

    Returns
    -------
    InteriorPoint
        The best iterate of each column. It is not promised to be optimal: certify it.
    """
    point = _starting_point(objective, constraints, start)
    best = BestIterate(point, start.shape[1], Stopping(TARGET, ROUNDING, PATIENCE))
    with np.errstate(all="ignore"):  # a failed column ends as not-a-number and is seen as such
        for i in range(MAX_STEPS):
            gradient = objective.gradient(point.x)
            residual = gradient + point.price - constraints.pull(point.multiplier)
            error = (point.complementarity() + np.abs(residual).max(axis=0)) / scale
            left = best.update(point, error)
            if not left.any():
                break
            if not left.all():
                point, objective = point.take(left), objective.take(left)
                residual, scale = residual[:, left], scale[left]
            goal = Goal(TARGET * scale, cautious=i >= CAUTIOUS_AFTER)
            point = _mehrotra_step(objective, constraints, point, residual, goal)
    return best.point


def _starting_point(objective: Objective, constraints: Constraints, w: Array) -> InteriorPoint:
    """Split the shares, and put the multipliers on one complementarity product."""
    capacity = constraints.capacity[:, None]
    y = capacity * w / (capacity + w)
    x = np.concatenate([y, w - y])
    order = [w[:-1] - w[1:]] if constraints.ordered else []
    slack = np.concatenate([y, capacity - y, w - y, *order])
    gradient = objective.gradient(x)
    product = 0.1 * np.abs(np.sum(gradient * x, axis=0)) / len(slack)
    return InteriorPoint(x, slack, product / slack, -gradient.min(axis=0))


@dataclass(frozen=True)
class Goal:
    """What a step works towards: the error (P,) to reach, and whether boldness is over."""

    error: Array
    cautious: bool


def _mehrotra_step(
    objective: Objective,
    constraints: Constraints,
    point: InteriorPoint,
    residual: Array,
    goal: Goal,
) -> InteriorPoint:
    """Predictor, corrector, and the longest common step that stays inside."""
    weight = point.multiplier / point.slack
    solve = objective.newton_solver(point.x, weight, constraints)
    missing = 1.0 - point.x.sum(axis=0)

    def direction(pull: Array) -> tuple[Array, Array, Array, Array]:
        dx, dprice = solve(constraints.pull(pull) - residual, missing)
        dslack = constraints.slack_step(dx)
        return dx, dslack, pull - weight * dslack, dprice

    affine = direction(-point.multiplier)
    # Complementarity must not run ahead of stationarity, nor fall into rounding.
    floor = np.maximum(0.3 * goal.error, 0.1 * np.abs(residual).max(axis=0))
    centre = _centre(point, affine[1], affine[2], floor, CAUTIOUS_CENTRE if goal.cautious else 0.0)
    second_order = 0.0 if goal.cautious else affine[1] * affine[2]
    step = direction((centre - second_order) / point.slack - point.multiplier)
    return point.stepped(
        step, np.minimum(TO_BOUNDARY * _largest_step(point, step[1], step[2]), 1.0)
    )


def _centre(
    point: InteriorPoint, dslack: Array, dmultiplier: Array, floor: Array, least: float
) -> Array:
    """Product of slack and multiplier to aim at: Mehrotra's, from the affine step, or more."""
    size = np.minimum(_largest_step(point, dslack, dmultiplier), 1.0)
    after = np.einsum(
        "ip,ip->p", point.slack + size * dslack, point.multiplier + size * dmultiplier
    )
    product = point.complementarity()
    share = np.maximum(np.clip(after / product, 0.0, 1.0) ** 3, least)
    return np.maximum(share * product, np.minimum(floor, product)) / len(dslack)


def _largest_step(point: InteriorPoint, dslack: Array, dmultiplier: Array) -> Array:
    """Largest step that keeps slacks and multipliers non-negative, shape (P,)."""
    shrink = np.maximum(-dslack / point.slack, -dmultiplier / point.multiplier).max(axis=0)
    return 1.0 / np.maximum(shrink, 1e-30)
