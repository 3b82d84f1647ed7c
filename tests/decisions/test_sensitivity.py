"""What moves the choice: slopes against derivatives, thirds against grids, nothing for noise."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.convex import draw_optima, least_mean
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.sensitivity import sensitivity
from bayes_infolaw.errors import InputError


def by_name(found):
    return {row.name: row for row in found.parameters}


def one_parameter(draws, sd):
    """Draws that differ in the log of the exposure only, closely round its mean."""
    z = np.linspace(-1.7, 1.7, len(draws))
    z = (z - z.mean()) / z.std()
    same = {
        name: np.repeat(getattr(draws, name)[:1], len(draws), axis=0)
        for name in ("density", "log_level", "beta", "irreducible")
    }
    log_r = np.log(0.2) + sd * z
    weight = np.full(len(draws), 1 / len(draws))
    return replace(draws, **same, exposure=np.exp(log_r), weight=weight), log_r


def test_slope_is_the_derivative_of_the_optimum(one_form):
    sd = 0.01
    draws, log_r = one_parameter(one_form, sd)
    free = RecipeSet.free(draws)
    ends = draws.take(np.array([0, 1]))
    ends = replace(ends, exposure=0.2 * np.exp([-1e-3, 1e-3]))
    low, high = draw_optima(ends, free).recipes
    derivative = (high - low) / 2e-3
    row = by_name(sensitivity(draws, free, {"log r": log_r}))["log r"]
    assert abs(derivative).max() > 0.1
    np.testing.assert_allclose(
        list(row.share_slope.values()), derivative * sd, rtol=0.02, atol=1e-6
    )
    assert row.explained == pytest.approx(1.0, abs=1e-3)
    assert row.sd == pytest.approx(sd, rel=1e-6)
    steps = draws.loss(least_mean(draws, free).recipe)
    assert row.loss_slope == pytest.approx(np.cov(steps, log_r, ddof=0)[0, 1] / sd, rel=1e-6)


def test_a_parameter_that_decides_nothing_is_worth_nothing(one_form):
    """A level moves the loss by its own size, and no recipe; noise moves neither."""
    rng = np.random.default_rng(0)
    level = rng.normal(0, 0.02, len(one_form))
    beta = np.full(len(one_form), 0.044)
    draws = replace(one_form, log_level=1.3 + level, beta=beta)
    found = sensitivity(
        draws,
        RecipeSet.free(draws),
        {"level": draws.log_level, "r": draws.exposure, "noise": rng.normal(size=len(draws))},
    )
    rows = by_name(found)
    assert found.parameters[0].name == "r"
    loss = draws.loss(np.array(list(found.recipe.values()))).mean()
    assert rows["level"].loss_slope == pytest.approx(loss * rows["level"].sd, rel=0.02)
    for name in ("level", "noise"):
        assert rows[name].explained < 16 / len(draws)  # 1 / J is expected, 4 sd
        assert rows[name].worth < 0.15 * rows["r"].worth
    assert found.explained["log"] > rows["r"].explained > 0.3


def test_thirds_and_their_worth_against_a_grid(two_forms, grid):
    free = RecipeSet.free(two_forms)
    theta = -np.log(two_forms.density[:, 1])
    row = by_name(sensitivity(two_forms, free, {"theta": theta}))["theta"]
    third = np.empty(len(theta), dtype=int)
    for form in (0, 1):
        inside = np.flatnonzero(two_forms.form == form)
        third[inside[np.argsort(theta[inside])]] = (np.arange(len(inside)) + 0.5) * 3 // len(inside)
    loss, weight = two_forms.loss(grid), two_forms.weight
    known = sum((loss[:, third == i] @ weight[third == i]).min() for i in range(3))
    assert row.worth == pytest.approx(two_forms.mean(loss).min() - known, rel=0.1, abs=2e-7)
    for i, part in ((0, row.lower), (2, row.upper)):
        inside = third == i
        mean = theta[inside] @ weight[inside] / weight[inside].sum()
        assert part.mean == pytest.approx(mean)
        best = grid[(loss[:, inside] @ weight[inside]).argmin()]
        np.testing.assert_allclose(list(part.recipe.values()), best, atol=0.02)
        assert part.regret >= -1e-12
    assert row.lower.mean < row.mean < row.upper.mean


def test_a_parameter_of_one_form_speaks_of_that_form_only(two_forms):
    free = RecipeSet.free(two_forms)
    theta = -np.log(two_forms.density[:, 1])
    only = np.where(two_forms.form == 1, theta, np.nan)
    alone = two_forms.of_form("constant")
    row = by_name(sensitivity(two_forms, free, {"theta": only}))["theta"]
    same = by_name(sensitivity(alone, free, {"theta": theta[two_forms.form == 1]}))["theta"]
    assert row.forms == ("constant",)
    assert row.share_slope == pytest.approx(same.share_slope, abs=1e-9)
    assert row.lower.recipe == pytest.approx(same.lower.recipe, abs=1e-6)
    assert row.worth == pytest.approx(0.3 * same.worth, rel=1e-3)  # its form's probability
    assert row.worth < 0.3 * (row.lower.regret + row.upper.regret)  # which know the form as well


def test_forms_do_not_pass_for_a_parameter(two_forms):
    """Standardised within forms: a parameter that only differs between them does not vary."""
    flat = np.where(two_forms.form == 0, 1.0, 5.0)
    found = sensitivity(two_forms, RecipeSet.free(two_forms), {"flat": flat})
    assert found.parameters == ()
    assert found.explained == {"log": 0.0, "constant": 0.0}


def test_parameters_must_lie_beside_the_draws(two_forms):
    with pytest.raises(InputError, match="parameter theta: must have one value a draw"):
        sensitivity(two_forms, RecipeSet.free(two_forms), {"theta": np.ones(3)})


def test_plain_types(two_forms):
    found = sensitivity(two_forms, RecipeSet.free(two_forms), {"r": two_forms.exposure}).to_dict()
    assert found["parameters"][0]["forms"] == ["log", "constant"]
    assert found["parameters"][0]["lower"]["recipe"].keys() == set("abc")
