"""Sweeps stack by stack: records and table, stopping and going on, failures, other sweeps' runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from bayes_infolaw.cli.app import app  # noqa: E402
from bayes_infolaw.errors import InputError  # noqa: E402
from bayes_infolaw.harness.record import read_record  # noqa: E402
from bayes_infolaw.harness.training.stacked import trainer  # noqa: E402
from bayes_infolaw.tables import read_runs  # noqa: E402

from .conftest import STACKED_HEADER as HEADER  # noqa: E402
from .conftest import STACKED_ROWS as ROWS  # noqa: E402
from .conftest import STACKED_SETTINGS as SETTINGS  # noqa: E402


def folders(study: Path) -> list[str]:
    return sorted(path.name for path in (study / "work").iterdir() if path.is_dir())


def test_runs_of_a_shape_go_together(stacked, sizes, tmp_path):
    summary = stacked()
    assert (summary.status, summary.rows, summary.stopped) == ({"finished": 5}, 5, False)
    assert sizes == [["r0", "r1"], ["r2", "r3"], ["r4"]]
    table = read_runs(tmp_path / "study", prior_dominated=True)
    assert sorted(table.frame["run"]) == ["r0", "r1", "r2", "r3", "r4"]
    record = read_record(tmp_path / "study" / "records" / "r0.json")
    assert record.resources["engine"] == "stacked of 2"
    assert folders(tmp_path / "study") == ["r0", "r1", "r2", "r3", "r4"]
    assert stacked().status == {"finished": 5}
    assert len(sizes) == 3


def test_a_stopped_stack_goes_on_as_it_was(stacked, sizes, tmp_path):
    whole = ROWS[:4]
    stopped = stacked(size=4, rows=whole, seconds=0.0)
    assert (stopped.status, stopped.stopped) == ({"missing": 4}, True)
    longer = [ROWS[4].replace("r4", "r9").replace("20480", "10240"), *whole]
    assert stacked(size=5, rows=longer, drop_checkpoints=True).status == {"finished": 5}
    assert sizes == [["r0", "r1", "r2", "r3"]] * 2 + [["r9"]]
    found = [read_record(tmp_path / "study" / "records" / f"r{i}.json") for i in (0, 9)]
    assert [record.resources["restarts"] for record in found] == [1, 0]
    assert not list((tmp_path / "study" / "work").glob("*/checkpoint"))


def test_a_stack_of_another_plan_begins_anew(stacked, sizes):
    stacked(size=4, rows=ROWS[:2], seconds=0.0)
    changed = [ROWS[0], ROWS[1].replace("10240,1,1", "10240,1,7")]
    assert stacked(size=4, rows=changed).status == {"finished": 2}
    assert sizes == [["r0", "r1"], ["r0", "r1"]]


def test_what_breaks_is_recorded_for_every_run_and_tried_again(stacked, monkeypatch, tmp_path):
    def broken(*arguments, **options):
        raise RuntimeError(f"out of memory in {tmp_path / 'study' / 'records'}")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_stack", broken)
        summary = stacked(rows=ROWS[:2])
    assert summary.status == {"failed": 2}
    assert summary.failed[0].error == "RuntimeError: out of memory in <records>"
    assert stacked(rows=ROWS[:2]).status == {"failed": 2}
    assert stacked(rows=ROWS[:2], retry_failed=True).status == {"finished": 2}


def test_a_diverged_run_is_recorded_beside_the_others(stacked):
    rows = [f"{row},{rate}" for row, rate in zip(ROWS[:3], ("1e-2", "1e30", "1e-2"), strict=True)]
    summary = stacked(rows=rows, header=f"{HEADER},learning_rate")
    assert summary.status == {"finished": 2, "diverged": 1}
    assert summary.rows == 2


@pytest.mark.parametrize(("how", "name"), [({"size": 0}, "stack"), ({"threads": 0}, "threads")])
def test_bad_wishes_are_refused(stacked, how, name):
    with pytest.raises(InputError, match=f"--{name}: must be at least 1, got 0"):
        stacked(**how)


def test_the_command_stacks(corpus_folder, plan_file, settings_file, tmp_path):
    settings_file(SETTINGS)
    plan, study = plan_file(ROWS[:2], HEADER), tmp_path / "study"

    def invoke(*more: str):
        words = ["sweep", plan, "--corpus", corpus_folder, "--out", study, *more]
        return CliRunner().invoke(app, [str(word) for word in words])

    for wrong, message in (
        (["--stack", "2", "--engine", "ray"], "--stack: must go without --engine, got 'ray'"),
        (["--stack", "2", "--slots", "3"], "--stack: must go without --slots, got 3"),
        (["--stop-after", "3"], "--stop-after: must go with --stack, got 3 alone"),
        (["--stack-flops", "3e9"], "--stack-flops: must go with --stack, got 3e+09 alone"),
        (["--stack", "2", "--stop-after", "-1"], "--stop-after: must be at least 0, got -1"),
        (["--stack", "2", "--stack-flops", "0"], "--stack-flops: must be above 0, got 0"),
        (["--stack", "0"], "--stack: must be at least 1, got 0"),
    ):
        refused = invoke(*wrong)
        assert (refused.exit_code, message in refused.stderr) == (2, True)
    assert not study.exists()
    assert invoke("--stack", "2", "--stop-after", "0").exit_code == 130
    answer = invoke("--stack", "2", "--drop-checkpoints", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["status"] == {"finished": 2}
    assert read_record(study / "records" / "r1.json").resources["engine"] == "stacked of 2"


def test_a_run_lost_at_its_evaluation_leaves_the_stack_whole(stacked, tmp_path):
    """One step, whose update is absurd: only the final evaluation can see it."""
    header = "run,layers,hidden,heads,mlp,recipe,tokens,source_ratio,batch_tokens,learning_rate"
    rows = [f"r{i},2,16,2,40,0,256,50,256,{rate}" for i, rate in enumerate(("1e-2", "1e30"))]
    assert stacked(rows=rows, header=header).status == {"finished": 1, "diverged": 1}
    record = read_record(tmp_path / "study" / "records" / "r1.json")
    assert "loss on heldout must be finite" in record.error


def test_a_record_that_cannot_be_written_is_one_runs_failure(stacked, monkeypatch, tmp_path):
    train = trainer.train_stack

    def odd(*arguments, **options):
        first, *others = train(*arguments, **options)
        return [replace(first, extra={"odd": float("nan")}), *others]

    monkeypatch.setattr(trainer, "train_stack", odd)
    assert stacked(rows=ROWS[:2]).status == {"failed": 1, "finished": 1}
    assert "ValueError" in read_record(tmp_path / "study" / "records" / "r0.json").error
