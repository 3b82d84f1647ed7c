"""Stacks of runs: the same records as one by one, resumed, and with one that diverges."""

from dataclasses import replace

import numpy as np
import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw.errors import InputError  # noqa: E402
from bayes_infolaw.harness.layermix import pack  # noqa: E402
from bayes_infolaw.harness.record import table_rows, write_record  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training.checkpoint import latest_checkpoint  # noqa: E402
from bayes_infolaw.harness.training.log import LOG  # noqa: E402
from bayes_infolaw.harness.training.stacked.grouping import group, stackable  # noqa: E402
from bayes_infolaw.harness.training.stacked.sets import StackedSets  # noqa: E402
from bayes_infolaw.harness.training.stacked.trainer import train_stack  # noqa: E402
from bayes_infolaw.harness.training.start import final_sets  # noqa: E402
from bayes_infolaw.harness.training.trained import load_trained  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from ...generated import generate_corpus  # noqa: E402
from ..training_run import outcome, tiny_settings  # noqa: E402

RUNS = [
    tiny_settings(name="even", micro_batch=3),
    tiny_settings(name="clean", recipe={"0": 1.0}, source_tokens=4_000, seed=1, micro_batch=3),
    tiny_settings(name="slow", recipe={"2": 1.0}, learning_rate=3e-3, seed=2, micro_batch=3),
]
DIVERGING = replace(RUNS[1], name="diverging", learning_rate=1e30)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.open(generate_corpus(tmp_path_factory.mktemp("corpus") / "c"))


@pytest.fixture(scope="module")
def records(corpus, tmp_path_factory):
    return train_stack(RUNS, corpus, tmp_path_factory.mktemp("stack"))


