"""Losses of a target's draws as objectives: each draw's own gain, the mean loss, and its CVaR.

In split coordinates a draw's gain over ``1 - exp(-r)`` is smooth and concave: ``f`` per unique
token, ``f r exp(-r (1 + z / c)) / (1 - exp(-r))`` per repeated one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.dense import weighted_gram, weighted_sum
from bayes_infolaw.decisions.divergence import divergence_parts
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.lifted import Lifted

__all__ = [
    "DivergenceObjective",
    "DrawGains",
    "LinearObjective",
    "LossMean",
    "LossTail",
    "Reducible",
]

Array = np.ndarray
NO_ROWS = np.zeros((0, 1))


@dataclass
class _Local:
    gradient: Array
    curvature: Array  # (n, P) diagonal or (n, n, P)
    soft_rows: Array
    soft_slopes: Array

    def add_curvature(self, matrix: Array, soft_multiplier: Array) -> None:
        if self.curvature.ndim == 3:
            matrix += self.curvature
        else:
            diagonal = np.arange(len(matrix))
            matrix[diagonal, diagonal] += self.curvature


class LinearObjective:
    """``cost . x``, one column."""

    soft_most = np.zeros(0)

    def __init__(self, cost: Array) -> None:
        self.cost = cost[:, None]

    def at(self, x: Array, unique: Array, repeated: Array) -> _Local:
        """The cost itself."""
        return _Local(self.cost, np.zeros_like(x), NO_ROWS, np.zeros((0, len(x))))

    def take(self, columns: Array) -> LinearObjective:
        """Itself: there is one column only."""
        return self


class DivergenceObjective:
    """``sum w ln(w / reference)``, one column."""

    soft_most = np.zeros(0)

    def __init__(self, lifted: Lifted) -> None:
        self.share, reference = lifted.share, lifted.reference
        assert reference is not None
        self.reference = reference

    def at(self, x: Array, unique: Array, repeated: Array) -> _Local:
        """Slopes ``ln(w / reference) + 1`` and curvature ``1 / w``."""
        _, slopes, curvature = divergence_parts(unique + repeated, self.reference)
        matrix = np.einsum("di,dp,dj->ijp", self.share, curvature, self.share)
        slopes = self.share.T @ slopes
        return _Local(slopes, matrix, NO_ROWS, np.zeros((0, len(x))))

    def take(self, columns: Array) -> DivergenceObjective:
        """Itself: there is one column only."""
        return self


class DrawGains:
    """``-gain / scale`` of every draw, one column a draw; its largest slope is one."""

    soft_most = np.zeros(0)

    def __init__(self, draws: TargetDraws, lifted: Lifted) -> None:
        """Coefficients of every variable: zero slope for the excesses."""
        in_share = lifted.share.any(axis=0)
        r = draws.exposure
        slope = np.where(lifted.repeated[:, None], r * np.exp(-r), -np.expm1(-r))
        slope = np.where(in_share[:, None], draws.density.T[lifted.bucket] * slope, 0.0)
        largest = slope.max(axis=0)
        # Of the buckets in the set: the draw's best one may be outside, and dwarf them.
        self.scale = np.where(largest > 0, largest, 1.0)  # (J,)
        self.slope = slope / self.scale
        capacity = draws.capacity[lifted.bucket][:, None]
        with np.errstate(divide="ignore"):
            self.decay = np.where(lifted.repeated[:, None], r / capacity, 0.0)

    def at(self, x: Array, unique: Array, repeated: Array) -> _Local:
        """Slopes of both parts, and curvature of the repeated one."""
        slope = self.slope * np.exp(-self.decay * x)
        return _Local(-slope, slope * self.decay, NO_ROWS, np.zeros((0, len(x))))

    def take(self, columns: Array) -> DrawGains:
        """The same for some of the draws."""
        other = object.__new__(DrawGains)
        other.slope, other.decay = self.slope[:, columns], self.decay[:, columns]
        other.scale = self.scale[columns]
        return other


class Reducible:
    """Reducible losses ``exp(log_level - beta ln gain)`` of all draws at one point."""

    def __init__(self, draws: TargetDraws, lifted: Lifted) -> None:
        used = draws.capacity > 0
        r = draws.exposure[:, None]
        self.beta, self.log_level = draws.beta, draws.log_level
        self.first = draws.density * -np.expm1(-r)
        self.repeat = draws.density * np.exp(-r)
        self.decay = r / np.where(used, draws.capacity, 1.0)
        self.capacity = draws.capacity
        self.bucket, self.repeated = lifted.bucket, lifted.repeated
        self.in_share = lifted.share.any(axis=0)

    def losses(self, unique: Array, repeated: Array) -> tuple[Array, Array]:
        """Losses and gains, each (J,), at unique and repeated shares (D,)."""
        again = self.repeat * self.capacity * -np.expm1(-self.decay * repeated)
        gain = (self.first * unique).sum(axis=1) + again.sum(axis=1)
        with np.errstate(divide="ignore"):
            return np.exp(self.log_level - self.beta * np.log(gain)), gain

    def slopes(self, weight: Array, unique: Array, repeated: Array) -> tuple[Array, Array]:
        """Slopes of ``sum_j weight_j loss_j`` per unique and per repeated share, each (D,)."""
        loss, gain = self.losses(unique, repeated)
        pull = -weight * self.beta * loss / gain
        kept = self.repeat * self.decay * self.capacity * np.exp(-self.decay * repeated)
        return weighted_sum(pull, self.first), weighted_sum(pull, kept)

    def at(self, unique: Array, repeated: Array) -> tuple[Array, Array, Array]:
        """Losses (J,), their slopes (J, n), and beta loss / gain times the bends (J, n)."""
        loss, gain = self.losses(unique, repeated)
        kept = self.repeat * self.decay * self.capacity * np.exp(-self.decay * repeated)
        each = np.where(self.repeated, kept[:, self.bucket], self.first[:, self.bucket])
        each = np.where(self.in_share, each, 0.0)
        bend = np.where(self.repeated, each * self.decay[:, self.bucket], 0.0)
        pull = (self.beta * loss / gain)[:, None]
        return loss, -pull * each, pull * bend

    def curvature(self, share: Array, parts: tuple[Array, Array, Array]) -> Array:
        """Second derivatives of ``sum_j share_j loss_j``, (n, n)."""
        loss, slopes, bend = parts
        # beta (beta + 1) loss (G / gain)^2 in terms of the slopes -beta loss G / gain.
        weight = share * (self.beta + 1.0) / (self.beta * loss)
        return weighted_gram(slopes, weight) + np.diag(weighted_sum(share, bend))


class LossMean:
    """``sum_j q_j loss_j / scale`` for weights q, one column."""

    soft_most = np.zeros(0)

    def __init__(self, reducible: Reducible, weight: Array, scale: float) -> None:
        self.reducible, self.share = reducible, weight / scale

    def at(self, x: Array, unique: Array, repeated: Array) -> _Local:
        """Slopes, and the draws' outer products and curvatures summed."""
        parts = self.reducible.at(unique[:, 0], repeated[:, 0])
        matrix = self.reducible.curvature(self.share, parts)
        slopes = weighted_sum(self.share, parts[1])[:, None]
        return _Local(slopes, matrix[:, :, None], NO_ROWS, np.zeros((0, len(x))))

    def take(self, columns: Array) -> LossMean:
        """Itself: there is one column only."""
        return self


