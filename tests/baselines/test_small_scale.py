from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.baselines.base import TooFewRunsError, select_runs
from bayes_infolaw.baselines.small_scale import rank_at_small_scale


def test_the_smallest_size_alone_decides(simulated):
    runs = simulated.paper_runs()
    small = runs.flops == runs.flops.min()
    # At every other size the order is turned round.
    turned = replace(runs, loss=np.where(small, runs.loss, 10.0 - runs.loss))
    found = rank_at_small_scale(turned)
    order = np.argsort(runs.loss[small])
    assert found.recipes == pytest.approx(runs.weights[small][order])
    assert found.loss == pytest.approx(runs.loss[small][order])
    assert found.best == pytest.approx(runs.weights[small][order[0]])
    assert found.flops == runs.flops.min()


def test_replicates_are_averaged_before_ranking(simulated):
    small = simulated.paper_runs()
    small = select_runs(small, small.flops == small.flops.min())
    twice = simulated.join(small, small)
    # The lucky run of recipe 1 is the best run, not the best recipe.
    twice = replace(twice, loss=np.array([3.0, 2.9, 3.3, 3.0, 3.3, 3.3]))
    found = rank_at_small_scale(twice)
    assert found.best == pytest.approx(small.weights[0])
    assert found.loss == pytest.approx([3.0, np.sqrt(2.9 * 3.3), 3.3])
    assert found.count.tolist() == [2, 2, 2]


def test_the_source_ratio_of_the_target_is_preferred(simulated):
    runs = simulated.paper_runs()
    rare = replace(runs, source_tokens=0.25 * runs.tokens, loss=10.0 - runs.loss)
    both = simulated.join(runs, rare)
    plenty, scarce = (rank_at_small_scale(both, ratio) for ratio in (0.9, 0.2))
    assert (plenty.source_ratio, scarce.source_ratio) == pytest.approx((1.0, 0.25))
    assert plenty.best == pytest.approx(scarce.recipes[-1])


def test_losses_are_those_of_measured_recipes_only(simulated):
    found = rank_at_small_scale(simulated.paper_runs())
    asked = np.vstack([found.recipes[1], np.full(6, 1 / 6), found.recipes[2] + 1e-4])
    loss = found.loss_of(asked)
    assert loss[[0, 2]] == pytest.approx(found.loss[1:])
    assert np.isnan(loss[1])


def test_one_recipe_a_size_is_refused(simulated):
    runs = simulated.paper_runs()
    with pytest.raises(TooFewRunsError, match="needs 2 recipes at one size"):
        rank_at_small_scale(select_runs(runs, np.arange(len(runs.loss)) % 3 == 0))
