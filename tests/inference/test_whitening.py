"""The sampler's coordinates: invertible, of constant Jacobian, and straight."""

import numpy as np
import pytest

from bayes_infolaw.inference.whitening import refine, whitening_at_mode

RNG = np.random.default_rng(3)


def banana(n, rng):
    """A ridge bent by the square of its long axis and twisted by a product."""
    z = rng.standard_normal((n, 3))
    long = 2.0 * z[:, 0]
    middle = 0.3 * z[:, 1] + 0.4 * (z[:, 0] ** 2 - 1)
    short = 0.05 * z[:, 2] + 0.1 * z[:, 0] * z[:, 1]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    return np.column_stack([long, middle, short]) @ turn + [1.0, -2.0, 5.0]


def fitted(n=4000):
    start = whitening_at_mode(np.array([1.0, -2.0, 5.0]), np.diag([1.0, 10.0, 100.0]))
    return refine(start, banana(n, RNG))


def test_inverse_undoes_forward():
    v = RNG.standard_normal((50, 3))
    np.testing.assert_allclose(fitted().inverse(fitted().forward(v)).shape, v.shape)
    map_ = fitted()
    np.testing.assert_allclose(map_.inverse(map_.forward(v)), v, atol=1e-9)


def test_the_jacobian_is_constant():
    import jax

    from bayes_infolaw.inference.device import prepare_device

    prepare_device("cpu")
    map_ = fitted()
    dets = [np.linalg.slogdet(jax.jacfwd(map_.forward)(v))[1] for v in RNG.standard_normal((8, 3))]
    np.testing.assert_allclose(dets, dets[0], atol=1e-9)


def test_bent_draws_become_straight():
    map_ = fitted()
    v = map_.inverse(banana(20_000, np.random.default_rng(11)))
    np.testing.assert_allclose(np.cov(v.T), np.eye(3), atol=0.12)
    # Third moments E[v_i^2 v_j] carry the bend: 8 standard errors of a Gaussian's, sd sqrt(3 / n).
    bend = np.abs(np.einsum("ni,nj->ij", v**2 - 1, v) / len(v))
    straight = whitening_at_mode(map_.centre, np.linalg.inv(map_.factor @ map_.factor.T))
    before = straight.inverse(banana(20_000, np.random.default_rng(11)))
    unbent = np.abs(np.einsum("ni,nj->ij", before**2 - 1, before) / len(before))
    assert bend.max() < 0.15 * unbent.max()


def test_flat_directions_start_with_a_bounded_sd():
    map_ = whitening_at_mode(np.zeros(2), np.diag([1e-9, 4.0]))
    lengths = np.sort(np.linalg.norm(map_.factor, axis=0))
    assert lengths[-1] == pytest.approx(np.sqrt(10.0))
    assert lengths[0] == pytest.approx(0.5)
