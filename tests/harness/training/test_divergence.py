"""Losses that are not finite at an evaluation alone: a diverged record, and nulls in the curve."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw.harness.record import DivergedError, read_record, write_record  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training import evaluate  # noqa: E402
from bayes_infolaw.harness.training.stacked.trainer import train_stack  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from ..generated import generate_corpus  # noqa: E402
from .training_run import tiny_settings  # noqa: E402

ONE_STEP = {"tokens": 256, "eval_every": 1.0}
LAST_STEP = tiny_settings(name="wild", learning_rate=1e30, **ONE_STEP)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.open(generate_corpus(tmp_path_factory.mktemp("corpus") / "c"))


@pytest.fixture
def strange_on_the_way(monkeypatch):
    """The first two evaluations, which are on the way, give NaN for one document."""
    true, seen = evaluate.EvaluationSet.losses, []

    def losses(self, *arguments):
        found = true(self, *arguments)
        seen.append(found)
        if len(seen) > 2:
            return found
        return replace(found, nats=np.where(np.arange(len(found.nats)) == 1, np.nan, found.nats))

    monkeypatch.setattr(evaluate.EvaluationSet, "losses", losses)


def test_a_run_whose_last_step_destroys_it_has_diverged(corpus, tmp_path):
    with pytest.raises(DivergedError, match=r"'wild': loss on heldout must be finite, got nan"):
        train_run(LAST_STEP, corpus, tmp_path)
    assert not list(tmp_path.glob("eval_*"))


def test_so_has_one_of_a_stack_and_the_others_finish(corpus, tmp_path):
    runs = [LAST_STEP, tiny_settings(name="tame", **ONE_STEP)]
    bad, good = train_stack(runs, corpus, tmp_path)
    assert (bad.status, good.status) == ("diverged", "finished")
    assert "loss on heldout must be finite" in bad.error
    assert bad.curve[-1]["losses"] == {"heldout": None}
    for record in (bad, good):
        assert read_record(write_record(tmp_path, record)) == record
    assert not list((tmp_path / "wild").glob("checkpoint/*"))


def test_a_curve_has_null_where_a_loss_was_not_finite(corpus, tmp_path, strange_on_the_way):
    record = train_run(tiny_settings(eval_every=0.25), corpus, tmp_path)
    written = json.loads(write_record(tmp_path, record).read_text())
    found = [point["losses"]["heldout"] for point in written["curve"]]
    assert [loss is None for loss in found] == [True, True, False, False]
