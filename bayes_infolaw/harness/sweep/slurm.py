"""The Slurm engine: runs as a job array by submitit, requeued with their checkpoints.

The study's folder is on storage that all machines share; records are written where the runs are.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.sweep.engine import (
    CRASHES_ALLOWED,
    GRACE_SECONDS,
    Engine,
    Outcome,
    has_record,
    heard_from,
    in_one_line,
    stop_workers,
    work_through,
)
from bayes_infolaw.harness.sweep.job import CRASHED, DONE, Job
from bayes_infolaw.harness.sweep.process import WorkerProcess

__all__ = ["CLUSTERS", "RunTask", "SlurmEngine"]

CLUSTERS = ("slurm", "local")
DEFAULTS = {"timeout_min": 240, "slurm_max_num_timeout": 100, "slurm_signal_delay_s": 120}
"""A run that meets its time limit is requeued: its checkpoint makes that cheap."""


class RunTask:
    """What a job of the array does: one run in a worker of its own.

    On preemption or a time limit submitit calls `checkpoint`, which has the worker write its
    checkpoint and end; then the job is requeued.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._process: WorkerProcess | None = None

    def __call__(self) -> Outcome:
        """Do the run; returns how its worker ended."""
        self._process = WorkerProcess(self.job)
        return work_through(self._process)

    def checkpoint(self) -> Any:
        """End the worker cleanly; what is to be done when the job is requeued."""
        if self._process is not None:
            stop_workers([self._process])
        return require("submitit").helpers.DelayedSubmission(RunTask(self.job))


class SlurmEngine(Engine):
    """Runs jobs by submitit.

    Parameters
    ----------
    slots : int or None
        Jobs of the array at once; None: as many as Slurm has room for.
    folder : Path
        For submitit's files.
    cluster : {"slurm", "local"}
        "local" runs the same jobs on this machine, without Slurm.
    options : mapping, optional
        Of submitit's `AutoExecutor` (``timeout_min``, ``slurm_partition``, ...).
    crashes_allowed : int
        As for `Engine`.

    Raises
    ------
    InputError
        The cluster or an option is unknown, or Slurm is not on this machine.
    """

    tick_seconds = 0.3

    def __init__(
        self,
        slots: int | None,
        folder: Path,
        cluster: str = "slurm",
        options: Mapping[str, Any] | None = None,
        crashes_allowed: int = CRASHES_ALLOWED,
    ) -> None:
        # The array itself bounds how many run at once; submitit's local jobs know no such bound.
        super().__init__(slots if cluster == "local" else None, crashes_allowed)
        if cluster not in CLUSTERS:
            rule = f"must be one of {', '.join(CLUSTERS)}"
            raise InputError(f"--slurm-cluster: {rule}, got {cluster!r}")
        self._parallel, self._folder, self._cluster = slots, folder, cluster
        self._options = dict(options or {})
        self._submitit = require("submitit")
        self._executor(threads=1, gpus=0)

    def _executor(self, threads: int, gpus: int) -> Any:
        options = DEFAULTS | self._options
        timeouts = options.pop("slurm_max_num_timeout")
        try:
            made = self._submitit.AutoExecutor(
                folder=str(self._folder), cluster=self._cluster, slurm_max_num_timeout=timeouts
            )
            wanted: dict[str, Any] = {"name": "infolaw", "cpus_per_task": threads}
            wanted |= {"gpus_per_node": gpus} if gpus else {}
            wanted |= {"slurm_array_parallelism": self._parallel} if self._parallel else {}
            made.update_parameters(**(wanted | options))
        except (RuntimeError, NameError, ValueError, AssertionError, TypeError) as error:
            raise InputError(f"--engine slurm, [slurm] of the settings: {error}") from error
        return made

    def _submit(self, jobs: Sequence[Job]) -> list[Any]:
        """One array for jobs alike in threads and device."""
        handles: dict[str, Any] = {}
        for threads, gpus in sorted({_needs(job) for job in jobs}):
            alike = [job for job in jobs if _needs(job) == (threads, gpus)]
            tasks = [RunTask(job) for job in alike]
            submitted = self._executor(threads, gpus).submit_array(tasks)
            handles |= {job.run: handle for job, handle in zip(alike, submitted, strict=True)}
        return [handles[job.run] for job in jobs]

    def _outcome(self, handle: Any, job: Job) -> Outcome | None:
        # Slurm says late that a job is done; a process of this machine must be waited for.
        if has_record(job) and (self._cluster == "slurm" or handle.done()):
            return Outcome(DONE)
        if not handle.done():
            return None
        if has_record(job):  # written between the two questions
            return Outcome(DONE)
        error = handle.exception()
        if error is not None:
            return Outcome(CRASHED, f"Slurm job {handle.job_id}: {in_one_line(error)}")
        return handle.result()

    def _at_work(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return heard_from(jobs)

    def _cancel(self, handles: Sequence[Any]) -> None:
        for handle in handles:
            handle.cancel(check=False)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline and not all(handle.done() for handle in handles):
            time.sleep(self.tick_seconds)


def _needs(job: Job) -> tuple[int, int]:
    return job.threads, int(str(job.settings.get("device")).startswith("cuda"))
