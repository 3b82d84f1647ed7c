"""The Ray engine on a local cluster of two workers; a worker, and a machine, lost on the way."""

import contextlib
import json
import signal
import subprocess

import psutil
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import read_record
from bayes_infolaw.harness.sweep.ray_engine import RayEngine

from .conftest import find_fake_trainer, state_of, step_of, wait_for

pytestmark = [
    pytest.mark.train,
    pytest.mark.slow,
    # Ray's forks call exec at once; JAX, if a test before loaded it, warns of any fork.
    pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning"),
]

HEADER = "run,size,recipe,tokens,source_ratio,seed,seconds,raises"
WORKER = "bayes_infolaw.harness.sweep.worker"
SMALL_STORE = {"object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster():
    """A head without processors and two workers with one each; the last test takes one away."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        find_fake_trainer(patch)
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL_STORE})
        try:
            yield made, [patient(made.add_node) for _ in range(2)]
        finally:
            made.shutdown()


def patient(add_node):
    """Ray gives a machine 30 s to start, which a busy computer may exceed."""
    for _ in range(2):
        with contextlib.suppress(Exception):
            return add_node(num_cpus=1, **SMALL_STORE)
    return add_node(num_cpus=1, **SMALL_STORE)


@pytest.fixture
def started(cluster, launched, plan_file):
    """A sweep of two or three runs on the cluster, each to take so many seconds."""

    def start(runs: int, seconds: float, *more: str) -> subprocess.Popen:
        rows = [f"r{i},31k,0,20000,1,{i},{seconds}," for i in range(runs)]
        plan = plan_file([*rows, *more], HEADER)
        return launched(plan, "--engine", "ray", "--ray-address", cluster[0].address)

    return start


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
    sweep = started(3, 8, "bad,31k,1,20000,1,0,,no")
    wait_for(lambda: step_of(study, "r0") >= 4)
    ray_worker = trainers(study)["r0"].parent()
    assert "ray" in ray_worker.name()
    ray_worker.send_signal(signal.SIGKILL)
    out, err = sweep.communicate(timeout=120)
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
    sweep = started(2, 60)
    wait_for(lambda: min(step_of(study, "r0"), step_of(study, "r1")) >= 2)
    made.remove_node(nodes[0], allow_graceful=False)
    wait_for(lambda: max(step_of(study, "r0"), step_of(study, "r1")) >= 8)
    sweep.send_signal(signal.SIGTERM)
    answer = json.loads(sweep.communicate(timeout=120)[0])
    assert (answer["stopped"], sweep.returncode) == (True, 130)
    wait_for(lambda: not trainers(study))
    out, err = started(2, 0).communicate(timeout=120)
    assert json.loads(out)["status"] == {"finished": 2}, err
    for run in ("r0", "r1"):
        assert state_of(study, run)["step"] == 20
        assert state_of(study, run)["starts"] >= 2, "it went on from its checkpoint"


def test_an_unknown_option_is_told_of():
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=r"\[ray\].*num_gpu\b"):
        RayEngine(1, options={"num_gpu": 1})
