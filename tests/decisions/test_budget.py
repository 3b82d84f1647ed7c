"""Size, tokens and recipe together, against grids over all three and the fit's own predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.budget import best_plan, candidate_table
from bayes_infolaw.decisions.candidates import BudgetQuestion, Corpus, candidates_at
from bayes_infolaw.decisions.cheapest import cheapest_plan
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.sizes import Sizes, largest_run, read_sizes, size_rule
from bayes_infolaw.errors import InfeasibleError, InputError, RefusedError
from bayes_infolaw.laws.overtraining import flops_per_token, overtraining_degree
from bayes_infolaw.model.spec import spec_from_table

from .made_fits import ALPHA, SHARES, TRUTH, made_fit, simulated

COMPUTE, SOURCE = 1e21, 5e10


@pytest.fixture(scope="module")
def smooth():
    return made_fit("smooth")


@pytest.fixture(scope="module")
def clusters():
    return made_fit("clusters")


@pytest.fixture(scope="module")
def question(smooth):
    return BudgetQuestion({"f": smooth}, Corpus(SOURCE))


def grid_losses(fit, compute, log_degrees, recipes):
    """(J, degrees, recipes) losses by `Fit.predict`, sizes and tokens worked out apart."""
    rule, rows = size_rule(fit.table), []
    for m in np.exp(log_degrees):
        tokens = np.sqrt(m) * 5.8316 * compute**0.4757
        size = {"flops_per_token": compute / tokens, "tokens": tokens, "source_tokens": SOURCE}
        size["params_nonembedding"] = rule.params(compute / tokens)
        for recipe in recipes:
            row = size | {f"w_{d}": share for d, share in enumerate(recipe)}
            rows.append(row | {f"share_{d}": share for d, share in enumerate(SHARES)})
    loss = fit.predict(pd.DataFrame(rows))["expected_loss"].to_numpy()
    return loss.reshape(-1, len(log_degrees), len(recipes))


def random_recipes(n, seed=0):
    rng = np.random.default_rng(seed)
    spread = rng.dirichlet(np.ones(4), n)
    return np.concatenate([spread, rng.dirichlet([2.0, 2.0, 0.05, 0.02], n), np.eye(4)])


def test_the_plan_is_the_best_of_a_grid_over_size_tokens_and_recipe(smooth, question):
    found = best_plan(question, COMPUTE)
    log_degrees = np.linspace(0, np.log(16), 30)
    loss = grid_losses(smooth, COMPUTE, log_degrees, random_recipes(100)).mean(axis=0)
    assert found.best.expected_loss <= loss.min() + 1e-12
    assert found.best.expected_loss == pytest.approx(loss.min(), abs=2e-3)
    at = log_degrees[np.unravel_index(loss.argmin(), loss.shape)[0]]
    assert abs(np.log(found.best.overtraining) - at) < 0.3
    assert found.edge is None
    assert 1.05 < found.best.overtraining < 15.0


def test_its_numbers_are_the_fits_own(smooth, question):
    best = best_plan(question, COMPUTE).best
    assert best.compute == pytest.approx(COMPUTE, rel=1e-12)
    assert overtraining_degree(best.flops_per_token, best.tokens) == best.overtraining
    loss = grid_losses(smooth, COMPUTE, [np.log(best.overtraining)], [best.recipe])[:, 0, 0]
    np.testing.assert_allclose(best.loss, loss, rtol=1e-9)


def test_neighbours_in_size_and_recipe_are_no_better(question):
    best = best_plan(question, COMPUTE).best
    for factor in (0.9, 0.97, 1.03, 1.1):
        near = candidates_at(question, COMPUTE, np.array([best.overtraining * factor]))[0]
        assert near.expected_loss > best.expected_loss - 1e-8


def test_an_optimum_on_an_edge_is_said(smooth):
    falling = made_fit("smooth", curve=(-0.2, 0.0))
    rising = made_fit("smooth", curve=(0.2, 0.0))
    for fit, side in ((falling, "largest"), (rising, "smallest")):
        found = best_plan(BudgetQuestion({"f": fit}, Corpus(SOURCE)), COMPUTE)
        assert side in found.edge
        low, high = found.searched
        assert low * 0.999 <= found.best.overtraining <= high * 1.001
    beyond = BudgetQuestion({"f": rising}, Corpus(SOURCE), extrapolate=True)
    further = best_plan(beyond, COMPUTE)
    assert further.best.overtraining < 0.9


def test_a_fitted_degree_has_its_own_level(clusters):
    """At m = 4 the level lies 0.006 below the trend: no point of the trend comes near it."""
    found = best_plan(BudgetQuestion({"f": clusters}, Corpus(SOURCE)), COMPUTE)
    own = [c for c in found.candidates if c.fitted_degree]
    assert sorted(round(c.overtraining, 6) for c in own) == [1.0, 4.0, 16.0]
    at = next(c for c in own if abs(c.overtraining - 4) < 1e-6)
    loss = grid_losses(clusters, COMPUTE, [np.log(4.0)], [at.recipe])[:, 0, 0]
    np.testing.assert_allclose(at.loss, loss, rtol=1e-9)


def test_the_plan_at_a_fitted_degree_is_what_predict_says_there(clusters):
    """No candidate has the trend's level where a degree was fitted, at the ends least of all."""
    falling = made_fit("clusters", seed=3)
    draws = falling.draws | {"coefficients": falling.draws["coefficients"].copy()}
    draws["coefficients"][..., 2] = -0.2  # gamma: the longest runs are the best by far
    falling = replace(falling, draws=draws)
    for fit in (clusters, falling):
        found = best_plan(BudgetQuestion({"f": fit}, Corpus(SOURCE)), COMPUTE)
        for c in found.candidates:
            apart = np.abs(np.log(c.overtraining) - np.log([1.0, 4.0, 16.0])).min()
            assert c.fitted_degree == (apart <= 0.05)
        best = found.best
        loss = grid_losses(fit, COMPUTE, [np.log(best.overtraining)], [best.recipe])[:, 0, 0]
        if best.fitted_degree:
            np.testing.assert_allclose(best.loss, loss, rtol=1e-9)
    assert best.overtraining == pytest.approx(16.0)
    assert best.fitted_degree
    assert "largest" in found.edge


