"""Gaps between held-out runs, under the draws that they share."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_infolaw.errors import InputError
from bayes_infolaw.validation.gaps import held_out_gaps

RUNS = ["a", "b", "c"]
GAPS = np.array([0.02, 0.0, 0.01])


@pytest.fixture(scope="module")
def check():
    """A level with sd 0.5 that all runs share, and gaps with sd 0.005 of their own."""
    rng = np.random.default_rng(0)
    level = 3.0 + 0.5 * rng.standard_normal((4, 500, 1))
    draws = level + GAPS + 0.005 * rng.standard_normal((4, 500, 3))
    predicted = xr.Dataset({"expected_loss": (("chain", "draw", "run"), draws)})
    rows = pd.DataFrame({"run": RUNS, "loss": [3.03, 3.0, 3.02]})
    fit = SimpleNamespace(predict=lambda held, allow_unconverged: predicted)
    return SimpleNamespace(rows=rows, fit=fit, held=None)


def test_the_shared_level_cancels(check):
    table = held_out_gaps(check, "b")
    np.testing.assert_allclose(table["measured"], [0.03, 0.0, 0.02], atol=1e-12)
    se = 0.005 * np.sqrt(2) / np.sqrt(2000)
    assert (abs(table["gap_mean"] - GAPS) < 4 * se).all()
    width = 2 * 1.645 * 0.005 * np.sqrt(2)
    assert table["gap_hi"]["a"] - table["gap_lo"]["a"] == pytest.approx(width, rel=0.1)
    assert tuple(table.loc["b", ["gap_lo", "gap_hi"]]) == (0.0, 0.0)


def test_probabilities_of_the_best(check):
    best = held_out_gaps(check, "a")["p_best"]
    assert best.sum() == pytest.approx(1.0)
    assert best.idxmin() == "a"
    # P(0.01 + 0.005 (z1 - z2) < 0) = Phi(-sqrt 2) = 0.079 for c against b, a being far away
    assert best["c"] == pytest.approx(0.079, abs=0.025)


def test_an_unknown_reference_is_named(check):
    with pytest.raises(InputError, match="one of a, b, c; got 'z'"):
        held_out_gaps(check, "z")
