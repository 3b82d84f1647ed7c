"""What the model of text statistics may and may not learn."""

import numpy as np
import pytest

from bayes_infolaw.harness.quality import QualitySettings
from bayes_infolaw.harness.quality.faults import FaultModel, fit_faults
from bayes_infolaw.harness.quality.text_statistics import STATISTICS, text_statistics

from .generated_text import listing, prose

SETTINGS = QualitySettings(folds=2)


@pytest.fixture(scope="module")
def chunks() -> list[str]:
    rng = np.random.default_rng(2)
    good = [prose(rng, 8) for _ in range(80)]
    spoilt = [prose(rng, 4) + "\n" + listing(rng, int(n)) for n in rng.integers(0, 30, 120)]
    return good + spoilt


@pytest.fixture(scope="module")
def model(chunks) -> FaultModel:
    folds = np.arange(len(chunks)) % 2
    return fit_faults(chunks, np.arange(len(chunks)) < 80, folds, SETTINGS)


def test_faults_only_cost(model):
    assert model.ramps
    for ramp in model.ramps:
        assert (ramp.heights[:, 0] == 0).all()
        assert (np.diff(ramp.heights, axis=1) >= 0).all()
        assert (np.diff(ramp.knots) > 0).all()
    assert sum(ramp.heights.max() for ramp in model.ramps) > 1


def test_the_share_of_faults_orders_the_scores(model):
    rng = np.random.default_rng(4)
    texts = [prose(rng, 12)] + [
        prose(rng, 12 - n) + "\n" + listing(rng, 2 * n) for n in (1, 2, 4, 8)
    ]
    scores = model.scores(texts)
    assert (np.diff(scores, axis=0) <= 0).all()
    assert (scores[-1] < scores[0] - 1).all()


def test_text_within_the_range_of_the_reference_has_one_score(chunks, model):
    values = text_statistics(chunks[:80])
    low, high = np.quantile(values, [SETTINGS.range_tail, 1 - SETTINGS.range_tail], axis=0)
    inside = np.flatnonzero(((values >= low) & (values <= high)).all(axis=1))
    assert len(inside) > 5
    expected = np.tile(model.intercepts, (len(inside), 1))
    np.testing.assert_allclose(model.scores([chunks[i] for i in inside]), expected, rtol=1e-12)


def test_ramps_are_what_their_arrays_say(model):
    again = FaultModel.from_arrays(model.to_arrays())
    assert [(r.statistic, r.side) for r in again.ramps] == [
        (r.statistic, r.side) for r in model.ramps
    ]
    ramp = model.ramps[0]
    value = (ramp.knots[0] + ramp.knots[1]) / 2 * (1 if ramp.side == "high" else -1)
    halfway = ramp.heights[:, 1] / 2
    np.testing.assert_allclose(ramp.lost(np.array([value]))[0], halfway, rtol=1e-9, atol=1e-12)
    assert ramp.statistic in STATISTICS


def test_a_corpus_as_good_as_the_reference_has_no_faults():
    rng = np.random.default_rng(6)
    same = [prose(rng, 8)] * 60
    model = fit_faults(same, np.arange(60) < 30, np.arange(60) % 2, SETTINGS)
    assert model.ramps == ()
    scores = model.scores(same)
    np.testing.assert_array_equal(scores, np.zeros((60, 2)))
