"""Where the tasks of a stage run: processes of this machine, or Ray Data."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.corpus.work import StoppedError
from bayes_infolaw.harness.requires import require

__all__ = ["Engine", "WorkerKilledError", "check_engine", "open_engine"]

ENGINES = ("local", "ray", "inline")
RAY_STARTS = 3
PR_SET_PDEATHSIG = 1  # linux/prctl.h
Task = Callable[[], Any]


class WorkerKilledError(StoppedError):
    """The machine ended a process."""


class Engine(Protocol):
    """Runs tasks; they leave their results in files, so all it tells is that one is done."""

    def run(self, tasks: Sequence[Task]) -> Iterator[None]:
        """Run picklable tasks in any order; yields after each."""
        ...


def check_engine(name: str, workers: int) -> None:
    """Raise InputError unless there is such an engine: before anything is written."""
    if name not in ENGINES:
        raise InputError(f"engine: must be one of {', '.join(ENGINES)}, got {name!r}")
    if workers < 1:
        raise InputError(f"workers: must be at least 1, got {workers}")


@contextmanager
def open_engine(name: str, workers: int, address: str | None = None) -> Iterator[Engine]:
    """An engine that is closed afterwards.

    Parameters
    ----------
    name : str
        "local": processes of this machine; "ray": Ray Data; "inline": this process, one by one.
    workers : int
        Processes.
    address : str, optional
        A running Ray cluster that sees the same files; else one is started here.
    """
    check_engine(name, workers)
    if name == "ray":
        yield from _ray(workers, address)
    elif name == "inline":
        yield _Inline()
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _begin_worker, (os.getpid(),)) as pool:
            yield _Processes(pool)


class _Inline:
    def run(self, tasks: Sequence[Task]) -> Iterator[None]:
        for task in tasks:
            yield task()


class _Processes:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, tasks: Sequence[Task]) -> Iterator[None]:
        futures: list[Future[Any]] = []
        try:
            futures += [self._pool.submit(task) for task in tasks]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            rule = "a worker was killed (out of memory?); the same command goes on from here"
            raise WorkerKilledError(
                f"corpus build: {rule}, with fewer --workers or a smaller --chunk-mb"
            ) from error
        finally:
            for future in futures:
                future.cancel()


def _begin_worker(parent: int) -> None:
    """One thread a worker, and no worker left behind when the build is killed."""
    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if sys.platform == "linux":  # at once, whatever the worker is doing
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _ray(workers: int, address: str | None) -> Iterator[Engine]:
    ray, data = require("ray"), require("ray.data")
    mine = not ray.is_initialized()
    if mine:
        _connect(
            ray, {"address": address} if address else {"address": "local", "num_cpus": workers}
        )
    data.DataContext.get_current().enable_progress_bars = False
    try:
        yield _Ray(data)
    finally:
        if mine:
            ray.shutdown()


def _connect(ray: Any, options: dict[str, Any]) -> None:
    """Join a cluster or start one; Ray gives a machine 30 s, which a busy computer may exceed."""
    quiet = {"log_to_driver": False, "logging_level": "error"}
    local = {"include_dashboard": False} if options["address"] == "local" else {}
    for left in reversed(range(RAY_STARTS)):
        try:
            ray.init(**options, **quiet, **local)
            return
        except ConnectionError as error:
            rule = "must be that of a running cluster"
            raise InputError(f"ray address: {rule}, got {options['address']!r}") from error
        except Exception as error:  # Ray raises no narrower one when its start times out
            ray.shutdown()
            if not left:
                raise WorkerKilledError(f"ray: does not start here ({error})") from error


class _Ray:
    def __init__(self, data: Any) -> None:
        self._data = data

    def run(self, tasks: Sequence[Task]) -> Iterator[None]:
        if len(tasks) == 1:  # a dataset of one row costs seconds and gains nothing
            yield tasks[0]()
        elif tasks:
            rows = self._data.from_items(
                [{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=len(tasks)
            )
            for row in rows.map(_run_row).iter_rows():
                if row["error"]:
                    raise (StoppedError if row["stopped"] else InputError)(row["error"])
                yield None


def _run_row(row: dict[str, Any]) -> dict[str, Any]:
    try:
        pickle.loads(row["task"])()
    except InputError as error:  # Ray would wrap it in a traceback of its own
        return {"error": str(error), "stopped": isinstance(error, StoppedError)}
    return {"error": "", "stopped": False}
