"""Draws that several tests of decisions share: two forms at one target, as posteriors are wide."""

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.laws.target import LawAtTarget


def _law(n_draws, n_buckets, seed, *, normaliser=2.6, rate=0.5):
    """Level and contrast as design.md measured them: the level varies far more."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.92, 0.12, n_draws)
    source = np.array([0.05, 0.15, 0.20, 0.20, 0.20, 0.20])[:n_buckets]
    return LawAtTarget(
        buckets=tuple("abcdef"[:n_buckets]),
        source=425e9 * source / source.sum(),
        tokens=425e9,
        token_unit=1e9,
        density=np.exp(-theta[:, None] * np.arange(n_buckets)),
        rate=rate * np.exp(rng.normal(0, 0.15, n_draws)),
        normaliser=np.full(n_draws, normaliser),
        log_alpha=rng.normal(1.32, 0.003, n_draws),
        beta=rng.normal(0.0441, 0.0012, n_draws),
        irreducible=np.zeros(n_draws),
    )


@pytest.fixture(scope="session")
def one_form():
    """150 draws of one form, three buckets: small enough for grids."""
    return pool({"log": _law(150, 3, 1)})


@pytest.fixture(scope="session")
def two_forms():
    """Two forms of unequal weight and size, three buckets; the second repeats with less loss."""
    laws = {"log": _law(120, 3, 2), "constant": _law(80, 3, 3, normaliser=1.0, rate=0.12)}
    return pool(laws, {"log": 0.7, "constant": 0.3})


@pytest.fixture(scope="session")
def six_buckets():
    """400 draws of one form at the paper's six buckets."""
    return pool({"log": _law(400, 6, 4)})


@pytest.fixture(scope="session")
def grid():
    """All recipes of three buckets in steps of 1/100."""
    i, j = np.meshgrid(np.arange(101), np.arange(101), indexing="ij")
    inside = i + j <= 100
    pairs = np.column_stack([i[inside], j[inside]]) / 100
    return np.column_stack([pairs, 1.0 - pairs.sum(axis=1)])
