"""What a sweep says of itself: bars, lines, and the time that is left."""

import io
import json
import time
from dataclasses import asdict, replace

import pytest

from bayes_infolaw.harness.record import Loss, RunRecord, write_record
from bayes_infolaw.harness.sweep.job import PROGRESS, Job, Progress
from bayes_infolaw.harness.sweep.monitor import Monitor, duration
from bayes_infolaw.harness.sweep.opening import open_sweep
from bayes_infolaw.harness.sweep.speed import Speed, time_left

pytestmark = pytest.mark.train

HEADER = "run,size,recipe,tokens,source_ratio"
ROWS = ["a,31k,0,20480,1", "b,31k,1,40960,1", "c,147k,2,20480,1"]


@pytest.fixture
def sweep(corpus_folder, plan_file, tmp_path):
    opened = open_sweep(plan_file(ROWS, HEADER), corpus_folder, tmp_path / "study")
    opened.folder.prepare()
    return opened


def jobs_of(sweep) -> list[Job]:
    made = []
    for run in sweep.runs:
        work = sweep.folder.work(run.name)
        work.mkdir()
        places = {"work": str(work), "records": str(sweep.folder.records)}
        made.append(Job(run.name, run.to_dict(), "", sweep.corpus.hash, **places))
    return made


def finished(sweep, name: str, seconds: float) -> RunRecord:
    run = next(run for run in sweep.runs if run.name == name)
    return RunRecord(
        run=name,
        status="finished",
        settings=run,
        corpus={"hash": sweep.corpus.hash},
        tokens=run.budget.tokens,
        losses={"heldout": Loss(4.125, 0.01, 1.4, 0.003, 20, 5000)},
        resources={"seconds": seconds},
    )


def test_time_is_foretold_by_tokens_and_by_flop_of_the_nearest_size(sweep):
    a, b, c = sweep.runs
    speed = Speed([])
    assert speed.seconds(a) is None
    speed.learn(finished(sweep, "a", 10.0))
    assert speed.seconds(b) == pytest.approx(10.0 * b.budget.tokens / a.budget.tokens)
    assert speed.seconds(c) == pytest.approx(10.0 * c.budget.flops / a.budget.flops)
    assert speed.seconds(replace(a, device="cuda")) is None
    speed.learn(replace(finished(sweep, "a", 1.0), status="failed"))
    assert speed.seconds(a) == pytest.approx(10.0)


def test_the_last_run_to_end_tells_the_time_left():
    assert time_left([3, 3, 2, 2, 2], slots=2) == 7  # longest first: 3 + 2 + 2 beside 3 + 2
    assert time_left([5], slots=4) == 5


def test_bars_and_lines_tell_what_runs_and_what_came_of_it(sweep):
    from rich.console import Console
    from rich.progress import Progress as Bars

    jobs = jobs_of(sweep)
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Bars(
        "{task.description} {task.fields[note]}", console=console, refresh_per_second=100
    ) as bars:
        monitor = Monitor(sweep, jobs, 2, bars)
        monitor.started(jobs[0])
        half = Progress(done=50, total=100, seconds=5.0, written=time.time())
        (sweep.folder.work("a") / PROGRESS).write_text(json.dumps(asdict(half)))
        monitor.tick([jobs[0]])
        assert [task.completed for task in bars.tasks if task.description == "  a"] == [0.5]
        assert monitor.seconds_left() is None, "nothing is known of b and c yet"
        write_record(sweep.folder.records, finished(sweep, "a", 10.0))
        monitor.ended(jobs[0])
        assert monitor.seconds_left() == pytest.approx(time_left([20.0, 41.2], 2), rel=0.3)
    assert "a: loss 4.1250 in 10 s" in console.file.getvalue()


def test_lines_where_there_is_no_terminal(sweep, capsys):
    jobs = jobs_of(sweep)
    monitor = Monitor(sweep, jobs, 2)
    monitor.tick(jobs[:2])
    failed = replace(finished(sweep, "b", 1.0), status="failed", losses={}, error="no luck")
    write_record(sweep.folder.records, failed)
    monitor.ended(jobs[1])
    assert capsys.readouterr().err.splitlines() == [
        "b: failed: no luck",
        "sweep: 1 of 3 runs done, 2 running",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.4, "7 s"), (101, "1 min 41 s"), (5400, "1 h 30 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
