"""The command: dry run, answers, exit codes, and a sweep with the real trainer."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bayes_infolaw import read_runs
from bayes_infolaw.cli.app import app
from bayes_infolaw.harness.record import read_records

from .conftest import FAKE

pytestmark = pytest.mark.train

HEADER = "run,size,recipe,tokens,source_ratio,raises"


@pytest.fixture
def run(fake_path, corpus_folder, tmp_path):
    def invoke(plan, *more):
        fixed = ["sweep", plan, "--corpus", corpus_folder, "--out", tmp_path / "study"]
        return CliRunner().invoke(app, [str(word) for word in (*fixed, "--slots", 2, *more)])

    return invoke


def test_a_dry_run_trains_and_writes_nothing(run, plan_file, tmp_path):
    answer = run(plan_file(["a,31k,0,20000,0.5,"], HEADER), "--dry-run", "--json")
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["runs"][0]["run"] == "a"
    assert found["runs"][0]["repetition_0"] > 5
    assert found["totals"]["missing"] == 1
    assert not (tmp_path / "study").exists()
    shown = run(plan_file(["a,31k,0,20000,0.5,"], HEADER), "--dry-run").stdout
    assert "the time is unknown until a run is finished" in shown


def test_exit_codes_tell_failed_runs_and_bad_input(run, plan_file, tmp_path):
    good, bad = "a,31k,0,20000,1,", "b,31k,1,20000,1,no luck"
    answer = run(plan_file([good], HEADER), "--train", FAKE)
    assert answer.exit_code == 0
    assert "1 finished" in answer.stdout
    answer = run(plan_file([good, bad], HEADER), "--train", FAKE, "--json")
    assert answer.exit_code == 3
    found = json.loads(answer.stdout)
    assert found["status"] == {"finished": 1, "failed": 1}
    assert found["failed"] == [{"run": "b", "status": "failed", "error": "ValueError: no luck"}]
    assert "1 of 1 runs done" in answer.stderr
    answer = run(plan_file([good], HEADER), "--train", FAKE, "--engine", "cloud")
    assert answer.exit_code == 2
    assert "--engine: must be one of local, ray, slurm, got 'cloud'" in answer.stderr
    for words, message in (
        (["--ray-address", "x:1"], "--ray-address: must go with --engine ray, got 'x:1'"),
        (["--slurm-cluster", "local"], "--slurm-cluster: must go with --engine slurm, got 'local'"),
        (["--stack", "2", "--ray-address", "x:1"], "--ray-address: must go with --engine ray"),
        (["--engine", "ray", "--slurm-cluster", "local"], "--slurm-cluster: must go with"),
    ):
        answer = run(plan_file([good], HEADER), *words)
        assert (answer.exit_code, message in answer.stderr) == (2, True)
    answer = run(plan_file([good], HEADER), "--slots", "0")
    assert "--slots: must be at least 1, got 0" in answer.stderr


def test_a_dry_run_learns_the_time_from_finished_runs(run, plan_file):
    rows = ["a,31k,0,20000,1,", "b,31k,1,20000,1,"]
    run(plan_file(rows[:1], HEADER), "--train", FAKE)
    found = json.loads(run(plan_file(rows, HEADER), "--dry-run", "--json").stdout)
    assert [row["status"] for row in found["runs"]] == ["finished", "missing"]
    assert found["totals"]["seconds"] == pytest.approx(2.0)  # what the fake trainer says it took


def test_each_session_is_written_down(run, plan_file, tmp_path, corpus):
    run(plan_file(["a,31k,0,20000,1,"], HEADER), "--train", FAKE)
    run(plan_file(["a,31k,0,20000,1,", "b,31k,1,20000,1,"], HEADER), "--train", FAKE)
    out = tmp_path / "study"
    sessions = json.loads((out / "sweep.json").read_text())["sessions"]
    assert [session["missing"] for session in sessions] == [1, 1]
    assert sessions[0]["corpus"]["hash"] == corpus.hash
    kept = [(out / "provenance" / session["plan"]["file"]).read_text() for session in sessions]
    assert [text.count("\n") for text in kept] == [2, 3]
    published = [out / "sweep.json", out / "study.toml", *out.glob("records/*.json")]
    assert not [p for p in published if str(tmp_path) in p.read_text()], "names this machine"


def test_a_dry_run_tells_of_a_row_that_contradicts_its_record(run, plan_file):
    run(plan_file(["a,31k,0,20000,1,"], HEADER), "--train", FAKE)
    answer = run(plan_file(["a,31k,2,20000,1,"], HEADER), "--dry-run")
    assert answer.exit_code == 2
    assert "run 'a', recipe.0: was recorded with 1.0, the plan has 0.0" in answer.stderr


def test_the_help_does_not_load_torch_or_ray():
    code = (
        "import sys; from typer.testing import CliRunner; from bayes_infolaw.cli.app import app\n"
        "assert CliRunner().invoke(app, ['sweep', '--help']).exit_code == 0\n"
        "sys.exit(bool({'torch', 'ray', 'submitit'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_real_training_in_two_slots_gives_a_table_that_fit_reads(run, plan_file, tmp_path):
    """Two recipes at two sizes: the clean bucket teaches more than the poor one."""
    (tmp_path / "sweep.toml").write_text(
        "[training]\nseq_len = 64\nbatch_tokens = 1024\nlearning_rate = 0.01\neval_every = 1\n"
    )
    plan = plan_file(["31k|55k,0|2,60000,0.5"], "size,recipe,tokens,source_ratio")
    answer = run(plan, "--json")
    assert answer.exit_code == 0, answer.stderr
    frame = read_runs(tmp_path / "study", prior_dominated=True).frame
    loss = frame.set_index(["size", "recipe"])["loss"]
    for size in ("31k", "55k"):
        assert loss[size, 0] < loss[size, 2] - 0.05
    records = read_records(tmp_path / "study" / "records")
    assert all(record.versions.get("torch") for record in records)
    assert run(plan, "--json").exit_code == 0
    assert read_records(tmp_path / "study" / "records") == records
