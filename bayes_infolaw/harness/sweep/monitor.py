"""How far a sweep is, on stderr: bars on a terminal, else a line a run."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.sweep.job import Job, read_progress
from bayes_infolaw.harness.sweep.opening import Sweep
from bayes_infolaw.harness.sweep.speed import Speed, time_left

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Monitor", "watching"]

TICK = 1.0
SAID_SECONDS = 300.0
LEAST_FRACTION = 0.02
"""A run's own pace is trusted from here on."""


class Monitor:
    """Counts runs and foretells the end; hears what the engine says.

    Parameters
    ----------
    sweep : Sweep
    jobs : sequence of Job
        The runs that are missing.
    slots : int
        Runs at once.
    bars : rich Progress, optional
        None: lines.
    """

    def __init__(
        self, sweep: Sweep, jobs: Sequence[Job], slots: int, bars: "Progress | None" = None
    ) -> None:
        self._folder, self._slots, self._bars = sweep.folder, slots, bars
        self._all, self._left = len(jobs), {job.run: job for job in jobs}
        self._settings = {run.name: run for run in sweep.runs}
        self._speed = Speed(sweep.folder.all_records())
        self._running: list[Job] = []
        self._next_tick, self._next_line = 0.0, time.monotonic() + SAID_SECONDS
        self._tasks: dict[str, TaskID] = {}
        if bars is not None:
            self._whole = bars.add_task("sweep", total=self._all, note="")

    def started(self, job: Job) -> None:
        """A worker has the run."""
        if self._bars is not None and job.run not in self._tasks:
            self._tasks[job.run] = self._bars.add_task(f"  {job.run}", total=1.0, note="")

    def ended(self, job: Job) -> None:
        """The run has a record: say what it came to."""
        self._left.pop(job.run, None)
        record = self._folder.record(job.run)
        if record is not None:
            self._speed.learn(record)
            self.said(f"{job.run}: {outcome(record)}")
        if self._bars is not None and job.run in self._tasks:
            self._bars.remove_task(self._tasks.pop(job.run))
        self._line()

    def said(self, message: str) -> None:
        """A line of its own."""
        if self._bars is not None:
            self._bars.console.print(message, markup=False, highlight=False)
        else:
            sys.stderr.write(message + "\n")

    def tick(self, running: Sequence[Job]) -> None:
        """Renew the bars, or say a line every few minutes."""
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick, self._running = now + TICK, list(running)
        if self._bars is not None:
            self._renew_bars()
        elif now >= self._next_line:
            self._line()

    def seconds_left(self) -> float | None:
        """Foretold by finished runs' speed and the running ones' pace; None while unknown."""
        found = [self._seconds_of(job) for job in self._left.values()]
        known = [seconds for seconds in found if seconds is not None]
        if not known or len(known) < len(found):
            return None
        return time_left(known, self._slots)

    def _seconds_of(self, job: Job) -> float | None:
        whole = self._foretold(job)
        said = read_progress(job.work) if job in self._running else None
        if said is None or said.fraction < LEAST_FRACTION:
            return whole
        if whole is None:
            whole = said.seconds / said.fraction
        return whole * (1 - said.fraction)

    def _foretold(self, job: Job) -> float | None:
        return self._speed.seconds(RunSettings.from_dict(job.settings))

    def _state(self) -> str:
        left = self.seconds_left()
        end = "" if left is None or not self._left else f", about {duration(left)} left"
        done = self._all - len(self._left)
        return f"{done} of {self._all} runs done, {len(self._running)} running{end}"

    def _line(self) -> None:
        self._next_line = time.monotonic() + SAID_SECONDS
        if self._bars is None:
            sys.stderr.write(f"sweep: {self._state()}\n")

    def _renew_bars(self) -> None:
        assert self._bars is not None
        for job in self._running:
            said = read_progress(job.work)
            if said is not None and job.run in self._tasks:
                self._bars.update(self._tasks[job.run], completed=said.fraction)
        done = self._all - len(self._left)
        self._bars.update(self._whole, completed=done, note=self._state())


def outcome(record: RunRecord) -> str:
    """``loss 5.1234 in 1 min 41 s``, or why there is none."""
    if record.status != "finished":
        return f"{record.status}: {record.error}"
    loss = next(iter(record.losses.values())).nats_per_token
    seconds = record.resources.get("seconds")
    return f"loss {loss:.4f}" + (f" in {duration(float(seconds))}" if seconds else "")


def duration(seconds: float) -> str:
    """``5400`` -> ``1 h 30 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def watching(sweep: Sweep, jobs: Sequence[Job], slots: int) -> Iterator[Monitor]:
    """A monitor on stderr: bars on a terminal, else lines."""
    if not sys.stderr.isatty():
        yield Monitor(sweep, jobs, slots)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    console = Console(file=sys.stderr)
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bars:
        yield Monitor(sweep, jobs, slots, bars)
