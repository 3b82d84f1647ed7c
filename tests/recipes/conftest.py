"""Random targets, from ordinary to extreme."""

from collections.abc import Callable

import numpy as np
import pytest

from bayes_infolaw.laws.target import LawAtTarget

RandomTarget = Callable[..., LawAtTarget]


def _random_target(
    rng: np.random.Generator,
    n_buckets: int,
    n_draws: int = 1,
    *,
    extreme: bool = False,
    at_kink: bool = False,
) -> LawAtTarget:
    """Extreme: theta 0 to 3, lambda / l 1e-4 to 5, K 1e-3 to 100 times the best bucket."""
    concentration = rng.choice([0.3, 1.0, 5.0])
    source = np.maximum(rng.dirichlet(np.full(n_buckets, concentration)), 1e-6)
    tokens = source[0] * 10 ** rng.uniform(-3, 2) if extreme else rng.uniform(0.02, 3)
    if at_kink:  # some buckets exactly exhausted
        tokens = source[: rng.integers(1, n_buckets + 1)].sum()
    theta = rng.choice([0.0, 0.01, 0.3, 0.922, 3.0], n_draws) if extreme else rng.uniform(0.1, 2)
    exposure = 10 ** (rng.uniform(-4, np.log10(5), n_draws) if extreme else rng.uniform(-2, 0.5))
    normaliser = rng.uniform(0.5, 3, n_draws)
    return LawAtTarget(
        buckets=tuple(f"bucket {d}" for d in range(n_buckets)),
        source=1e11 * source,
        tokens=1e11 * tokens,
        token_unit=1e9,
        density=np.exp(-np.broadcast_to(theta, n_draws)[:, None] * np.arange(n_buckets)),
        rate=exposure * normaliser,
        normaliser=normaliser,
        log_alpha=rng.normal(1.3, 0.05, n_draws),
        beta=rng.uniform(0.03, 0.3, n_draws),
        irreducible=rng.uniform(0, 1, n_draws),
    )


@pytest.fixture
def random_target() -> RandomTarget:
    return _random_target


@pytest.fixture
def posterior_target() -> LawAtTarget:
    """A posterior as design.md measured it, at the paper's 7B model: 400 draws, six buckets."""
    rng = np.random.default_rng(11)
    theta, log_rate = rng.normal([0.922, np.log(0.53)], [0.12, 0.08], (400, 2)).T
    return LawAtTarget(
        buckets=("hq", "b", "c", "d", "e", "f"),
        source=5e11 * np.array([0.05, 0.15, 0.2, 0.2, 0.2, 0.2]),
        tokens=1e12,
        token_unit=1e9,
        density=np.exp(-theta[:, None] * np.arange(6)),
        rate=np.exp(log_rate),
        normaliser=np.full(400, 3.0),
        log_alpha=rng.normal(np.log(3.7373), 0.004, 400),
        beta=rng.normal(0.0441, 0.0012, 400),
        irreducible=np.zeros(400),
    )