def test_sizes_on_the_trend_share_one_new_degrees_effect(clusters):
    question = BudgetQuestion({"f": clusters}, Corpus(SOURCE))
    low, high = candidates_at(question, COMPUTE, np.array([2.0, 8.0]))
    apart = np.std(low.loss - high.loss)
    assert apart < 0.5 * min(low.loss.std(), high.loss.std())
    own = clusters.draws["coefficients"][..., 2]  # gamma; the effect's mean must not move the level
    plain = replace(clusters, draws=clusters.draws | {"tau": np.zeros_like(own)})
    without = BudgetQuestion({"f": plain}, Corpus(SOURCE))
    same = candidates_at(without, COMPUTE, np.array([2.0]))[0]
    assert low.expected_loss == pytest.approx(same.expected_loss, abs=1e-3)
    assert low.loss.std() > same.loss.std()


def test_an_open_group_is_one_new_level_for_every_candidate():
    """Its effect (sd 0.05) is the same whichever candidates are asked for together."""
    table = simulated()
    webs = np.where(table.frame.index % 2 == 0, "a", "b")
    table = replace(table, frame=table.frame.assign(web=webs), groups=("web",))
    question = BudgetQuestion({"f": made_fit("clusters", table=table)}, Corpus(SOURCE))
    alone = candidates_at(question, COMPUTE, np.array([2.0]))[0]
    among = candidates_at(question, COMPUTE, np.array([8.0, 2.0, 1.5]))[1]
    np.testing.assert_allclose(alone.loss, among.loss, rtol=1e-12)
    fitted = candidates_at(question, COMPUTE, np.array([4.0]), fitted_degree=True)[0]
    assert alone.loss.std() > 0.15
    assert (alone.loss - fitted.loss).std() < 0.5 * alone.loss.std()


