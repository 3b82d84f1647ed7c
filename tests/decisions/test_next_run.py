"""The next run from a real fit: what is proposed, what it is worth, when to stop."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.draws import pool
from bayes_infolaw.decisions.next_run import refit
from bayes_infolaw.decisions.next_run.answer import SearchSettings
from bayes_infolaw.decisions.next_run.choices import recipe_choices
from bayes_infolaw.decisions.next_run.effects import unseen_effects
from bayes_infolaw.decisions.next_run.facts import candidate_facts
from bayes_infolaw.decisions.next_run.outcomes import run_outcomes
from bayes_infolaw.decisions.next_run.propose import propose_runs
from bayes_infolaw.decisions.next_run.refit import refit_value, with_refits
from bayes_infolaw.decisions.next_run.search import next_run, prepare
from bayes_infolaw.decisions.next_run.worth import flop_per_nat, target_compute
from bayes_infolaw.errors import InputError
from bayes_infolaw.posterior.beyond import distance_beyond
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.posterior.rows import row_draws
from bayes_infolaw.recipes.expected import expected_loss_recipe
from bayes_infolaw.tables.write import stated_frame

TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}


@pytest.fixture(scope="module")
def fitted(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


def stated(fitted):
    """The fitted runs as a plan."""
    return stated_frame(fitted.table).drop(columns=["loss", "simulated"])


@pytest.fixture(scope="module")
def proposed(fitted):
    return propose_runs(fitted, 2e20)


@pytest.fixture(scope="module")
def found(fitted, proposed):
    return next_run({"log": fitted}, proposed, TARGET, settings=SearchSettings(q=2))


def test_proposals_are_within_the_budget_and_beside_the_design(fitted, proposed):
    cost = pd.Series(proposed.arrays().compute).groupby(proposed.frame["set"]).sum()
    assert cost.max() <= 2e20
    assert cost.size > 10
    ratio = proposed.arrays().source_tokens / proposed.arrays().tokens
    assert ratio.min() < 0.2
    assert ratio.max() > 2
    assert (proposed.arrays().weights[:, 0] == 1).any()
    with pytest.raises(InputError, match="cheapest costs"):
        propose_runs(fitted, 1e15)


def test_a_new_degree_is_proposed_in_pairs(fitted):
    plan = propose_runs(fitted, 1e21)
    new = plan.arrays().overtraining > 10
    assert new.any()
    assert (plan.frame.loc[new].groupby("set").size() == 2).all()
    assert (plan.frame.loc[~new].groupby("set").size() == 1).all()


def test_a_batch_takes_as_many_candidates_as_there_are(fitted):
    plan = plan_for(fitted, stated(fitted).tail(3))
    with pytest.raises(InputError, match=r"q: must be at most the number of candidates \(3\)"):
        next_run({"a": fitted}, plan, TARGET, settings=SearchSettings(q=4))
    said = []
    settings = SearchSettings(q=3, outcomes=16)
    every = next_run({"a": fitted}, plan, TARGET, None, settings, lambda *at: said.append(at))
    assert sorted(c.run for c in every.batch) == sorted(plan.frame["run"])
    assert said == [(i, 6) for i in range(1, 7)]


def test_candidates_are_ranked_by_worth_per_flop(found, proposed):
    ranks = [c.value_per_flop for c in found.candidates]
    assert ranks == sorted(ranks, reverse=True)
    assert {c.run for c in found.candidates} == set(proposed.frame["set"])
    for c in found.candidates:
        assert 0 <= c.regret_reduction <= found.evpi * 1.05
        assert c.value_per_flop == pytest.approx(c.regret_reduction / c.flop)
        assert c.benefit_per_cost == pytest.approx(c.value_per_flop * found.value_per_nat)
        assert c.refit == (c.ess < 100)
    assert found.evpi_kept > 0.99


def test_a_batch_adds_up_to_the_value_of_its_runs_together(fitted, proposed, found):
    first, second = found.batch
    assert first.run == found.candidates[0].run
    assert first.run != second.run
    both = proposed.frame["set"].isin([first.run, second.run])
    pair = plan_for(fitted, proposed.frame[both].assign(set="both"))
    together = next_run({"log": fitted}, pair, TARGET).candidates[0]
    added = first.regret_reduction + second.regret_reduction
    assert together.regret_reduction == pytest.approx(added, rel=0.25)


def test_the_best_candidate_is_of_the_kind_that_the_design_page_found(fitted):
    """design.md: LQ at S = K/10 tells more of theta than any recipe at S = K."""
    same = stated(fitted)
    same = same[same["recipe"].isin(["HQ", "LQ"])].tail(6)
    less = same.assign(source_tokens=same["tokens"] / 10, run=same["run"] + "-S10")
    plan = plan_for(fitted, pd.concat([same, less]))
    values = {c.run: c for c in next_run({"log": fitted}, plan, TARGET).candidates}
    lq = [name for name in same["run"] if "LQ" in name]
    assert all(
        values[f"{name}-S10"].information_gain > 2 * values[name].information_gain for name in lq
    )


def test_stop_follows_the_value_of_a_nat(fitted, proposed, found):
    assert found.stop
    assert "costs" in found.reason
    rich = replace(SearchSettings(), value_per_nat=1e40)
    go = next_run({"log": fitted}, proposed, TARGET, settings=rich)
    assert not go.stop
    assert go.value_per_nat == 1e40


def test_a_nat_is_worth_the_compute_that_buys_it(fitted):
    recipe = expected_loss_recipe(fitted.target(**TARGET)).recipe
    price = flop_per_nat({"a": fitted}, {"a": 1.0}, TARGET, recipe)
    step = 1.05  # five per cent more compute, at the same degree, by the plain prediction
    grown = {
        "params_nonembedding": TARGET["params_nonembedding"] * step**0.5243,
        "tokens": TARGET["tokens"] * step**0.4757,
        "source_tokens": TARGET["source_tokens"],
    }
    loss = [fitted.target(**at).loss(recipe).mean() for at in (TARGET, grown)]
    spent = target_compute(grown) - target_compute(TARGET)
    assert spent == pytest.approx(0.05 * target_compute(TARGET), rel=1e-3)
    assert price * (loss[0] - loss[1]) == pytest.approx(spent, rel=0.03)


def test_the_worth_of_a_nat_weighs_the_forms(fitted):
    """The drop of the expected loss is the weighted mean of the forms' own."""
    steep = replace(fitted, draws=fitted.draws | {"beta": 2.0 * fitted.draws["beta"]})
    fits = {"a": fitted, "b": steep}
    recipe = expected_loss_recipe(fitted.target(**TARGET)).recipe
    drops = {n: 1 / flop_per_nat({n: f}, {n: 1.0}, TARGET, recipe) for n, f in fits.items()}
    assert drops["b"] > 1.5 * drops["a"]
    price = flop_per_nat(fits, {"a": 0.7, "b": 0.3}, TARGET, recipe)
    assert price == pytest.approx(1 / (0.7 * drops["a"] + 0.3 * drops["b"]), rel=1e-9)


