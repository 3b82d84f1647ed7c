"""The law against hand-written formulas, its scale-free form, and its published numbers."""

import math

import numpy as np
import pytest

from bayes_infolaw.laws import degrees, infolaw, overtraining, published

RNG = np.random.default_rng(7)


def plain_information(params, tokens, source, weights, shares):
    """Eq. 5 in published units, one bucket and one scalar at a time."""
    rate = published.A * math.log(6 * params / 1e9) + published.B
    level = math.log10(tokens / 1e9)
    total = 0.0
    for d, (w, v) in enumerate(zip(weights, shares, strict=True)):
        if w == 0:
            continue
        unique = min(w * tokens, v * source)
        repetition = w * tokens / unique
        density = math.exp(-published.THETA * d)
        total += unique / 1e9 * density * level * (1 - math.exp(-rate * repetition / level))
    return total


def random_run():
    weights, shares = RNG.dirichlet(np.ones(6)), np.array(published.PAPER_SHARES)
    params, tokens = 10 ** RNG.uniform(8.5, 10), 10 ** RNG.uniform(10, 12.5)
    return params, tokens, tokens * 10 ** RNG.uniform(-0.7, 0.7), weights, shares


def arrays_of(run):
    params, tokens, source, weights, shares = run
    packed, available = weights * tokens, shares * source
    unique = np.minimum(packed, available)
    return 6 * params, tokens, unique, packed / unique


@pytest.mark.parametrize("_", range(20))
def test_information_is_the_published_formula(_):
    run = random_run()
    flops, tokens, unique, repetition = arrays_of(run)
    found = infolaw.information(
        unique / 1e9,
        repetition,
        infolaw.constant_step_density(np.array(published.THETA), 6),
        published.published_rate(flops),
        published.log10_normaliser(tokens),
    )
    assert found == pytest.approx(plain_information(*run), rel=1e-13)


@pytest.mark.parametrize("_", range(20))
def test_the_scale_free_form_gives_the_published_loss(_):
    run = random_run()
    flops, tokens, unique, repetition = arrays_of(run)
    tokens_ref, flops_ref = 10 ** RNG.uniform(10, 12), 10 ** RNG.uniform(9.2, 10.5)
    free = published.to_scale_free(flops_ref, tokens_ref)
    level = infolaw.normaliser(tokens, tokens_ref, "log", free.kappa)
    rate = free.rate_ref + free.rate_slope * np.log(flops / flops_ref)
    density = infolaw.constant_step_density(np.array(free.theta), 6)
    info = infolaw.information(unique / tokens_ref, repetition, density, rate, level)
    found = infolaw.log_loss(free.log_alpha, free.beta, np.log(info))
    expected = math.log(published.ALPHA) - published.BETA * math.log(plain_information(*run))
    assert found == pytest.approx(expected, rel=1e-12)


def test_scale_free_constants_at_the_design_reference():
    free = published.to_scale_free(7.25e9, 1e11)
    assert free.kappa == pytest.approx(0.217, abs=5e-4)
    assert free.rate_slope == pytest.approx(0.0700, abs=5e-5)
    assert free.rate_ref == pytest.approx(0.1476, abs=1e-4)
    assert math.exp(free.log_alpha) == pytest.approx(2.9586, abs=5e-4)


@pytest.mark.parametrize("form", infolaw.NORMALISERS)
def test_every_normaliser_is_one_at_the_reference(form):
    assert infolaw.normaliser(3e10, 3e10, form, 0.3) == pytest.approx(1.0)


def test_normaliser_forms():
    assert infolaw.normaliser(8e10, 2e10, "power", 0.5) == pytest.approx(2.0)
    assert infolaw.normaliser(8e10, 2e10, "log", 0.5) == pytest.approx(1 + 0.5 * math.log(4))
    assert infolaw.normaliser(8e10, 2e10, "constant", 0.0) == 1.0


@pytest.mark.parametrize("form", infolaw.RATES)
def test_every_rate_passes_through_its_two_anchors(form):
    found = infolaw.rate(np.array([1e9, 8e9]), 1e9, 8e9, 0.05, 0.4, form)
    np.testing.assert_allclose(found, [0.05, 0.4], rtol=1e-13)


