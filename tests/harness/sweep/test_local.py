"""The local engine: order, slots, crashes, failures, stopping, restarting, sharing."""

import hashlib
import json
import os
import signal
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import read_record
from bayes_infolaw.harness.sweep import local
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.training.device import visible_gpus
from bayes_infolaw.tables import read_runs

from .conftest import state_of, step_of, wait_for

pytestmark = pytest.mark.train

HEADER = "run,size,recipe,tokens,source_ratio,seed"
RUNS = ("small", "large", "bad")
ROWS = ["small,31k,0,20000,1,0", "large,147k,1,20000,1,0", "half,55k,2,20000,0.5,0"]


def statuses(out: Path) -> dict[str, str]:
    return {path.stem: read_record(path).status for path in (out / "records").glob("*.json")}


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.json")}


def test_a_sweep_gives_records_a_table_and_a_study_that_fit_reads(swept, plan_file, tmp_path):
    summary, heard = swept(plan_file(ROWS, HEADER))
    out = tmp_path / "study"
    assert summary.status == {"finished": 3}
    assert (summary.rows, summary.stopped, summary.failed) == (3, False, [])
    assert heard.starts[0] == "large", "the longest run comes first"
    assert sorted(heard.ends) == ["half", "large", "small"]
    table = read_runs(out, prior_dominated=True)
    assert table.buckets == ("0", "1", "2")
    assert table.groups == ("subsample",)
    frame = table.frame.set_index("run")
    assert frame.loc["large", "params_nonembedding"] == 12 * 3 * 64**2
    assert frame.loc["half", "repetition_2"] > frame.loc["large", "repetition_1"] > 1
    assert str(frame.loc["large", "recipe"]) == "1"
    records = [read_record(path) for path in (out / "records").glob("*.json")]
    pids = {record.resources["pid"] for record in records}
    assert len(pids) == 3, "each run has a process of its own"
    assert os.getpid() not in pids


def test_no_more_runs_at_once_than_slots(swept, plan_file):
    rows = [f"r{i},31k,0,20000,1,{i},0.6" for i in range(4)]
    _, heard = swept(plan_file(rows, HEADER + ",seconds"), slots=2)
    assert heard.most == 2


def test_a_restart_does_only_what_is_missing(swept, plan_file, tmp_path):
    swept(plan_file(ROWS[:2], HEADER))
    before = hashes(tmp_path / "study" / "records")
    summary, heard = swept(plan_file(ROWS, HEADER))
    assert heard.starts == ["half"]
    assert summary.status == {"finished": 3}
    after = hashes(tmp_path / "study" / "records")
    assert before.items() <= after.items(), "finished records were touched"
    assert len(after) == 3


def test_a_failed_and_a_diverged_run_are_recorded_and_are_no_rows(swept, plan_file, tmp_path):
    rows = ["good,31k,0,20000,1,0,,", "bad,31k,1,20000,1,0,no luck,", "off,31k,2,20000,1,0,,1"]
    plan = plan_file(rows, HEADER + ",raises,diverges")
    summary, _ = swept(plan)
    out = tmp_path / "study"
    assert statuses(out) == {"good": "finished", "bad": "failed", "off": "diverged"}
    assert {record.run for record in summary.failed} == {"bad", "off"}
    assert read_record(out / "records" / "bad.json").error == "ValueError: no luck"
    assert list(pd.read_csv(out / "runs.csv")["run"]) == ["good"]
    _, heard = swept(plan)
    assert heard.starts == [], "a failed run is not tried again unasked"


def test_retrying_keeps_the_old_record_aside(swept, plan_file, tmp_path):
    header = HEADER + ",raises"
    swept(plan_file(["good,31k,0,20000,1,0,", "bad,31k,1,20000,1,0,no luck"], header))
    plan = plan_file(["good,31k,0,20000,1,0,", "bad,31k,1,20000,1,0,"], header)
    summary, heard = swept(plan, retry_failed=True)
    assert heard.starts == ["bad"]
    assert summary.status == {"finished": 2}
    aside = read_record(tmp_path / "study" / "attempts" / "bad-1.json")
    assert (aside.status, aside.error) == ("failed", "ValueError: no luck")
    assert state_of(tmp_path / "study", "bad")["starts"] == 2, "it went on from its checkpoint"


