"""Ray Data, kills and memory: the same bytes whatever happens, in the same memory."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ..generated import generate_documents
from .conftest import write
from .test_build import files

pytestmark = [pytest.mark.train, pytest.mark.slow]

SMALL = ["--vocab-size", "300", "--tokenizer-sample-mb", "1", "--chunk-mb", "1"]
# Ray gives itself 30 to 60 s to start, which a busy machine may exceed.
PATIENCE = {
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600",
}
COMMAND = ["corpus", "build"]


def command(inputs, out, *more):
    heldout = [f"--heldout={name}={path}" for name, paths in inputs.heldout for path in paths]
    fixed = ["--reference-source", "primer", "--json", *SMALL]
    return [*COMMAND, *inputs.documents, *heldout, *fixed, "--out", str(out), *more]


def start(arguments):
    code = "from bayes_infolaw.cli import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **PATIENCE}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(arguments):
    process = start(arguments)
    out, err = process.communicate(timeout=1200)
    assert process.returncode == 0, err
    return json.loads(out)


def test_ray_data_changes_nothing(inputs, tmp_path):
    """In processes of their own: Ray leaves handles open that pytest would count as warnings."""
    here = finish(command(inputs, tmp_path / "here", "--engine", "inline"))
    ray = finish(command(inputs, tmp_path / "ray", "--engine", "ray", "--workers", "2"))
    assert ray["hash"] == here["hash"]
    assert files(tmp_path / "ray") == files(tmp_path / "here")
    bad = replace(inputs, documents=(write(tmp_path / "bad.parquet", [{"body": "no text"}]),))
    process = start(command(bad, tmp_path / "bad", "--engine", "ray", "--workers", "2"))
    _, err = process.communicate(timeout=1200)
    assert process.returncode == 2
    assert "error: bad.parquet: column 'text' must exist, got the columns body" in err


def test_a_killed_build_goes_on_and_leaves_no_process(inputs, tmp_path):
    whole = finish(command(inputs, tmp_path / "whole", "--workers", "2"))
    arguments = command(inputs, tmp_path / "killed", "--workers", "2")
    n_killed = 0
    for _ in range(20):
        process = start(arguments)
        n_before = len(markers(tmp_path / "killed"))
        while process.poll() is None and len(markers(tmp_path / "killed")) <= n_before + 3:
            time.sleep(0.01)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        n_killed += 1
        wait_until(lambda pids=workers: not [pid for pid in pids if alive(pid)])
    assert n_killed
    assert finish(arguments)["hash"] == whole["hash"]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_killed_worker_stops_the_build_and_the_next_goes_on(inputs, tmp_path):
    whole = finish(command(inputs, tmp_path / "whole", "--workers", "2"))
    arguments = command(inputs, tmp_path / "killed", "--workers", "2")
    process = start(arguments)
    wait_until(lambda: process.poll() is not None or len(markers(tmp_path / "killed")) > 4)
    worker = next(pid for pid in children(process.pid) if is_worker(pid))
    os.kill(worker, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 2
    assert "error: corpus build: a worker was killed (out of memory?)" in err
    assert len(markers(tmp_path / "killed")) > 4
    assert finish(arguments)["hash"] == whole["hash"]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def is_worker(pid):
    """Not the process that tracks shared resources."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end the worker")
def test_a_worker_that_is_busy_goes_with_its_parent(tmp_path):
    """Even inside one long call that lets no thread of Python run."""
    code = f"""
import ctypes, os, sys
from bayes_infolaw.harness.corpus.engine import open_engine
sys.path.insert(0, {str(tmp_path)!r})
import busy
if __name__ == "__main__":
    with open_engine("local", 1) as engine:
        list(engine.run([busy.wait]))
"""
    (tmp_path / "busy.py").write_text(
        "import ctypes, os, pathlib\n"
        "def wait():\n"
        "    pathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\n"
        "    ctypes.PyDLL(None).sleep(60)\n"  # PyDLL holds the lock of the interpreter
    )
    (tmp_path / "job.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": f"{Path.cwd()}"}
    process = subprocess.Popen([sys.executable, str(tmp_path / "job.py")], env=environment)
    wait_until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text())
    worker = int((tmp_path / "pid").read_text())
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    wait_until(lambda: not alive(worker), seconds=10)


def markers(folder):
    return list((folder / ".build" / "done").glob("*.json"))


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(text) for text in found.stdout.split()]


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(fine, seconds=120):
    end = time.monotonic() + seconds
    while not fine():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """Twenty times the corpus, the same peak in the main process and in a worker."""
    held_out = [{**row, "source": "library"} for row in generate_documents(40, 2, "clean")]
    write(tmp_path / "test.parquet", held_out)
    for i in range(20):
        write(tmp_path / f"{i:02d}.parquet", generate_documents(1000, 100 + i))
    peaks = {n: memory(tmp_path, n) for n in (1, 20)}
    print(f"peak MiB by size of the corpus: {peaks}")  # noqa: T201
    for process in ("main", "worker"):
        assert peaks[20][process] < 1.1 * peaks[1][process]


def memory(folder, n):
    job = [sys.executable, str(Path(__file__).with_name("memory_job.py")), str(folder), str(n)]
    done = subprocess.run(job, capture_output=True, text=True, timeout=1200, check=True)
    return json.loads(done.stdout)
