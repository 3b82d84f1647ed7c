"""A sweep is run: what is missing becomes jobs, an engine does them, the table follows."""

import importlib.util
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.sweep.engine import Engine, Watch
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.job import TRAINER, Job
from bayes_infolaw.harness.sweep.local import LocalEngine
from bayes_infolaw.harness.sweep.opening import Sweep
from bayes_infolaw.harness.sweep.provenance import write_provenance
from bayes_infolaw.harness.sweep.publishing import Publishing
from bayes_infolaw.harness.sweep.state import check_records, missing_runs, set_aside_failed
from bayes_infolaw.harness.sweep.table import write_study, write_table
from bayes_infolaw.harness.sweep.worker_check import require_trainer
from bayes_infolaw.harness.training.device import visible_gpus

__all__ = ["ENGINES", "How", "Summary", "run_sweep", "summary_of"]

ENGINES = ("local", "ray", "slurm")
SLURM = "slurm"
ENGINE_LIBRARIES = {"ray": "ray", "slurm": "submitit"}


@dataclass(frozen=True)
class How:
    """How a sweep is carried out.

    Attributes
    ----------
    engine : {"local", "ray", "slurm"}
    slots : int or None
        Runs at once; None: as many as this machine's cores hold (Ray, Slurm: as the cluster can).
    threads : int or None
        Threads of each run; None: as the plan has it.
    nice : int
        How far the workers stand back for other work, 0 (not) to 19.
    drop_checkpoints : bool
        Remove a run's checkpoint, which holds the trained weights, once it is finished.
    retry_failed : bool
        Try failed and diverged runs again.
    ray_address : str or None
        A running Ray cluster; None: one on this machine.
    slurm_cluster : str
        submitit's executor: "slurm", or "local" for trying it out.
    train : str
        ``"module:function"`` that trains, as `train_run` does.
    """

    engine: str = "local"
    slots: int | None = None
    threads: int | None = None
    nice: int = 0
    drop_checkpoints: bool = False
    retry_failed: bool = False
    ray_address: str | None = None
    slurm_cluster: str = "slurm"
    train: str = TRAINER

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            rule = f"must be one of {', '.join(ENGINES)}"
            raise InputError(f"--engine: {rule}, got {self.engine!r}")
        for name in ("slots", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name}: must be at least 1, got {value}")
        if self.ray_address is not None and self.engine != "ray":
            raise InputError(f"--ray-address: must go with --engine ray, got {self.ray_address!r}")
        if self.slurm_cluster != SLURM and self.engine != SLURM:
            rule = "must go with --engine slurm"
            raise InputError(f"--slurm-cluster: {rule}, got {self.slurm_cluster!r}")
        if not 0 <= self.nice <= 19:
            raise InputError(f"--nice: must be in 0..19, got {self.nice}")


@dataclass(frozen=True)
class Summary:
    """What a sweep came to.

    Attributes
    ----------
    status : dict of str to int
        Runs of the plan by status; "missing" where the sweep was stopped.
    rows : int
        Rows of the study's table.
    stopped : bool
        Ended by Ctrl-C or SIGTERM.
    failed : list of RunRecord
        Failed and diverged runs of the plan.
    """

    status: dict[str, int]
    rows: int
    stopped: bool
    failed: list[RunRecord] = field(default_factory=list)


class Watcher(Protocol):
    """Makes the `Watch` of a sweep, as a context manager."""

    def __call__(
        self, sweep: Sweep, jobs: Sequence[Job], slots: int
    ) -> AbstractContextManager[Watch]:
        """The watch over these jobs."""