def test_a_diverged_run_starts_anew_when_retried(swept, plan_file, tmp_path):
    header = HEADER + ",diverges"
    swept(plan_file(["off,31k,2,20000,1,0,1"], header))
    summary, _ = swept(plan_file(["off,31k,2,20000,1,0,"], header), retry_failed=True)
    assert summary.status == {"finished": 1}
    assert state_of(tmp_path / "study", "off")["starts"] == 1


def test_a_killed_worker_leaves_the_sweep_alive(swept, plan_file, tmp_path):
    rows = [*(f"{row}," for row in ROWS), "dies,83k,0,20000,1,0,1"]
    summary, heard = swept(plan_file(rows, HEADER + ",dies"))
    assert summary.status == {"finished": 4}
    assert heard.starts.count("dies") == 2
    assert any("SIGKILL" in line for line in heard.lines)
    state = state_of(tmp_path / "study", "dies")
    assert state == {"starts": 2, "step": 20}


def test_a_run_that_keeps_dying_is_recorded_as_failed(swept, plan_file, tmp_path):
    summary, heard = swept(
        plan_file(["dies,31k,0,20000,1,0,99", "r,55k,0,20000,1,0,"], HEADER + ",dies")
    )
    assert summary.status == {"finished": 1, "failed": 1}
    assert heard.starts.count("dies") == 3
    assert "SIGKILL" in summary.failed[0].error


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("fake_trainer:absent", "AttributeError: .*'absent'"),
        ("foo:bar", "ModuleNotFoundError: No module named 'foo'"),
        ("fake_trainer:STEPS", "is not callable"),
        ("fake_trainer", "no MODULE:FUNCTION"),
    ],
)
def test_a_trainer_that_workers_cannot_import_stops_the_sweep(
    swept, plan_file, tmp_path, train, said
):
    with pytest.raises(InputError, match=rf"--train: must be .*got '{train}' \({said}"):
        swept(plan_file(ROWS[:1], HEADER), train=train)
    assert not (tmp_path / "study").exists()


