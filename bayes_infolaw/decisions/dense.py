"""Small dense algebra over a batch, without the threads of BLAS.

Threads gain little at these sizes, and cost a hundredfold where other work keeps the cores busy:
each product then waits for a thread that has none. Products are cut into pieces that start none.
"""

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

__all__ = ["SmallSystems", "small_product", "weighted_gram", "weighted_sum"]

Array = np.ndarray
RIDGE = 1e-15
"""Added to the unit diagonal, against pivots that rounding makes negative."""


UNTHREADED = 200_000
"""Multiplications up to which OpenBLAS stays in one thread."""


def small_product(left: Array, right: Array) -> Array:
    """``left @ right`` for a small left (r, k) and a wide right (k, P)."""
    size = max(UNTHREADED // max(left.size, 1), 1)
    if right.shape[1] <= size:
        return left @ right
    ends = range(0, right.shape[1], size)
    return np.concatenate([left @ right[:, i : i + size] for i in ends], axis=1)


def weighted_sum(weight: Array, rows: Array) -> Array:
    """``weight @ rows`` for many rows (J, n), (n,)."""
    return np.einsum("j,jn->n", weight, rows)


def weighted_gram(rows: Array, weight: Array) -> Array:
    """``rows' diag(weight) rows`` for many rows (J, n), (n, n)."""
    n = rows.shape[1]
    size = max(UNTHREADED // max(n * n, 1), 1)
    whole = len(rows) // size * size
    left, right = (weight[:whole, None] * rows[:whole]).reshape(-1, size, n), rows[:whole]
    gram = np.matmul(left.transpose(0, 2, 1), right.reshape(-1, size, n)).sum(axis=0)
    return gram + (weight[whole:, None] * rows[whole:]).T @ rows[whole:]


class SmallSystems:
    """Cholesky factors of matrices (n, n, P), each scaled to a unit diagonal.

    Column by column over the whole batch: at these sizes one call of LAPACK a matrix costs more
    than its arithmetic. A single matrix goes to LAPACK. One that is not positive definite gives
    not-a-number.
    """

    def __init__(self, matrices: Array) -> None:
        n = len(matrices)
        diagonal = np.arange(n)
        self.unit = 1.0 / np.sqrt(matrices[diagonal, diagonal])
        factor = matrices * self.unit[:, None] * self.unit
        factor[diagonal, diagonal] += RIDGE
        self.single = factor.shape[2] == 1
        if self.single:
            self.factor, failed = dpotrf(factor[:, :, 0], lower=1)
            if failed:
                self.factor = np.full((n, n), np.nan)
            return
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
        if self.single:
            return dpotrs(factor, x.reshape(len(x), -1), lower=1)[0].reshape(x.shape) * unit
        for k in range(len(factor)):
            x[k] /= factor[k, k]
            below = factor[k + 1 :, k]
            x[k + 1 :] -= (below[:, None] if many else below) * x[k]
        for k in range(len(factor) - 1, -1, -1):
            x[k] /= factor[k, k]
            before = factor[k, :k]
            x[:k] -= (before[:, None] if many else before) * x[k]
        return x * unit