def test_listed_sizes_against_trying_each(smooth):
    rule = size_rule(smooth.table)
    params = np.array([4e8, 7e8, 1.2e9, 1.9e9, 9e9])  # the last lies outside the range of m
    sizes = Sizes(params, rule.flops_per_token(params))
    question = BudgetQuestion({"f": smooth}, Corpus(SOURCE), sizes=sizes)
    found = best_plan(question, COMPUTE)
    degrees = overtraining_degree(sizes.flops_per_token, COMPUTE / sizes.flops_per_token)
    inside = (degrees > 0.95) & (degrees < 16.8)
    assert [c.params for c in found.candidates] == params[inside].tolist()
    each = [candidates_at(question, COMPUTE, np.array([m]))[0] for m in degrees[inside]]
    best = min(each, key=lambda c: c.expected_loss)
    assert found.best.params == pytest.approx(best.params, rel=1e-9)
    assert found.best.expected_loss == pytest.approx(best.expected_loss, rel=1e-9)
    with pytest.raises(RefusedError, match=r"no listed size .* --extrapolate"):
        best_plan(replace(question, sizes=Sizes(params[-1:], sizes.flops_per_token[-1:])), COMPUTE)


def test_the_table_compares_candidates_under_common_draws(question):
    found = best_plan(question, COMPUTE)
    table = candidate_table(found, prob=0.8)
    losses = np.column_stack([c.loss for c in found.candidates])
    best = found.best.loss[:, None]
    np.testing.assert_allclose(table["p_equivalent"], (losses <= best * 1.001).mean(axis=0))
    first = losses.argmin(axis=1)
    np.testing.assert_allclose(
        table["p_best"], [(first == i).mean() for i in range(losses.shape[1])]
    )
    np.testing.assert_allclose(table["loss_mean"], losses.mean(axis=0))
    assert (table["tokens"] * table["flops_per_token"]).to_numpy() == pytest.approx(COMPUTE)


def test_constraints_hold_at_every_size(smooth):
    def allowed(draws):
        return RecipeSet(draws.buckets, draws.capacity, max_repetition=np.full(4, 3.0))

    question = BudgetQuestion({"f": smooth}, Corpus(SOURCE), allowed=allowed)
    found = best_plan(question, COMPUTE)
    for candidate in found.candidates:
        assert candidate.draws.repetition(candidate.recipe).max() <= 3.0 + 1e-6
    free = best_plan(replace(question, allowed=RecipeSet.free), COMPUTE)
    assert found.best.expected_loss > free.best.expected_loss
    # 5e10 tokens repeated at most 3 times do not fill the longest runs: they are left out
    assert max(c.tokens for c in found.candidates) <= 3 * SOURCE * (1 + 1e-6)


def test_the_cheapest_plan_reaches_the_loss_and_no_cheaper_one_does(smooth, question):
    target, probability = 3.45, 0.8
    found = cheapest_plan(question, target, probability)
    best = found.answer.best
    assert (best.loss <= target).mean() >= probability
    assert found.reached.value == pytest.approx((best.loss <= target).mean())
    cheaper = best.compute * 0.98
    recipes = np.concatenate([random_recipes(60), [best.recipe]])
    loss = grid_losses(smooth, cheaper, np.linspace(0, np.log(16), 25), recipes)
    assert (loss <= target).mean(axis=0).max() < probability
    dearer = grid_losses(smooth, best.compute * 1.001, [np.log(best.overtraining)], [best.recipe])
    assert (dearer <= target).mean() >= probability


def test_more_probability_costs_more(question):
    costs = [cheapest_plan(question, 3.45, p).answer.best.compute for p in (0.5, 0.95)]
    assert costs[1] > 1.05 * costs[0]


