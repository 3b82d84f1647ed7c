"""The recipe that minimises the posterior mean of the loss: one convex program over all draws.

Loss falls with information and ``info ** -beta`` is convex, so with the split ``w = y + z`` of
`program.py` every draw's loss is convex in (y, z), and so is their mean. The certificate is the
Frank-Wolfe gap: ``F(x) - min F <= F'(x) (x - x')`` for the best feasible x', bounded by duality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve

from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.certificate import ordering_prices, require_gap
from bayes_infolaw.recipes.crossover import exact_shares, interior_shares
from bayes_infolaw.recipes.interior import Constraints, InteriorPoint, Solve, solve_interior
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.ordered import CENTRE_WEIGHTS
from bayes_infolaw.recipes.program import RecipeProgram, recipe_program
from bayes_infolaw.recipes.waterfill import water_fill

__all__ = ["ExpectedOptimum", "expected_loss_recipe"]

Array = np.ndarray

SNAP_GAP = 1e-9
"""Active constraints are put on their bounds when the gap stays below this part of F's scale."""

UNTHREADED = 250_000
"""Multiplications up to which OpenBLAS stays in one thread."""
RIDGE = 1e-15
"""Added to the unit diagonal, against pivots that rounding makes negative."""


@dataclass(frozen=True)
class ExpectedOptimum:
    """The one recipe with the lowest mean loss over the draws."""

    recipe: Array  # (D,) shares of the packed tokens
    expected_loss: float  # in the target's loss unit, noise-free
    relative_gap: float  # no recipe has a lower mean loss than (1 - gap) times this


def expected_loss_recipe(target: LawAtTarget, *, ordered: bool = False) -> ExpectedOptimum:
    """Minimise the mean over draws of the noise-free loss, by a primal-dual interior point method.

    Parameters
    ----------
    target : LawAtTarget
        J draws of the law, D buckets, best first. With J = 1 this is the draw's own optimum.
    ordered : bool
        Keep ``w_0 >= w_1 >= ...``.

    Returns
    -------
    ExpectedOptimum

    Raises
    ------
    InfeasibleError
        No bucket has tokens (ordered: the best one has none).
    CertificateError
        The relative gap is not below 1e-8.
    """
    if len(target.rate) == 1:
        return _single_draw(target, ordered)
    program = recipe_program(target, ordered)
    objective = MeanLoss(program, target)
    recipe, gap = _solve(program, objective, ordered)
    expected_loss = float(target.irreducible.mean() + objective.value(recipe))
    relative_gap = max(gap / expected_loss, 0.0)
    require_gap(np.array([relative_gap]), "recipe of least expected loss")
    return ExpectedOptimum(program.full_recipes(recipe), expected_loss, relative_gap)


def _single_draw(target: LawAtTarget, ordered: bool) -> ExpectedOptimum:
    """The one draw's own optimum: exact, and its gap carried over from information to loss."""
    optimum = optimal_recipes(target, ordered=ordered)
    loss = float(target.loss(optimum.recipes[0])[0])
    lower = (loss - target.irreducible[0]) * (1.0 + optimum.relative_gap[0]) ** -target.beta[0]
    gap = 1.0 - (lower + target.irreducible[0]) / loss
    return ExpectedOptimum(optimum.recipes[0], loss, max(float(gap), 0.0))


def _solve(program: RecipeProgram, objective: MeanLoss, ordered: bool) -> tuple[Array, float]:
    """Recipe and absolute gap: the best over starts, of which the first nearly always does."""
    best, gap = np.empty(0), np.inf
    for centre_weight in CENTRE_WEIGHTS:
        recipe, tried, scale = _solve_from(program, objective, ordered, centre_weight)
        if not gap <= tried:
            best, gap = recipe, tried
        if gap < SNAP_GAP * scale:
            break
    return best, gap


def _solve_from(
    program: RecipeProgram, objective: MeanLoss, ordered: bool, centre_weight: float
) -> tuple[Array, float, float]:
    """The better of the snapped and the interior iterate, its absolute gap, and F's scale."""
    constraints = Constraints(program.capacity, ordered)
    start = _start(program, ordered, centre_weight)[:, None]
    split = np.concatenate(_split(start, program.capacity))
    scale = -np.sum(objective.gradient(split) * split, axis=0)
    point = solve_interior(objective, constraints, start, scale)
    candidates = [
        exact_shares(point, program.capacity, ordered)[0],
        interior_shares(point, ordered)[0],
    ]
    gaps = [_frank_wolfe_gap(objective, constraints, recipe, point) for recipe in candidates]
    best = 0 if gaps[0] <= max(10.0 * gaps[1], SNAP_GAP * scale[0]) else 1
    return candidates[best], gaps[best], float(scale[0])


def _start(program: RecipeProgram, ordered: bool, centre_weight: float) -> Array:
    """A strictly feasible recipe between the draws' mean free optimum and the centre."""
    n = len(program.capacity)
    mean = water_fill(program)[0].mean(axis=0)
    centre = np.arange(n, 0, -1) / (n * (n + 1) / 2) if ordered else np.full(n, 1.0 / n)
    return (1.0 - centre_weight) * (-np.sort(-mean) if ordered else mean) + centre_weight * centre


