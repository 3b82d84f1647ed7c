"""Convex programs over one lifted set, a batch at a time, by a primal-dual interior point method.

Minimises ``F(x) + sum_i most_i max(g_i(x), 0)`` subject to ``g(x) <= 0`` in the hard rows and
``equal x = level``, with Mehrotra's predictor and corrector (SIAM J. Optim. 2, 1992) from a point
that need not satisfy the rows. A row is ``g + s - v = 0``, with ``s, v >= 0``; v is zero in hard
rows, and in soft ones its multiplier is ``most - lambda``. One column a problem. The best iterate
is not promised to be optimal: certify it (`dual_bound`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bayes_infolaw.decisions.dense import SmallSystems
from bayes_infolaw.recipes.best_iterate import BestIterate, Stopping

__all__ = ["Iterate", "Local", "Program", "solve_program"]

Array = np.ndarray

MAX_STEPS = 100
TARGET = 3e-12
"""Stop at this error (complementarity, stationarity and feasibility) relative to F's scale."""
ROUNDING, PATIENCE = 1e-10, 6
"""Below this error, so many steps without improvement are rounding, and the column ends."""
TO_BOUNDARY = 0.995
CAUTIOUS_AFTER = 35
CAUTIOUS_CENTRE = 0.2


class Local(Protocol):
    """A program at one point of each column."""

    gradient: Array  # (n, P) of F, scaled to about one
    rows: Array  # (m, P) g

    def pull(self, multiplier: Array) -> Array:
        """``g' transposed times multiplier``, (n, P)."""

    def push(self, dx: Array) -> Array:
        """``g' dx``, (m, P)."""

    def matrix(self, multiplier: Array, weight: Array) -> Array:
        """``F'' + sum multiplier g'' + g'^T diag(weight) g'``, (n, n, P)."""


class Program(Protocol):
    """What the method asks of a batch of programs."""

    equal: Array  # (e, n)
    level: Array  # (e,)

    def at(self, x: Array) -> Local:
        """Derivatives at points (n, P)."""

    def take(self, columns: Array) -> Program:
        """The same program for some of the columns."""

    def most(self) -> Array:
        """Largest multiplier of each row, infinite in hard ones, (m, 1)."""


@dataclass
class Iterate:
    """Points (n, P), slacks s and v and multipliers (m, P), prices of the equations (e, P)."""

    x: Array
    slack: Array
    over: Array
    multiplier: Array
    price: Array

    def fields(self) -> tuple[Array, ...]:
        """The five arrays."""
        return self.x, self.slack, self.over, self.multiplier, self.price

    def take(self, columns: Array) -> Iterate:
        """Some of the columns, copied."""
        return Iterate(*(field[:, columns] for field in self.fields()))

    def put(self, columns: Array, other: Iterate) -> None:
        """Overwrite columns by another iterate's."""
        for mine, its in zip(self.fields(), other.fields(), strict=True):
            mine[:, columns] = its

    def moved(self, step: tuple[Array, ...], size: Array) -> Iterate:
        """The iterate after a step of ``size`` (P,)."""
        return Iterate(*(f + size * d for f, d in zip(self.fields(), step, strict=True)))

    def products(self, most: Array) -> tuple[Array, Array]:
        """Slack times multiplier of both sides, (m, P) each; zero for v in hard rows."""
        soft = np.isfinite(most)
        if not soft.any():
            return self.slack * self.multiplier, np.zeros((1, self.x.shape[1]))
        room = np.where(soft, most - self.multiplier, 0.0)
        return self.slack * self.multiplier, self.over * room


def solve_program(program: Program, start: Array, *, cautious: bool = False) -> Iterate:
    """Minimise a batch of programs from points (n, P) strictly inside the bounds.

    Cautious: along the central path from the first step on, for columns that failed boldly.

    Returns
    -------
    Iterate
        The best iterate of every column.
    """
    point = _first(program, start)
    stopping = Stopping(TARGET, ROUNDING, PATIENCE, drop_lost=True)
    best = BestIterate(point, start.shape[1], stopping)
    with np.errstate(all="ignore"):  # a failed column ends as not-a-number and is seen as such
        for i in range(MAX_STEPS):
            local = program.at(point.x)
            residual = _Residual(program, local, point)
            left = best.update(point, residual.error)
            if not left.any():
                break
            if not left.all():
                point, program = point.take(left), program.take(left)
                local = program.at(point.x)
                residual = _Residual(program, local, point)
            point = _step(program, local, point, residual, cautious or i >= CAUTIOUS_AFTER)
    return best.point


def _first(program: Program, x: Array) -> Iterate:
    """Slacks off zero, and multipliers on one complementarity product."""
    local, most = program.at(x), program.most()
    soft = np.isfinite(most)
    spread = local.rows[soft[:, 0]].std() if soft.any() else 0.0
    apart = 0.1 * (spread or 1.0)
    hard = np.where(local.rows < 0, -local.rows, 0.1)
    slack = np.where(soft, np.maximum(-local.rows, 0.0) + apart, hard)
    over = np.where(soft, np.maximum(local.rows, 0.0) + apart, 0.0)
    product = 0.1 * np.maximum(np.abs(local.gradient * x).sum(axis=0), 1e-3) / len(x)
    multiplier = np.where(soft, np.where(soft, most, 0.0) / 2.0, product / slack)
    price = np.zeros((len(program.equal), x.shape[1]))
    price[0] = -local.gradient.min(axis=0)
    return Iterate(x, slack, over, multiplier, price)


