"""The local engine: one process a slot on this machine."""

from collections.abc import Sequence
from typing import Any

from bayes_infolaw.harness.sweep.engine import (
    CRASHES_ALLOWED,
    Engine,
    Outcome,
    outcome_of,
    stop_workers,
)
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.sweep.process import WorkerProcess

__all__ = ["LocalEngine"]


class LocalEngine(Engine):
    """Runs jobs in fresh processes on this machine.

    Parameters
    ----------
    slots : int
        Runs at once.
    gpus : sequence of str
        Devices dealt out to the slots in turn, for runs whose device is "cuda" as such.
    crashes_allowed : int
        As for `Engine`.
    """

    def __init__(
        self,
        slots: int,
        gpus: Sequence[str] = (),
        crashes_allowed: int = CRASHES_ALLOWED,
    ) -> None:
        super().__init__(slots, crashes_allowed)
        self._free, self._gpus = list(range(slots)), list(gpus)

    def _submit(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._start(job, self._free.pop(0)) for job in jobs]

    def _start(self, job: Job, slot: int) -> tuple[int, WorkerProcess]:
        # A run of "cuda:1" has named its own, which it would no longer see.
        dealt = self._gpus if job.settings.get("device") == "cuda" else []
        gpu = dealt[slot % len(dealt)] if dealt else None
        return slot, WorkerProcess(job, None if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})

    def _outcome(self, handle: tuple[int, WorkerProcess], job: Job) -> Outcome | None:
        slot, process = handle
        code = process.poll()
        if code is None:
            return None
        self._free.append(slot)
        return outcome_of(code, process)

    def _cancel(self, handles: Sequence[tuple[int, WorkerProcess]]) -> None:
        stop_workers([process for _, process in handles])
