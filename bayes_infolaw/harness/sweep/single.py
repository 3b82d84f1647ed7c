"""One run, trained here and now, into a study's folder: beside what sweeps put there."""

import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import DivergedError, RunRecord, now, write_record
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.attempt import failure, lock_path
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.sweep.plan import resolve_plan
from bayes_infolaw.harness.sweep.settings_file import SweepFile
from bayes_infolaw.harness.sweep.table import write_study, write_table
from bayes_infolaw.harness.training.log import Status, progress_bar

if TYPE_CHECKING:
    from bayes_infolaw.harness.training.meter import Watcher
    from bayes_infolaw.harness.training.strategy import SingleProcess

__all__ = ["SingleRun", "resolve_run", "stoppable", "train_into"]

CELL = re.compile(r"plan, row 1(?: \(run '[^']*'\))?(?:, column )?:? ?")


@dataclass(frozen=True)
class SingleRun:
    """What to train, on which corpus, into which folder.

    ``tensorboard`` adds TensorBoard's files to the log.
    """

    settings: RunSettings
    corpus: Corpus
    folder: StudyFolder
    tensorboard: bool = False

    @property
    def work(self) -> Path:
        """The run's folder for checkpoints and logs."""
        return self.folder.work(self.settings.name)


def resolve_run(
    cells: Mapping[str, Any], corpus: Corpus, file: SweepFile
) -> tuple[RunSettings, list[str]]:
    """Settings of one run, read as a plan's row is, and notes.

    Raises
    ------
    InputError
        A cell breaks its rule; the message names it as a command line's option.
    """
    try:
        plan = resolve_plan(pd.DataFrame([dict(cells)]), corpus, file)
    except InputError as error:
        raise InputError(_as_option(str(error))) from error
    return plan.runs[0], list(plan.notes)


def _as_option(message: str) -> str:
    """``plan, row 1, column source_tokens: ...`` -> ``--source-tokens: ...``."""
    rest = CELL.sub("", message, count=1)
    if rest == message:
        return message
    column, colon, rule = rest.partition(":")
    if column.startswith("w_"):
        column = "recipe"
    return f"--{column.replace('_', '-')}{colon}{rule}" if column.isidentifier() else rest


def train_into(run: SingleRun, strategy: "SingleProcess | None" = None) -> RunRecord:
    """Train a run, write its record, and renew the study's table.

    SIGTERM and Ctrl-C save a checkpoint first; the same call goes on from it.

    Returns
    -------
    RunRecord
        Finished or, where a loss was not finite, diverged.

    Raises
    ------
    InputError
        There is a record of this name already, another process trains it, or the settings do not
        fit the corpus, the machine or the checkpoint.
    """
    from bayes_infolaw.harness.training.strategy import SingleProcess

    strategy = strategy or SingleProcess()
    if not strategy.is_main:
        return _trained(run, strategy)
    run.folder.prepare()
    if run.folder.record(run.settings.name) is not None:
        rule = f"must be new in {run.folder.records.parent.name}/records"
        raise InputError(f"--run: {rule}, got {run.settings.name!r}")
    with _alone(run.work):
        record = _trained(run, strategy)
        write_record(run.folder.records, record)
    write_table(run.folder)
    write_study(run.folder, run.corpus, {})
    return record


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    try:
        with FileLock(lock_path(work), timeout=0):
            yield
    except Timeout as error:
        raise InputError(f"--run: must not be in training already, got {work.name!r}") from error


def _trained(run: SingleRun, strategy: "SingleProcess") -> RunRecord:
    from bayes_infolaw.harness.training.trainer import train_run

    started = now()
    try:
        with stoppable(run.settings, strategy.is_main) as watch:
            return train_run(
                run.settings,
                run.corpus,
                run.work,
                progress=watch,
                strategy=strategy,
                tensorboard=run.tensorboard,
            )
    except DivergedError as error:
        job = Job.of(run.settings, run.corpus, run.folder)
        return failure(job, str(error), started, status="diverged")


@contextmanager
def stoppable(settings: RunSettings, shown: bool) -> "Iterator[Watcher]":
    """A watcher that shows progress and, after SIGTERM or Ctrl-C, asks the run to stop."""
    bar = progress_bar(settings) if shown else nullcontext(lambda status: None)
    with _stop_signals() as stopping, bar as show:

        def watch(done: int, total: int, *, status: Status) -> None:
            show(status)
            if stopping.is_set():
                raise KeyboardInterrupt(f"asked to stop at step {done} of {total}")

        yield watch


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set by the first SIGTERM or Ctrl-C; the second one has its usual effect."""
    stopping = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopping  # signals are the main thread's
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: object) -> None:
        stopping.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
