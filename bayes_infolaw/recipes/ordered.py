"""Ordered recipes (w_0 >= w_1 >= ...): the optimum of every draw, a batch of draws at a time.

A draw's Hessian is diagonal and the ordering couples neighbours only, so after eliminating y and z
a Newton step is one tridiagonal solve in w.
"""

import numpy as np

from bayes_infolaw.recipes.certificate import ordering_prices, relative_gap
from bayes_infolaw.recipes.crossover import exact_shares, fitted_prices, interior_shares
from bayes_infolaw.recipes.interior import Constraints, Solve, solve_interior
from bayes_infolaw.recipes.program import RecipeProgram

__all__ = ["solve_ordered"]

Array = np.ndarray


CHUNK_CELLS = 16_384
"""Draws times buckets solved at a time, so that a batch's arrays stay in the processor's cache."""
RETRY_GAP = 1e-9
"""A draw that ends above this gap is solved again from nearer the centre."""
CENTRE_WEIGHTS = (0.2, 0.7, 0.05, 0.95)


def solve_ordered(program: RecipeProgram, free_shares: Array) -> tuple[Array, Array]:
    """Ordered shares that maximise each draw's gain, started near the free optimum.

    Parameters
    ----------
    free_shares : array of shape (J, D')
        Each draw's optimum without the ordering.

    Returns
    -------
    shares : array of shape (J, D')
    gap : array of shape (J,)
        Relative duality gap.
    """
    size = max(CHUNK_CELLS // len(program.capacity), 1)
    parts = [
        _solve_chunk(program.take(slice(i, i + size)), free_shares[i : i + size])
        for i in range(0, len(free_shares), size)
    ]
    shares, gap = zip(*parts, strict=True)
    return np.concatenate(shares), np.concatenate(gap)


def _solve_chunk(program: RecipeProgram, free_shares: Array) -> tuple[Array, Array]:
    shares, gap = np.empty_like(free_shares), np.full(len(free_shares), np.inf)
    for weight in CENTRE_WEIGHTS:
        again = np.flatnonzero(~(gap < RETRY_GAP))
        if again.size:
            tried = _solve_from(program.take(again), free_shares[again], weight)
            better = ~(gap[again] <= tried[1])
            shares[again[better]], gap[again[better]] = tried[0][better], tried[1][better]
    return shares, gap


def _solve_from(program: RecipeProgram, free_shares: Array, weight: float) -> tuple[Array, Array]:
    """Solve, put active constraints on their bounds, and certify, from one start."""
    n = free_shares.shape[1]
    centre = np.arange(n, 0, -1) / (n * (n + 1) / 2)
    start = (1.0 - weight) * -np.sort(-free_shares, axis=1) + weight * centre
    unit = program.first_slope
    constraints = Constraints(program.capacity, ordered=True)
    objective = DrawObjectives(program)
    point = solve_interior(objective, constraints, start.T.copy(), program.gain(free_shares) / unit)
    price, order_price = point.price * unit, np.maximum(point.order_price, 0.0).T * unit[:, None]
    candidates = [
        exact_shares(point, program.capacity, ordered=True),
        interior_shares(point, ordered=True),
    ]
    return _best_certified(program, candidates, price, order_price)


def _best_certified(
    program: RecipeProgram, candidates: list[Array], price: Array, order_price: Array
) -> tuple[Array, Array]:
    """The first candidate unless a later one is certified much closer, and its gap."""
    rough = ordering_prices(price, order_price)
    shares, gap = candidates[0], np.full(len(price), np.inf)
    for candidate in candidates:
        own = relative_gap(program, candidate, price, order_price)
        fitted = relative_gap(program, candidate, *fitted_prices(program, candidate, rough))
        own = np.fmin(own, fitted)
        better = ~(gap < RETRY_GAP) & (own < gap)
        shares, gap = np.where(better[:, None], candidate, shares), np.where(better, own, gap)
    return shares, gap


class DrawObjectives:
    """``-gain / (1 - exp(-r))`` of each draw in y and z, columns one a draw."""

    def __init__(self, program: RecipeProgram) -> None:
        self.program = program
        self.density = np.ascontiguousarray(program.density.T)
        self.capacity = program.capacity[:, None]
        self.exposure = program.exposure
        slope_ratio = program.exposure * np.exp(-program.exposure) / program.first_slope
        self.repeat_slope = self.density * slope_ratio
        self.decay = program.exposure / self.capacity

    def gradient(self, x: Array) -> Array:
        """Slopes: f_d for y, and f_d r exp(-r (1 + z/c)) / (1 - exp(-r)) for z, negative."""
        z = x[len(x) // 2 :]
        return -np.concatenate([self.density, self.repeat_slope * np.exp(-self.decay * z)])

    def take(self, columns: Array) -> "DrawObjectives":
        """The same for some of the draws."""
        return DrawObjectives(self.program.take(columns))

    def newton_solver(self, x: Array, weight: Array, constraints: Constraints) -> Solve:
        """Eliminate y and z, then factor the tridiagonal system of w."""
        n = len(self.density)
        curvature = self.repeat_slope * self.decay * np.exp(-self.decay * x[n:])
        stiff_y = weight[:n] + weight[n : 2 * n]
        stiff_z = weight[2 * n : 3 * n] + curvature
        stiff = stiff_y * stiff_z / (stiff_y + stiff_z)
        soft_y = stiff_y < stiff_z
        factor = _factor_tridiagonal(stiff, weight[3 * n :])
        unit = _solve_tridiagonal(factor, np.ones_like(stiff))

        def solve(rhs: Array, wanted: Array) -> tuple[Array, Array]:
            pull = stiff * (rhs[:n] / stiff_y + rhs[n:] / stiff_z)
            free = _solve_tridiagonal(factor, pull)
            dprice = (free.sum(axis=0) - wanted) / unit.sum(axis=0)
            dw = free - dprice * unit
            coupling = pull - stiff * dw
            # The softer part follows from dw: its own row would divide rounding by nearly nothing.
            dy = np.where(
                soft_y, dw - (rhs[n:] - coupling) / stiff_z, (rhs[:n] - coupling) / stiff_y
            )
            dz = np.where(soft_y, (rhs[n:] - coupling) / stiff_z, dw - dy)
            return np.concatenate([dy, dz]), dprice

        return solve


Factor = tuple[Array, Array]


def _factor_tridiagonal(diagonal: Array, link: Array) -> Factor:
    """Factor ``diag(k) + D' diag(link) D`` (D: neighbour differences) without subtractions.

    The pivots follow from the row surpluses (as in Grassmann, Taksar and Heyman's elimination), so
    they stay accurate however stiff the links are.
    """
    pivot, ratio = np.empty_like(diagonal), np.empty_like(link)
    surplus = diagonal[0]
    for d, stiffness in enumerate(link):
        pivot[d] = surplus + stiffness
        ratio[d] = stiffness / pivot[d]
        surplus = diagonal[d + 1] + ratio[d] * surplus
    pivot[-1] = surplus
    return pivot, ratio


def _solve_tridiagonal(factor: Factor, rhs: Array) -> Array:
    pivot, ratio = factor
    x = rhs.copy()
    for d in range(len(ratio)):
        x[d + 1] += ratio[d] * x[d]
    x /= pivot
    for d in range(len(ratio) - 1, -1, -1):
        x[d] += ratio[d] * x[d + 1]
    return x
