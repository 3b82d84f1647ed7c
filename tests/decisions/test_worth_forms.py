"""What a bucket is worth under two forms of unequal weight: every number is of the mixture."""

from dataclasses import replace

import pytest

import bayes_infolaw as bi
from bayes_infolaw.decisions.candidates import Corpus
from bayes_infolaw.decisions.new_bucket import NewBucket
from bayes_infolaw.decisions.worth import WorthQuestion, bucket_worth

NEW = NewBucket("new", 0.5, 3e10)
PRICE = 1e24  # FLOP per nat


@pytest.fixture(scope="module")
def question(repo_root):
    whole = bi.load_fit(repo_root / "models" / "paper_design.nc")
    fit = replace(whole, draws={name: v[:, ::20] for name, v in whole.draws.items()})
    flat = replace(fit, draws=fit.draws | {"theta": 0.3 * fit.draws["theta"]})
    size = {"params": 6.442e9, "flops_per_token": 4.5e10, "tokens": 425e9, "overtraining": 3.6}
    fits = {"steep": fit, "flat": flat}
    return WorthQuestion(fits, Corpus(5e11), **size, value_per_nat=PRICE)


def test_a_value_per_nat_prices_the_weighted_drop(question):
    """The expected drop is the weights' own; the forms are far apart, and so are the prices."""
    drops = {}
    for share in (0.5, 0.85, 1.0):
        weights = {"steep": share, "flat": 1.0 - share}
        answer = bucket_worth(replace(question, weights=weights), NEW)
        assert answer.value == pytest.approx(PRICE * answer.drop_mean, rel=1e-9)
        assert answer.drop_mean == pytest.approx(answer.loss_without - answer.loss_with, rel=1e-6)
        drops[share] = answer.drop_mean
    assert drops[1.0] > drops[0.85] > 1.1 * drops[0.5]