def test_a_candidate_is_told_whole(fitted):
    """Its columns rebuild the plan; its repetition and distance are those of `predict`."""
    plan = propose_runs(fitted, 1e22, max_repetition=60.0)
    found = next_run({"a": fitted}, plan, TARGET, settings=SearchSettings(outcomes=16))
    far = distance_beyond(plan.arrays(), fitted.table.arrays())
    far["repetition"] = plan.arrays().repetition.max(axis=1)
    most = far.groupby(plan.frame["set"].to_numpy()).max()
    assert len(most) == len(found.candidates)
    for c in found.candidates:
        told = [c.beyond["compute"], c.beyond["repetition"], c.beyond["degree"], c.repetition]
        columns = ["beyond_compute", "beyond_repetition", "beyond_degree", "repetition"]
        np.testing.assert_allclose(told, most.loc[c.run, columns].to_numpy(dtype=float))
        assert tuple(row["run"] for row in c.rows) == c.runs
    assert found.candidates[0].beyond.keys() == {"compute", "repetition", "degree"}
    assert max(c.beyond["repetition"] for c in found.candidates) > 3
    rows = pd.DataFrame([row for c in found.candidates for row in c.rows])
    again = bi.read_plan(rows, buckets=fitted.table.buckets).frame.set_index("run")
    columns = ["params_nonembedding", "tokens", "source_tokens", "overtraining", "repetition_0"]
    pd.testing.assert_frame_equal(
        again[columns].sort_index(), plan.frame.set_index("run")[columns].sort_index()
    )


