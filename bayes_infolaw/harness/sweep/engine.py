"""What all engines share: order, restarts after a crash, and ends that are never silent."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bayes_infolaw.harness.record import write_record
from bayes_infolaw.harness.sweep.attempt import failure, is_locked
from bayes_infolaw.harness.sweep.job import BUSY, DONE, Job, read_progress
from bayes_infolaw.harness.sweep.process import WorkerProcess, describe_exit

__all__ = [
    "CRASHES_ALLOWED",
    "GRACE_SECONDS",
    "Engine",
    "Outcome",
    "Watch",
    "has_record",
    "heard_from",
    "in_one_line",
    "outcome_of",
    "stop_workers",
    "work_through",
]

CRASHES_ALLOWED = 2
TICK = 0.1
BUSY_SECONDS = 1.0
GRACE_SECONDS = 120.0
"""How long a stopped run may take for its checkpoint."""
FRESH_SECONDS = 300.0
"""A run that said nothing for so long is not counted as running."""


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


@dataclass(frozen=True)
class Outcome:
    """How a worker ended: its exit code, and in words where it did not end well."""

    code: int
    words: str = ""


@dataclass
class Entry:
    """A job on its way: not before a time, and how often its worker died."""

    job: Job
    not_before: float = 0.0
    crashes: int = 0


class Engine(ABC):
    """Takes jobs to their records, longest first.

    Parameters
    ----------
    slots : int or None
        Jobs handed out at once; None: all.
    crashes_allowed : int
        A run whose worker died (a crash, killed for memory, a lost machine) starts again from its
        checkpoint so many times; then it is recorded as failed.
    """

    tick_seconds = TICK

    def __init__(self, slots: int | None, crashes_allowed: int = CRASHES_ALLOWED) -> None:
        self.slots, self.crashes_allowed = slots, crashes_allowed
        self._waiting: list[Entry] = []
        self._flying: dict[str, tuple[Entry, Any]] = {}

    @abstractmethod
    def _submit(self, jobs: Sequence[Job]) -> Iterable[Any]:
        """Hand jobs out; a handle for each."""

    @abstractmethod
    def _outcome(self, handle: Any, job: Job) -> Outcome | None:
        """How the job of this handle ended; None while it has not."""

    @abstractmethod
    def _cancel(self, handles: Sequence[Any]) -> None:
        """Have the jobs write their checkpoints and end, and wait for that."""

    def run(self, jobs: Sequence[Job], watch: Watch) -> None:
        """Do all jobs, telling the watch; every one has a record when this returns.

        Raises
        ------
        KeyboardInterrupt
            It was stopped; the workers have written their checkpoints and ended.
        """
        self.watch = watch
        ordered = sorted(jobs, key=lambda job: job.cost, reverse=True)
        self._waiting = [Entry(job) for job in ordered]
        try:
            while self._waiting or self._flying:
                self._launch()
                time.sleep(self.tick_seconds)
                self._land()
                self.watch.tick(self._at_work([entry.job for entry, _ in self._flying.values()]))
        except BaseException:
            self._cancel([handle for _, handle in self._flying.values()])
            self._flying.clear()
            raise

    def _at_work(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Those of the jobs handed out that a worker is at."""
        return jobs

    def _launch(self) -> None:
        chosen: list[Entry] = []
        for entry in self._ready():
            if has_record(entry.job):  # another sweep on this folder did it
                self._waiting.remove(entry)
                self.watch.ended(entry.job)
            elif is_locked(entry.job.work):  # another sweep is at it
                entry.not_before = time.monotonic() + BUSY_SECONDS
            elif self.slots is None or len(self._flying) + len(chosen) < self.slots:
                chosen.append(entry)
        handles = self._submit([entry.job for entry in chosen]) if chosen else ()
        for entry, handle in zip(chosen, handles, strict=True):
            self._waiting.remove(entry)
            self._flying[entry.job.run] = (entry, handle)
            self.watch.started(entry.job)

    def _ready(self) -> list[Entry]:
        if self.slots is not None and len(self._flying) >= self.slots:
            return []
        now = time.monotonic()
        return [entry for entry in self._waiting if entry.not_before <= now]

    def _land(self) -> None:
        for run, (entry, handle) in list(self._flying.items()):
            outcome = self._outcome(handle, entry.job)
            if outcome is not None:
                del self._flying[run]
                self._settle(entry, outcome)

    def _settle(self, entry: Entry, outcome: Outcome) -> None:
        if outcome.code == DONE:
            self.watch.ended(entry.job)
        elif outcome.code == BUSY:
            self._again(entry, BUSY_SECONDS)
        elif entry.crashes < self.crashes_allowed:
            entry.crashes += 1
            self.watch.said(f"{entry.job.run}: {outcome.words}; starting it again")
            self._again(entry, 0.0)
        else:
            if not has_record(entry.job):
                write_record(entry.job.records, failure(entry.job, outcome.words))
            self.watch.ended(entry.job)

    def _again(self, entry: Entry, seconds: float) -> None:
        entry.not_before = time.monotonic() + seconds
        self._waiting.append(entry)
        self._waiting.sort(key=lambda waiting: waiting.job.cost, reverse=True)


def has_record(job: Job) -> bool:
    """Whether the run's record is written."""
    return (Path(job.records) / f"{job.run}.json").exists()


def work_through(process: WorkerProcess) -> Outcome:
    """Wait for a worker: what a task on a cluster does.

    Whatever interrupts the wait (a cancelled task, preemption) has the worker write its checkpoint
    and end first.
    """
    try:
        while (code := process.poll()) is None:
            time.sleep(TICK)
        return outcome_of(code, process)
    finally:
        stop_workers([process])


def heard_from(jobs: Sequence[Job]) -> list[Job]:
    """Those of the jobs whose workers, on whatever machine, told of progress a short while ago."""
    oldest = time.time() - FRESH_SECONDS
    said = {job.run: read_progress(job.work) for job in jobs}
    return [job for job in jobs if (p := said[job.run]) is not None and p.written > oldest]


def in_one_line(error: BaseException) -> str:
    """Kind and first line of an error that came from another machine with a long trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def outcome_of(code: int, process: WorkerProcess) -> Outcome:
    """A worker's exit code, with words for people where it died."""
    return Outcome(code, "" if code in (DONE, BUSY) else describe_exit(code, process.last_words()))


def stop_workers(processes: Sequence[WorkerProcess]) -> None:
    """Ask workers to stop, wait for their checkpoints, and kill those that take too long."""
    for process in processes:
        if process.poll() is None:
            process.ask_to_stop()
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
