"""One attempt at one run, inside its worker: train, and write the record whatever comes of it."""

import importlib
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import DivergedError, RunRecord, now, write_record
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.job import BUSY, DONE, PROGRESS, STOPPED, Job, Progress
from bayes_infolaw.harness.versions import versions
from bayes_infolaw.whole_file import write_whole

__all__ = ["StopRunError", "attempt", "clear_work", "failure", "is_locked", "lock_path"]

IDENTITY = "settings.json"
PROGRESS_SECONDS = 1.0
KEPT = ("worker.log",)
ERROR_LENGTH = 2000


class StopRunError(KeyboardInterrupt):
    """The run was asked to stop; no Exception, so that nothing takes it for a failure."""


def lock_path(work: str | Path) -> Path:
    """The lock that the worker of this folder holds: beside the folder, which may be cleared."""
    work = Path(work)
    return work.parent / f".{work.name}.lock"


def is_locked(work: str | Path) -> bool:
    """Whether a worker has the run of this folder right now."""
    try:
        with FileLock(lock_path(work), timeout=0):
            return False
    except Timeout:
        return True


def attempt(job: Job, stopping: Callable[[], bool]) -> int:
    """Do a run, resuming it where its folder has a checkpoint, and write its record.

    Parameters
    ----------
    job : Job
    stopping : callable
        Whether the run was asked to stop; asked at every progress report.

    Returns
    -------
    int
        ``DONE`` (there is a record now, whatever its status), ``BUSY`` (another worker has the
        run) or ``STOPPED``.
    """
    Path(job.work).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock_path(job.work), timeout=0):
            if (Path(job.records) / f"{job.run}.json").exists():
                return DONE
            return _locked_attempt(job, stopping)
    except Timeout:
        return BUSY


def _locked_attempt(job: Job, stopping: Callable[[], bool]) -> int:
    settings, started = RunSettings.from_dict(job.settings), now()
    try:
        write_record(job.records, _train(job, settings, stopping))
        return DONE
    except KeyboardInterrupt:
        return STOPPED
    except DivergedError as error:
        record = failure(job, f"{error}", started, status="diverged")
    except Exception as error:
        traceback.print_exc()
        record = failure(job, f"{type(error).__name__}: {error}", started)
    write_record(job.records, record)
    return DONE


def _train(job: Job, settings: RunSettings, stopping: Callable[[], bool]) -> RunRecord:
    work, corpus = Path(job.work), Corpus.open(job.corpus)
    if corpus.hash != job.corpus_hash:
        raise InputError(f"corpus: hash must be {job.corpus_hash}, got {corpus.hash}")
    _clear_other_settings(work, {"settings": settings.hash, "corpus": corpus.hash})
    module, _, function = job.train.partition(":")
    train = getattr(importlib.import_module(module), function)
    record = train(settings, corpus, work, progress=_Reporter(work, stopping))
    if record.run != job.run:
        raise InputError(f"record: run must be {job.run!r}, got {record.run!r}")
    return record


def _clear_other_settings(work: Path, identity: dict[str, str]) -> None:
    """A checkpoint of other settings or text is none of this run."""
    path = work / IDENTITY
    text = json.dumps(identity) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    if path.is_file():
        sys.stderr.write(f"{work.name}: settings or corpus changed, starting anew\n")
        clear_work(work)
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def clear_work(work: Path) -> None:
    """Empty a run's folder but for what its workers printed."""
    for item in work.iterdir() if work.is_dir() else ():
        if item.name not in KEPT:
            shutil.rmtree(item) if item.is_dir() else item.unlink()


class _Reporter:
    """The trainer's watcher: writes how far the run is, and stops it when asked to."""

    def __init__(self, work: Path, stopping: Callable[[], bool]) -> None:
        self._path, self._stopping = work / PROGRESS, stopping
        self._started, self._written = time.monotonic(), 0.0

    def __call__(self, done: int, total: int, *, status: Any = None) -> None:
        at = time.monotonic()
        if at - self._written >= PROGRESS_SECONDS or done >= total:
            self._written = at
            said = Progress(done, total, at - self._started, time.time())
            text = json.dumps(asdict(said))
            write_whole(self._path, lambda part: part.write_text(text, encoding="utf-8"))
        if self._stopping():
            raise StopRunError(f"asked to stop at {done} of {total}")


def failure(job: Job, error: str, started: str = "", status: str = "failed") -> RunRecord:
    """The record of a run that gave no loss."""
    return RunRecord(
        run=job.run,
        status=status,
        settings=RunSettings.from_dict(job.settings),
        corpus={"hash": job.corpus_hash},
        resources={"threads": job.threads},
        versions=versions(),
        started=started,
        finished=now(),
        error=_without_paths(error, job),
    )


def _without_paths(error: str, job: Job) -> str:
    """One line that names no folder of this machine: records are published."""
    for path, name in ((job.work, "<work>"), (job.corpus, "<corpus>"), (job.records, "<records>")):
        error = error.replace(path, name)
    return " ".join(error.split())[:ERROR_LENGTH]
