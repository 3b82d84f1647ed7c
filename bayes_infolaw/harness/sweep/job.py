"""One run of a sweep as data that travels to a worker, and the folder it works in."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.folder import StudyFolder

__all__ = ["BUSY", "CRASHED", "DONE", "STOPPED", "TRAINER", "Job", "Progress", "read_progress"]

TRAINER = "bayes_infolaw.harness.training.trainer:train_run"
DONE, BUSY, STOPPED, CRASHED = 0, 75, 76, 1
"""A worker's exit codes: recorded; another worker has the run; stopped when asked; died."""
PROGRESS = "progress.json"


@dataclass(frozen=True)
class Job:
    """All that a worker needs to do one run, on this machine or on another.

    Attributes
    ----------
    run : str
        The run's name.
    settings : dict
        `RunSettings.to_dict()`.
    corpus, corpus_hash : str
        Folder of the corpus as the worker sees it, and the hash it must have.
    work : str
        The run's own folder for checkpoints and logs; on storage that all workers share.
    records : str
        Folder into which the record is written.
    train : str
        ``"module:function"`` with the signature of `train_run`.
    cost : float
        FLOP, to start the longest runs first.
    threads : int
        Threads of this run.
    nice : int
        How far the worker stands back for other work on its machine, as of ``nice``; 0: not.
    """

    run: str
    settings: dict[str, Any]
    corpus: str
    corpus_hash: str
    work: str
    records: str
    train: str = TRAINER
    cost: float = 0.0
    threads: int = 1
    nice: int = 0

    @classmethod
    def of(cls, run: RunSettings, corpus: Corpus, folder: StudyFolder, **how: Any) -> "Job":
        """The job of a run on a corpus, in a study's folder; ``how`` has the other fields."""
        return cls(
            run=run.name,
            settings=run.to_dict(),
            corpus=str(corpus.folder.resolve()),
            corpus_hash=corpus.hash,
            work=str(folder.work(run.name).resolve()),
            records=str(folder.records.resolve()),
            cost=run.budget.flops,
            threads=run.threads,
            **how,
        )

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps (or any unit) done of all, and when that was written."""

    done: int
    total: int
    seconds: float
    """Since this attempt began."""
    written: float
    """Unix time."""

    @property
    def fraction(self) -> float:
        """Between 0 and 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0


def read_progress(work: str | Path) -> Progress | None:
    """What the worker of this folder said last; None where it said nothing yet."""
    try:
        return Progress(**json.loads((Path(work) / PROGRESS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
