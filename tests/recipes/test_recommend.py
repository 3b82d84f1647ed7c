"""The recommendation's numbers against the draws themselves, and its JSON contract."""

import dataclasses
import json

import numpy as np
import pytest

from bayes_infolaw.errors import InputError, RefusedError
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.published import published_target
from bayes_infolaw.recipes.recommend import recommend

FIELDS = {
    *("recipe", "expected_loss", "loss_lo", "loss_hi", "prob", "information", "repetition"),
    *("recipe_sd", "recipe_quantiles", "relative_gap", "ordered", "incumbent", "difference"),
}
INCUMBENT = {"hq": 0.3, "b": 0.5, "c": 0.2}


@pytest.mark.parametrize("ordered", [False, True])
def test_numbers_are_those_of_the_draws(posterior_target, ordered):
    target = posterior_target
    found = recommend(target, ordered=ordered, prob=0.8)
    recipe = np.array(list(found.recipe.values()))
    loss = target.loss(recipe)
    assert list(found.recipe) == list(target.buckets)
    assert found.expected_loss == pytest.approx(loss.mean(), rel=1e-14)
    assert (found.loss_lo, found.loss_hi) == pytest.approx(np.quantile(loss, [0.1, 0.9]))
    assert found.information == pytest.approx(target.information(recipe).mean())
    packed = recipe * target.tokens
    expected = np.where(packed > 0, np.maximum(packed / target.source, 1.0), 0.0)
    np.testing.assert_allclose(list(found.repetition.values()), expected, rtol=1e-14)
    own = optimal_recipes(target, ordered=ordered).recipes
    np.testing.assert_allclose(list(found.recipe_sd.values()), own.std(axis=0, ddof=1))
    low, middle, high = np.quantile(own, [0.1, 0.5, 0.9], axis=0)
    assert found.recipe_quantiles["b"] == pytest.approx(
        {"lo": low[1], "median": middle[1], "hi": high[1]}
    )
    assert found.relative_gap < 1e-8
    assert found.incumbent is None
    assert found.difference is None


def test_difference_is_over_common_draws(posterior_target):
    target = posterior_target
    found = recommend(target, incumbent=INCUMBENT)
    shares = np.array([0.3, 0.5, 0.2, 0, 0, 0])
    chosen = np.array(list(found.recipe.values()))
    difference = target.loss(shares) - target.loss(chosen)
    assert found.difference.mean == pytest.approx(difference.mean())
    assert found.difference.mean > 0
    assert (found.difference.lo, found.difference.hi) == pytest.approx(
        np.quantile(difference, [0.05, 0.95])
    )
    # Common draws: far narrower than the two intervals of loss would suggest.
    assert found.difference.hi - found.difference.lo < 0.3 * (found.loss_hi - found.loss_lo)
    assert found.incumbent.expected_loss == pytest.approx(target.loss(shares).mean())
    same = recommend(target, incumbent=shares)
    assert same.incumbent == found.incumbent


def test_recommended_incumbent_differs_by_nothing(posterior_target):
    recipe = recommend(posterior_target).recipe
    again = recommend(posterior_target, incumbent=recipe)
    assert again.difference.mean == pytest.approx(0.0, abs=1e-14)


def test_json_contract(posterior_target):
    found = recommend(posterior_target, incumbent=INCUMBENT).to_dict()
    assert set(found) == FIELDS
    assert set(found["incumbent"]) == FIELDS - {
        *("recipe_sd", "recipe_quantiles", "relative_gap", "ordered", "incumbent", "difference")
    }
    assert set(found["difference"]) == {"mean", "lo", "hi"}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_constants_have_no_intervals():
    target = published_target(6.442e9, 1e12, 5e11)
    found = recommend(target, incumbent={"0": 0.5, "1": 0.5}).to_dict()
    empty = ("loss_lo", "loss_hi", "prob", "recipe_sd", "recipe_quantiles")
    assert all(found[name] is None for name in empty)
    assert found["difference"]["lo"] is None
    assert found["difference"]["mean"] > 0
    # design.md: 7B / 1000B unordered
    shares = [found["recipe"][name] for name in "012345"]
    np.testing.assert_allclose(shares, [0.305, 0.522, 0.174, 0, 0, 0], atol=5e-4)


def test_refusals(posterior_target, random_target):
    one = random_target(np.random.default_rng(0), 1, 3)
    with pytest.raises(RefusedError, match="nothing to choose with one bucket"):
        recommend(one)
    with pytest.raises(InputError, match="prob must be between 0 and 1, got 1"):
        recommend(posterior_target, prob=1.0)
    with pytest.raises(InputError, match="names bucket 'x'"):
        recommend(posterior_target, incumbent={"x": 1.0})
    source = np.where(np.arange(6) == 2, 0.0, posterior_target.source)
    empty = dataclasses.replace(posterior_target, source=source)
    with pytest.raises(InputError, match="packs bucket 'c', which has 0 source tokens"):
        recommend(empty, incumbent=INCUMBENT)
