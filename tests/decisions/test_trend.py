"""The optimal recipe over tokens, against the solvers of one law and a fine grid."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.profiles import simplex_grid
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.trend import tokens_trend
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.published import published_target

SOURCE = np.array([20.0, 80.0, 150.0]) * 1e9
TOKENS = (4e11, 1e11, 2e11)


def make_law(tokens, n_draws, seed, normaliser=2.0):
    rng = np.random.default_rng(seed)
    return LawAtTarget(
        buckets=tuple("abc"),
        source=SOURCE,
        tokens=tokens,
        token_unit=1e9,
        density=np.exp(-rng.uniform(0.5, 1.2, (n_draws, 1)) * np.arange(3)),
        rate=rng.uniform(0.2, 0.5, n_draws),
        normaliser=np.full(n_draws, normaliser),
        log_alpha=rng.normal(1.3, 0.05, n_draws),
        beta=rng.uniform(0.03, 0.1, n_draws),
        irreducible=np.zeros(n_draws),
    )


def test_one_form_agrees_with_the_laws_own_solvers():
    laws = [make_law(tokens, 40, 1) for tokens in TOKENS]
    table = tokens_trend([pool({"a": law}) for law in laws], prob=0.8)
    assert table["tokens"].tolist() == [1e11] * 3 + [2e11] * 3 + [4e11] * 3
    assert table["bucket"].tolist() == list("abc") * 3
    for law in laws:
        rows = table[table["tokens"] == law.tokens]
        best = expected_loss_recipe(law)
        np.testing.assert_allclose(rows["share"], best.recipe, atol=1e-4)
        np.testing.assert_allclose(rows["loss_mean"], best.expected_loss, rtol=1e-8)
        own = optimal_recipes(law)
        for end, level in (("lo", 0.1), ("median", 0.5), ("hi", 0.9)):
            expected = np.quantile(own.recipes, level, axis=0, method="inverted_cdf")
            np.testing.assert_allclose(rows[end], expected, atol=1e-6)
        loss, least = law.loss(best.recipe), law.loss(own.recipes).diagonal()
        np.testing.assert_allclose(rows["evpi"], (loss - least).mean(), rtol=1e-4, atol=1e-9)
        expected = np.quantile(loss, [0.1, 0.9], method="inverted_cdf")
        np.testing.assert_allclose(rows[["loss_lo", "loss_hi"]].iloc[0], expected, rtol=1e-6)
        times = rows["share"] * law.tokens / SOURCE
        expected = np.where(rows["share"] > 0, np.maximum(times, 1.0), 0.0)
        np.testing.assert_allclose(rows["repetition"], expected)


def test_weighted_forms_agree_with_a_grid():
    laws = {"a": make_law(2e11, 20, 2), "b": make_law(2e11, 30, 3, normaliser=1.0)}
    draws = pool(laws, {"a": 0.8, "b": 0.2})
    table = tokens_trend([draws])
    grid = simplex_grid(200)
    loss = draws.loss(grid)
    best = grid[np.argmin(loss @ draws.weight)]
    np.testing.assert_allclose(table["share"], best, atol=0.02)
    at_grid = (loss @ draws.weight).min()
    assert at_grid - 1e-4 < table["loss_mean"].iloc[0] <= at_grid
    own = grid[np.argmin(loss, axis=0)]
    for d in range(3):
        below = draws.weight[own[:, d] <= table["median"][d] + 0.006].sum()
        above = draws.weight[own[:, d] >= table["median"][d] - 0.006].sum()
        assert min(below, above) >= 0.5


def test_the_trend_keeps_to_the_allowed_recipes():
    draws = [pool({"a": make_law(tokens, 20, 4)}) for tokens in TOKENS]
    free = tokens_trend(draws)
    assert free.loc[free["bucket"] == "a", "share"].max() > 0.15
    capped = tokens_trend(
        draws, lambda at: replace(RecipeSet.free(at), cap=np.array([0.1, 1.0, 1.0]))
    )
    first = capped[capped["bucket"] == "a"]
    assert (first[["share", "hi"]] <= 0.1 + 1e-9).all(axis=None)
    assert (capped["loss_mean"] >= free["loss_mean"] - 1e-9).all()


def test_the_published_law_moves_to_lower_buckets_as_tokens_outgrow_the_source():
    sizes = np.geomspace(1e11, 2e12, 6)
    laws = [published_target(1.2e9, tokens, 2e11) for tokens in sizes]
    table = tokens_trend([pool({"published": law}) for law in laws])
    wide = table.pivot(index="tokens", columns="bucket", values="share")[list("012345")]
    assert (np.diff(wide["0"]) < 0).all()
    quality = (wide.to_numpy() * np.arange(6)).sum(axis=1)
    assert (np.diff(quality) > 0).all()
    np.testing.assert_allclose(table["lo"], table["hi"])  # one draw leaves nothing open
    np.testing.assert_allclose(table["evpi"], 0.0, atol=1e-7)
    assert (table["evpi"] >= 0).all()


def test_bad_targets_are_refused():
    draws = pool({"a": make_law(1e11, 5, 1)})
    with pytest.raises(InputError, match="at least one is needed"):
        tokens_trend([])
    with pytest.raises(InputError, match=r"tokens must differ, got 1e\+11 twice"):
        tokens_trend([draws, draws])
    other = replace(draws, buckets=("a", "b", "x"), tokens=2e11)
    with pytest.raises(InputError, match="buckets must agree"):
        tokens_trend([draws, other])
    with pytest.raises(InputError, match="prob: must lie between 0 and 1, got 0"):
        tokens_trend([draws], prob=0)
