"""Stacked sweeps beside other sweeps in one folder: nothing is trained twice or lost."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from filelock import FileLock  # noqa: E402

from bayes_infolaw.harness.record import read_record, write_record  # noqa: E402
from bayes_infolaw.harness.sweep import stacks  # noqa: E402
from bayes_infolaw.harness.sweep.attempt import lock_path  # noqa: E402
from bayes_infolaw.harness.sweep.opening import open_sweep  # noqa: E402
from bayes_infolaw.harness.training.checkpoint import latest_checkpoint  # noqa: E402
from bayes_infolaw.harness.training.stacked import trainer  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from .conftest import STACKED_HEADER, STACKED_ROWS, wait_for  # noqa: E402

SWEEP = "from bayes_infolaw.cli import main; main()"


def record_of(study, name: str):
    return read_record(study / "records" / f"{name}.json")


def stop_at(step: int):
    def watch(done, total, *, status):
        if done == step:
            raise KeyboardInterrupt

    return watch


@pytest.fixture
def held(tmp_path):
    """Take the lock of a run, as another sweep has it."""

    def hold(name: str) -> FileLock:
        (tmp_path / "study" / "work").mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path(tmp_path / "study" / "work" / name))
        lock.acquire()
        return lock

    return hold


def test_a_run_that_another_sweep_has_is_left_to_it_and_waited_for(
    stacked, sizes, held, monkeypatch, capsys
):
    lock, wait = held("r1"), stacks._wait

    def until_released(*arguments):
        said = wait(*arguments)
        lock.release()
        return said

    monkeypatch.setattr(stacks, "_wait", until_released)
    monkeypatch.setattr(stacks, "BUSY_SECONDS", 0.0)
    assert stacked().status == {"finished": 5}
    assert sizes == [["r0", "r2", "r3"], ["r4"], ["r1"]]
    assert "waiting for another sweep, which has r1" in capsys.readouterr().err


def test_waiting_ends_when_the_time_is_up(stacked, held, monkeypatch):
    monkeypatch.setattr(stacks, "BUSY_SECONDS", 0.1)
    with held("r0"):
        found = stacked(rows=STACKED_ROWS[:1], seconds=0.3)
    assert (found.status, found.stopped) == ({"missing": 1}, True)


def test_a_run_recorded_while_locks_were_taken_is_not_trained_again(
    stacked, sizes, corpus, monkeypatch, tmp_path, plan_file, corpus_folder
):
    take, study = stacks.runs_held, tmp_path / "study"

    def late(folder, names):
        if not (study / "records" / "r0.json").exists():
            plan = plan_file(STACKED_ROWS[:1], STACKED_HEADER, "one.csv")
            run = open_sweep(plan, corpus_folder, study).runs[0]
            write_record(study / "records", train_run(run, corpus, tmp_path / "elsewhere"))
        return take(folder, names)

    monkeypatch.setattr(stacks, "runs_held", late)
    assert stacked(rows=STACKED_ROWS[:3]).status == {"finished": 3}
    assert sizes == [["r1", "r2"]]
    assert record_of(study, "r0").resources.get("engine") is None


def test_a_stack_of_another_plan_keeps_its_checkpoint(stacked, sizes, tmp_path):
    first, other = STACKED_ROWS[:2], STACKED_ROWS[2:4]
    stacked(rows=first, seconds=0.0)
    assert stacked(rows=other).status == {"finished": 2}
    assert stacked(rows=first).status == {"finished": 2}
    assert sizes == [["r0", "r1"], ["r2", "r3"], ["r0", "r1"]]
    assert record_of(tmp_path / "study", "r0").resources["restarts"] == 1


def test_a_stack_that_a_sweep_is_at_is_not_removed(stacked, held, tmp_path):
    stacked(rows=STACKED_ROWS[:2], seconds=0.0)
    (kept,) = (tmp_path / "study" / "work").glob("stack-*")
    changed = [row.replace("10240,1,", "10240,1,7") for row in STACKED_ROWS[:2]]
    with held("r0"):
        assert stacked(rows=changed, seconds=0.0).stopped
    assert latest_checkpoint(kept) is not None
    assert stacked(rows=changed).status == {"finished": 2}
    assert not kept.exists()


@pytest.mark.parametrize("drop", [False, True])
def test_a_run_begun_alone_goes_on_alone(
    stacked, sizes, corpus, plan_file, corpus_folder, tmp_path, drop
):
    stacked(rows=STACKED_ROWS[2:3])  # writes the settings beside the plan
    study = tmp_path / "study"
    run = open_sweep(plan_file(STACKED_ROWS, STACKED_HEADER), corpus_folder, study).runs[0]
    with pytest.raises(KeyboardInterrupt):
        train_run(run, corpus, study / "work" / "r0", progress=stop_at(4))
    assert stacked(rows=STACKED_ROWS[:3], drop_checkpoints=drop).status == {"finished": 3}
    assert sizes == [["r2"], ["r1"]]
    resources = record_of(study, "r0").resources
    assert (resources["restarts"], resources.get("engine")) == (1, None)
    assert (study / "work" / "r0" / "checkpoint").exists() is not drop


def test_the_clock_counts_between_stacks(stacked, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no luck")

    monkeypatch.setattr(trainer, "train_stack", broken)
    found = stacked(seconds=0.0)
    assert (found.status, found.stopped) == ({"failed": 2, "missing": 3}, True)


def test_no_stack_takes_more_flop_than_it_may(stacked, sizes, corpus_folder, plan_file, tmp_path):
    plan = plan_file(STACKED_ROWS, STACKED_HEADER, "again.csv")
    one = open_sweep(plan, corpus_folder, tmp_path / "study")
    flops = 2.5 * one.runs[0].shape.flops_per_token * 10240
    assert stacked(size=4, flops=flops).status == {"finished": 5}
    assert sizes == [["r0", "r1"], ["r2", "r3"], ["r4"]], "r4 alone takes as much as two others"


@pytest.mark.slow
def test_two_stacked_sweeps_share_the_work(stacked, sizes, plan_file, corpus_folder, tmp_path):
    stacked(rows=STACKED_ROWS[:1])
    rows = [f"r{i},31k,{i % 3},102400,1,{i}" for i in range(1, 7)]
    plan, study = plan_file([STACKED_ROWS[0], *rows], STACKED_HEADER), tmp_path / "study"
    words = ["sweep", plan, "--corpus", corpus_folder, "--out", study, "--stack", "2"]
    command = [sys.executable, "-c", SWEEP, *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    sweeps = [subprocess.Popen(command, **pipes) for _ in range(2)]
    wait_for(lambda: all(sweep.poll() is not None for sweep in sweeps), 120)
    ends = [(sweep.returncode, *sweep.communicate()) for sweep in sweeps]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert {record_of(study, f"r{i}").resources["restarts"] for i in range(7)} == {0}
    assert not list((study / "work").glob("stack-*"))
