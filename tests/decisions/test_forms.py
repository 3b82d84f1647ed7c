"""Fits opened together stay joint, and regrets across forms add up."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.convex import draw_optima
from bayes_infolaw.decisions.forms import decision_draws, regret_across_forms
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError, RefusedError

TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}


@pytest.fixture(scope="module")
def shipped(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


@pytest.fixture(scope="module")
def vague(shipped):
    return replace(shipped, draws={**shipped.draws, "sigma": 4.0 * shipped.draws["sigma"]})


def test_regrets_against_a_grid(two_forms, grid):
    free = RecipeSet.free(two_forms)
    equal = np.full(3, 1 / 3)
    found = regret_across_forms(two_forms, free, {"equal": equal})
    for name, part in ((form, two_forms.of_form(form)) for form in two_forms.forms):
        loss = part.mean(part.loss(grid))
        by_grid = part.mean(part.loss(equal)) - loss.min()
        assert found.regret["equal"][name].value == pytest.approx(by_grid, rel=1e-3)
        np.testing.assert_allclose(
            list(found.recipes[name].values()), grid[loss.argmin()], atol=0.011
        )
        assert found.regret[name][name].value == 0.0
        least = part.mean(part.loss(grid).min(axis=0))
        assert found.within[name].value == pytest.approx(loss.min() - least, rel=0.03)


def test_lost_for_the_form_and_lost_for_its_parameters_add_up(two_forms):
    free = RecipeSet.free(two_forms)
    equal = np.full(3, 1 / 3)
    found = regret_across_forms(two_forms, free, {"equal": equal})
    optima = draw_optima(two_forms, free)
    for name, recipe in found.recipes.items():
        loss = two_forms.loss(np.array(list(recipe.values())))
        assert found.total[name] == pytest.approx(two_forms.mean(loss - optima.loss), rel=1e-6)
    assert found.weights == pytest.approx({"log": 0.7, "constant": 0.3})
    assert found.total["pooled"] == min(found.total.values())
    assert found.across["pooled"] > 0
    assert found.to_dict()["regret"]["log"]["constant"]["value"] > 0


def test_a_recipe_must_not_pass_for_a_form(two_forms):
    with pytest.raises(InputError, match="must not have the name of a form or 'pooled': 'log'"):
        regret_across_forms(two_forms, RecipeSet.free(two_forms), {"log": np.full(3, 1 / 3)})


def test_fits_open_joint_with_their_parameters_beside_them(shipped, vague):
    opened = decision_draws({"a": shipped, "b": vague}, TARGET, weights={"a": 3, "b": 1})
    draws = opened.draws
    assert draws.forms == ("a", "b")
    assert draws.weight[draws.form == 0].sum() == pytest.approx(0.75)
    np.testing.assert_allclose(draws.density[:, 2], np.exp(-2 * opened.parameters["theta"]))
    np.testing.assert_array_equal(opened.parameters["beta"], draws.beta)
    law = shipped.target(**TARGET)
    recipe = np.full(len(draws.buckets), 1 / len(draws.buckets))
    np.testing.assert_allclose(draws.of_form("b").loss(recipe), law.loss(recipe))


def test_parameters_stay_beside_their_draws_where_some_leave_the_domain(shipped):
    """A small model: lambda falls below zero in a few of 4,000 draws, which are left out."""
    sizes = np.geomspace(2.5e7, 2.5e8, 400)
    left_out = None
    for size in sizes[::-1]:
        try:
            opened = decision_draws({"a": shipped}, {**TARGET, "params_nonembedding": float(size)})
        except InputError:
            break
        if len(opened.draws) < shipped.draws["beta"].size:
            left_out = opened
    assert left_out is not None
    assert len(left_out.draws) >= 0.999 * shipped.draws["beta"].size
    theta = left_out.parameters["theta"]
    np.testing.assert_allclose(left_out.draws.density[:, 1], np.exp(-theta))


def test_stacking_is_the_default_and_leaves_out_what_it_rejects(shipped, vague):
    opened = decision_draws({"a": shipped, "b": vague}, TARGET)
    assert opened.weights.method == "stacking"
    shares = [
        opened.draws.weight[opened.draws.form == i].sum() for i in range(len(opened.draws.forms))
    ]
    kept = [weight for weight in opened.weights.weights.values() if weight > 0]
    assert shares == pytest.approx(kept)


def test_a_parameter_of_one_form_is_nan_beside_the_other(shipped, vague):
    named = replace(vague, draws={**vague.draws, "nu": 1.0 + vague.draws["sigma"]})
    opened = decision_draws({"a": shipped, "b": named}, TARGET, weights="equal")
    assert np.isnan(opened.parameters["nu"][opened.draws.form == 0]).all()
    np.testing.assert_array_equal(
        opened.parameters["nu"][opened.draws.form == 1], named.draws["nu"].reshape(-1)
    )


def test_what_cannot_be_opened(shipped):
    with pytest.raises(
        InputError, match=r"label: must name a column of the fits \(none\), got 'corpus'"
    ):
        decision_draws({"a": shipped}, {**TARGET, "labels": {"corpus": "x"}})
    bad = replace(shipped, verdict=replace(shipped.verdict, divergences=99))
    with pytest.raises(RefusedError, match="did not converge"):
        decision_draws({"a": bad}, TARGET)
    assert decision_draws({"a": bad}, TARGET, allow_unconverged=True).draws.forms == ("a",)
