"""Worth of an outcome against closed forms: linear-Gaussian decisions and brute-force densities."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from bayes_infolaw.decisions.next_run.choices import Choices, decision_classes
from bayes_infolaw.decisions.next_run.outcomes import RunOutcomes, weights_after
from bayes_infolaw.decisions.next_run.value import OutcomeStudy
from bayes_infolaw.errors import InputError

J = 4000


def normal_draws(seed=0):
    """J evenly spread standard normal values in random order."""
    return stats.norm.ppf((np.random.default_rng(seed).permutation(J) + 0.5) / J)


def outcomes_of(location, noise, dof=np.inf, columns=None, variance=None):
    n = location.shape[1]
    return RunOutcomes(
        runs=tuple(f"r{i}" for i in range(n)),
        location=location,
        noise=np.full(location.shape, noise),
        dof=np.full(len(location), dof),
        reducible=np.ones(location.shape),
        columns=np.zeros((n, 0)) if columns is None else columns,
        variance=np.zeros((len(location), 0)) if variance is None else variance,
    )


def study_with(gain, outcomes, n_outcomes=256, most_runs=1, seed=1):
    """R recipes by how much each beats the first under every draw (J, R), equal weights."""
    count = len(gain)
    weight, form = np.full(count, 1 / count), np.zeros(count, dtype=int)
    choices = Choices(np.eye(gain.shape[1]), gain, decision_classes(gain, weight), 0.0, 0.0, 0.0)
    halves = np.arange(0, count, 2), np.arange(1, count, 2)
    draws = SimpleNamespace(weight=weight, form=form, half_positions=lambda: halves)
    return OutcomeStudy.make(
        choices, outcomes, draws, n_outcomes=n_outcomes, most_runs=most_runs, seed=seed
    )


def study_of(behind, outcomes, n_outcomes=256, most_runs=1):
    """Two recipes: the second one loses `behind` (J,) to the first under each draw."""
    gain = np.column_stack([np.zeros(J), -behind])
    return study_with(gain, outcomes, n_outcomes, most_runs)


def value_of_information(mean, sd, noise):
    """``E max(0, -E[d | y]) `` of d ~ Normal(mean > 0, sd) seen with noise; closed form."""
    moved = sd**2 / np.hypot(sd, noise)
    return moved * stats.norm.pdf(mean / moved) - mean * stats.norm.cdf(-mean / moved)


@pytest.mark.parametrize(
    ("mean", "sd", "noise"), [(0.3, 1.0, 0.5), (0.3, 1.0, 2.0), (1.0, 1.0, 1.0), (0.002, 0.01, 0.1)]
)
def test_knowledge_gradient_is_the_closed_form(mean, sd, noise):
    behind = mean + sd * normal_draws()
    value = study_of(behind, outcomes_of(3 + behind[:, None], noise)).value([0])
    exact = value_of_information(mean, sd, noise)
    assert value.regret_reduction == pytest.approx(exact, rel=0.03, abs=0.005 * sd)
    assert value.regret_reduction_low == pytest.approx(exact, rel=0.04, abs=0.005 * sd)
    assert value.regret_reduction_low <= value.regret_reduction * 1.001


def binned_information(classes, rho):
    """I(y; equal-probability class of d) of jointly normal (y, d), by quadrature."""
    edges, left = stats.norm.ppf(np.arange(classes + 1) / classes), np.sqrt(1 - rho**2)

    def entropy_at(y):
        p = np.diff(stats.norm.cdf((edges - rho * y) / left))
        p = p[p > 0]
        return stats.norm.pdf(y) * (p * np.log(p * classes)).sum()

    return quad(entropy_at, -8, 8, limit=200)[0]


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0, 10.0])
def test_information_gain_is_the_closed_form(noise):
    behind = 0.5 + normal_draws(2)
    value = study_of(behind, outcomes_of(behind[:, None], noise)).value([0])
    rho = 1 / np.hypot(1, noise)
    continuous = -0.5 * np.log(1 - rho**2)
    assert value.information_gain == pytest.approx(binned_information(32, rho), rel=0.03)
    assert continuous > value.information_gain > 0.94 * continuous


def test_what_tells_nothing_is_worth_nothing():
    behind = 0.3 + normal_draws(3)
    same = study_of(behind, outcomes_of(np.full((J, 1), 3.0), 0.1)).value([0])
    assert same.regret_reduction == same.regret_reduction_low == 0
    assert same.information_gain == pytest.approx(0, abs=1e-12)
    assert same.ess == pytest.approx(J)
    # The draws expect different outcomes, but for a reason that decides nothing.
    beside = normal_draws(4)[:, None]
    other = study_of(behind, outcomes_of(beside, 0.5)).value([0])
    assert other.regret_reduction < 0.01
    assert abs(other.information_gain) < 0.01
    assert other.ess < 0.7 * J


@pytest.mark.parametrize("seed", range(25))
def test_no_run_is_worth_more_than_perfect_information(seed):
    """Random decisions, runs and noise: exactly so for the draws as the outcomes weigh them."""
    rng = np.random.default_rng(seed)
    count, recipes, runs = 300, rng.integers(2, 8), 3
    cause = rng.standard_normal((count, 3))
    behind = cause @ rng.standard_normal((3, recipes)) + rng.gamma(1.0, size=recipes)
    behind += 0.3 * rng.standard_normal((count, recipes)) ** 2
    behind -= behind[:, [behind.mean(axis=0).argmin()]]
    location = cause @ rng.standard_normal((3, runs)) + 0.5 * rng.standard_normal((count, runs))
    noise = 10 ** rng.uniform(-1.5, 1)
    study = study_with(-behind, outcomes_of(location, noise), 128, runs, seed)
    perfect = np.maximum(-behind, 0).max(axis=1)
    for rows in ([0], [1], [0, 1], [0, 1, 2]):
        value, after = study.value(rows), study.posterior_weights(rows).mean(axis=0)
        assert 0 <= value.regret_reduction <= after @ perfect + 1e-12
        assert value.regret_reduction <= perfect.mean() + 4 * value.standard_error + 1e-12
        assert value.regret_reduction_low <= perfect.mean() + 4 * value.standard_error + 1e-12
        assert value.information_gain >= 0


def nested(place, sd, noise, recipes, samples=2000):
    """What an outcome y = place . x + noise is worth to a choice of a recipe, by brute force.

    x ~ Normal(0, diag(sd^2)), loss of recipe c under x: sqrt(1 + |x - c|^2). For every simulated
    y, x is sampled anew from its conjugate posterior; nothing is reweighted.
    """
    rng = np.random.default_rng(11)
    z = rng.standard_normal((samples, 2))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    prior = np.diag(np.square(sd))
    gain = prior @ place / (place @ prior @ place + noise**2)
    root = np.linalg.cholesky(prior - np.outer(gain, place @ prior))
    y = np.sqrt(place @ prior @ place + noise**2) * normal_draws(12)

    def expected(centre, spread):
        x = centre + z @ spread.T
        return np.sqrt(1 + ((x[:, None] - recipes) ** 2).sum(axis=2)).mean(axis=0)

    today = expected(np.zeros(2), np.diag(sd))
    gains = [(loss := expected(gain * seen, root))[today.argmin()] - loss.min() for seen in y]
    return float(np.mean(gains))


@pytest.mark.parametrize(
    ("place", "noise"), [((1.0, 0.0), 0.3), ((0.0, 1.0), 0.3), ((0.7, 0.7), 1.0), ((1.0, 0.2), 3.0)]
)
def test_the_value_is_that_of_a_brute_force_nested_expectation(place, noise):
    place, sd = np.array(place), np.array([1.0, 0.6])
    recipes = np.array([[0.0, 0.0], [1.2, 0.1], [-1.0, 0.4], [0.1, -0.9], [0.4, 0.8]])
    x = np.column_stack([normal_draws(13), normal_draws(14)]) * sd
    loss = np.sqrt(1 + ((x[:, None] - recipes) ** 2).sum(axis=2))
    loss = loss[:, np.argsort(loss.mean(axis=0))]
    study = study_with(loss[:, :1] - loss, outcomes_of((x @ place)[:, None], noise), 1024)
    exact = nested(place, sd, noise, recipes)
    value = study.value([0])
    assert value.regret_reduction == pytest.approx(exact, rel=0.05)
    assert value.regret_reduction_low == pytest.approx(exact, rel=0.08)


def test_two_runs_are_one_run_of_less_noise():
    behind, noise = 0.3 + normal_draws(6), 1.0
    study = study_of(behind, outcomes_of(behind[:, None] * [1, 1], noise), 512, most_runs=2)
    exact = [value_of_information(0.3, 1.0, noise / np.sqrt(k)) for k in (1, 2)]
    found = [study.value(rows).regret_reduction for rows in ([0], [0, 1])]
    np.testing.assert_allclose(found, exact, rtol=0.05)
    study.keep([0])
    assert study.cache
    assert study.value([0, 1]).regret_reduction == pytest.approx(found[1], rel=1e-9)


def test_a_shared_unseen_level_hides_one_run_but_not_a_contrast():
    """y_i = +-d/2 + u + noise with a wide u: one run tells little, the pair tells d."""
    behind, noise, tau = 0.3 + normal_draws(7), 0.4, 50.0
    location = behind[:, None] * [0.5, -0.5]
    columns, variance = np.ones((2, 1)), np.full((J, 1), tau**2)
    study = study_of(behind, outcomes_of(location, noise, np.inf, columns, variance), 512, 2)
    assert study.value([0]).regret_reduction < 0.01
    exact = value_of_information(0.3, 1.0, noise * np.sqrt(2))
    assert study.value([0, 1]).regret_reduction == pytest.approx(exact, rel=0.06)


def test_weights_are_bayes_by_the_joint_density():
    rng = np.random.default_rng(8)
    draws, columns = 6, np.array([[1.0, 0.0, 0.3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    location, variance = rng.normal(size=(draws, 3)), rng.gamma(2.0, size=(draws, 3))
    base = outcomes_of(location, 0.7, np.inf, columns, variance)
    weight, values = rng.dirichlet(np.ones(draws)), rng.normal(size=(4, 3))
    assert sorted(map(sorted, base.blocks(np.arange(3)))) == [[0, 1], [2]]
    exact = np.empty((4, draws))
    for j in range(draws):
        covariance = columns @ np.diag(variance[j]) @ columns.T + 0.49 * np.eye(3)
        exact[:, j] = weight[j] * stats.multivariate_normal.pdf(values, location[j], covariance)
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights_after(base, [0, 1, 2], values, weight), exact, rtol=1e-9)


@pytest.mark.parametrize("rows", [[0, 1, 3], [0, 1, 2], [0, 1, 2, 3], [0, 1]])
def test_what_is_remembered_of_runs_changes_no_weight(rows):
    """Runs 0 and 1 are kept; run 2 shares an effect with run 0 and changes its block."""
    location = np.column_stack([normal_draws(i) for i in range(20, 24)])
    columns, variance = np.array([[1.0], [0.0], [1.0], [0.0]]), np.full((J, 1), 0.5)
    study = study_of(np.ones(J), outcomes_of(location, 0.5, np.inf, columns, variance), 16, 4)
    plain = study.posterior_weights(rows)
    study.keep([0, 1])
    assert set(study.cache) == {(), (0,), (1,)}
    np.testing.assert_allclose(study.posterior_weights(rows), plain, rtol=1e-9)


def test_student_t_noise_has_its_own_density_and_spread():
    base = outcomes_of(np.linspace(-1, 1, J)[:, None], 0.2, 4.0)
    y = np.array([[0.3], [2.5]])
    exact = stats.t.pdf((y - base.location.T) / 0.2, 4.0)
    exact /= exact.sum(axis=1, keepdims=True)
    found = weights_after(base, [0], y, np.full(J, 1 / J))
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    level = outcomes_of(np.zeros((J, 1)), 0.2, 4.0)
    drawn = study_of(np.ones(J), level, 4096).simulate([0])[:, 0]
    assert stats.kstest(drawn / 0.2, stats.t(4.0).cdf).pvalue > 0.01


def test_outcomes_have_the_predictive_mean_and_covariance():
    z = np.column_stack([normal_draws(9), normal_draws(10)])
    variance = np.full((J, 1), 0.5**2)
    base = outcomes_of(z @ [[1.0, 0.4], [0.0, 1.0]], 0.3, np.inf, np.ones((2, 1)), variance)
    study = study_of(np.ones(J), base, 8192, most_runs=2)
    drawn = study.simulate([0, 1])
    expected = np.cov(base.location.T) + 0.25 + 0.09 * np.eye(2)
    np.testing.assert_allclose(np.cov(drawn.T), expected, rtol=0.05, atol=0.03)
    np.testing.assert_allclose(drawn.mean(axis=0), base.location.mean(axis=0), atol=0.03)


def test_a_draw_that_cannot_have_made_the_run_gets_no_weight():
    location = np.linspace(0, 1, J)[:, None].copy()
    location[:3] = np.nan
    study = study_of(np.ones(J), outcomes_of(location, 0.3))
    weights = study.posterior_weights([0])
    assert (weights[:, :3] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_a_draw_that_cannot_have_made_one_run_of_a_block_gets_no_weight():
    location = np.column_stack([np.linspace(0, 1, J)] * 2)
    location[:1500, 1] = np.nan
    shared = np.ones((2, 1)), np.full((J, 1), 0.04)
    study = study_of(np.ones(J), outcomes_of(location, 0.3, np.inf, *shared), most_runs=2)
    weights = study.posterior_weights([0, 1])
    assert np.isfinite(study.simulate([0, 1])).all()
    assert (weights[:, :1500] == 0).all()
    assert (weights[:, 1500:] > 0).any()
    np.testing.assert_array_equal(study.simulate([0])[:, 0], study.simulate([0, 1])[:, 0])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_outcomes_are_a_power_of_two():
    with pytest.raises(InputError, match="power of two"):
        study_of(np.ones(J), outcomes_of(np.zeros((J, 1)), 1.0), 100)
