"""Proposed runs: two degrees, sources smaller and larger than the run, every recipe once."""

from dataclasses import replace

import numpy as np
import pytest

from bayes_infolaw.decisions.next_run.propose import propose_runs
from bayes_infolaw.errors import InputError

from .made_fits import made_fit, simulated

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
    np.testing.assert_allclose(only.weights, np.tile(recipe, (len(only.weights), 1)), atol=1e-9)
    with pytest.raises(InputError, match="shares: must be > 0 where a recipe"):
        propose_runs(fit, 1e24, shares=without)


def test_proposals_carry_the_labels_of_every_fit():
    table = replace(simulated(family=["a", "b", "b"] * 12), groups=("family",)).subset(range(36))
    fit = made_fit(table=table)
    assert set(propose_runs(fit, 1e24).frame["family"]) == {"b"}
    labels = {"family": "a", "kind": "x"}
    given = propose_runs(fit, 1e24, labels=labels).frame
    assert set(given["family"]) == {"a"}
    assert set(given["kind"]) == {"x"}
