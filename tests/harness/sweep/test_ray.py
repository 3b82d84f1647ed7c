"""The Ray engine on a local cluster of two workers; a worker, and a machine, lost on the way."""

import json
import signal
import subprocess

import psutil
import pytest

from bayes_infolaw.harness.record import read_record

from .conftest import command, state_of, step_of, wait_for

pytestmark = [pytest.mark.train, pytest.mark.slow]

HEADER = "run,size,recipe,tokens,source_ratio,seed,seconds,raises"
WORKER = "bayes_infolaw.harness.sweep.worker"
SMALL_STORE = {"object_store_memory": 80 * 2**20}


@pytest.fixture
def cluster(fake_path):
    """A head without processors and two workers with one each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL_STORE})
    try:
        yield made, [made.add_node(num_cpus=1, **SMALL_STORE) for _ in range(2)]
    finally:
        made.shutdown()


@pytest.fixture
def started(cluster, plan_file, corpus_folder, tmp_path):
    """A sweep on the cluster, in a process of its own."""
    sweeps = []

    def start(rows):
        where = ["--engine", "ray", "--ray-address", cluster[0].address, "--json"]
        words = command(plan_file(rows, HEADER), corpus_folder, tmp_path / "study", *where)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        sweeps.append(subprocess.Popen(words, **pipes))
        return sweeps[-1]

    yield start
    for sweep in sweeps:
        sweep.kill()
        sweep.communicate()


def trainers(study) -> dict[str, psutil.Process]:
    """The processes that train, by run."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        if WORKER in (process.info["cmdline"] or ()):
            for path in process.open_files():
                if path.path.startswith(str(study)) and path.path.endswith("worker.log"):
                    found[path.path.split("/")[-2]] = process
    return found


def test_a_killed_worker_costs_nothing_but_its_last_steps(started, tmp_path):
    study = tmp_path / "study"
    sweep = started([f"r{i},31k,0,20000,1,{i},5," for i in range(3)] + ["bad,31k,1,20000,1,0,,no"])
    wait_for(lambda: step_of(study, "r0") >= 4, seconds=50)
    ray_worker = trainers(study)["r0"].parent()
    assert "ray" in ray_worker.name()
    ray_worker.send_signal(signal.SIGKILL)
    out, err = sweep.communicate(timeout=60)
    answer = json.loads(out)
    assert answer["status"] == {"finished": 3, "failed": 1}, err
    assert answer["failed"] == [{"run": "bad", "status": "failed", "error": "ValueError: no"}]
    assert "r0: Ray: " in err
    assert state_of(study, "r0") == {"starts": 2, "step": 20}
    assert state_of(study, "r1")["starts"] == 1
    assert read_record(study / "records" / "r0.json").status == "finished"
    assert not list((study / "work").glob("*/r*.json")), "a record stayed on its way"


def test_a_lost_machine_and_a_stopped_driver(started, cluster, tmp_path):
    study = tmp_path / "study"
    made, nodes = cluster
    rows = [f"r{i},31k,0,20000,1,{i},6," for i in range(2)]
    sweep = started(rows)
    wait_for(lambda: min(step_of(study, "r0"), step_of(study, "r1")) >= 3, seconds=50)
    made.remove_node(nodes[0], allow_graceful=False)
    wait_for(lambda: max(step_of(study, "r0"), step_of(study, "r1")) >= 12, seconds=50)
    sweep.send_signal(signal.SIGTERM)
    answer = json.loads(sweep.communicate(timeout=60)[0])
    assert (answer["stopped"], sweep.returncode) == (True, 130)
    wait_for(lambda: not trainers(study))
    again = started(rows)
    out, err = again.communicate(timeout=60)
    assert json.loads(out)["status"] == {"finished": 2}, err
    for run in ("r0", "r1"):
        assert state_of(study, run)["step"] == 20
        assert state_of(study, run)["starts"] >= 2, "it went on from its checkpoint"
