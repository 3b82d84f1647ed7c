"""A decision's numbers, recomputed from the draws; what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.convex import draw_optima, least_cvar
from bayes_infolaw.decisions.decision import Question, decide
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError

from .test_draws import make_law

NOW = np.array([0.4, 0.3, 0.2, 0.1])


@pytest.fixture(scope="module")
def draws():
    return pool({"a": make_law(120, 1), "b": make_law(80, 2, irreducible=0.7)}, {"a": 3, "b": 1})


@pytest.fixture(scope="module")
def decision(draws):
    return decide(draws, RecipeSet.free(draws), Question(incumbent=NOW))


def test_the_numbers_are_expectations_over_common_draws(draws, decision):
    recipe = np.array(list(decision.recipe.values()))
    gap = draws.loss(NOW) - draws.loss(recipe)
    assert decision.difference.mean == pytest.approx(draws.weight @ gap)
    positive = draws.weight @ np.maximum(gap, 0)
    assert decision.expected_improvement.value == pytest.approx(positive)
    assert decision.p_better.value == pytest.approx(draws.weight @ (gap > 0))
    assert decision.expected_loss == pytest.approx(draws.weight @ draws.loss(recipe))


def test_no_random_recipe_has_a_lower_mean_and_none_of_the_draws_is_beaten(draws, decision):
    steps = np.arange(0, 1.001, 0.02)  # optima lie on the faces: a grid has them, chance has not
    grid = np.array(
        [(a, b, c) for a in steps for b in steps for c in steps if a + b + c < 1 + 1e-9]
    )
    recipes = np.column_stack([grid, np.maximum(1 - grid.sum(axis=1), 0)])
    losses = draws.loss(recipes)
    assert decision.expected_loss <= (losses @ draws.weight).min() + 1e-9
    found = draws.loss(np.array(list(decision.recipe.values())))
    regret = draws.weight @ (found - losses.min(axis=0))
    assert decision.evpi.value >= regret - 1e-9
    assert decision.evpi.value == pytest.approx(regret, rel=0.25)


def test_regret_over_forms_adds_up_to_the_expected_regret(decision):
    total = decision.across_forms.total["recommended"]
    assert total == pytest.approx(decision.expected_regret.value, rel=1e-6)


def test_the_answer_is_json(decision):
    told = json.loads(json.dumps(decision.to_dict(), allow_nan=False))
    for name in ("expected_improvement", "p_better", "expected_regret", "evpi"):
        assert isinstance(told[name], float)
        assert told["standard_errors"][name] >= 0
    assert set(told["equivalent_set"]["ranges"]) == set("abcd")


def test_improvement_is_told_by_draws_that_did_not_choose(draws):
    asked = Question(objective="ei", incumbent=NOW)
    decision = decide(draws, RecipeSet.free(draws), asked)
    assert "half" in decision.reported_on
    assert decision.objective_value == pytest.approx(decision.expected_improvement.value, rel=0.3)


def test_a_single_draw_has_no_spread():
    draws = pool({"a": make_law(1, 1)})
    decision = decide(draws, RecipeSet.free(draws), Question(incumbent_loss=4.0))
    assert (decision.loss_lo, decision.recipe_sd, decision.incumbent) == (None, None, None)
    assert decision.evpi.value == pytest.approx(0, abs=1e-9)
    assert decision.difference.mean == pytest.approx(4.0 - decision.expected_loss)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"objective": "best"}, "objective: must be one of mean, ei"),
        ({"level": 1.0}, "level: must lie between 0 and 1, got 1.0"),
        ({"objective": "mean", "level": 0.8}, "level: objective mean uses none, got 0.8"),
        ({"objective": "thompson", "level": 0.9}, "level: objective thompson uses none, got 0.9"),
        ({"equivalent_prob": 0.0}, r"equivalent_prob: must lie in \(0, 1\], got 0.0"),
        ({"epsilon": -0.1}, "epsilon: must be a number >= 0, got -0.1"),
        ({"q": 0}, "q: must be at least 1, got 0"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"objective": "ei"}, "incumbent: objective ei needs one"),
        ({"q": 2}, "incumbent: a batch of 2 needs one"),
        ({"incumbent": NOW, "incumbent_loss": 3.0}, "not both"),
    ],
)
def test_bad_questions_are_named(question, message):
    with pytest.raises(InputError, match=message):
        Question(**question)


def test_the_incumbent_itself_ties(draws, decision):
    same = np.array(list(decision.recipe.values()))
    again = decide(draws, RecipeSet.free(draws), Question(incumbent=same))
    assert again.p_better.value == pytest.approx(0.5)
    assert again.expected_improvement.value == pytest.approx(0, abs=1e-12)


def by_name(draws, recipe):
    return dict(zip(draws.buckets, recipe.tolist(), strict=True))


def test_improvement_is_the_mean_over_the_telling_half(draws):
    found = decide(draws, RecipeSet.free(draws), Question(objective="ei", incumbent=NOW))
    telling = draws.halves()[1]
    gap = telling.loss(NOW) - telling.loss(np.array(list(found.recipe.values())))
    told = telling.weight @ np.maximum(gap, 0)
    assert found.objective_value == pytest.approx(told, rel=1e-12)
    assert found.expected_improvement.value == found.objective_value


def test_perfect_information_is_about_the_least_mean_whatever_is_chosen(draws, decision):
    found = decide(draws, RecipeSet.free(draws), Question(objective="thompson", seed=5))
    assert found.evpi.value == pytest.approx(decision.evpi.value, rel=1e-9)
    assert found.expected_regret.value > found.evpi.value


def test_cvar_is_the_mean_of_the_worst_rest(draws):
    found = decide(draws, RecipeSet.free(draws), Question(objective="cvar", level=0.9))
    wanted = least_cvar(draws, RecipeSet.free(draws), 0.1).recipe
    assert found.recipe == pytest.approx(by_name(draws, wanted))
    assert found.recipe != pytest.approx(
        by_name(draws, least_cvar(draws, RecipeSet.free(draws), 0.9).recipe), abs=1e-6
    )


def test_thompson_is_a_draws_own_optimum(draws):
    optima = draw_optima(draws, RecipeSet.free(draws)).recipes
    for seed in (0, 1):
        found = decide(draws, RecipeSet.free(draws), Question(objective="thompson", seed=seed))
        distance = np.abs(optima - np.array(list(found.recipe.values()))).max(axis=1)
        assert distance.min() < 1e-12


def test_a_larger_tolerance_gives_wider_ranges(draws, decision):
    wide = decide(draws, RecipeSet.free(draws), Question(epsilon=0.01))
    for name, (low, high) in decision.equivalent_set.ranges.items():
        other = wide.equivalent_set.ranges[name]
        assert other[0] <= low + 1e-9
        assert other[1] >= high - 1e-9
    assert wide.equivalent_set.ranges["a"][1] > decision.equivalent_set.ranges["a"][1] + 0.01


def test_equivalence_has_a_probability_of_its_own(draws, decision):
    sure = decide(draws, RecipeSet.free(draws), Question(equivalent_prob=0.99, prob=0.5))
    assert (sure.equivalent_set.prob, decision.equivalent_set.prob) == (0.99, 0.9)
    low, high = sure.equivalent_set.ranges["a"]
    wide = decision.equivalent_set.ranges["a"]
    assert high - low < wide[1] - wide[0] - 1e-6


@pytest.mark.parametrize("objective", ["quantile", "cvar"])
def test_held_out_objectives_are_of_each_half_s_recipe_on_the_other(draws, objective):
    """The empirical tail of losses under recipes that these draws did not choose, by hand."""
    free = RecipeSet.free(draws)
    found = decide(draws, free, Question(objective=objective, level=0.8))
    losses = np.empty(len(draws))
    for mine, half in zip(draws.half_positions(), draws.halves()[::-1], strict=True):
        recipe = decide(half, free, Question(objective=objective, level=0.8)).recipe
        losses[mine] = draws.loss(np.array(list(recipe.values())))[mine]
    order = np.argsort(losses)
    mass = np.cumsum(draws.weight[order])
    edge = losses[order][np.argmax(mass >= 0.8 - 1e-12)]
    tail = edge + draws.weight @ np.maximum(losses - edge, 0) / 0.2
    expected = edge if objective == "quantile" else tail
    assert found.objective_held_out.value == pytest.approx(expected, rel=1e-9)
    assert found.level == 0.8
    assert found.reported_on == "all draws, which also chose the recipe"


def test_few_draws_flatter_the_recipe_that_they_choose():
    """In the mean over posteriors of 12 draws: what chose is lower than what did not."""
    gap = {"mean": [], "cvar": [], "evpi": []}
    for seed in range(12):
        few = pool({"a": make_law(12, seed)})
        free = RecipeSet.free(few)
        for objective in ("mean", "cvar"):
            found = decide(few, free, Question(objective=objective))
            gap[objective].append(found.objective_held_out.value - found.objective_value)
        gap["evpi"].append(found.evpi_held_out.value - found.evpi.value)
    assert all(np.mean(values) > 2 * np.std(values) / np.sqrt(12) for values in gap.values())


def test_thompson_is_valued_by_the_other_draws(draws):
    found = decide(draws, RecipeSet.free(draws), Question(objective="thompson", seed=3))
    recipe = np.array(list(found.recipe.values()))
    own = draw_optima(draws, RecipeSet.free(draws)).recipes
    chosen = np.abs(own - recipe).sum(axis=1).argmin()
    weight = draws.weight.copy()
    weight[draws.form == draws.form[chosen]] *= 1 + weight[chosen] / (
        weight[draws.form == draws.form[chosen]].sum() - weight[chosen]
    )
    weight[chosen] = 0.0
    assert weight.sum() == pytest.approx(1.0)
    assert found.objective_value == pytest.approx(weight @ draws.loss(recipe), rel=1e-12)
    assert found.objective_held_out.value == found.objective_value
    assert "all draws but the one" in found.reported_on


@pytest.mark.parametrize("objective", ["mean", "quantile", "cvar", "thompson"])
def test_a_single_draw_has_nothing_held_out(objective):
    draws = pool({"a": make_law(1, 1)})
    found = decide(draws, RecipeSet.free(draws), Question(objective=objective))
    assert (found.evpi_held_out, found.objective_held_out) == (None, None)
    assert found.to_dict()["evpi_held_out"] is None


@pytest.mark.parametrize("n", [2, 3, 5])
def test_an_odd_few_draws_still_choose_and_tell(n):
    draws = pool({"a": make_law(n, 2)})
    found = decide(draws, RecipeSet.free(draws), Question(objective="ei", incumbent=NOW, q=2))
    assert found.expected_improvement.value >= 0
    assert (found.expected_improvement.se is None) == (n < 4)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("asked", [{"objective": "ei"}, {"q": 2}])
def test_one_draw_cannot_choose_and_tell(asked):
    draws = pool({"a": make_law(1, 1)})
    message = "needs 2 draws or more of 'a', got 1: one half chooses, the other tells"
    with pytest.raises(InputError, match=message):
        decide(draws, RecipeSet.free(draws), Question(incumbent=NOW, **asked))


def test_regrets_below_zero_by_rounding_are_zero(monkeypatch):
    import bayes_infolaw.decisions.decision as module

    solve = module.draw_optima

    def a_little_high(draws, allowed):
        found = solve(draws, allowed)
        return replace(found, loss=found.loss * (1 + 1e-12))

    monkeypatch.setattr(module, "draw_optima", a_little_high)
    one = pool({"a": make_law(1, 1)})
    found = decide(one, RecipeSet.free(one))
    assert (found.evpi.value, found.expected_regret.value) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("incumbent", "message"),
    [
        (np.array([0.5, 0.3, 0.3, 0.1]), "incumbent: shares must sum to 1, got 1.2"),
        (np.array([1.2, -0.2, 0.0, 0.0]), "incumbent: shares must be numbers >= 0"),
        (np.array([0.5, 0.5]), r"incumbent: must have shape \(4,\)"),
    ],
)
def test_an_incumbent_that_is_no_recipe_is_refused(draws, incumbent, message):
    with pytest.raises(InputError, match=message):
        decide(draws, RecipeSet.free(draws), Question(incumbent=incumbent))


def test_a_fixed_loss_must_be_one(draws):
    with pytest.raises(InputError, match=r"a fixed loss must be a number > 0, got -1\.0"):
        decide(draws, RecipeSet.free(draws), Question(incumbent_loss=-1.0))


def test_a_form_must_not_be_called_pooled(draws):
    named = replace(draws, forms=("a", "pooled"))
    with pytest.raises(InputError, match="'pooled' is that of all fits together"):
        decide(named, RecipeSet.free(draws))