def test_a_loss_out_of_reach_is_refused_with_the_best(question):
    with pytest.raises(InfeasibleError, match=r"no plan up to .* reaches 1 .* best there reaches"):
        cheapest_plan(question, 1.0, 0.9)


def test_two_forms_are_weighed(smooth):
    other = made_fit("smooth", curve=(-0.1, 0.03), seed=1)
    fits = {"f": smooth, "g": other}
    both = BudgetQuestion(fits, Corpus(SOURCE), {"f": 3.0, "g": 1.0})
    best = best_plan(both, COMPUTE).best
    parts = [
        grid_losses(fit, COMPUTE, [np.log(best.overtraining)], [best.recipe]).mean()
        for fit in fits.values()
    ]
    assert best.expected_loss == pytest.approx(0.75 * parts[0] + 0.25 * parts[1], rel=1e-9)
    alone = [best_plan(BudgetQuestion({"f": f}, Corpus(SOURCE)), COMPUTE) for f in fits.values()]
    ends = sorted(found.best.overtraining for found in alone)
    assert ends[0] < best.overtraining < ends[1]


def test_fits_whose_degrees_differ_by_rounding_have_them_once(clusters):
    anchors = clusters.anchors
    moved = replace(anchors, log_degrees=tuple(c + 0.01 for c in anchors.log_degrees))
    fits = {"f": clusters, "g": replace(clusters, anchors=moved)}
    found = best_plan(BudgetQuestion(fits, Corpus(SOURCE)), COMPUTE)
    own = [c.overtraining for c in found.candidates if c.fitted_degree]
    assert sorted(own) == pytest.approx([1.0, 4.0, 16.0], rel=0.02)


def test_one_bucket_has_sizes_to_choose_but_no_recipe():
    frame = simulated().frame.drop(columns="loss")
    kept = ["run", "params_nonembedding", "tokens", "source_tokens", "flops_per_token"]
    plan = bi.read_plan(frame[kept], buckets=None)
    alpha = {"alpha": ALPHA}
    table = bi.simulate(
        plan, {k: v for k, v in TRUTH.items() if k != "theta"} | alpha, seed=1, noise_sd=0.002
    )
    found = best_plan(BudgetQuestion({"f": made_fit(table=table)}, Corpus(SOURCE)), COMPUTE)
    assert found.best.recipe.tolist() == [1.0]
    assert found.best.expected_loss == min(c.expected_loss for c in found.candidates)


@pytest.mark.parametrize(
    ("degrees", "message"),
    [((1.0, 16.0), "has 2 .m = 1, 16; factor 16"), ((1.0, 1.5, 2.0), "factor 2")],
)
def test_too_few_degrees_are_refused(degrees, message):
    fit = made_fit("smooth", table=simulated(degrees))
    with pytest.raises(RefusedError, match=message):
        best_plan(BudgetQuestion({"f": fit}, Corpus(SOURCE)), COMPUTE)


@pytest.mark.parametrize("compute", [0.0, -1.0, float("nan"), float("inf")])
def test_a_bad_compute_is_named(question, compute):
    with pytest.raises(InputError, match="compute: must be a positive number"):
        best_plan(question, compute)


def test_bad_targets_are_named(question):
    with pytest.raises(InputError, match="probability: must lie between"):
        cheapest_plan(question, 3.4, 1.0)
    with pytest.raises(InputError, match="target loss: must be a positive"):
        cheapest_plan(question, -1.0, 0.9)
    with pytest.raises(InputError, match=r"tokens|domain|lambda"):
        best_plan(question, 1e15)


def test_sizes_in_between_have_an_architectures_compute():
    """M of sizes that were not fitted, known by their layers and width, within 1 %."""
    rule = size_rule(simulated())
    for layers, hidden in ((22, 1152), (24, 1536), (28, 2304)):
        params = 12 * layers * hidden**2
        by_hand = flops_per_token(layers, hidden, 2048)
        assert rule.flops_per_token(params) == pytest.approx(by_hand, rel=0.01)
        assert rule.params(rule.flops_per_token(params)) == pytest.approx(params, rel=1e-9)
    plain = size_rule(replace(simulated(), provenance={"flops_from": "params"}))
    assert plain.flops_per_token(1e9) == pytest.approx(6e9)
    assert plain.params(6e9) == pytest.approx(1e9)


