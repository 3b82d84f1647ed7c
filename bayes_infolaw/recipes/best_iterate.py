"""Best iterate of every column of a batch: what interior point methods keep while they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

__all__ = ["BestIterate", "Stopping"]

Array = np.ndarray


class Batch(Protocol):
    """P iterates side by side."""

    def take(self, columns: Array) -> Self:
        """Some of the columns, copied."""

    def put(self, columns: Array, other: Self) -> None:
        """Overwrite columns by another batch's."""


@dataclass(frozen=True)
class Stopping:
    """When a column ends."""

    target: float  # its error is below this
    rounding: float  # below this error, `patience` steps without improvement are rounding
    patience: int
    drop_lost: bool = False  # an error that is no number ends it too


class BestIterate[B: Batch]:
    """The best iterate of every column, and which columns are still running."""

    def __init__(self, start: B, n_columns: int, stopping: Stopping) -> None:
        self.columns = np.arange(n_columns)
        self.point = start.take(self.columns)
        self.error = np.full(n_columns, np.inf)
        self.failures = np.zeros(n_columns, dtype=int)
        self.stopping = stopping

    def update(self, point: B, error: Array) -> Array:
        """Keep the running columns that improved; return which of them go on."""
        rule, improved = self.stopping, error < self.error[self.columns]
        kept = self.columns[improved]
        self.point.put(kept, point.take(improved))
        self.error[kept] = error[improved]
        self.failures[self.columns] = np.where(improved, 0, self.failures[self.columns] + 1)
        best = self.error[self.columns]
        stalled = (best < rule.rounding) & (self.failures[self.columns] >= rule.patience)
        left = ~(best < rule.target) & ~stalled
        if rule.drop_lost:
            left &= np.isfinite(error)
        self.columns = self.columns[left]
        return left