def _split(shares: Array, capacity: Array) -> tuple[Array, Array]:
    """The best split of shares (D, P) into y <= c and z."""
    y = np.minimum(shares, capacity[:, None])
    return y, shares - y


class MeanLoss:
    """``mean_j exp(log_alpha_j - beta_j ln info_j)`` in y and z, one column."""

    def __init__(self, program: RecipeProgram, target: LawAtTarget) -> None:
        self.program, self.beta = program, target.beta
        self.log_level = target.log_alpha - target.beta * np.log(program.scale)
        self.first = program.density * program.first_slope[:, None]
        r = program.exposure[:, None]
        self.repeat = program.density * np.exp(-r)
        self.decay = r / program.capacity

    def take(self, columns: Array) -> MeanLoss:
        """Itself: there is one column only."""
        return self

    def value(self, recipe: Array) -> float:
        """Mean reducible loss at a recipe (D',)."""
        return float(np.exp(self.log_level - self.beta * np.log(self.program.gain(recipe))).mean())

    def gradient(self, x: Array) -> Array:
        """Gradient (2 D', 1): ``-mean(beta loss G / gain)``."""
        pull, slopes, _ = self._parts(x)
        return -np.einsum("j,jd->d", pull, slopes)[:, None]

    def newton_solver(self, x: Array, weight: Array, constraints: Constraints) -> Solve:
        """Dense Newton system: draws' outer products, curvature, and the barrier."""
        pull, slopes, curvature = self._parts(x)
        matrix = _weighted_gram(slopes, pull * (self.beta + 1.0))
        matrix += np.diag(np.einsum("j,jd->d", pull, curvature))
        columns = constraints.slack_step(np.eye(len(matrix)))
        matrix += _weighted_gram(columns, weight[:, 0])
        return _dense_solver(matrix)

    def _parts(self, x: Array) -> tuple[Array, Array, Array]:
        """Weights beta loss / J (J,); slopes of log gain and curvatures over gain (J, 2 D')."""
        y, z = np.split(x[:, 0], 2)
        kept = np.exp(-self.decay * z)
        repeated = self.repeat * self.program.capacity * -np.expm1(-self.decay * z)
        gain = (self.first * y).sum(axis=1) + repeated.sum(axis=1)
        slope_z = self.repeat * self.program.exposure[:, None] * kept
        slopes = np.concatenate([self.first, slope_z], axis=1) / gain[:, None]
        curvature = np.concatenate([np.zeros_like(kept), slope_z * self.decay], axis=1)
        loss = np.exp(self.log_level - self.beta * np.log(gain))
        return self.beta * loss / len(gain), slopes, curvature / gain[:, None]


def _weighted_gram(rows: Array, weight: Array) -> Array:
    """``rows' diag(weight) rows``, in pieces small enough that BLAS starts no threads.

    Threads gain little at this size, and cost a hundredfold where other work (chains, say) keeps
    the cores busy: each product then waits for a thread that has none.
    """
    n = rows.shape[1]
    size = max(UNTHREADED // n**2, 1)
    whole = len(rows) // size * size
    left, right = (weight[:whole, None] * rows[:whole]).reshape(-1, size, n), rows[:whole]
    gram = np.matmul(left.transpose(0, 2, 1), right.reshape(-1, size, n)).sum(axis=0)
    return gram + (weight[whole:, None] * rows[whole:]).T @ rows[whole:]


def _dense_solver(matrix: Array) -> Solve:
    """Solver of the system with the sum's row, scaled to a unit diagonal before factoring."""
    unit = 1.0 / np.sqrt(np.diag(matrix))[:, None]
    scaled = matrix * unit * unit.T + RIDGE * np.eye(len(matrix))
    try:
        factor = np.linalg.cholesky(scaled), True
        ones = unit * cho_solve(factor, unit)
    except (
        np.linalg.LinAlgError,
        ValueError,
    ):  # lost to rounding: no step, and the best iterate stands
        return lambda rhs, wanted: (np.full_like(rhs, np.nan), np.full_like(wanted, np.nan))

    def solve(rhs: Array, wanted: Array) -> tuple[Array, Array]:
        free = unit * cho_solve(factor, unit * rhs, check_finite=False)
        dprice = (free.sum(axis=0) - wanted) / ones.sum()
        return free - dprice * ones, dprice

    return solve


def _frank_wolfe_gap(
    objective: MeanLoss, constraints: Constraints, recipe: Array, point: InteriorPoint
) -> float:
    """``F'(x) x - min F'(x) x'``, the minimum bounded below with the iterate's multipliers."""
    y, z = _split(recipe[:, None], constraints.capacity)
    slope_y, slope_z = np.split(objective.gradient(np.concatenate([y, z])), 2)
    order_price = np.maximum(point.order_price, 0.0).T if constraints.ordered else None
    price = ordering_prices(point.price, order_price).T
    largest = 1.0 / np.arange(1, len(y) + 1)[:, None] if constraints.ordered else 1.0
    room_y = np.minimum(constraints.capacity[:, None], largest)
    reduced = np.minimum(slope_y + price, 0.0) * room_y + np.minimum(slope_z + price, 0.0) * largest
    bound = reduced.sum() - point.price[0]
    return float((slope_y * y + slope_z * z).sum() - bound)