class LossTail:
    """``t + sum_j most_j max(level_j + reducible_j / scale - t, 0)``, t the last variable."""

    def __init__(self, reducible: Reducible, most: Array, level: Array, scale: float) -> None:
        self.reducible, self.soft_most = reducible, most
        self.level, self.scale = level, scale

    def at(self, x: Array, unique: Array, repeated: Array) -> _TailLocal:
        """The objective is t; the soft rows are ``loss_j - t <= 0``."""
        parts = self.reducible.at(unique[:, 0], repeated[:, 0])
        gradient = np.zeros_like(x)
        gradient[-1] = 1.0
        slopes = parts[1] / self.scale
        slopes[:, -1] = -1.0
        rows = (parts[0] / self.scale + self.level - x[-1, 0])[:, None]
        return _TailLocal(gradient, rows, slopes, self, parts)

    def take(self, columns: Array) -> LossTail:
        """Itself: there is one column only."""
        return self


@dataclass
class _TailLocal:
    gradient: Array
    soft_rows: Array
    soft_slopes: Array
    objective: LossTail
    parts: tuple[Array, Array, Array]

    def add_curvature(self, matrix: Array, soft_multiplier: Array) -> None:
        share = soft_multiplier[:, 0] / self.objective.scale
        matrix[:, :, 0] += self.objective.reducible.curvature(share, self.parts)
