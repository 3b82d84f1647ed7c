from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from bayes_infolaw.baselines.base import select_runs
from bayes_infolaw.baselines.spearman_search import _Design, search, size_groups


def slow_information(runs, group, theta, rates):
    """Information run by run and bucket by bucket."""
    info = np.zeros(len(runs.tokens))
    for i in range(len(info)):
        level = np.log10(runs.tokens[i] / 1e9)
        for d in range(runs.unique.shape[1]):
            kept = 1 - np.exp(-rates[group[i]] * runs.repetition[i, d] / level)
            info[i] += runs.unique[i, d] * np.exp(-theta * d) * level * kept
    return info


def test_score_is_scipys_spearman_within_degrees_with_replicates(simulated):
    runs = simulated.paper_runs(noise_sd=0.01, overtrained=True)
    again = select_runs(runs, np.arange(42) % 3 == 0)
    again = replace(again, loss=again.loss * np.linspace(0.99, 1.01, 14))
    runs = simulated.join(runs, again)  # some designs twice: information ties
    runs.loss[3] = runs.loss[5]  # and a tie among the losses
    sizes, group = size_groups(runs.flops)
    rng = np.random.default_rng(0)
    theta = rng.uniform(0, 2, 6)
    rates = np.sort(rng.uniform(0, 1, (6, len(sizes))), axis=1)
    found = _Design.of(runs, group, 1e9).spearman(theta, rates)
    for j in range(6):
        info = slow_information(runs, group, theta[j], rates[j])
        expected = 0.0
        for m in (3.6, 22.0):
            rows = np.isclose(runs.overtraining, m)
            ranked = spearmanr(info[rows].round(3), runs.loss[rows]).statistic
            expected += rows.sum() / len(rows) * ranked
        assert found[j] == pytest.approx(expected, abs=1e-12)


def test_result_is_the_best_of_its_combinations_and_repeats(simulated):
    runs = simulated.paper_runs(noise_sd=0.0015)
    found = search(runs, K_0=1e9, samples=4000, seed=3)
    again = search(runs, K_0=1e9, samples=4000, seed=3)
    assert (again.theta, again.spearman) == (found.theta, found.spearman)
    _, group = size_groups(runs.flops)
    info = slow_information(runs, group, found.theta, found.rates)
    assert spearmanr(info, runs.loss).statistic == pytest.approx(found.spearman, abs=1e-12)
    assert np.all(np.diff(found.rates) >= 0)
    assert found.spearman < -0.99


def test_more_than_twelve_sizes_are_grouped_in_order():
    flops = np.geomspace(1e9, 1e11, 40)
    sizes, group = size_groups(np.random.default_rng(0).permutation(flops))
    assert len(sizes) == 12
    assert np.all(np.diff(sizes) > 0)
    assert np.bincount(group).sum() == 40
    assert sizes[0] == pytest.approx(np.exp(np.log(np.sort(flops)[:4]).mean()))


def test_twelve_sizes_stay_themselves():
    flops = np.repeat(np.geomspace(1e9, 1e11, 12), 2)
    sizes, group = size_groups(flops)
    assert sizes == pytest.approx(np.unique(flops))
    assert sizes[group] == pytest.approx(flops)
