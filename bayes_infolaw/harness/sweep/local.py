"""The local engine: one process a slot, longest runs first, restarts after a crash."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import write_record
from bayes_infolaw.harness.sweep.attempt import failure, is_locked
from bayes_infolaw.harness.sweep.job import BUSY, DONE, STOPPED, Job
from bayes_infolaw.harness.sweep.process import WorkerProcess, describe_exit

__all__ = ["CRASHES_ALLOWED", "LocalEngine", "Watch", "record_crash"]

CRASHES_ALLOWED = 2
TICK = 0.1
BUSY_SECONDS = 1.0
GRACE_SECONDS = 120.0
"""How long a stopped run may take for its checkpoint."""


class Watch(Protocol):
    """Hears what happens in a sweep."""

    def started(self, job: Job) -> None:
        """A worker has the run."""

    def ended(self, job: Job) -> None:
        """The run has a record."""

    def said(self, message: str) -> None:
        """Something worth a line."""

    def tick(self, running: Sequence[Job]) -> None:
        """Time passed."""


@dataclass
class _Entry:
    job: Job
    not_before: float = 0.0
    crashes: int = 0


@dataclass
class LocalEngine:
    """Runs jobs in fresh processes on this machine.

    Attributes
    ----------
    slots : int
        Runs at once.
    watch : Watch
    crashes_allowed : int
        A run whose process died (a crash, or killed for memory) starts again from its checkpoint so
        many times; then it is recorded as failed.
    gpus : sequence of str
        Devices dealt out to the slots in turn; empty: what the run's settings say.
    """

    slots: int
    watch: Watch
    crashes_allowed: int = CRASHES_ALLOWED
    gpus: Sequence[str] = ()
    _waiting: list[_Entry] = field(default_factory=list)
    _running: dict[int, tuple[_Entry, WorkerProcess]] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> None:
        """Do all jobs; every one has a record when this returns.

        Raises
        ------
        KeyboardInterrupt
            It was stopped; the workers have written their checkpoints and ended.
        """
        ordered = sorted(jobs, key=lambda job: job.cost, reverse=True)
        self._waiting = [_Entry(job) for job in ordered]
        try:
            while self._waiting or self._running:
                self._fill()
                time.sleep(TICK)
                self._reap()
                self.watch.tick([entry.job for entry, _ in self._running.values()])
        except BaseException:
            self._stop()
            raise

    def _fill(self) -> None:
        free = [slot for slot in range(self.slots) if slot not in self._running]
        now = time.monotonic()
        ready = [entry for entry in self._waiting if entry.not_before <= now]
        for entry in ready:
            if _has_record(entry.job):  # another sweep on this folder did it
                self._waiting.remove(entry)
                self.watch.ended(entry.job)
            elif free and is_locked(entry.job.work):  # another sweep is at it
                entry.not_before = now + BUSY_SECONDS
            elif free:
                slot = free.pop(0)
                self._waiting.remove(entry)
                self._running[slot] = (entry, WorkerProcess(entry.job, self._environment(slot)))
                self.watch.started(entry.job)

    def _environment(self, slot: int) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]} if self.gpus else {}

    def _reap(self) -> None:
        for slot, (entry, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                del self._running[slot]
                self._ended(entry, code, process)

    def _ended(self, entry: _Entry, code: int, process: WorkerProcess) -> None:
        if code == DONE:
            self.watch.ended(entry.job)
        elif code == BUSY:
            self._again(entry, BUSY_SECONDS)
        elif entry.crashes < self.crashes_allowed:
            entry.crashes += 1
            self.watch.said(f"{entry.job.run}: {_describe(code, process)}; starting it again")
            self._again(entry, 0.0)
        else:
            record_crash(entry.job, _describe(code, process))
            self.watch.ended(entry.job)

    def _again(self, entry: _Entry, seconds: float) -> None:
        entry.not_before = time.monotonic() + seconds
        self._waiting.append(entry)
        self._waiting.sort(key=lambda waiting: waiting.job.cost, reverse=True)

    def _stop(self) -> None:
        processes = [process for _, process in self._running.values()]
        for process in processes:
            process.ask_to_stop()
        deadline = time.monotonic() + GRACE_SECONDS
        try:
            for process in processes:
                process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
            self._running.clear()


def _describe(code: int, process: WorkerProcess) -> str:
    if code == STOPPED:
        return "worker was told to stop"
    return describe_exit(code, process.last_words())


def _has_record(job: Job) -> bool:
    return (Path(job.records) / f"{job.run}.json").exists()


def record_crash(job: Job, error: str) -> None:
    """Write the record of a run whose process died once too often."""
    if not _has_record(job):
        write_record(job.records, failure(job, error))


def visible_gpus(jobs: Sequence[Job]) -> list[str]:
    """Devices to deal out where the jobs want CUDA and there is more than one."""
    if not any(str(job.settings.get("device", "")) == "cuda" for job in jobs):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        found = [device.strip() for device in named.split(",") if device.strip()]
    else:
        import torch

        found = [str(number) for number in range(torch.cuda.device_count())]
    if not found:
        raise InputError("device: cuda needs a visible GPU, got none")
    return found
