"""Random recipes spread evenly over a convex set, by hit-and-run from many points at once."""

from collections.abc import Callable

import numpy as np

from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.decisions.violation import curved_violation

__all__ = ["sample_convex"]

Array = np.ndarray
CHAINS, BISECTIONS = 4_096, 40
FLAT = 1e-7
"""Directions in which the set is narrower than this are left out."""


def sample_convex(
    allowed: RecipeConstraints, cheapest: Callable[[Array], Array], n: int, seed: int
) -> Array:
    """Recipes (n, D), nearly uniform over the set (Smith, Operations Research 32, 1984).

    Parameters
    ----------
    cheapest : callable
        Recipe of least linear cost: its answers span the set and start the walks.
    """
    rng = np.random.default_rng(seed)
    corners = _corners(len(allowed.buckets), cheapest, rng)
    middle = corners.mean(axis=0)
    _, size, basis = np.linalg.svd(corners - middle, full_matrices=False)
    basis = basis[size > FLAT] * size[size > FLAT, None]
    if not len(basis):
        return np.repeat(middle[None], n, axis=0)
    chains = min(max(n, 1), CHAINS)
    w = rng.dirichlet(np.ones(len(corners)), chains) @ corners
    walk = _Walk(allowed, basis, rng)
    rank = len(basis)
    w = walk.steps(w, 20 + 5 * rank)
    found = [w]
    while len(found) * chains < n:
        w = walk.steps(w, 2 + rank)
        found.append(w)
    return np.concatenate(found)[:n]


def _corners(n_buckets: int, cheapest: Callable[[Array], Array], rng: np.random.Generator) -> Array:
    """Extreme recipes: least and most of each bucket, and in some random directions."""
    eye = np.eye(n_buckets)
    costs = [eye, -eye, rng.standard_normal((n_buckets, n_buckets))]
    return np.array([cheapest(cost) for cost in np.concatenate(costs)])


class _Walk:
    """Hit-and-run: a uniform point on the chord through each recipe in a random direction."""

    def __init__(self, allowed: RecipeConstraints, basis: Array, rng: np.random.Generator) -> None:
        self.allowed, self.basis, self.rng = allowed, basis, rng
        rows, limits = allowed.linear_rows()
        eye = np.eye(len(allowed.buckets))
        self.rows = np.concatenate([-eye, eye, rows])
        self.limits = np.concatenate([-allowed.lower, allowed.upper, limits])
        flat = np.abs(self.rows @ basis.T).max(axis=1) <= 1e-12
        self.rows, self.limits = self.rows[~flat], self.limits[~flat]
        self.curved = bool(np.isfinite(curved_violation(allowed, np.zeros((1, len(eye))))).any())

    def steps(self, w: Array, count: int) -> Array:
        """Recipes (C, D) after so many steps."""
        for _ in range(count):
            direction = self.rng.standard_normal((len(w), len(self.basis))) @ self.basis
            below, above = -self._reach(w, -direction), self._reach(w, direction)
            w = w + (below + (above - below) * self.rng.random(len(w)))[:, None] * direction
        return np.maximum(w, 0.0)

    def _reach(self, w: Array, direction: Array) -> Array:
        """How far each recipe can go, (C,)."""
        slope, slack = direction @ self.rows.T, self.limits - w @ self.rows.T
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(slope > 0, np.maximum(slack, 0.0) / slope, np.inf).min(axis=1)
        far = np.where(np.isfinite(far), far, 0.0)
        return self._inside(w, direction, far) if self.curved else far

    def _inside(self, w: Array, direction: Array, far: Array) -> Array:
        """The part of a reach within the constraints that are not linear, by bisection."""
        out = curved_violation(self.allowed, w + far[:, None] * direction) > 0
        low, high = np.zeros(int(out.sum())), far[out]
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            inside = curved_violation(self.allowed, w[out] + middle[:, None] * direction[out]) <= 0
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        far = far.copy()
        far[out] = low
        return far
