"""Many small positive definite systems at once, the batch along the last axis."""

import numpy as np

__all__ = ["SmallSystems"]

Array = np.ndarray
RIDGE = 1e-15
"""Added to the unit diagonal, against pivots that rounding makes negative."""


class SmallSystems:
    """Cholesky factors of matrices (n, n, P), each scaled to a unit diagonal.

    Column by column over the whole batch: at these sizes one call of LAPACK a matrix costs more
    than its arithmetic. A matrix that is not positive definite gives not-a-number.
    """

    def __init__(self, matrices: Array) -> None:
        n = len(matrices)
        diagonal = np.arange(n)
        self.unit = 1.0 / np.sqrt(matrices[diagonal, diagonal])
        factor = matrices * self.unit[:, None] * self.unit
        factor[diagonal, diagonal] += RIDGE
        for k in range(n):
            factor[k:, k] /= np.sqrt(factor[k, k])
            below = factor[k + 1 :, k]
            factor[k + 1 :, k + 1 :] -= below[:, None] * below
        self.factor = factor

    def solve(self, rhs: Array) -> Array:
        """Solutions for right-hand sides (n, P) or (n, q, P)."""
        many = rhs.ndim == 3
        unit = self.unit[:, None] if many else self.unit
        x, factor = rhs * unit, self.factor
        for k in range(len(factor)):
            x[k] /= factor[k, k]
            below = factor[k + 1 :, k]
            x[k + 1 :] -= (below[:, None] if many else below) * x[k]
        for k in range(len(factor) - 1, -1, -1):
            x[k] /= factor[k, k]
            before = factor[k, :k]
            x[:k] -= (before[:, None] if many else before) * x[k]
        return x * unit