def test_a_gpu_with_a_number_is_the_local_engines(swept, plan_file, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    plan = plan_file([f"{ROWS[0]},cuda:2"], f"{HEADER},device")
    with pytest.raises(InputError, match=r"device: must be one of the 2 visible GPUs.*'cuda:2'"):
        swept(plan)
    with pytest.raises(InputError, match="run 'small', device: must be cpu or cuda with --engine"):
        swept(plan, engine="ray")


def test_gpus_are_dealt_to_runs_that_name_none(monkeypatch):
    started = []
    monkeypatch.setattr(local, "WorkerProcess", lambda job, env: started.append((job.run, env)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    devices = ["cuda", "cuda:1", "cpu", "cuda"]
    engine = local.LocalEngine(4, visible_gpus(devices))
    engine._submit([Job(f"r{i}", {"device": d}, "", "", "", "") for i, d in enumerate(devices)])
    dealt = [("r0", {"CUDA_VISIBLE_DEVICES": "4"}), ("r1", None), ("r2", None)]
    assert started == [*dealt, ("r3", {"CUDA_VISIBLE_DEVICES": "7"})]
    assert visible_gpus(["cuda:1", "cpu"]) == []


def test_workers_stand_back_and_leave_no_checkpoints_where_asked_to(swept, plan_file, tmp_path):
    header, out = HEADER + ",raises", tmp_path / "study"
    swept(plan_file([ROWS[0] + ","], header))
    rows = [ROWS[0] + ",", ROWS[1] + ",", "bad,31k,1,20000,1,0,no luck"]
    swept(plan_file(rows, header), nice=7, drop_checkpoints=True)
    nice = {run: read_record(out / "records" / f"{run}.json").resources.get("nice") for run in RUNS}
    assert nice == {"small": os.nice(0), "large": os.nice(0) + 7, "bad": None}
    kept = {run for run in RUNS if (out / "work" / run / "checkpoint").exists()}
    assert kept == {"small", "bad"}, "only runs that this sweep finished lose theirs"


def test_another_plan_for_a_recorded_run_is_refused(swept, plan_file):
    swept(plan_file(ROWS[:1], HEADER))
    with pytest.raises(InputError, match=r"run 'small', tokens: .*20000.*plan has 40000"):
        swept(plan_file(["small,31k,0,40000,0.5,0"], HEADER))
    with pytest.raises(InputError, match=r"run 'small', recipe\.0: .*1\.0.*0\.0"):
        swept(plan_file(["small,31k,1,20000,1,0"], HEADER))


def test_changed_settings_before_the_end_start_a_run_anew(swept, plan_file, tmp_path):
    header, out = HEADER + ",dies", tmp_path / "study"
    work = out / "work" / "small"
    swept(plan_file(["other,31k,0,20000,1,0,"], header))
    work.mkdir()
    (work / "settings.json").write_text('{"settings": "of another plan"}\n')
    (work / "state.json").write_text('{"starts": 5, "step": 15}')
    swept(plan_file(["small,31k,0,20000,1,3,"], header))
    assert state_of(out, "small") == {"starts": 1, "step": 20}


def test_sigterm_ends_the_workers_and_a_restart_goes_on(launched, plan_file, tmp_path):
    out, header = tmp_path / "study", HEADER + ",seconds"
    plan = plan_file([f"r{i},31k,0,20000,1,{i},40" for i in range(3)], header)
    first = launched(plan, "--slots", "2")
    wait_for(lambda: step_of(out, "r0") >= 2 and step_of(out, "r1") >= 2)
    workers = psutil.Process(first.pid).children(recursive=True)
    assert len(workers) == 2
    first.send_signal(signal.SIGTERM)
    answer = json.loads(first.communicate(timeout=60)[0])
    assert first.returncode == 130
    assert (answer["stopped"], answer["status"]) == (True, {"missing": 3})
    assert not any(worker.is_running() for worker in workers)
    assert 2 <= step_of(out, "r0") < 20
    # How long a run takes is no part of what it is, so the same runs go on faster.
    plan = plan_file([f"r{i},31k,0,20000,1,{i},0" for i in range(3)], header)
    second = launched(plan, "--slots", "2")
    assert json.loads(second.communicate(timeout=60)[0])["status"] == {"finished": 3}
    assert [state_of(out, f"r{i}")["starts"] for i in range(3)] == [2, 2, 1]


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_sweep(launched, plan_file, tmp_path):
    out = tmp_path / "study"
    sweep = launched(plan_file(["r,31k,0,20000,1,0,40"], HEADER + ",seconds"))
    wait_for(lambda: step_of(out, "r") >= 1)
    workers = psutil.Process(sweep.pid).children(recursive=True)
    assert len(workers) == 1
    sweep.kill()
    wait_for(lambda: not any(worker.is_running() for worker in workers))
    assert statuses(out) == {}


@pytest.mark.slow
def test_two_sweeps_share_the_work(launched, plan_file, tmp_path):
    plan = plan_file([f"r{i},31k,0,20000,1,{i},0.8" for i in range(5)], HEADER + ",seconds")
    out = tmp_path / "study"
    sweeps = [launched(plan, "--slots", "2") for _ in range(2)]
    answers = [json.loads(sweep.communicate(timeout=60)[0]) for sweep in sweeps]
    assert [answer["status"] for answer in answers] == [{"finished": 5}] * 2
    assert len(pd.read_csv(out / "runs.csv")) == 5
    starts = [state_of(out, f"r{i}")["starts"] for i in range(5)]
    assert starts == [1] * 5, "no run was trained twice"
