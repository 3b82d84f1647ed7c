"""The Ray engine: runs on the machines of a Ray cluster, records back at the driver.

The study's ``work`` folder is on storage that all machines share: a run whose machine is lost goes
on from its checkpoint elsewhere.
"""

import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import RunRecord, read_record, write_record
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.sweep.engine import (
    CRASHES_ALLOWED,
    GRACE_SECONDS,
    Engine,
    Outcome,
    Watch,
    has_record,
    heard_from,
    in_one_line,
    work_through,
)
from bayes_infolaw.harness.sweep.job import CRASHED, DONE, Job
from bayes_infolaw.harness.sweep.process import WorkerProcess

__all__ = ["RayEngine"]


class RayEngine(Engine):
    """Runs jobs as Ray tasks.

    Parameters
    ----------
    slots : int or None
        Tasks in flight; None: as many as the cluster has room for.
    address : str, optional
        A running cluster; None: one on this machine.
    options : mapping, optional
        Of the tasks (``num_gpus``, ``resources``, ...): `ray.remote`'s.
    crashes_allowed : int
        As for `Engine`: a killed worker or lost machine counts as a crash.

    Raises
    ------
    InputError
        An option is unknown to Ray.
    """

    tick_seconds = 0.3

    def __init__(
        self,
        slots: int | None,
        address: str | None = None,
        options: Mapping[str, Any] | None = None,
        crashes_allowed: int = CRASHES_ALLOWED,
    ) -> None:
        super().__init__(slots, crashes_allowed)
        self._address, self._options = address, dict(options or {})
        self._ray = require("ray")
        try:
            self._ray.remote(_work).options(**self._options)
        except (TypeError, ValueError) as error:
            raise InputError(f"--engine ray, [ray] of the settings: {error}") from error

    def run(self, jobs: Sequence[Job], watch: Watch) -> None:
        """As `Engine`; connects to the cluster, and leaves it at the end."""
        ours = not self._ray.is_initialized()
        if ours:
            self._connect()
        try:
            self._tell_of_room(jobs, watch)
            super().run(jobs, watch)
        finally:
            if ours:
                self._ray.shutdown()

    def _connect(self) -> None:
        said: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        said |= {} if self._address else {"include_dashboard": False}
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(address=self._address or "local", **said)
        except ConnectionError as error:
            rule = "must be that of a running cluster"
            raise InputError(f"--ray-address: {rule}, got {self._address!r} ({error})") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(
                signal.SIGTERM, on_sigterm
            )  # Ray's own would end the sweep without a word

    def _tell_of_room(self, jobs: Sequence[Job], watch: Watch) -> None:
        """Ray waits without a word for a machine that is large enough."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        largest = max((resources.get("CPU", 0) for resources in alive), default=0)
        wanted = max(job.threads for job in jobs)
        if wanted > largest:
            watch.said(f"runs of {wanted} threads wait: no machine has more than {largest:g} CPUs")

    def _submit(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._task(job) for job in jobs]

    def _task(self, job: Job) -> Any:
        gpus = {"num_gpus": 1} if str(job.settings.get("device")).startswith("cuda") else {}
        options = {"num_cpus": job.threads, "max_retries": 0, "name": job.run, **gpus}
        return self._ray.remote(_work).options(**(options | self._options)).remote(job.to_json())

    def _outcome(self, handle: Any, job: Job) -> Outcome | None:
        if not self._ray.wait([handle], timeout=0)[0]:
            return None
        try:
            outcome, record = self._ray.get(handle)
        except self._ray.exceptions.RayError as error:  # killed worker, lost node, no memory
            return Outcome(CRASHED, f"Ray: {in_one_line(error)}")
        if record is not None:
            self._keep(job, RunRecord.from_dict(record))
        return Outcome(**outcome)

    def _keep(self, job: Job, record: RunRecord) -> None:
        if not has_record(job):
            write_record(job.records, record)
        (Path(job.work) / f"{job.run}.json").unlink(missing_ok=True)

    def _at_work(self, jobs: Sequence[Job]) -> Sequence[Job]:
        return heard_from(jobs)

    def _cancel(self, handles: Sequence[Any]) -> None:
        for handle in handles:
            self._ray.cancel(handle)
        if handles:
            self._ray.wait(list(handles), num_returns=len(handles), timeout=GRACE_SECONDS)


def _work(text: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """On a machine of the cluster: do a job; its outcome and its record."""
    job = Job.from_json(text)
    # The record goes back to the driver, by way of the run's own folder.
    outcome = work_through(WorkerProcess(replace(job, records=job.work)))
    path = Path(job.work) / f"{job.run}.json"
    return asdict(outcome), read_record(path).to_dict() if outcome.code == DONE else None
