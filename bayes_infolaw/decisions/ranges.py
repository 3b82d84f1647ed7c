"""Equivalent recipes within a convex recipe set -> how far each bucket's share may go.

Supporting hyperplanes (Veinott 1967): the least cost over the half-spaces known so far is a linear
program; where its solution is not equivalent, the line from a member to it crosses the boundary,
and the tangent there is one half-space more. The recipe set enters by its own linear minimum only:
the linear program mixes its vertices, and new vertices come in by their reduced cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import OptimizeResult, linprog

from bayes_infolaw.decisions.membership import Membership
from bayes_infolaw.decisions.recipe_set import RecipeSet

__all__ = ["RangeSearch", "ShareRange"]

Array = np.ndarray

CLOSE = 1e-3
"""Distance of a share from its bound at which a search ends."""
ROUNDS = 40
VERTICES_A_ROUND = 25
PRICED = 1e-5  # a vertex that would gain less is not worth another round


@dataclass(frozen=True)
class ShareRange:
    """The extreme found of one cost over the equivalent recipes."""

    recipe: Array  # (D,) equivalent, and in the set
    value: float
    bound: float  # below which no recipe lies if the equivalent recipes form a convex set


@dataclass
class RangeSearch:
    """Extremes over the equivalent recipes of one convex set, from a member.

    Half-spaces and vertices found for one bucket serve the next.
    """

    members: Membership
    allowed: RecipeSet
    member: Array  # (D,) equivalent, and in the set
    reached: list[Array] = field(default_factory=list)  # equivalent recipes met on the way
    vertices: list[Array] = field(default_factory=list)
    normals: list[Array] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reached.append(self.member)
        self.vertices.append(self.member)

    def least(self, cost: Array) -> ShareRange:
        """Minimise ``cost . w`` over the equivalent recipes of the set."""
        bound = -np.inf
        for _ in range(ROUNDS):
            outer, bound = self._relaxed(cost)
            inner = self.members.reach(self.member, outer[None])[0]
            self.reached.append(inner)
            best = min(self.reached, key=lambda recipe: cost @ recipe)
            if cost @ best - bound <= CLOSE:
                break
            self._cut(inner)
        best = min(self.reached, key=lambda recipe: cost @ recipe)
        return ShareRange(best, float(cost @ best), min(float(bound), float(cost @ best)))

    def _cut(self, point: Array) -> None:
        normal = self.members.normal(point)
        self.normals.append(normal / np.abs(normal).max())
        self.points.append(point)

    def _relaxed(self, cost: Array) -> tuple[Array, float]:
        """Least cost over the set within the half-spaces, and a lower bound of it."""
        for _ in range(VERTICES_A_ROUND):
            solution = self._mixture(cost)
            slope, offset = self._prices(cost, solution)
            vertex, value = self.allowed.linear_minimum(slope)
            if solution.fun - (value - offset) <= PRICED:
                break
            self.vertices.append(vertex)
        return np.array(self.vertices).T[:, : len(solution.x)] @ solution.x, float(value - offset)

    def _mixture(self, cost: Array) -> OptimizeResult:
        """The best mixture of the known vertices; the member is one, so that there is one."""
        vertices = np.array(self.vertices)
        rows = np.array(
            [n @ (vertices - p).T for n, p in zip(self.normals, self.points, strict=True)]
        )
        cut = {"A_ub": rows, "b_ub": np.maximum(rows[:, 0], 0.0)} if len(rows) else {}
        whole = {"A_eq": np.ones((1, len(vertices))), "b_eq": [1.0]}
        return linprog(vertices @ cost, **cut, **whole, method="highs")

    def _prices(self, cost: Array, solution: OptimizeResult) -> tuple[Array, float]:
        """Cost of a share once the half-spaces are paid for, and what they are paid."""
        if not self.normals:
            return cost, 0.0
        price = -np.asarray(solution.ineqlin.marginals)
        normals, points = np.array(self.normals), np.array(self.points)
        room = np.maximum((normals * (self.member - points)).sum(axis=1), 0.0)
        return cost + price @ normals, float(price @ ((normals * points).sum(axis=1) + room))
