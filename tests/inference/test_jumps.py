"""Independence moves: the target stays exact whatever the mixture, and modes are crossed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from bayes_infolaw.inference.device import prepare_device
from bayes_infolaw.inference.jumps import fit_mixture, jump, wide_normal

prepare_device("cpu")


class State(NamedTuple):
    z: jax.Array
    potential_energy: jax.Array
    z_grad: jax.Array


def two_modes(z):
    """Minus log density: 0.7 of a unit normal at (0, 0), 0.3 of a narrow one at (6, 6)."""
    near = jnp.log(0.7) - 0.5 * jnp.sum(z**2)
    far = jnp.log(0.3) - 0.5 * jnp.sum(((z - 6.0) / 0.5) ** 2) - 2 * jnp.log(0.5)
    return -jnp.logaddexp(near, far)


def run(mixture, n, seed=0, start=(0.0, 0.0)):
    mixture = jax.tree.map(jnp.asarray, mixture)
    value, gradient = jax.value_and_grad(two_modes)(jnp.array(start))

    def step(state, key):
        state, accepted = jump(key, state, mixture, two_modes)
        return state, (state.z, accepted)

    state = State(jnp.array(start), value, gradient)
    _, (z, accepted) = jax.lax.scan(step, state, jax.random.split(jax.random.key(seed), n))
    return np.asarray(z), float(np.mean(accepted))


def draws(n, rng):
    near, far = rng.standard_normal((n, 2)), 6 + 0.5 * rng.standard_normal((n, 2))
    return np.where(rng.uniform(size=(n, 1)) < 0.7, near, far)


def test_moves_leave_the_target_alone():
    """KS on thinned draws against the exact marginal; three seeds, each at 1e-4."""
    rng = np.random.default_rng(4)
    mixture = fit_mixture(draws(800, rng), seed=1)
    for seed in range(3):
        z, accepted = run(mixture, 20_000, seed)
        assert accepted > 0.5
        reference = stats.ks_2samp(z[::20, 0], draws(20_000, rng)[:, 0])
        assert reference.pvalue > 1e-4


def test_a_wrong_mixture_is_slow_but_not_wrong():
    z, _ = run(wide_normal(2), 200_000)
    share = (z.sum(axis=1) > 6).mean()
    # The wide normal (sd 2) reaches (6, 6) rarely: some 100 visits, so a sd near 0.05.
    assert abs(share - 0.3) < 0.25
    inside = z[z.sum(axis=1) < 6]
    np.testing.assert_allclose(np.cov(inside.T), np.eye(2), atol=0.1)


def test_both_modes_are_in_the_mixture():
    mixture = fit_mixture(draws(800, np.random.default_rng(0)), seed=0)
    weight = np.exp(mixture.log_weight)
    assert np.isclose(weight.sum(), 1.0)
    assert np.abs(mixture.mean - 6).max(axis=1).min() < 0.5
    z, _ = run(mixture, 2_000, start=(6.0, 6.0))
    assert 0.2 < (z.sum(axis=1) > 6).mean() < 0.4


def test_too_few_draws_still_give_a_mixture():
    mixture = fit_mixture(np.random.default_rng(0).standard_normal((6, 3)), seed=0)
    assert all(np.isfinite(np.asarray(part)).all() for part in mixture)
