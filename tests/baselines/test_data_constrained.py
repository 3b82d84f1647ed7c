import math
from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.baselines.base import TooFewRunsError
from bayes_infolaw.baselines.chinchilla import chinchilla_log_loss
from bayes_infolaw.baselines.data_constrained import (
    data_constrained_log_loss,
    fit_data_constrained,
)
from bayes_infolaw.baselines.huber import huber_sum

# Muennighoff et al. 2023, appendix A (their a, b, e are logs).
PUBLISHED = (6.255414, 7.3049974, 0.6254804, 0.3526596, 0.3526596, 15.387756, 5.309743)


def published_vector():
    return np.array([*PUBLISHED[:5], *np.log(PUBLISHED[5:])])


def scalar_loss(params, tokens, unique, constants):
    """The paper's equations, one run at a time, in plain units."""
    a, b, e, alpha, beta, decay_data, decay_params = constants
    g = (alpha * math.exp(a) / (beta * math.exp(b))) ** (1 / (alpha + beta))
    optimal = g * (unique * g) ** (beta / alpha)
    useful = min(params, optimal)
    excess = max(params / useful - 1, 0)
    effective_params = useful + useful * decay_params * (1 - math.exp(-excess / decay_params))
    epochs = max(tokens / unique - 1, 0)
    effective_tokens = unique + unique * decay_data * (1 - math.exp(-epochs / decay_data))
    return (
        math.exp(e) + math.exp(a) / effective_params**alpha + math.exp(b) / effective_tokens**beta
    )


@pytest.fixture
def runs(simulated):
    rng = np.random.default_rng(2)
    params = np.exp(rng.uniform(np.log(1e7), np.log(8e9), 60))
    tokens = np.exp(rng.uniform(np.log(1e9), np.log(2e11), 60))
    unique = tokens / np.exp(rng.uniform(0, np.log(40), 60)) ** (rng.uniform(size=60) < 0.7)
    return simulated.one_bucket(params, tokens, unique=unique)


def test_formula_is_the_papers(runs):
    fast = data_constrained_log_loss(
        published_vector(), runs.params, runs.tokens, runs.unique[:, 0]
    )
    columns = zip(runs.params, runs.tokens, runs.unique[:, 0], strict=True)
    slow = [scalar_loss(*run, PUBLISHED) for run in columns]
    assert np.exp(fast) == pytest.approx(slow, rel=1e-12)


def test_without_repetition_and_excess_it_is_chinchillas_form():
    tokens, params = np.array([1e11, 4e11]), np.array([1e8, 2e8])
    sizes = np.log(params), np.log(tokens)
    vector = published_vector()
    expected = chinchilla_log_loss(vector[:5], *sizes)
    assert data_constrained_log_loss(vector, params, tokens, tokens) == pytest.approx(expected)


def test_noise_free_runs_give_their_constants_back(runs):
    constants = (6.2, 7.3, 0.6, 0.35, 0.38, 15.0, 5.0)
    columns = zip(runs.params, runs.tokens, runs.unique[:, 0], strict=True)
    loss = np.array([scalar_loss(*run, constants) for run in columns])
    found = fit_data_constrained(replace(runs, loss=loss))
    expected = dict(zip("ABE", np.exp(constants[:3]), strict=True))
    expected |= {"alpha": 0.35, "beta": 0.38, "R_D": 15.0, "R_N": 5.0}
    assert found.parameters == pytest.approx(expected, rel=1e-6)
    assert found.predict(runs) == pytest.approx(loss, rel=1e-9)


def test_public_runs_fit_better_than_with_the_published_constants(public_table, simulated):
    """165 of the published fit's 182 runs are in this copy, so its figures are bounds or near.

    Published constants: Huber .01582594 on 182 runs, hence less on 165 of them. All seven free on
    182 runs (Nelder-Mead, notes of the table): Huber .00657, R_D 25.2, R_N unbounded.
    """
    table = public_table("datablations.csv").query("in_fit182 == 1")
    assert len(table) == 165
    columns = [table[name].to_numpy(dtype=float) for name in ("n_params", "tokens")]
    unique, loss = table["unique_tokens"].to_numpy(), table["loss"].to_numpy()
    runs = simulated.one_bucket(*columns, unique=unique, loss=loss)
    published = data_constrained_log_loss(published_vector(), *columns, unique)
    published_huber = huber_sum(published - np.log(loss))
    slow = [scalar_loss(*run, PUBLISHED) for run in zip(*columns, unique, strict=True)]
    assert published_huber == pytest.approx(huber_sum(np.log(slow) - np.log(loss)), rel=1e-9)
    assert 0.012 < published_huber < 0.01582594
    found = fit_data_constrained(runs)
    assert found.huber < 0.00657
    assert found.parameters["R_D"] == pytest.approx(25.2, rel=0.1)
    assert found.parameters["R_N"] > 1000


def test_more_than_one_bucket_is_refused(simulated):
    with pytest.raises(TooFewRunsError, match="one bucket only, got 6"):
        fit_data_constrained(simulated.paper_runs())


def test_single_epoch_runs_are_refused(simulated):
    params, tokens = np.geomspace(1e7, 1e9, 12), np.geomspace(1e9, 1e11, 12)
    runs = simulated.one_bucket(params, tokens, loss=np.geomspace(4, 2, 12))
    with pytest.raises(TooFewRunsError, match="needs runs with repetition"):
        fit_data_constrained(runs)


def test_eight_runs_are_refused(simulated):
    params, tokens = np.geomspace(1e7, 1e9, 8), np.geomspace(1e9, 1e11, 8)
    runs = simulated.one_bucket(params, tokens, unique=tokens / 4, loss=np.geomspace(4, 2, 8))
    with pytest.raises(TooFewRunsError, match="at least 9 runs, got 8"):
        fit_data_constrained(runs)
