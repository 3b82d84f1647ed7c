"""The Kullback-Leibler divergence of a recipe from a reference: its value and derivatives."""

import numpy as np

__all__ = ["divergence", "divergence_parts"]

Array = np.ndarray


def divergence(recipes: Array, reference: Array) -> Array:
    """``sum_d w_d ln(w_d / reference_d)`` over the reference's own buckets, nats, (R,)."""
    return divergence_parts(np.maximum(recipes, 0.0).T, reference)[0]


def divergence_parts(shares: Array, reference: Array) -> tuple[Array, Array, Array]:
    """Value (P,), slopes and second derivatives (D, P) at shares (D, P).

    A share of zero adds nothing, and a bucket outside the reference is left out: its slopes are
    zero, so that buckets that cannot be packed do no harm.
    """
    known = (reference > 0)[:, None] & (shares > 0)
    w = np.where(known, shares, 1.0)
    log_ratio = np.where(known, np.log(w / np.where(known, reference[:, None], 1.0)), 0.0)
    slopes = np.where(known, log_ratio + 1.0, 0.0)
    return (w * log_ratio).sum(axis=0), slopes, np.where(known, 1.0 / w, 0.0)
