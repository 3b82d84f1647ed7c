"""Outcomes of planned runs under a real spec: an irreducible loss beside a level not fitted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.next_run.outcomes import fit_outcomes, joint_log_density
from bayes_infolaw.tables.write import stated_frame

from .made_fits import made_fit, simulated

FLOOR = 2.5  # of a loss of about 3.5: effects move the rest only


@pytest.fixture(scope="module")
def fit():
    """A group whose levels differ by 5 % of the reducible loss."""
    made = made_fit(table=replace(simulated(family=["a", "b", "c"] * 12), groups=("family",)))
    changes = {
        "irreducible_loss": np.full_like(made.draws["beta"], FLOOR),
        "log_alpha": made.draws["log_alpha"] - 1.3,
    }
    return replace(made, spec=replace(made.spec, irreducible=True), draws=made.draws | changes)


@pytest.fixture(scope="module")
def unseen(fit):
    """Two runs of one new level."""
    rows = stated_frame(fit.table).iloc[[0, -1]].assign(run=["x", "y"], family="new")
    return fit_outcomes(fit, bi.read_plan(rows.drop(columns=["loss", "simulated"]), buckets=None))


def test_an_effect_moves_what_lies_above_the_irreducible_loss(unseen):
    """log(E + (L - E) exp(u)) by finite differences."""
    loss = np.exp(unseen.location)
    assert 0.05 < (1 - FLOOR / loss).min() < (1 - FLOOR / loss).max() < 0.6
    up, down = (np.log(FLOOR + (loss - FLOOR) * np.exp(step)) for step in (1e-5, -1e-5))
    np.testing.assert_allclose(unseen.reducible, (up - down) / 2e-5, rtol=1e-6)


def test_the_density_with_an_irreducible_loss_is_the_linearised_one(unseen):
    """One run and two of the same level, against the normal density written out."""
    share = 1 - FLOOR / np.exp(unseen.location)
    tau2, seen = unseen.variance[:, 0], unseen.location.mean(axis=0) + 0.01
    for rows in ([0], [0, 1]):
        found = joint_log_density(unseen, rows, seen[None, rows])[0]
        exact = [
            stats.multivariate_normal.logpdf(
                seen[rows],
                unseen.location[j, rows],
                tau2[j] * np.outer(share[j, rows], share[j, rows])
                + np.diag(unseen.noise[j, rows] ** 2),
            )
            for j in range(len(share))
        ]
        np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-8)


def test_simulated_outcomes_spread_as_exact_effects_do(unseen):
    """Effects put through the law itself, and not through its slope: the same spread to 1 %."""
    points = stats.qmc.Sobol(3, seed=1).random(4096) * (1 - 2e-9) + 1e-9
    count = len(unseen.location)
    drawn = unseen.simulate(np.array([0, 1]), points, np.full(count, 1 / count))
    rng = np.random.default_rng(2)
    j = rng.integers(0, count, 200_000)
    u = np.sqrt(unseen.variance[j]) * rng.standard_normal((200_000, 1))
    exact = np.log(FLOOR + (np.exp(unseen.location[j]) - FLOOR) * np.exp(u))
    exact += unseen.noise[j] * rng.standard_normal(exact.shape)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(exact.T), rtol=0.05)
