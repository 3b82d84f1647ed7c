"""The streamed kernel against plain numpy, closed forms and finite differences."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from bayes_infolaw.decisions import kernel
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.errors import InputError

D = 5


def make_draws(n, seed=0, empty=()):
    """Draws whose buckets 0 and 1 are scarce; those in `empty` have no tokens."""
    rng = np.random.default_rng(seed)
    capacity = np.array([0.05, 0.15, 0.4, 0.6, 0.9])
    capacity[list(empty)] = 0.0
    weight = rng.dirichlet(np.full(n, 5.0))
    return TargetDraws(
        buckets=tuple("abcde"),
        capacity=capacity,
        tokens=1e12,
        density=np.exp(-rng.uniform(0.2, 1.2, (n, 1)) * np.arange(D)),
        exposure=rng.uniform(0.1, 0.6, n),
        log_level=rng.normal(1.0, 0.02, n),
        beta=rng.uniform(0.03, 0.2, n),
        irreducible=rng.uniform(0.0, 1.0, n),
        weight=weight,
        form=np.zeros(n, dtype=int),
        forms=("one",),
    )


def some_recipes(n, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.dirichlet(np.ones(D), n - 2), np.eye(D)[:2]])


def smoothed_by_numpy(draws, loss, incumbent, t):
    """Log softplus by its own limits: x - exp(x) / 2 far below, log(logaddexp) elsewhere."""
    x = (incumbent - loss) / t
    low = np.minimum(x, -30.0)
    near = np.log(np.logaddexp(np.maximum(x, -30.0), 0.0))
    terms = np.where(x < -30.0, low - 0.5 * np.exp(low), near)
    return logsumexp(terms + np.log(draws.weight), axis=-1) + np.log(t)


@pytest.mark.parametrize("n_draws", [1, 7, 513, 3000])
@pytest.mark.parametrize("n_recipes", [3, 500])
def test_sums_are_those_of_plain_numpy(n_draws, n_recipes):
    draws, recipes = make_draws(n_draws), some_recipes(n_recipes)
    loss, incumbent = draws.loss(recipes), draws.loss(np.full(D, 0.2))
    better = np.maximum(incumbent - loss, 0.0) @ draws.weight
    np.testing.assert_allclose(kernel.mean_loss(draws, recipes), loss @ draws.weight, rtol=1e-13)
    ours = kernel.expected_improvement(draws, recipes, incumbent)
    np.testing.assert_allclose(ours, better, atol=1e-14)
    assert (better > 0).any() or n_draws == 1


def test_an_empty_bucket_gives_nothing():
    draws = make_draws(40, empty=(0, 3))
    recipes = np.concatenate([some_recipes(30), np.eye(D)])
    loss = draws.loss(recipes)
    np.testing.assert_allclose(kernel.mean_loss(draws, recipes), loss @ draws.weight, rtol=1e-13)
    assert np.isinf(kernel.mean_loss(draws, np.eye(D)[[0, 3]])).all()
    nothing = np.eye(D)[[0, 3]]
    assert (kernel.expected_improvement(draws, nothing, 100.0) == 0).all()
    value, slope = kernel.value_and_gradient(draws, np.concatenate([nothing, recipes]), 3.0, 1e-3)
    assert (value[:2] == -np.inf).all()
    assert not np.isnan(value).any()
    assert (slope[:, [0, 3]] == 0).all()


def test_no_recipes_give_no_numbers():
    draws, none = make_draws(9), np.empty((0, D))
    assert kernel.mean_loss(draws, none).shape == (0,)
    value, slope = kernel.value_and_gradient(draws, none, 3.0, 0.1)
    assert (value.shape, slope.shape) == ((0,), (0, D))


@pytest.mark.parametrize("temperature", [0.1, 1e-3, 1e-5])
@pytest.mark.parametrize("below", [0.0, 0.1, 2.5])
def test_the_smoothed_log_has_sound_tails(temperature, below):
    """The last incumbent is far below every draw: softplus itself is 0 there."""
    draws, recipes = make_draws(700), some_recipes(60)
    loss = draws.loss(recipes)
    incumbent = draws.loss(np.full(D, 0.2)) - below
    ours = kernel.log_expected_improvement(draws, recipes, incumbent, temperature)
    theirs = smoothed_by_numpy(draws, loss, incumbent, temperature)
    np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-9)
    assert np.isfinite(ours).all()
    value, _ = kernel.value_and_gradient(draws, recipes, incumbent, temperature)
    np.testing.assert_allclose(value, ours, rtol=1e-13)


def test_the_smoothed_one_lies_above_the_exact_by_at_most_t_log_two():
    draws, recipes = make_draws(700), some_recipes(200)
    incumbent = draws.loss(np.full(D, 0.2))
    exact = kernel.expected_improvement(draws, recipes, incumbent)
    for t in (0.1, 1e-3, 1e-6):
        over = np.exp(kernel.log_expected_improvement(draws, recipes, incumbent, t)) - exact
        assert over.min() >= -1e-15
        assert over.max() <= t * np.log(2) + 1e-15


@pytest.mark.parametrize("temperature", [0.05, 1e-3])
@pytest.mark.parametrize("below", [0.0, 1.0])
def test_gradient_against_finite_differences(temperature, below):
    draws = make_draws(300)
    recipes = np.random.default_rng(4).dirichlet(np.ones(D), 20)
    recipes = recipes[(np.abs(recipes - draws.capacity) > 1e-3).all(axis=1)]
    assert (recipes > draws.capacity).any()  # both sides of the kinks
    assert (recipes < draws.capacity).any()
    incumbent = draws.loss(np.full(D, 0.2)) - below
    _, slope = kernel.value_and_gradient(draws, recipes, incumbent, temperature)
    for d in range(D):
        step = np.minimum(1e-6, recipes[:, d] / 2)
        moved = [recipes + sign * step[:, None] * np.eye(D)[d] for sign in (1, -1)]
        ends = [kernel.log_expected_improvement(draws, m, incumbent, temperature) for m in moved]
        np.testing.assert_allclose((ends[0] - ends[1]) / (2 * step), slope[:, d], rtol=2e-5)


def test_on_the_kink_the_slope_is_that_of_packing_more():
    draws = make_draws(50)
    recipe = np.array([[0.05, 0.15, 0.3, 0.3, 0.2]])
    _, slope = kernel.value_and_gradient(draws, recipe, 3.0, 0.1)
    _, more = kernel.value_and_gradient(draws, recipe + 1e-9, 3.0, 0.1)
    _, less = kernel.value_and_gradient(draws, recipe - 1e-9, 3.0, 0.1)
    np.testing.assert_allclose(slope, more, rtol=1e-6)
    assert (less[0, :2] > 1.01 * slope[0, :2]).all()


def normal_draws(mean, sd, n=200_001):
    """Loss of (1, 0) minus loss of (0, 1) is exactly N(mean, sd^2), at its own mid-quantiles.

    Bucket a has density 1 and b the density that makes the difference so; both losses share a
    level that varies a hundred times more.
    """
    rng = np.random.default_rng(7)
    delta = mean + sd * norm.ppf((np.arange(n) + 0.5) / n)
    beta, level = 0.05, rng.permutation(np.linspace(2.0, 3.0, n))
    ones = np.ones(n)
    return TargetDraws(
        buckets=("a", "b"),
        capacity=np.array([1.0, 1.0]),
        tokens=1e9,
        density=np.stack([ones, (1.0 - delta / level) ** (-1.0 / beta)], axis=1),
        exposure=0.3 * ones,
        log_level=np.log(level) + beta * np.log(-np.expm1(-0.3)),
        beta=beta * ones,
        irreducible=0.5 * ones,
        weight=ones / n,
        form=np.zeros(n, dtype=int),
        forms=("normal",),
    )


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.01), (0.02, 0.01), (-0.02, 0.01), (-0.03, 0.01)])
def test_closed_form_of_a_normal_difference(mean, sd):
    """EI = sd (phi(z) + z Phi(z)), z = mean / sd, with incumbent and candidate under one draw."""
    draws, z = normal_draws(mean, sd), mean / sd
    incumbent, candidate = draws.loss(np.eye(2)[0]), np.eye(2)[1:]
    closed = sd * (norm.pdf(z) + z * norm.cdf(z))
    ours = kernel.expected_improvement(draws, candidate, incumbent)
    np.testing.assert_allclose(ours, closed, rtol=1e-3)
    apart = np.maximum(np.random.default_rng(0).permutation(incumbent) - draws.loss(candidate), 0)
    assert (apart @ draws.weight).item() > 5 * closed  # what independent draws would fake


def test_closed_form_with_a_fixed_incumbent():
    n, sd = 100_001, 0.05
    shift = sd * norm.ppf((np.arange(n) + 0.5) / n)
    base = make_draws(1).take(np.zeros(n, dtype=int))
    draws = TargetDraws(**{**vars(base), "irreducible": 1.0 + shift})
    recipe = np.full((1, D), 0.2)
    mean = kernel.mean_loss(draws, recipe)[0]
    for z in (-2.0, 0.0, 1.0):
        ours = kernel.expected_improvement(draws, recipe, mean + z * sd)[0]
        assert ours == pytest.approx(sd * (norm.pdf(z) + z * norm.cdf(z)), rel=1e-3)


GROWTH = """
import resource
import numpy as np
from bayes_infolaw.decisions import kernel
from bayes_infolaw.decisions.draws import TargetDraws
n, rng = 4000, np.random.default_rng(0)
draws = TargetDraws(
    tuple("abcdef"), np.full(6, 0.1), 1e12, rng.random((n, 6)), np.full(n, 0.3), np.ones(n),
    np.full(n, 0.05), np.zeros(n), np.full(n, 1 / n), np.zeros(n, int), ("one",)
)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recipes = rng.dirichlet(np.ones(6), 20_000)
kernel.expected_improvement(draws, recipes[:500], 3.0)
before = peak()
kernel.expected_improvement(draws, recipes, 3.0)
print((peak() - before) / 1024)
"""


def test_memory_stays_flat():
    """20,000 recipes under 4,000 draws are 640 MB a table; the sums need no such table."""
    command = [sys.executable, "-c", GROWTH]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout.splitlines()[-1]) < 100


@pytest.mark.parametrize(
    ("recipes", "incumbent", "temperature", "message"),
    [
        (np.ones(D), 3.0, 0.1, rf"recipes must have shape \(R, {D}\), got \({D},\)"),
        (np.full((1, D), np.nan), 3.0, 0.1, "recipes must be shares >= 0, got nan"),
        (-np.ones((1, D)), 3.0, 0.1, "recipes must be shares >= 0, got -1.0"),
        (np.ones((1, D)), np.ones(3), 0.1, r"incumbent_loss must be a number or have shape \(9,\)"),
        (np.ones((1, D)), np.inf, 0.1, "incumbent_loss must be finite in every draw, got inf"),
        (np.ones((1, D)), 3.0, 0.0, "temperature must be a number > 0, got 0.0"),
    ],
)
def test_bad_input_is_named(recipes, incumbent, temperature, message):
    with pytest.raises(InputError, match=message):
        kernel.value_and_gradient(make_draws(9), recipes, incumbent, temperature)


def test_importing_it_does_not_load_jax():
    code = "import sys, bayes_infolaw.decisions.kernel; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
