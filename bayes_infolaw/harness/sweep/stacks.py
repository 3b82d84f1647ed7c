"""A sweep whose runs of one shape are trained together, stack by stack, in this process.

For a device that runs this small leave idle. Where a stack was cut off, the same runs go on
together from its checkpoint, before the others are grouped anew.
"""

import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import RunRecord, now, write_record
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.sweep.attempt import clear_work, failure, lock_path
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.sweep.opening import Sweep
from bayes_infolaw.harness.sweep.provenance import write_provenance
from bayes_infolaw.harness.sweep.run import Summary, summary_of
from bayes_infolaw.harness.sweep.single import stoppable
from bayes_infolaw.harness.sweep.state import check_records, missing_runs, set_aside_failed
from bayes_infolaw.harness.sweep.table import write_study, write_table
from bayes_infolaw.whole_file import write_whole

if TYPE_CHECKING:
    from bayes_infolaw.harness.training.log import Status
    from bayes_infolaw.harness.training.meter import Watcher

__all__ = ["StackedHow", "run_stacks"]

MEMBERS = "stack.json"
DIGITS = 12


@dataclass(frozen=True)
class StackedHow:
    """How a sweep is carried out stack by stack.

    Attributes
    ----------
    size : int
        Most runs in a stack.
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
    threads: int | None = None
    seconds: float | None = None
    drop_checkpoints: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        for name, value in (("stack", self.size), ("threads", self.threads)):
            if value is not None and value < 1:
                raise InputError(f"--{name}: must be at least 1, got {value}")


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
    stopped = not _carry_out(sweep, missing, how)
    write_table(sweep.folder)
    return summary_of(sweep.folder, runs, stopped)


def _carry_out(sweep: Sweep, missing: Sequence[RunSettings], how: StackedHow) -> bool:
    """Whether all stacks were gone through; False where it was stopped."""
    ends = None if how.seconds is None else time.monotonic() + how.seconds
    try:
        for stack in _stacks(sweep, missing, how.size):
            _Attempt(sweep, stack, ends, how.drop_checkpoints).make()
    except KeyboardInterrupt:
        return False
    return True


def _stacks(sweep: Sweep, missing: Sequence[RunSettings], size: int) -> list[list[RunSettings]]:
    """Stacks that were begun, then those of the runs that are left."""
    from bayes_infolaw.harness.training.stacked.trainer import group

    by_name = {run.name: run for run in missing}
    begun = []
    for path in sorted((sweep.folder.root / "work").glob(f"stack-*/{MEMBERS}")):
        names = json.loads(path.read_text(encoding="utf-8"))["runs"]
        stack = [by_name[name] for name in names if name in by_name]
        # With another plan or corpus, or where some runs have their records, it is another stack.
        if stack and _folder(sweep, stack) == path.parent:
            begun.append(stack)
            by_name = {name: run for name, run in by_name.items() if name not in names}
        else:
            shutil.rmtree(path.parent)
    return [*begun, *group(list(by_name.values()), size)]


def _folder(sweep: Sweep, stack: Iterable[RunSettings]) -> Path:
    """The stack's folder, named by what must not change while it is under way."""
    identity = [sweep.corpus.hash, *([run.name, run.hash] for run in stack)]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return sweep.folder.work(f"stack-{digest[:DIGITS]}")


@dataclass(frozen=True)
class _Attempt:
    sweep: Sweep
    stack: list[RunSettings]
    ends: float | None
    drop_checkpoints: bool

    @property
    def work(self) -> Path:
        return _folder(self.sweep, self.stack)

    def make(self) -> None:
        """Train the stack, unless another process has one of its runs, and write the records."""
        with ExitStack() as locks:
            try:
                for name in sorted(run.name for run in self.stack):
                    lock = FileLock(lock_path(self.sweep.folder.work(name)), timeout=0)
                    locks.enter_context(lock)
            except Timeout:
                return  # its records will be written there
            self._make_alone(self.work)
        write_table(self.sweep.folder)

    def _make_alone(self, work: Path) -> None:
        self._begin(work)
        records = [self._written(record) for record in self._records(work)]
        if all(record.status != "failed" for record in records):
            shutil.rmtree(work)

    def _written(self, record: RunRecord) -> RunRecord:
        """The record that was written: where this one cannot be, that is the run's failure."""
        try:
            write_record(self.sweep.folder.records, record)
        except ValueError as error:
            job = Job.of(record.settings, self.sweep.corpus, self.sweep.folder)
            record = failure(job, f"{type(error).__name__}: {error}", record.started)
            write_record(self.sweep.folder.records, record)
        return record

    def _begin(self, work: Path) -> None:
        if (work / MEMBERS).exists():
            return
        for run in self.stack:
            clear_work(self.sweep.folder.work(run.name))
        work.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"runs": [run.name for run in self.stack]}) + "\n"
        write_whole(work / MEMBERS, lambda part: part.write_text(text, encoding="utf-8"))

    def _records(self, work: Path) -> list[RunRecord]:
        started = now()
        try:
            return self._trained(work)
        except InputError:
            raise
        except Exception as error:
            traceback.print_exc()
            words = f"{type(error).__name__}: {error}".replace(str(work.resolve()), "<work>")
            jobs = [Job.of(run, self.sweep.corpus, self.sweep.folder) for run in self.stack]
            return [failure(job, words, started) for job in jobs]

    def _trained(self, work: Path) -> list[RunRecord]:
        from bayes_infolaw.harness.training.stacked.trainer import train_stack

        shown = replace(self.stack[0], name=f"{self.stack[0].name}+{len(self.stack) - 1}")
        with stoppable(shown, shown=True) as watch:
            return train_stack(
                self.stack,
                self.sweep.corpus,
                work,
                progress=self._until_the_end(watch),
                folder_of=self.sweep.folder.work,
                keep_weights=not self.drop_checkpoints,
            )

    def _until_the_end(self, watch: "Watcher") -> "Watcher":
        def hear(done: int, total: int, *, status: "Status") -> None:
            watch(done, total, status=status)
            if self.ends is not None and time.monotonic() >= self.ends:
                raise KeyboardInterrupt(f"time is up at step {done} of {total}")

        return hear
