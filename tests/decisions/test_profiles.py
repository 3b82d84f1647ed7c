"""Numbers behind the profiles and the triangle, against the laws computed one recipe at a time."""

import numpy as np
import pytest

from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.profiles import (
    recipe_profiles,
    simplex_grid,
    triangle_values,
    vary_share,
)
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget

WEIGHTS = {"a": 0.7, "b": 0.3}
RECIPE = np.array([0.2, 0.5, 0.3, 0.0])
INCUMBENT = np.array([0.1, 0.2, 0.3, 0.4])


def make_law(n_draws, seed, source=(20.0, 80.0, 150.0, 250.0)):
    rng = np.random.default_rng(seed)
    return LawAtTarget(
        buckets=tuple("abcd"[: len(source)]),
        source=np.array(source) * 1e9,
        tokens=4e11,
        token_unit=1e9,
        density=np.exp(-rng.uniform(0.5, 1.2, (n_draws, 1)) * np.arange(len(source))),
        rate=rng.uniform(0.2, 0.5, n_draws),
        normaliser=rng.uniform(1.5, 3.0, n_draws),
        log_alpha=rng.normal(1.3, 0.05, n_draws),
        beta=rng.uniform(0.03, 0.1, n_draws),
        irreducible=np.full(n_draws, 0.5),
    )


def two_laws(source=(20.0, 80.0, 150.0, 250.0)):
    return {"a": make_law(41, 1, source), "b": make_law(27, 2, source)}


@pytest.fixture(scope="module")
def laws():
    return two_laws()


def losses(laws, recipe):
    """Loss (J,) and weight (J,) of every draw, from the laws themselves."""
    parts = [law.loss(recipe) for law in laws.values()]
    weight = [np.full(len(p), WEIGHTS[n] / len(p)) for n, p in zip(laws, parts, strict=True)]
    return np.concatenate(parts), np.concatenate(weight)


def test_profiles_are_the_laws_own_losses_under_common_draws(laws):
    table = recipe_profiles(pool(laws, WEIGHTS), RECIPE, INCUMBENT, np.array([0.0, 0.25, 0.9]))
    base, weight = losses(laws, INCUMBENT)
    assert table["bucket"].tolist() == [bucket for bucket in "abcd" for _ in range(3)]
    for row in table.itertuples():
        d = "abcd".index(row.bucket)
        recipe = RECIPE * (1 - row.share) / (1 - RECIPE[d])
        recipe[d] = row.share
        loss, _ = losses(laws, recipe)
        gap = loss - base
        assert row.loss_mean == pytest.approx(weight @ loss, rel=1e-12)
        assert row.difference_mean == pytest.approx(weight @ gap, rel=1e-9)
        assert row.expected_improvement == pytest.approx(weight @ np.maximum(-gap, 0), abs=1e-12)
        assert row.p_better == pytest.approx(weight @ (gap < 0))
        source = laws["a"].source[d]
        used = row.share > 0
        assert row.repetition == pytest.approx(max(row.share * 4e11 / source, 1.0) * used)


def test_the_interval_holds_its_probability_in_weighted_draws(laws):
    table = recipe_profiles(pool(laws, WEIGHTS), RECIPE, INCUMBENT, np.array([0.4]), prob=0.8)
    base, weight = losses(laws, INCUMBENT)
    for row, bucket in zip(table.itertuples(), range(4), strict=True):
        varied = vary_share(RECIPE, np.ones(4), bucket, np.array([0.4]))[0]
        gap = losses(laws, varied)[0] - base
        for end, prob in ((row.difference_lo, 0.1), (row.difference_hi, 0.9)):
            assert weight[gap < end - 1e-12].sum() <= prob <= weight[gap <= end + 1e-12].sum()


def test_levels_that_cancel_leave_the_difference_alone(laws):
    """The band is that of the contrast: far narrower than that of the loss itself."""
    draws = pool(laws, WEIGHTS)
    table = recipe_profiles(draws, RECIPE, shares=np.array([0.21]))
    first = table.iloc[0]
    spread = np.std(draws.loss(RECIPE))
    assert first["difference_hi"] - first["difference_lo"] < 0.05 * spread


def test_every_profile_passes_through_the_recipe(laws):
    table = recipe_profiles(pool(laws, WEIGHTS), RECIPE)
    for (_, rows), own in zip(table.groupby("bucket"), RECIPE, strict=True):
        at = rows[rows["share"] == own]
        assert len(at) == 1
        np.testing.assert_allclose(at["difference_mean"], 0.0, atol=1e-12)
        np.testing.assert_allclose(at["expected_improvement"], 0.0, atol=1e-12)
        assert rows["share"].is_monotonic_increasing
        assert (rows["share"].min(), rows["share"].max()) == (0.0, 1.0)


