"""The Slurm engine on submitit's local executor: the same jobs, without Slurm."""

import signal

import psutil
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.sweep.slurm import SlurmEngine

from .conftest import state_of

pytestmark = pytest.mark.train

pytest.importorskip("submitit")

HEADER = "run,size,recipe,tokens,source_ratio,seed,seconds,raises,dies"


@pytest.mark.slow
def test_all_records_come_of_an_array(swept, plan_file, tmp_path):
    rows = [
        "a,31k,0,20000,1,0,,,",
        "b,31k,1,20000,1,0,,no luck,",
        "dies,31k,2,20000,1,0,,,1",
    ]
    summary, heard = swept(plan_file(rows, HEADER), engine="slurm", slurm_cluster="local")
    assert summary.status == {"finished": 2, "failed": 1}
    assert summary.failed[0].error == "ValueError: no luck"
    assert any("SIGKILL" in line for line in heard.lines)
    assert state_of(tmp_path / "study", "dies") == {"starts": 2, "step": 20}


@pytest.mark.slow
def test_a_preempted_job_goes_on_from_its_checkpoint(swept, plan_file, tmp_path, monkeypatch):
    """submitit's signal of preemption, sent to the job itself at a quarter of the run."""
    preempted = []
    look = SlurmEngine._outcome

    def outcome(engine, handle, job):
        work = tmp_path / "study" / "work" / job.run / "state.json"
        if (
            not preempted
            and work.exists()
            and state_of(tmp_path / "study", job.run).get("step", 0) >= 5
        ):
            [task] = psutil.Process(handle._process.pid).children()
            preempted.append(task)
            task.send_signal(signal.SIGUSR2)
        return look(engine, handle, job)

    monkeypatch.setattr(SlurmEngine, "_outcome", outcome)
    summary, _ = swept(
        plan_file(["a,31k,0,20000,1,0,4,,"], HEADER), engine="slurm", slurm_cluster="local"
    )
    assert len(preempted) == 1
    assert summary.status == {"finished": 1}
    assert state_of(tmp_path / "study", "a") == {"starts": 2, "step": 20}
    log = (tmp_path / "study" / "work" / ".slurm").glob("*_log.err")
    assert any("preempted" in path.read_text() for path in log)


def test_a_machine_without_slurm_is_told_of(swept, plan_file, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"--engine slurm.*srun"):
        swept(plan_file(["a,31k,0,20000,1,0,,,"], HEADER), engine="slurm")


def test_an_unknown_option_is_told_of(tmp_path):
    with pytest.raises(InputError, match=r"\[slurm\].*slurm_partitoin"):
        SlurmEngine(1, tmp_path, "local", {"slurm_partitoin": "gpu"})
    with pytest.raises(InputError, match=r"--slurm-cluster: must be one of slurm, local.*'cloud'"):
        SlurmEngine(1, tmp_path, "cloud")