def test_beyond_is_of_the_fit_whose_runs_reach_farthest(fitted):
    less = replace(
        fitted, table=fitted.table.subset(fitted.table.arrays().repetition.max(axis=1) < 5)
    )
    plan = propose_runs(fitted, 6e19)
    alone, both = (candidate_facts(fits, plan, [[0]])[0] for fits in ([fitted], [less, fitted]))
    assert both == alone
    assert (
        candidate_facts([less], plan, [[0]])[0].beyond["repetition"] > 2 * both.beyond["repetition"]
    )


def test_unseen_effects_have_the_predictions_spread(fitted):
    plan = propose_runs(fitted, 1e21)
    effects = unseen_effects(fitted, plan)
    variance = effects.variance @ (effects.columns**2).T
    ours = np.sqrt(variance.mean(axis=0))
    theirs = np.sqrt((row_draws(fitted, plan, 0).group_sd ** 2).mean(axis=0))
    np.testing.assert_allclose(ours, theirs, rtol=0.05)
    assert (ours > 0).any()
    assert (ours == 0).any()


def test_locations_are_the_predictions_of_known_degrees(fitted):
    laws = {"a": fitted.target(**TARGET)}
    plan = plan_for(fitted, stated(fitted))
    outcomes = run_outcomes({"a": fitted}, laws, pool(laws), plan)
    seen = fitted.predict(plan)
    expected = np.log(seen["expected_loss"].to_numpy()).reshape(-1, len(plan))
    np.testing.assert_allclose(outcomes.location, expected, rtol=1e-10)
    noise = seen["noise_sd"].to_numpy().reshape(-1, len(plan))
    np.testing.assert_allclose(outcomes.noise, noise)


