"""A sweep whose runs of one shape are trained together, stack by stack, in this process.

For a device that runs this small leave idle. Where a stack was cut off, the same runs go on
together from its checkpoint, before the others are grouped anew; a run that was begun by itself
goes on by itself. Other sweeps may work in the same folder: a run that one of them has is left to
it, and waited for.
"""

import shutil
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import DivergedError, RunRecord, now, write_record
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.sweep.attempt import failure, is_locked
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.sweep.opening import Sweep
from bayes_infolaw.harness.sweep.provenance import write_provenance
from bayes_infolaw.harness.sweep.run import Summary, summary_of, terminable
from bayes_infolaw.harness.sweep.single import stoppable
from bayes_infolaw.harness.sweep.stack_work import begin, begun_stacks, is_part_trained, runs_held
from bayes_infolaw.harness.sweep.state import check_records, missing_runs, set_aside_failed
from bayes_infolaw.harness.sweep.table import write_study, write_table
from bayes_infolaw.harness.training.stacked.grouping import group

if TYPE_CHECKING:
    from bayes_infolaw.harness.training.log import Status
    from bayes_infolaw.harness.training.meter import Watcher

__all__ = ["StackedHow", "run_stacks"]

BUSY_SECONDS = 1.0
CHECKPOINTS = "checkpoint"