def test_rate_forms_between_the_anchors():
    middle = math.sqrt(1e9 * 8e9)
    assert infolaw.rate(middle, 1e9, 8e9, 0.1, 0.4, "log") == pytest.approx(0.25)
    assert infolaw.rate(middle, 1e9, 8e9, 0.1, 0.4, "power") == pytest.approx(0.2)
    assert infolaw.rate(4.5e9, 1e9, 8e9, 0.1, 0.4, "exponential") == pytest.approx(0.2)


def test_unknown_forms_are_named():
    with pytest.raises(ValueError, match="cubic"):
        infolaw.normaliser(1e9, 1e9, "cubic", 0.1)
    with pytest.raises(ValueError, match="cubic"):
        infolaw.rate(1e9, 1e9, 2e9, 0.1, 0.2, "cubic")


def test_step_density_accumulates_and_reduces_to_the_constant_step():
    steps = np.array([[0.1, 0.2, 0.4]])
    np.testing.assert_allclose(
        infolaw.step_density(steps), np.exp([[0.0, -0.1, -0.3, -0.7]]), rtol=1e-14
    )
    np.testing.assert_allclose(
        infolaw.step_density(np.full((1, 3), 0.9)),
        infolaw.constant_step_density(np.array([0.9]), 4),
        rtol=1e-14,
    )


def test_jax_and_pytensor_agree_with_numpy():
    import jax.numpy as jnp

    from bayes_infolaw.inference.device import prepare_device

    prepare_device("cpu")
    flops, tokens, unique, repetition = arrays_of(random_run())
    density = infolaw.constant_step_density(np.array(0.9), 6)
    rate, level = published.published_rate(flops), published.log10_normaliser(tokens)
    plain = infolaw.information(unique, repetition, density, rate, level)
    jax_values = (jnp.asarray(v) for v in (unique, repetition, density, rate, level))
    assert float(infolaw.information(*jax_values, xp=jnp)) == pytest.approx(plain, rel=1e-14)
    pt = pytest.importorskip("pytensor.tensor")
    tensors = (pt.as_tensor(v) for v in (unique, repetition, density, rate, level))
    symbolic = infolaw.information(*tensors, xp=pt)
    assert float(symbolic.eval()) == pytest.approx(plain, rel=1e-14)


def test_overtraining_degree_of_the_published_runs():
    big = overtraining.flops_per_token(32, 4096, 2048)
    assert overtraining.overtraining_degree(big, 425e9) == pytest.approx(3.60, abs=0.005)
    assert overtraining.tokens_at_degree(big, 3.6) == pytest.approx(425e9, rel=1e-3)
    for degree in (0.5, 3.6, 22.0):
        tokens = overtraining.tokens_at_degree(big, degree)
        assert overtraining.overtraining_degree(big, tokens) == pytest.approx(degree, rel=1e-12)


def test_degrees_cluster_within_a_twentieth():
    log_m = np.array([1.30, 3.09, 1.28, 1.32, 3.10, 3.08, 5.0])
    centres, counts, member = degrees.degree_clusters(log_m)
    np.testing.assert_allclose(centres, [1.30, 3.09, 5.0], atol=1e-12)
    assert counts.tolist() == [3, 3, 1]
    assert member.tolist() == [0, 1, 0, 0, 1, 1, 2]
    assert not degrees.form_clusters(counts)
    assert degrees.form_clusters(np.array([3, 3]))
    assert not degrees.form_clusters(np.full(7, 3))


def test_a_run_belongs_to_one_degree_only():
    log_m = np.linspace(0.0, 0.14, 27)
    centres, _, _ = degrees.degree_clusters(log_m)
    assert np.diff(centres).min() < 2 * degrees.SAME_DEGREE
    member = degrees.degree_of(log_m, centres)
    np.testing.assert_array_equal(member, np.abs(log_m[:, None] - centres).argmin(axis=1))
    assert degrees.degree_of(np.array([centres[-1] + 0.051]), centres).tolist() == [-1]


def test_a_chain_of_close_degrees_is_not_one_cluster():
    centres, _, _ = degrees.degree_clusters(np.arange(0, 1, 0.04))
    assert len(centres) > 6