class StopAt:
    """A watcher that asks to stop once, after so many steps."""

    def __init__(self, step: int) -> None:
        self.step, self.seen = step, []

    def __call__(self, done, total, *, status):
        self.seen.append(status)
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("run", range(3))
def test_a_run_of_a_stack_is_the_run_alone(corpus, records, tmp_path, run):
    alone, stacked = train_run(RUNS[run], corpus, tmp_path), records[run]
    assert (stacked.run, stacked.status) == (RUNS[run].name, "finished")
    assert (stacked.settings, stacked.corpus, stacked.counts) == (
        alone.settings,
        alone.corpus,
        alone.counts,
    )
    assert (stacked.tokens, stacked.steps) == (alone.tokens, alone.steps)
    losses = [r.losses["heldout"].nats_per_token for r in (stacked, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert len(stacked.curve) == len(alone.curve) == 8
    for point, other in zip(stacked.curve, alone.curve, strict=True):
        assert point["step"] == other["step"]
        assert point["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert point["losses"]["heldout"] == pytest.approx(other["losses"]["heldout"], rel=1e-4)


def test_records_say_that_they_were_stacked_and_make_rows(records, tmp_path):
    assert {record.resources["engine"] for record in records} == {"stacked of 3"}
    for record in records:
        write_record(tmp_path, record)
    assert [row["run"] for row in table_rows(records)] == ["even", "clean", "slow"]


@pytest.mark.parametrize("keep", [True, False])
def test_every_run_has_its_folder(corpus, tmp_path, keep):
    (tmp_path / "s").mkdir()
    short = [replace(run, tokens=4 * 256, eval_every=1.0) for run in RUNS]
    where = {"folder_of": lambda name: tmp_path / name, "keep_weights": keep}
    found = train_stack(short, corpus, tmp_path / "s", **where)
    assert [record.status for record in found] == ["finished"] * 3
    for run in short:
        names = {path.name for path in (tmp_path / run.name).iterdir()}
        assert names == {LOG, "eval_heldout.npz"} | ({"checkpoint"} if keep else set())
    assert {path.name for path in (tmp_path / "s").iterdir()} == {"checkpoint"}


def test_the_weights_that_are_kept_are_the_runs(corpus, tmp_path):
    records = train_stack([replace(run, tokens=4 * 256) for run in RUNS], corpus, tmp_path)
    for record in records:
        trained = load_trained(tmp_path / record.run, corpus)
        assert (trained.settings, trained.finished) == (record.settings, True)
        losses = final_sets(record.settings, corpus)["heldout"].losses(trained.model)
        assert losses.summary() == record.losses["heldout"]


@pytest.mark.parametrize("step", [16, 63])
def test_a_stopped_stack_goes_on_to_the_same_end(corpus, records, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train_stack(RUNS, corpus, tmp_path, progress=StopAt(step))
    assert latest_checkpoint(tmp_path).progress["step"] == step
    watch = StopAt(-1)
    found = train_stack(RUNS, corpus, tmp_path, progress=watch)
    assert [outcome(record) for record in found] == [outcome(record) for record in records]
    assert [status.step for status in watch.seen] == list(range(step + 1, 65))
    assert {record.resources["restarts"] for record in found} == {1}


@pytest.mark.parametrize("stop", [None, 30])
def test_one_that_diverges_is_recorded_and_leaves_the_others_alone(corpus, records, tmp_path, stop):
    runs = [RUNS[0], DIVERGING, RUNS[2]]
    if stop:
        with pytest.raises(KeyboardInterrupt):
            train_stack(runs, corpus, tmp_path, progress=StopAt(stop))
    first, bad, last = train_stack(runs, corpus, tmp_path)
    assert bad.status == "diverged"
    assert "must be finite, got" in bad.error
    assert 0 < bad.steps < 30
    assert table_rows([bad]) == []
    for found, expected in ((first, records[0]), (last, records[2])):
        ends = [r.losses["heldout"].nats_per_token for r in (found, expected)]
        assert ends[0] == pytest.approx(ends[1], rel=1e-4)


def test_a_stack_of_diverged_runs_ends_early(corpus, tmp_path):
    watch = StopAt(-1)
    found = train_stack([DIVERGING], corpus, tmp_path, progress=watch)
    assert [record.status for record in found] == ["diverged"]
    assert len(watch.seen) < 30


def test_the_watcher_hears_of_all_together(corpus, tmp_path):
    watch = StopAt(-1)
    short = [replace(run, tokens=4 * 256) for run in RUNS]
    train_stack(short, corpus, tmp_path, progress=watch)
    assert [status.tokens for status in watch.seen] == [3 * 256 * step for step in (1, 2, 3, 4)]


def test_another_stack_does_not_go_on_from_this_one(corpus, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_stack(RUNS, corpus, tmp_path, progress=StopAt(2))
    with pytest.raises(InputError, match="clean must be as in the checkpoint"):
        train_stack([RUNS[0], replace(RUNS[1], seed=5), RUNS[2]], corpus, tmp_path)


def test_what_can_be_stacked():
    one = RUNS[0]
    assert all(stackable(one, other) for other in (*RUNS, replace(one, clip=2.0, subsample=4)))
    changed = [{"tokens": 2 * one.tokens}, {"beta2": 0.9}, {"precision": "bf16"}, {"threads": 2}]
    changed += [{"shape": replace(one.shape, mlp=48)}, {"batch_tokens": 16 * 32}]
    assert not any(stackable(one, replace(one, **change)) for change in changed)


def test_groups_are_alike_and_even():
    runs = [tiny_settings(name=f"r{i}", tokens=(1 + i % 2) * 4096) for i in range(14)]
    stacks = group(runs, 4)
    assert [len(stack) for stack in stacks] == [4, 3, 4, 3]
    assert [run.name for run in stacks[0]] == ["r0", "r2", "r4", "r6"]
    assert sorted(run.name for stack in stacks for run in stack) == sorted(r.name for r in runs)
    with pytest.raises(InputError, match="stack: must be at least 1"):
        group(runs, 0)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([], "at least 1 run"),
        ([RUNS[0], RUNS[0]], "names must differ"),
        ([RUNS[0], replace(RUNS[1], tokens=4096)], "run 'clean' must share"),
    ],
)
def test_what_cannot_be_stacked_is_refused(corpus, tmp_path, runs, message):
    with pytest.raises(InputError, match=message):
        train_stack(runs, corpus, tmp_path)


def test_sets_in_memory_are_the_sets(corpus):
    sets = [pack(corpus, run.packing) for run in RUNS]
    read, held = (StackedSets(sets, corpus.vocab_size, in_memory) for in_memory in (False, True))
    for low in range(0, sets[0].n_sequences, 8):
        indices = np.arange(low, low + 8)
        assert np.array_equal(held.batch(indices), read.batch(indices))
        assert np.array_equal(held.batch(indices)[1], sets[1].batch(indices))