def test_the_largest_run_brings_its_corpus():
    table = simulated()
    half = table.frame.index % 2 == 0
    frame = table.frame.assign(web=np.where(half, "a", "b"))
    frame.loc[half, ["share_0", "share_1"]] = [0.15, 0.15]
    fit = made_fit(table=replace(table, frame=frame, groups=("web",)))
    run = largest_run({"f": fit})
    i = int((frame["tokens"] * frame["flops_per_token"]).argmax())
    assert run.compute == frame["tokens"][i] * frame["flops_per_token"][i]
    assert run.shares["1"] == frame["share_1"][i]
    assert run.labels == {"web": frame["web"][i]}


def test_a_file_of_sizes(tmp_path, smooth):
    rule, path = size_rule(smooth.table), tmp_path / "sizes.csv"
    path.write_text("params_nonembedding\n1e9\n2e9\n")
    np.testing.assert_allclose(
        read_sizes(path, rule).flops_per_token, rule.flops_per_token(np.array([1e9, 2e9]))
    )
    path.write_text("params_nonembedding,layers,hidden,seq_len\n1207959552,24,2048,2048\n")
    assert read_sizes(path, rule).flops_per_token[0] == flops_per_token(24, 2048, 2048)
    path.write_text("params\n1e9\n")
    with pytest.raises(InputError, match="needs a column params_nonembedding"):
        read_sizes(path, rule)
    path.write_text("params_nonembedding\n-3\n")
    with pytest.raises(InputError, match="must be a positive number"):
        read_sizes(path, rule)


@pytest.mark.slow
def test_a_sampled_fit_plans_well_under_the_truth():
    """Plan by a fit to simulated runs; judge by the law they were simulated from.

    The truth's level is the parabola in ln m through its three intercepts, which the smooth
    intercept of degree 2 holds.
    """
    table = simulated()
    spec = spec_from_table(
        {**bi.find_model("infolaw").table, "intercept": {"kind": "smooth", "degree": 2}}
    )
    fit = bi.fit(table, spec, draws=250, warmup=400, seed=3)
    best = best_plan(BudgetQuestion({"f": fit}, Corpus(SOURCE)), COMPUTE).best
    degrees = np.exp(np.linspace(0, np.log(16), 40))
    grid = [true_loss(fit, m, recipe) for m in degrees for recipe in random_recipes(150)]
    found = true_loss(fit, best.overtraining, best.recipe)
    assert found < min(grid) * (1 + 5e-4)
    assert np.median(grid) > min(grid) * 1.01
    error = (best.loss.mean() - found) / best.loss.std()
    assert abs(error) < 4


def true_loss(fit, degree, recipe):
    """The simulation's own law at a degree, a compute and a recipe."""
    log_alpha = np.polyval(
        np.polyfit(np.log([1.0, 4.0, 16.0]), np.log([3.90, 3.95, 4.05]), 2), np.log(degree)
    )
    tokens = np.sqrt(degree) * 5.8316 * COMPUTE**0.4757
    flops = 6e-9 * size_rule(fit.table).params(COMPUTE / tokens)
    rate, level = 0.14 * np.log(flops) + 0.018, np.log10(tokens / 1e9)
    packed, source = recipe * tokens / 1e9, np.array(SHARES) * SOURCE / 1e9
    unique = np.minimum(packed, source)
    times = np.where(unique > 0, packed / np.where(unique > 0, unique, 1.0), 1.0)
    density = np.exp(-0.9 * np.arange(4))
    info = (unique * density * level * -np.expm1(-rate * times / level)).sum()
    return float(np.exp(log_alpha - 0.05 * np.log(info)))
