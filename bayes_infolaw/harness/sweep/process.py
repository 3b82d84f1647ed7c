"""A worker process as its parent sees it: started fresh, watched, asked to stop."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from bayes_infolaw.harness.sweep.job import Job

__all__ = ["WorkerProcess", "describe_exit"]

MODULE = "bayes_infolaw.harness.sweep.worker"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOG = "worker.log"
TAIL = 4096


class WorkerProcess:
    """One run in a process of its own: what kills it leaves the sweep alive.

    Parameters
    ----------
    job : Job
    environment : mapping, optional
        Variables on top of this process's own.

    Notes
    -----
    The worker is in a process group of its own, so that Ctrl-C reaches the parent alone; and in a
    session of its own only where it is to stand back (``nice``), because Linux may share processor
    time out by sessions. Its stdin stays open as long as the parent lives: its end tells the worker
    to stop even when the parent was killed. What it prints goes to ``worker.log`` in the run's
    folder.
    """

    def __init__(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        self.job, self.started = job, time.monotonic()
        self._log = Path(job.work) / LOG
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(job) | dict(environment or {}),
                process_group=None if job.nice else 0,
                start_new_session=job.nice > 0,
            )
        self._send(job)

    def _send(self, job: Job) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once: the exit code tells
            pipe.write(job.to_json().encode() + b"\n")
            pipe.flush()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code (minus the signal where one killed it), None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._close()
        return code

    def wait(self, timeout: float | None = None) -> int | None:
        """As `poll`, after waiting for at most ``timeout`` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self.poll()

    def ask_to_stop(self) -> None:
        """Have it write a checkpoint and end; returns at once."""
        self._close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, and what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def last_words(self) -> str:
        """Last line that it printed, for the error of a crash."""
        try:
            text = self._log.read_bytes()[-TAIL:].decode("utf-8", errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _close(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def _environment(job: Job) -> dict[str, str]:
    """The parent's variables, with the run's threads and a place for compiled Python."""
    variables = dict(os.environ) | {name: str(job.threads) for name in THREAD_VARIABLES}
    if variables.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Compiling torch's modules again in every worker takes seconds; these files go with `work`.
        variables.setdefault("PYTHONPYCACHEPREFIX", str(Path(job.work).parent / ".pycache"))
    return variables


def describe_exit(code: int, last_words: str = "") -> str:
    """How a worker died, for people: ``-9`` -> killed by SIGKILL (out of memory?)."""
    if code >= 0:
        return f"worker ended with exit code {code}" + (f": {last_words}" if last_words else "")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    why = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"worker was killed by {name}{why}"
