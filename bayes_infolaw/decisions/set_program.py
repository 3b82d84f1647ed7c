"""A lifted set and an objective -> the program that the interior point method solves."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bayes_infolaw.decisions.dense import small_product, weighted_gram, weighted_sum
from bayes_infolaw.decisions.divergence import divergence_parts
from bayes_infolaw.decisions.lifted import Lifted

__all__ = ["LocalObjective", "Objective", "SetProgram"]

Array = np.ndarray


class LocalObjective(Protocol):
    """An objective at one point of each column; soft rows are those of CVaR, else none."""

    gradient: Array  # (n, P)
    soft_rows: Array  # (k, P)
    soft_slopes: Array  # (k, n), one column of a batch of one

    def add_curvature(self, matrix: Array, soft_multiplier: Array) -> None:
        """Add F'' and the soft rows' own curvature to a matrix (n, n, P)."""


class Objective(Protocol):
    """F, scaled so that its gradient is about one."""

    soft_most: Array  # (k,) largest multiplier of the soft rows

    def at(self, x: Array, unique: Array, repeated: Array) -> LocalObjective:
        """Derivatives at points (n, P) with unique and repeated shares (D, P)."""

    def take(self, columns: Array) -> Objective:
        """The same objective for some of the columns."""


class SetProgram:
    """Minimise an objective over a lifted set: rows are bounds, linear ones, divergence, soft."""

    def __init__(self, lifted: Lifted, objective: Objective) -> None:
        self.lifted, self.objective = lifted, objective
        self.equal, self.level = lifted.equal, lifted.level
        self.outer = np.einsum("mi,mj->ijm", lifted.rows, lifted.rows)
        self.pairs = np.nonzero(lifted.share.T @ lifted.share)  # variables of one bucket
        self.lower, self.upper = lifted.lower[:, None], lifted.upper[:, None]

    def most(self) -> Array:
        """Largest multipliers, infinite but in the soft rows."""
        n, m = len(self.lower), len(self.lifted.rows)
        hard = np.full(2 * n + m + self.has_divergence, np.inf)
        return np.concatenate([hard, self.objective.soft_most])[:, None]

    @property
    def has_divergence(self) -> bool:
        """Whether there is a limit on the divergence."""
        return self.lifted.kl_max is not None

    def take(self, columns: Array) -> SetProgram:
        """The same program for some of the columns."""
        other = object.__new__(SetProgram)
        other.__dict__.update(self.__dict__)
        other.objective = self.objective.take(columns)
        return other

    def at(self, x: Array) -> LocalProgram:
        """Derivatives at points (n, P)."""
        return LocalProgram(self, x)


class LocalProgram:
    """Derivatives of a `SetProgram` at one point of each column."""

    def __init__(self, program: SetProgram, x: Array) -> None:
        self.program, lifted = program, program.lifted
        unique, repeated = lifted.parts(x)
        self.objective = program.objective.at(x, unique, repeated)
        self.gradient = self.objective.gradient
        rows = [program.lower - x, x - program.upper, lifted.rows @ x - lifted.limit[:, None]]
        if program.has_divergence:
            self._divergence(unique + repeated)
            rows.append(self.divergence)
        if len(self.objective.soft_rows):
            rows.append(self.objective.soft_rows)
        self.rows = np.concatenate(rows)

    def _divergence(self, shares: Array) -> None:
        reference, lifted = self.program.lifted.reference, self.program.lifted
        assert reference is not None
        assert lifted.kl_max is not None
        value, slopes, self.curvature = divergence_parts(shares, reference)
        self.divergence = value[None] - lifted.kl_max
        self.slopes = lifted.share.T @ slopes

    def _parts(self, rows: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Rows as lower, upper, linear, divergence and soft ones."""
        n, m = len(self.gradient), len(self.program.lifted.rows)
        ends = np.cumsum([n, n, m, int(self.program.has_divergence)])
        lower, upper, linear, divergence, soft = np.split(rows, ends)
        return lower, upper, linear, divergence, soft

    def pull(self, multiplier: Array) -> Array:
        """Transposed slopes times multipliers, (n, P)."""
        lower, upper, linear, divergence, soft = self._parts(multiplier)
        pull = upper - lower
        if len(linear):
            pull += self.program.lifted.rows.T @ linear
        if len(divergence):
            pull += self.slopes * divergence
        if len(soft):
            pull += weighted_sum(soft[:, 0], self.objective.soft_slopes)[:, None]
        return pull

    def push(self, dx: Array) -> Array:
        """Slopes times a step, (m, P)."""
        parts = [-dx, dx, self.program.lifted.rows @ dx]
        if self.program.has_divergence:
            parts.append(np.einsum("np,np->p", self.slopes, dx)[None])
        if len(self.objective.soft_slopes):
            parts.append(np.einsum("jn,np->jp", self.objective.soft_slopes, dx))
        return np.concatenate(parts)

    def matrix(self, multiplier: Array, weight: Array) -> Array:
        """Newton matrix (n, n, P)."""
        n, n_columns = self.gradient.shape
        lower, upper, linear, divergence, soft = self._parts(weight)
        matrix = np.zeros((n, n, n_columns))
        if len(linear):
            outer = self.program.outer.reshape(n * n, -1)
            matrix += small_product(outer, linear).reshape(n, n, -1)
        if len(divergence):
            price = self._parts(multiplier)[3]
            pairs = self.program.pairs
            matrix[pairs] += price * self.curvature[self.program.lifted.bucket[pairs[0]]]
            matrix += self.slopes[:, None] * (self.slopes * divergence)
        diagonal = np.arange(n)
        matrix[diagonal, diagonal] += lower + upper
        if len(soft):
            slopes = self.objective.soft_slopes
            matrix[:, :, 0] += weighted_gram(slopes, soft[:, 0])
        self.objective.add_curvature(matrix, self._parts(multiplier)[4])
        return matrix
