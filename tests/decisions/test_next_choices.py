"""The finite set of recipes that `next` decides between, within limits: of the set, and enough."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.convex import draw_optima, least_mean
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.next_run.answer import SearchSettings
from bayes_infolaw.decisions.next_run.choices import recipe_choices
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InfeasibleError, InputError

from .set_cases import CONVEX, NON_CONVEX, random_set

TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}
KINDS = [
    *([kind] for kind in CONVEX),
    *([kind] for kind in NON_CONVEX),
    ["floors", "repetition"],
    ["ordered", "caps"],
    ["none or at least", "caps"],
    ["few buckets", "mean repetition"],
]


@pytest.fixture(scope="module")
def law(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc").target(**TARGET)


@pytest.mark.parametrize("kinds", KINDS, ids=" + ".join)
def test_every_recipe_is_allowed_and_the_best_are_among_them(two_forms, kinds):
    """Most of what a free choice within the set could gain, in the worst of the set's kinds."""
    allowed = random_set(np.random.default_rng(len(kinds[0])), two_forms, kinds)
    found = recipe_choices({}, two_forms, allowed=allowed, count=60)
    assert allowed.contains(found.recipes, 1e-9).all()
    assert (found.recipes >= 0).all()
    np.testing.assert_allclose(found.recipes.sum(axis=1), 1.0, atol=1e-9)
    best = least_mean(two_forms, allowed)
    assert found.expected_loss == pytest.approx(best.value, rel=1e-9)
    own = draw_optima(two_forms, allowed).loss
    perfect = best.value - float(two_forms.weight @ own)
    assert found.evpi_free == pytest.approx(perfect, rel=1e-6, abs=1e-12)
    assert found.evpi <= found.evpi_free + 1e-12
    assert found.evpi_kept > 0.98
    assert (found.gain[:, 0] == 0).all()
    assert (two_forms.weight @ found.gain <= 1e-12).all()


@pytest.mark.parametrize("ordered", [False, True])
def test_no_limits_are_the_simplex(law, ordered):
    laws = {"a": law}
    draws = pool(laws)
    free = replace(RecipeSet.free(draws), ordering="shares" if ordered else None)
    ours = recipe_choices(laws, draws, ordered=ordered, allowed=free)
    theirs = recipe_choices(laws, draws, ordered=ordered)
    assert ours.expected_loss == pytest.approx(theirs.expected_loss, rel=1e-9)
    assert ours.evpi_free == pytest.approx(theirs.evpi_free, rel=1e-6)
    assert ours.evpi == pytest.approx(theirs.evpi, rel=0.01)
    assert min(ours.evpi_kept, theirs.evpi_kept) > 0.99
    np.testing.assert_allclose(ours.recipes[0], theirs.recipes[0], atol=1e-4)


@pytest.mark.parametrize("ordered", [False, True])
def test_todays_choice_is_the_best_over_all_forms(law, ordered):
    """Not the best of each form's own, nor of the cluster centres: what `recommend` says."""
    flat = replace(law, density=law.density**0.5, log_alpha=law.log_alpha - 0.05)
    laws = {"a": law, "b": flat}
    draws = pool(laws, {"a": 0.6, "b": 0.4})
    free = replace(RecipeSet.free(draws), ordering="shares" if ordered else None)
    best = least_mean(draws, free)
    found = recipe_choices(laws, draws, ordered=ordered, count=8)
    np.testing.assert_allclose(found.recipes[0], best.recipe, atol=1e-9)
    assert found.expected_loss == pytest.approx(best.value, rel=1e-12)
    perfect = best.value - float(draws.weight @ draw_optima(draws, free).loss)
    assert found.evpi_free == pytest.approx(perfect, rel=1e-6)
    for name in laws:
        own = least_mean(draws.of_form(name), free).recipe
        assert np.abs(own - best.recipe).max() > 0.01


def test_one_recipe_leaves_nothing_to_learn(two_forms):
    share = np.array([0.5, 0.3, 0.2])
    allowed = replace(RecipeSet.free(two_forms), floor=share, cap=share)
    found = recipe_choices({}, two_forms, allowed=allowed)
    np.testing.assert_allclose(found.recipes, np.tile(share, (len(found.recipes), 1)), atol=1e-9)
    assert found.evpi == pytest.approx(0, abs=1e-12)


def test_limits_that_cannot_be(two_forms):
    free = RecipeSet.free(two_forms)
    clash = replace(free, floor=np.array([0.6, 0.6, 0.0]))
    with pytest.raises(InfeasibleError, match="floor"):
        recipe_choices({}, two_forms, allowed=clash)
    with pytest.raises(InputError, match="count"):
        recipe_choices({}, two_forms, allowed=free, count=0)
    other = replace(free, capacity=free.capacity * 2)
    with pytest.raises(InputError):
        recipe_choices({}, two_forms, allowed=other)
    with pytest.raises(InputError, match="ordered: allowed must have ordering 'shares'"):
        SearchSettings(ordered=True, allowed=free)