class _Residual:
    """What is missing to optimality: stationarity, rows, equations, complementarity."""

    def __init__(self, program: Program, local: Local, point: Iterate) -> None:
        equal = program.equal
        self.dual = local.gradient + local.pull(point.multiplier) + equal.T @ point.price
        self.rows = local.rows + point.slack - point.over
        self.level = equal @ point.x - program.level[:, None]
        below, above = point.products(program.most())
        self.total = below.sum(axis=0) + above.sum(axis=0)
        soft = np.isfinite(program.most())
        self.n_products = len(below) + int(soft.sum())
        # A soft row is off by what its multiplier makes of it, a hard one by itself.
        off = self.rows * np.where(soft, point.multiplier, 1.0) if soft.any() else self.rows
        infeasible = np.abs(off).max(axis=0)
        infeasible += np.abs(self.level).max(axis=0)
        self.error = self.total + np.abs(self.dual).max(axis=0) + infeasible


def _step(
    program: Program, local: Local, point: Iterate, residual: _Residual, cautious: bool
) -> Iterate:
    """Predictor, corrector, and the longest common step that stays inside."""
    newton = _Newton(program, local, point, residual)
    affine = newton.direction(np.zeros(1), 0.0, 0.0)
    size = np.minimum(newton.largest(affine), 1.0)
    after = sum(p.sum(axis=0) for p in point.moved(affine, size).products(program.most()))
    share = np.clip(after / residual.total, 0.0, 1.0) ** 3
    share = np.maximum(share, CAUTIOUS_CENTRE if cautious else 0.0)
    # Complementarity must not run ahead of stationarity, nor fall into rounding.
    floor = np.maximum(0.3 * TARGET, 0.1 * np.abs(residual.dual).max(axis=0))
    aim = np.maximum(share * residual.total, np.minimum(floor, residual.total))
    below, above = (0.0, 0.0) if cautious else (affine[1] * affine[3], -affine[2] * affine[3])
    step = newton.direction(aim / residual.n_products, below, above)
    return point.moved(step, np.minimum(TO_BOUNDARY * newton.largest(step), 1.0))


class _Newton:
    """The Newton system of one iterate, factored once for both right-hand sides."""

    def __init__(self, program: Program, local: Local, point: Iterate, residual: _Residual) -> None:
        self.local, self.point, self.residual = local, point, residual
        self.soft = np.isfinite(program.most())
        self.any_soft = bool(self.soft.any())
        self.room: Array | float = 1.0
        self.over_ratio: Array | float = 0.0
        if self.any_soft:
            self.room = np.where(self.soft, program.most() - point.multiplier, 1.0)
            self.over_ratio = np.where(self.soft, point.over / self.room, 0.0)
        self.ratio = point.slack / point.multiplier
        self.weight = 1.0 / (self.ratio + self.over_ratio)
        self.systems = SmallSystems(local.matrix(point.multiplier, self.weight))
        columns = np.broadcast_to(
            program.equal.T[:, :, None], (*program.equal.T.shape, point.x.shape[1])
        )
        self.equal = program.equal
        self.unit = self.systems.solve(columns)
        self.schur = SmallSystems(np.einsum("en,nfp->efp", self.equal, self.unit))

    def direction(
        self, aim: Array, below: Array | float, above: Array | float
    ) -> tuple[Array, ...]:
        """Steps of x, s, v, multipliers and prices towards complementarity products ``aim``."""
        point, residual = self.point, self.residual
        s_shift = (aim - below) / point.multiplier - point.slack
        v_shift: Array | float = 0.0
        if self.any_soft:
            v_shift = np.where(self.soft, (aim - above) / self.room - point.over, 0.0)
        shift = residual.rows + s_shift - v_shift
        rhs = -residual.dual - self.local.pull(self.weight * shift)
        free = self.systems.solve(rhs)
        dprice = self.schur.solve(self.equal @ free + residual.level)
        dx = free - np.einsum("nep,ep->np", self.unit, dprice)
        dmultiplier = self.weight * (self.local.push(dx) + shift)
        ds = s_shift - self.ratio * dmultiplier
        dv = v_shift + self.over_ratio * dmultiplier if self.any_soft else point.over
        return dx, ds, dv, dmultiplier, dprice

    def largest(self, step: tuple[Array, ...]) -> Array:
        """Largest step that keeps slacks and multipliers non-negative, (P,)."""
        point = self.point
        shrink = np.maximum(-step[1] / point.slack, -step[3] / point.multiplier).max(axis=0)
        if self.any_soft:
            above = np.maximum(-step[2] / point.over, step[3] / self.room)
            shrink = np.maximum(shrink, np.where(self.soft, above, 0.0).max(axis=0))
        return 1.0 / np.maximum(shrink, 1e-30)
