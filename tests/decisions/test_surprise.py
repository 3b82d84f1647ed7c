"""New runs that no form foresaw: a p that is uniform where the form holds, and small where not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.next_run.outcomes import fit_outcomes
from bayes_infolaw.decisions.surprise import (
    Surprise,
    form_surprises,
    replicates,
    surprise_notes,
    surprise_of,
)
from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.build import build_table
from bayes_infolaw.tables.study import Study
from bayes_infolaw.tables.write import stated_frame

from .made_fits import made_fit, simulated

N_SETS = 100
ALARM = 1e-3  # false-alarm rate of each KS test below


@pytest.fixture(scope="module")
def fit():
    table = replace(simulated(family=["a", "b", "c"] * 12), groups=("family",))
    return made_fit(n_draws=1000, table=table)


@pytest.fixture(scope="module")
def unseen(fit):
    """Five runs: two of a new level, two of another, one of a fitted level."""
    families = ["new", "new", "other", "other", "a"]
    rows = stated_frame(fit.table).iloc[[0, -1, 5, 20, 30]].assign(run=list("vwxyz"))
    rows = rows.assign(family=families).drop(columns=["loss", "simulated"])
    return fit_outcomes(fit, bi.read_plan(rows, buckets=None))


@pytest.fixture(scope="module")
def student(unseen):
    """Heavy tails and, as such outcomes have it, no effects left to draw."""
    none = {name: getattr(unseen, name)[:, :0] for name in ("columns", "variance")}
    return replace(unseen, dof=np.full(len(unseen.dof), 2.5), **none)


def p_values(outcomes, of, seed=3):
    """p under `outcomes` of sets that `of` has simulated, by code that the check does not use."""
    rng = np.random.default_rng(seed)
    count, runs = outcomes.location.shape
    points = rng.uniform(1e-9, 1 - 1e-9, (N_SETS, 1 + runs))
    sets = of.simulate(np.arange(runs), points, np.full(count, 1 / count))
    return np.array([surprise_of(outcomes, values, rng)[0] for values in sets])


@pytest.mark.parametrize("kind", ["unseen", "student"])
def test_p_is_uniform_under_the_form(kind, request):
    outcomes = request.getfixturevalue(kind)
    assert stats.kstest(p_values(outcomes, outcomes), "uniform").pvalue > ALARM


def test_effects_that_runs_share_must_be_counted(unseen):
    """Without them the same sets are surprises: the test above can fail."""
    assert unseen.variance.any()
    blind = replace(unseen, variance=np.zeros_like(unseen.variance))
    found = p_values(blind, unseen)
    assert stats.kstest(found, "uniform").pvalue < 1e-9
    assert np.median(found) < 0.01


@pytest.mark.parametrize("kind", ["unseen", "student"])
def test_replicates_have_the_moments_of_what_is_simulated(kind, request):
    outcomes = request.getfixturevalue(kind)
    inside = np.ones(len(outcomes.location), dtype=bool)
    ours = replicates(outcomes, inside, np.random.default_rng(1))
    assert len(ours) == 4000
    points = stats.qmc.Sobol(6, seed=2).random(4096) * (1 - 2e-9) + 1e-9
    theirs = outcomes.simulate(np.arange(5), points, np.full(1000, 1e-3))
    for a, b in zip(ours.T, theirs.T, strict=True):
        assert stats.ks_2samp(a, b).pvalue > ALARM
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.08)


def test_draws_outside_the_domain_are_left_out(unseen):
    location = unseen.location.copy()
    location[:3] = np.nan
    values = unseen.location[10] + 0.001
    p, _, away = surprise_of(replace(unseen, location=location), values, np.random.default_rng(1))
    assert np.isfinite(away)
    assert p == pytest.approx(surprise_of(unseen, values, np.random.default_rng(1))[0], abs=0.05)
    nowhere = replace(unseen, location=np.full_like(location, np.nan))
    with pytest.raises(InputError, match="domain"):
        surprise_of(nowhere, values, np.random.default_rng(1))


@pytest.fixture(scope="module")
def shipped(repo_root):
    return bi.load_fit(repo_root / "models" / "paper_design.nc")


@pytest.fixture(scope="module")
def heldout(repo_root):
    table = bi.read_runs(repo_root / "runs" / "paper_design" / "heldout.toml")
    return table.subset((table.frame["part"] == "unseen recipe").to_numpy())


def shifted(table, run, by):
    frame = stated_frame(table)
    frame.loc[frame["run"] == run, "loss"] *= by
    return build_table(frame, Study(buckets=table.buckets, simulated=True))


@pytest.mark.parametrize("by", [0.95, 1.05])
def test_one_run_that_is_off_is_found_and_named(shipped, heldout, by):
    """All runs of the law itself are no surprise; one of them 5 % off is, by name and size."""
    assert form_surprises({"a": shipped}, heldout)["a"].p > 0.01
    run = str(heldout.frame["run"].iloc[2])
    found = form_surprises({"a": shipped}, shifted(heldout, run, by))["a"]
    assert found.p == 1 / 4001
    assert found.run == run
    assert found.miss == pytest.approx(by - 1, abs=0.01)
    assert found.repetition == heldout.arrays().repetition[2].max()


def test_runs_that_a_fit_has_are_refused(shipped):
    with pytest.raises(InputError, match="among the runs that were fitted"):
        form_surprises({"a": shipped}, shipped.table)


def surprises(**p):
    return {name: Surprise(value, f"run-{name}", -0.021, 14.0) for name, value in p.items()}


@pytest.mark.parametrize(
    ("p", "before", "after", "words"),
    [
        ({"a": 0.2, "b": 0.001}, (0.5, 0.5), (0.9, 0.1), None),
        ({"a": 0.01, "b": 0.001}, (0.5, 0.5), (0.9, 0.1), None),
        ({"a": 0.002, "b": 0.001}, (0.5, 0.5), (0.1, 0.9), "0.002 under the best, a)"),
        ({"a": 0.001, "b": 0.001}, (0.5, 0.5), (0.1, 0.9), "0.001 under the best, b)"),
        ({"a": 0.2, "b": 0.001}, (0.0, 1.0), (0.0, 1.0), "0.001 under the best, b)"),
        ({"a": 0.2, "b": 0.001}, (0.5, 0.5), (0.1, 0.9), "b, now the form of most weight"),
    ],
)
def test_what_is_said(p, before, after, words):
    weights = (dict(zip("ba", of[::-1], strict=True)) for of in (before, after))
    notes = surprise_notes(surprises(**p), *weights)
    assert len(notes) == (words is not None)
    if words:
        assert words in notes[0]
        assert "2.1 % below what" in notes[0]