def test_the_rest_keeps_its_proportions_or_those_of_its_source():
    shares = np.array([0.0, 0.4, 1.0])
    kept = vary_share(np.array([0.5, 0.3, 0.2]), np.ones(3), 0, shares)
    np.testing.assert_allclose(kept, [[0, 0.6, 0.4], [0.4, 0.36, 0.24], [1, 0, 0]])
    alone = vary_share(np.array([1.0, 0.0, 0.0]), np.array([9.0, 1.0, 3.0]), 0, shares)
    np.testing.assert_allclose(alone, [[0, 0.25, 0.75], [0.4, 0.15, 0.45], [1, 0, 0]])


def test_a_bucket_without_tokens_has_no_profile():
    laws = two_laws(source=(20.0, 80.0, 0.0, 250.0))
    recipe = np.array([0.2, 0.5, 0.0, 0.3])
    draws = pool(laws, WEIGHTS)
    assert list(dict.fromkeys(recipe_profiles(draws, recipe)["bucket"])) == ["a", "b", "d"]
    with pytest.raises(InputError, match="recipe: bucket 'c' has no tokens"):
        recipe_profiles(draws, RECIPE)
    single = pool(two_laws(source=(0.0, 80.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="at least two must have tokens, got 1"):
        recipe_profiles(single, np.eye(4)[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"recipe": RECIPE[:3]}, r"recipe: must have shape \(4,\), got \(3,\)"),
        ({"recipe": 2 * RECIPE}, "recipe: shares must sum to 1, got 2"),
        ({"incumbent": np.array([1.5, -0.5, 0, 0])}, "incumbent: shares must be numbers >= 0"),
        ({"shares": np.array([0.5, 1.2])}, "shares: must be numbers between 0 and 1, got 1.2"),
        ({"shares": np.array([])}, "shares: must be numbers between 0 and 1, got none"),
        ({"prob": 1.0}, "prob: must lie between 0 and 1, got 1.0"),
    ],
)
def test_bad_input_is_one_clear_error(laws, given, said):
    with pytest.raises(InputError, match=said):
        recipe_profiles(pool(laws), **{"recipe": RECIPE, **given})


def test_grid_holds_every_recipe_once():
    grid = simplex_grid(10)
    assert grid.shape == (66, 3)
    assert len(np.unique(grid, axis=0)) == 66
    np.testing.assert_allclose(grid.sum(axis=1), 1.0)
    assert (grid >= 0).all()


def test_triangle_holds_the_laws_values_and_blanks_what_is_not_allowed():
    laws = two_laws(source=(20.0, 80.0, 150.0))
    incumbent = np.array([0.2, 0.3, 0.5])
    few = lambda recipes: recipes[:, 0] <= 0.55  # noqa: E731
    table = triangle_values(pool(laws, WEIGHTS), incumbent, steps=10, allowed=few)
    base, weight = losses(laws, incumbent)
    assert len(table) == 66
    assert table["loss_mean"].isna().tolist() == (table["a"] > 0.55).tolist()
    for row in table[table["a"] <= 0.55].itertuples():
        loss, _ = losses(laws, np.array([row.a, row.b, row.c]))
        assert row.loss_mean == pytest.approx(weight @ loss, rel=1e-10)
        gain = weight @ np.maximum(base - loss, 0)
        assert row.expected_improvement == pytest.approx(gain, abs=1e-11)
    assert table["expected_improvement"].max() > 0


def test_a_triangle_needs_three_buckets(laws):
    with pytest.raises(InputError, match="a triangle needs three, got 4"):
        triangle_values(pool(laws), INCUMBENT)


def test_a_fixed_loss_and_the_limits_beside_a_profile(laws):
    draws = pool(laws, WEIGHTS)
    shares = np.array([0.0, 0.3, 0.8])
    table = recipe_profiles(
        draws, RECIPE, 3.2, shares, allowed=lambda recipes: recipes[:, 0] <= 0.25
    )
    first = table[table["bucket"] == "a"]
    assert first["allowed"].tolist() == [True, False, False]
    np.testing.assert_allclose(table["difference_mean"], table["loss_mean"] - 3.2)
    losses = draws.loss(vary_share(RECIPE, draws.capacity, 0, shares))
    gain = np.maximum(3.2 - losses, 0.0) @ draws.weight
    np.testing.assert_allclose(first["expected_improvement"], gain)
    assert recipe_profiles(draws, RECIPE)["allowed"].all()
