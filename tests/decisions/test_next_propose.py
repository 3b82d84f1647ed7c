"""Proposed runs: two degrees, small and large sources, every recipe once, none repeated too far."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.new_runs import joined_table
from bayes_infolaw.decisions.next_run.propose import fitted_repetition, propose_runs
from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.write import stated_frame

from .made_fits import ARCHITECTURES, made_fit, simulated

EVEN = (0.25,) * 4
SMOOTH = (1.0, 2.0, 4.0, 8.0, 16.0)


@pytest.mark.parametrize(
    ("kind", "degrees"), [("clusters", (1.0, 4.0, 16.0)), ("smooth", SMOOTH), ("smooth", (4, 16))]
)
def test_proposals_hold_two_fitted_degrees_that_lie_apart(kind, degrees):
    """design.md: a second degree separates forms; S != K, both ways, tells of theta."""
    curve = (0.02, 0.03)
    fit = made_fit(kind=kind, curve=curve, table=simulated(degrees=degrees))
    plan = propose_runs(fit, 1e24, recipe=np.array([0.5, 0.3, 0.1, 0.1]))
    m = plan.arrays().overtraining
    assert m.max() / m.min() >= 3.9
    for near in (m.min(), m.max()):
        assert np.abs(np.log(near / np.array(degrees))).min() < 0.02
    assert not any("overtraining degree that was not fitted" in note for note in plan.notes)
    ratio = (plan.arrays().source_tokens / plan.arrays().tokens).round(3)
    for degree in (m.min(), m.max()):
        at = np.isclose(m, degree, rtol=0.01)
        assert ratio[at].min() < 1 < ratio[at].max()
        assert (ratio[at] == 1).any()


def test_every_proposal_comes_once_and_from_buckets_with_tokens():
    fit = made_fit()
    plan = propose_runs(fit, 1e24, recipe=np.eye(4)[0], shares=dict(zip("0123", EVEN, strict=True)))
    runs = plan.arrays()
    rows = np.column_stack([runs.params, runs.tokens, runs.source_tokens, runs.weights.round(5)])
    assert len(np.unique(rows, axis=0)) == len(rows)
    without = dict(zip("0123", (0.0, 0.3, 0.3, 0.4), strict=True))
    recipe = np.array([0.0, 0.5, 0.3, 0.2])
    only = propose_runs(fit, 1e24, recipe=recipe, shares=without).arrays()
    expected = [[0.0, 0.3, 0.3, 0.4], recipe]  # the source as it is, and the one asked for
    np.testing.assert_allclose(np.unique(only.weights.round(9), axis=0), expected, atol=1e-9)


def test_a_fitted_recipe_that_is_the_best_bucket_alone_comes_once():
    """As a trainer's table has it: documents are whole, so that its share is nearly one."""
    table = simulated()
    near = np.array([0.9997, 0.0003, 0.0, 0.0])
    rows = table.frame["w_0"] > 0.6
    frame = table.frame.assign(
        **{f"w_{d}": table.frame[f"w_{d}"].where(~rows, near[d]) for d in range(4)}
    )
    plan = propose_runs(made_fit(table=replace(table, frame=frame)), 1e24)
    best = plan.arrays().weights[:, 0] > 0.99
    assert set(plan.frame.loc[best, "run"].str.split("-").str[2]) == {"fitted2"}


# Most that a bucket may be repeated -> least S / K of the recipes at shares (0.1, 0.2, 0.3, 0.4).
LIMITS = {3.0: {"fitted1": 0.834, "fitted2": 2.334, "only": 3.334, "source": 0.334}}
LIMITS[12.5] = {"fitted1": 0.2, "fitted2": 0.56, "only": 0.8, "source": 0.1}
LIMITS[1e9] = dict.fromkeys(LIMITS[3.0], 0.1)


@pytest.mark.parametrize("most", LIMITS)
def test_no_run_repeats_a_bucket_more_than_asked_and_every_recipe_goes_as_far(most):
    plan = propose_runs(made_fit(), 1e24, max_repetition=most)
    runs, name = plan.arrays(), plan.frame["run"].str.split("-").str[2]
    assert runs.repetition.max() <= most * (1 + 1e-9)
    ratio = (runs.source_tokens / runs.tokens).round(6)
    for recipe, least in LIMITS[most].items():
        assert ratio[name == recipe].min() == pytest.approx(least, abs=1e-9)
    assert ratio.min() < 1 < ratio.max()
    apart = [np.diff(np.log(np.unique(ratio[name == recipe]))) for recipe in LIMITS[most]]
    assert np.concatenate(apart).min() > np.log(1.25)  # 0.834 K is no other run than K


def test_proposals_stay_within_the_fitted_repetition_by_default():
    fit = made_fit()
    assert fitted_repetition([fit, made_fit(table=simulated(degrees=(1.0, 4.0)))]) == pytest.approx(
        14
    )
    most = (
        propose_runs(fit, 1e24, recipe=np.array([0.97, 0.01, 0.01, 0.01])).arrays().repetition.max()
    )
    assert 13.9 < most <= 14.0 * (1 + 1e-9)
    for bad in (0.5, np.nan, np.inf):
        with pytest.raises(InputError, match="max_repetition: must be a number >= 1"):
            propose_runs(fit, 1e24, max_repetition=bad)


def test_a_source_that_repeats_nothing_is_large_enough():
    """Beyond it a run does not depend on S: the same run under another name."""
    plan = propose_runs(made_fit(), 1e24)
    runs = plan.arrays()
    fresh = runs.repetition.max(axis=1) < 1 + 1e-9
    assert fresh.any()
    rows = np.column_stack([runs.params, runs.tokens, runs.weights.round(6)])[fresh]
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_a_measured_proposal_is_proposed_again_under_another_name():
    fit = made_fit()
    first = propose_runs(fit, 1e24)
    bought = stated_frame(first).iloc[:2].drop(columns="set").assign(loss=3.0)
    seen = joined_table(fit.table, bi.read_runs(bought, prior_dominated=True))
    again = set(propose_runs(replace(fit, table=seen), 1e24).frame["run"])
    assert not again & set(bought["run"])
    assert {f"{run}-2" for run in bought["run"]} <= again


def test_proposals_look_like_the_fitted_models():
    """A trainer takes the sequence length from the plan: M would be another with another."""
    plan = propose_runs(made_fit(), 1e24)
    sizes = plan.frame[["params_nonembedding", "layers", "hidden", "seq_len"]].drop_duplicates()
    assert {(r.layers, r.hidden, r.seq_len) for r in sizes.itertuples()} == {
        (layers, hidden, 2048) for layers, hidden in ARCHITECTURES
    }
    bare = simulated().frame.drop(columns=["layers", "hidden", "seq_len"])
    table = replace(simulated(), frame=bare)
    assert "seq_len" not in propose_runs(made_fit(table=table), 1e24).frame


def test_proposals_carry_the_labels_of_every_fit():
    table = replace(simulated(family=["a", "b", "b"] * 12), groups=("family",)).subset(range(36))
    fit = made_fit(table=table)
    assert set(propose_runs(fit, 1e24).frame["family"]) == {"b"}
    labels = {"family": "a", "kind": "x"}
    given = propose_runs(fit, 1e24, labels=labels).frame
    assert set(given["family"]) == {"a"}
    assert set(given["kind"]) == {"x"}