def test_the_set_of_recipes_holds_a_reweighted_optimum(fitted):
    """After any moderate reweighting the best of the set is nearly the best of all recipes."""
    law = fitted.target(**TARGET)
    draws = pool({"a": law})
    choices = recipe_choices({"a": law}, draws)
    rng = np.random.default_rng(2)
    for axis in (draws.density[:, 1], draws.exposure):
        kept = np.argsort(axis)[rng.integers(0, 2) * 2000 :][:2000]
        part = replace(
            law,
            **{
                name: getattr(law, name)[kept]
                for name in ("density", "rate", "normaliser", "log_alpha", "beta", "irreducible")
            },
        )
        best = expected_loss_recipe(part).expected_loss
        ours = draws.loss(choices.recipes)[:, kept].mean(axis=1).min()
        assert 0 <= ours - best + 1e-9 < 2e-7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": 0}, "q:"),
        ({"rank_by": "luck"}, "rank_by"),
        ({"value_per_nat": -1.0}, "value_per_nat"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(InputError, match=message):
        SearchSettings(**change)


def test_rows_of_one_set_are_one_candidate(fitted):
    rows = stated(fitted).tail(4).assign(set=["pair", "pair", None, ""])
    found = next_run({"log": fitted}, plan_for(fitted, rows), TARGET)
    runs = {c.run: c.runs for c in found.candidates}
    assert runs["pair"] == tuple(rows["run"].iloc[:2])
    assert len(runs) == 3
    cost = plan_for(fitted, rows).arrays().compute
    both = next(c for c in found.candidates if c.run == "pair")
    assert both.flop == pytest.approx(cost[:2].sum())


def test_two_forms_are_told_apart_by_what_they_disagree_on(fitted):
    """Forms that differ in the level of one candidate only: that run names the form."""
    plan = propose_runs(fitted, 6e19)
    plan = plan_for(fitted, plan.frame.head(3))
    found = next_run({"a": fitted, "b": fitted}, plan, TARGET)
    assert all(c.form_information_gain < 1e-9 for c in found.candidates)
    draws = {**fitted.draws, "log_alpha": fitted.draws["log_alpha"] + 0.05}
    other = next_run({"a": fitted, "b": replace(fitted, draws=draws)}, plan, TARGET)
    assert all(c.form_information_gain > 0.98 * np.log(2) for c in other.candidates)


def test_refits_are_pooled_by_what_the_outcome_says_of_the_forms(fitted, monkeypatch):
    """Refits that stay as they were: each outcome's gain is of its own weights of the forms."""
    few = replace(fitted, draws={name: v[:, ::10] for name, v in fitted.draws.items()})
    moved = {"theta": 0.5 * few.draws["theta"], "beta": 1.01 * few.draws["beta"]}
    fits = {"a": few, "b": replace(few, draws=few.draws | moved)}
    plan, settings = plan_for(fitted, stated(fitted).tail(1)), SearchSettings(outcomes=16)
    ready = prepare(fits, plan, TARGET, None, settings)
    candidate = next_run(fits, plan, TARGET, None, settings).candidates[0]
    monkeypatch.setattr(refit, "_refits", lambda fit, tables: [fit] * len(tables))
    value = refit_value(fits, ready, candidate, plan, TARGET, n_outcomes=16)
    form, rows = ready.draws.form, ready.rows[0]
    loss = ready.draws.loss(ready.choices.recipes)
    expected = np.column_stack([loss[:, form == i].mean(axis=1) for i in (0, 1)])  # of each form
    gains = []
    for weights in ready.study.posterior_weights(rows):
        share = np.array([weights[form == i].sum() for i in (0, 1)])
        after = expected @ share
        gains.append(after[0] - after.min())
    assert np.std(gains) > 0.1 * np.mean(gains)
    assert value.regret_reduction == pytest.approx(np.mean(gains), rel=1e-6)


@pytest.mark.slow
def test_fits_to_simulated_outcomes_agree_with_reweighting(fitted):
    plan = propose_runs(fitted, 6e19)
    found = next_run({"log": fitted}, plan, TARGET)
    ready = prepare({"log": fitted}, plan, TARGET, None, SearchSettings())
    best = found.candidates[0]
    value = refit_value({"log": fitted}, ready, best, plan, TARGET, n_outcomes=8)
    assert value.converged == 8
    apart = value.regret_reduction - best.regret_reduction
    assert abs(apart) < 3 * value.standard_error
    assert value.regret_reduction > 3e-7


@pytest.mark.slow
def test_marked_candidates_are_valued_anew_and_ranked_again(fitted):
    plan = propose_runs(fitted, 6e19)
    settings = SearchSettings()
    found = next_run({"log": fitted}, plan, TARGET, settings=settings)
    marked = [replace(c, refit=c is found.candidates[0]) for c in found.candidates]
    again = with_refits(
        {"log": fitted},
        plan,
        (TARGET, None, settings),
        replace(found, candidates=tuple(marked)),
        3,
    )
    new = {c.run: c for c in again.candidates}
    assert new[marked[0].run].refit_outcomes == 8
    assert all(c.refit_outcomes is None for c in again.candidates if c.run != marked[0].run)
    ranks = [c.value_per_flop for c in again.candidates]
    assert ranks == sorted(ranks, reverse=True)
