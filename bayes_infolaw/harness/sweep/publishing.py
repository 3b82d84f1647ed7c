"""What follows each run of a sweep: the table, and the room that its checkpoint took."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bayes_infolaw.harness.sweep.engine import Watch
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.job import Job
from bayes_infolaw.harness.sweep.table import write_table

__all__ = ["Publishing"]

CHECKPOINTS = "checkpoint"


@dataclass(frozen=True)
class Publishing:
    """A watch that has the table written before it passes on that a run ended."""

    folder: StudyFolder
    watch: Watch
    drop_checkpoints: bool = False

    def started(self, job: Job) -> None:
        """As `Watch`."""
        self.watch.started(job)

    def ended(self, job: Job) -> None:
        """As `Watch`."""
        write_table(self.folder)
        if self.drop_checkpoints and self._finished(job):
            shutil.rmtree(Path(job.work) / CHECKPOINTS, ignore_errors=True)
        self.watch.ended(job)

    def _finished(self, job: Job) -> bool:
        record = self.folder.record(job.run)
        return record is not None and record.status == "finished"

    def said(self, message: str) -> None:
        """As `Watch`."""
        self.watch.said(message)

    def tick(self, running: Sequence[Job]) -> None:
        """As `Watch`."""
        self.watch.tick(running)
