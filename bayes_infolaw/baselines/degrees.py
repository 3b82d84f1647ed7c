"""Parallel lines: log loss on a regressor, one intercept for each overtraining degree."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.baselines.base import residual_sd
from bayes_infolaw.laws.degrees import degree_clusters, form_clusters

__all__ = ["Lines", "cluster_degrees", "fit_lines", "nearest_degree"]

Array = np.ndarray


@dataclass(frozen=True)
class Lines:
    """``y = intercept_c + slope x`` with c the degree nearest in ln m."""

    log_degrees: Array  # (c,) cluster means of ln m, increasing; c = 1 for one common line
    intercepts: Array  # (c,)
    slope: float
    sd: float  # residual sd on n - c - 1 degrees of freedom

    def levels(self, name: str) -> dict[str, float]:
        """``name[m=...]``: exp of the intercept at each degree."""
        degrees = zip(np.exp(self.log_degrees), self.intercepts, strict=True)
        return {f"{name}[m={m:.3g}]": float(np.exp(intercept)) for m, intercept in degrees}

    def predict(self, x: Array, log_degree: Array) -> Array:
        """Fitted y, shape (n,)."""
        return self.intercepts[nearest_degree(log_degree, self.log_degrees)] + self.slope * x


def cluster_degrees(log_degree: Array) -> Array:
    """Find the degrees among ln m: runs within 0.05 share one.

    Returns
    -------
    array of shape (c,), increasing
        Cluster means. The mean of all alone where there are more than 6 clusters or one of fewer
        than 3 runs: then a single intercept has to do for every degree.
    """
    centres, counts, _ = degree_clusters(log_degree)
    return centres if form_clusters(counts) else np.array([log_degree.mean()])


def nearest_degree(log_degree: Array, log_degrees: Array) -> Array:
    """Index of the nearest degree of each run, shape (n,): an unseen degree takes a neighbour's."""
    return np.abs(log_degree[:, None] - log_degrees).argmin(axis=1)


def fit_lines(x: Array, y: Array, log_degree: Array) -> Lines:
    """Least squares of y on x with one intercept a degree; at least 3 runs more than degrees."""
    log_degrees = cluster_degrees(log_degree)
    member = nearest_degree(log_degree, log_degrees)[:, None] == np.arange(len(log_degrees))
    design = np.column_stack([member, x])
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    sd = residual_sd(y - design @ coefficients, design.shape[1])
    return Lines(log_degrees, coefficients[:-1], float(coefficients[-1]), sd)