def run_sweep(sweep: Sweep, how: How, watcher: Watcher) -> Summary:
    """Train what is missing; the study's table is whole after every run.

    Parameters
    ----------
    sweep : Sweep
    how : How
    watcher : Watcher
        Shows how far it is, see `monitor.watching`.

    Raises
    ------
    InputError
        A row of the plan says something else of a run than its record, or workers could not
        import the trainer.
    ImportError
        The engine's or the trainer's library is absent.
    """
    runs, folder = _with_threads(sweep.runs, how.threads), sweep.folder
    _require_libraries(how)
    _require_engines_devices(how, runs)
    check_records(folder, runs, sweep.corpus, how.retry_failed)
    engine = _engine(sweep, how, runs)
    folder.prepare()
    write_study(folder, sweep.corpus, sweep.file.study)
    retried = set_aside_failed(folder, runs) if how.retry_failed else []
    jobs = [
        Job.of(run, sweep.corpus, folder, train=how.train, nice=how.nice)
        for run in missing_runs(folder, runs)
    ]
    said: dict[str, Any] = {"engine": how.engine, "slots": engine.slots, "retried": retried}
    said |= {"runs": len(runs), "missing": len(jobs)}
    write_provenance(folder, sweep.plan_file, sweep.file.path, sweep.corpus, said)
    stopped = not _carry_out(sweep, engine, jobs, watcher, how.drop_checkpoints)
    return summary_of(folder, runs, stopped)


def _require_libraries(how: How) -> None:
    needed = ["torch"] if how.train == TRAINER else []
    needed += [ENGINE_LIBRARIES[how.engine]] if how.engine in ENGINE_LIBRARIES else []
    for library in needed:
        if importlib.util.find_spec(library) is None:  # found without the seconds of an import
            require(library)
    if how.train != TRAINER:
        require_trainer(how.train)


def _require_engines_devices(how: How, runs: Sequence[RunSettings]) -> None:
    numbered = [run for run in runs if ":" in run.device]
    if numbered and how.engine != "local":
        rule = f"must be cpu or cuda with --engine {how.engine}, which deals the GPUs out"
        raise InputError(f"run {numbered[0].name!r}, device: {rule}, got {numbered[0].device!r}")


def _with_threads(runs: Sequence[RunSettings], threads: int | None) -> list[RunSettings]:
    return [run if threads is None else replace(run, threads=threads) for run in runs]


def _default_slots(runs: Sequence[RunSettings]) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // max(run.threads for run in runs))


def _carry_out(
    sweep: Sweep,
    engine: Engine,
    jobs: Sequence[Job],
    watcher: Watcher,
    drop_checkpoints: bool,
) -> bool:
    """Whether all jobs have their records; False where it was stopped."""
    if not jobs:
        write_table(sweep.folder)
        return True
    try:
        with terminable(), watcher(sweep, jobs, engine.slots or len(jobs)) as watch:
            engine.run(jobs, Publishing(sweep.folder, watch, drop_checkpoints))
    except KeyboardInterrupt:
        return False
    finally:
        write_table(sweep.folder)
    return True


def _engine(sweep: Sweep, how: How, runs: Sequence[RunSettings]) -> Engine:
    if how.engine == "ray":
        from bayes_infolaw.harness.sweep.ray_engine import RayEngine

        return RayEngine(how.slots, how.ray_address, sweep.file.ray)
    if how.engine == "slurm":
        from bayes_infolaw.harness.sweep.slurm import SlurmEngine

        folder = sweep.folder.work(".slurm")  # no run's name begins with a dot
        return SlurmEngine(how.slots, folder, how.slurm_cluster, sweep.file.slurm)
    slots = how.slots or _default_slots(runs)
    return LocalEngine(slots, visible_gpus({run.device for run in runs}))


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM is heard as Ctrl-C is, so that both end the workers cleanly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def summary_of(folder: StudyFolder, runs: Sequence[RunSettings], stopped: bool) -> Summary:
    """What the runs' records say."""
    records = [folder.record(run.name) for run in runs]
    status = Counter("missing" if record is None else record.status for record in records)
    failed = [record for record in records if record and record.status != "finished"]
    return Summary(dict(status), len(_rows(folder)), stopped, failed)


def _rows(folder: StudyFolder) -> list[RunRecord]:
    return [record for record in folder.all_records() if record.status == "finished"]