@dataclass(frozen=True)
class StackedHow:
    """How a sweep is carried out stack by stack.

    Attributes
    ----------
    size : int
        Most runs in a stack.
    flops : float or None
        Most FLOP of a stack of more than one run, so that each can end in the time there is.
    threads : int or None
        Threads of a stack; None: as the plan has it for a run.
    seconds : float or None
        Stop cleanly after so long; the same call goes on.
    drop_checkpoints : bool
        Keep no weights of finished runs.
    retry_failed : bool
        Try failed and diverged runs again.
    """

    size: int
    flops: float | None = None
    threads: int | None = None
    seconds: float | None = None
    drop_checkpoints: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for name, value in (("stack", self.size), ("threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"--{name}: must be at least 1, got {value}")
        if self.flops is not None and not self.flops > 0:
            raise InputError(f"--stack-flops: must be above 0, got {self.flops:g}")
        if self.seconds is not None and not self.seconds >= 0:
            raise InputError(f"--stop-after: must be at least 0, got {self.seconds:g}")


def run_stacks(sweep: Sweep, how: StackedHow) -> Summary:
    """Train what is missing, with a record for each run as `run_sweep` writes it.

    Parameters
    ----------
    sweep : Sweep
        Its runs are grouped by what a program has only one of: model, batch, steps, evaluation.
    how : StackedHow

    Raises
    ------
    InputError
        A row of the plan says something else of a run than its record, or settings do not fit the
        corpus or the machine.
    """
    runs = [replace(run, threads=how.threads or run.threads) for run in sweep.runs]
    check_records(sweep.folder, runs, sweep.corpus, how.retry_failed)
    sweep.folder.prepare()
    write_study(sweep.folder, sweep.corpus, sweep.file.study)
    retried = set_aside_failed(sweep.folder, runs) if how.retry_failed else []
    missing = missing_runs(sweep.folder, runs)
    said: dict[str, Any] = {"engine": "local", "stack": how.size, "retried": retried}
    said |= {"runs": len(runs), "missing": len(missing)}
    write_provenance(sweep.folder, sweep.plan_file, sweep.file.path, sweep.corpus, said)
    stopped = not _carry_out(sweep, runs, how)
    write_table(sweep.folder)
    return summary_of(sweep.folder, runs, stopped)


def _carry_out(sweep: Sweep, runs: Sequence[RunSettings], how: StackedHow) -> bool:
    """Whether all runs have their records; False where it was stopped."""
    clock, said = _Clock(how.seconds), ""
    try:
        with terminable():
            while missing := missing_runs(sweep.folder, runs):
                made = [_Attempt(sweep, s, clock, how).make() for s in _stacks(sweep, missing, how)]
                if not any(made):
                    said = _wait(missing, clock, said)
    except KeyboardInterrupt:
        return False
    return True


def _wait(missing: Sequence[RunSettings], clock: "_Clock", said: str) -> str:
    """Stand by while other sweeps have all runs that are left; say so where that is new."""
    names = ", ".join(run.name for run in missing)
    if names != said:
        sys.stderr.write(f"waiting for another sweep, which has {names}\n")
    time.sleep(BUSY_SECONDS)
    clock.check("while another sweep had the runs that were left")
    return names


@dataclass
class _Clock:
    """When to stop; a sweep that goes on always has its first stack begun."""

    seconds: float | None
    started: float = field(default_factory=time.monotonic)
    stacks: int = 0

    def next_stack(self) -> None:
        if self.stacks:
            self.check("between stacks")
        self.stacks += 1

    def check(self, where: str) -> None:
        if self.seconds is not None and time.monotonic() - self.started >= self.seconds:
            raise KeyboardInterrupt(f"time is up {where}")


@dataclass(frozen=True)
class _Stack:
    """Runs of one program; or one run that goes on by itself, as it began."""

    runs: list[RunSettings]
    alone: bool = False


def _stacks(sweep: Sweep, missing: Sequence[RunSettings], how: StackedHow) -> list[_Stack]:
    """Stacks and runs that were begun, then those of the runs that are free, longest first."""
    begun = begun_stacks(sweep, missing)
    taken = {run.name for stack in begun for run in stack}
    left = [run for run in missing if run.name not in taken]
    alone = [run for run in left if is_part_trained(sweep, run)]
    free = [run for run in left if run not in alone and not is_locked(sweep.folder.work(run.name))]
    fresh = sorted(group(free, how.size, how.flops), key=_flops, reverse=True)
    ended = [_Stack([run], alone=True) for run in alone]
    return [*map(_Stack, begun), *ended, *map(_Stack, fresh)]


def _flops(stack: Sequence[RunSettings]) -> float:
    return sum(run.budget.flops for run in stack)


@dataclass(frozen=True)
class _Attempt:
    sweep: Sweep
    stack: _Stack
    clock: _Clock
    how: StackedHow

    def make(self) -> bool:
        """Train the stack and write its records; whether it was still to be had."""
        self.clock.next_stack()
        with runs_held(self.sweep.folder, [run.name for run in self.stack.runs]) as free:
            if not (free and self._as_it_was()):
                return False
            self._make_held()
        write_table(self.sweep.folder)
        return True

    def _as_it_was(self) -> bool:
        """Whether no other sweep has meanwhile ended, or begun and left, one of the runs."""
        runs = self.stack.runs
        if len(missing_runs(self.sweep.folder, runs)) < len(runs):
            return False
        return self.stack.alone or not any(is_part_trained(self.sweep, run) for run in runs)

    def _make_held(self) -> None:
        own = self.sweep.folder.work(self.stack.runs[0].name)
        work = own if self.stack.alone else begin(self.sweep, self.stack.runs)
        records = [self._written(record) for record in self._records(work)]
        if any(record.status == "failed" for record in records):
            return
        if not self.stack.alone:
            shutil.rmtree(work)
        elif self.how.drop_checkpoints:
            shutil.rmtree(work / CHECKPOINTS, ignore_errors=True)

    def _written(self, record: RunRecord) -> RunRecord:
        """The record that was written: where this one cannot be, that is the run's failure."""
        try:
            write_record(self.sweep.folder.records, record)
        except ValueError as error:
            words = f"{type(error).__name__}: {error}"
            record = failure(self._job(record.settings), words, record.started)
            write_record(self.sweep.folder.records, record)
        return record

    def _job(self, run: RunSettings) -> Job:
        return Job.of(run, self.sweep.corpus, self.sweep.folder)

    def _records(self, work: Path) -> list[RunRecord]:
        started, status = now(), "failed"
        try:
            return self._trained(work)
        except InputError:
            raise
        except DivergedError as error:  # of a run alone
            words, status = str(error), "diverged"
        except Exception as error:
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}".replace(str(work.resolve()), "<work>")
        return [failure(self._job(run), words, started, status) for run in self.stack.runs]

    def _trained(self, work: Path) -> list[RunRecord]:
        runs, corpus = self.stack.runs, self.sweep.corpus
        named = runs[0].name if self.stack.alone else f"{runs[0].name}+{len(runs) - 1}"
        with stoppable(replace(runs[0], name=named), shown=True) as watch:
            heard = self._until_the_end(watch)
            if self.stack.alone:
                from bayes_infolaw.harness.training.trainer import train_run

                return [train_run(runs[0], corpus, work, progress=heard)]
            from bayes_infolaw.harness.training.stacked.trainer import train_stack

            return train_stack(
                runs,
                corpus,
                work,
                progress=heard,
                folder_of=self.sweep.folder.work,
                keep_weights=not self.how.drop_checkpoints,
            )

    def _until_the_end(self, watch: "Watcher") -> "Watcher":
        def hear(done: int, total: int, *, status: "Status") -> None:
            watch(done, total, status=status)
            self.clock.check(f"at step {done} of {total}")

        return hear
