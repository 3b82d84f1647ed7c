"""What training came to -> the run's record."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from bayes_infolaw.harness.layermix import BucketCount
from bayes_infolaw.harness.record import DivergedError, Loss, RunRecord, now
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.evaluate import DocumentLosses, write_document_losses
from bayes_infolaw.harness.training.meter import Meter, device_name
from bayes_infolaw.harness.training.progress import Progress
from bayes_infolaw.harness.versions import versions

__all__ = ["Training", "tokens_per_step"]


@dataclass(frozen=True)
class Training:
    """One run's training, over.

    Attributes
    ----------
    settings, corpus, counts, progress
        What was asked for, on which text, what was packed of it, how far it came.
    processes : int
        That shared the work.
    stacked : int
        Runs that were trained as one program, this one among them.
    """

    settings: RunSettings
    corpus: Corpus
    counts: dict[str, BucketCount]
    progress: Progress
    processes: int = 1
    stacked: int = 1

    def finished(
        self, losses: Mapping[str, DocumentLosses], folder: Path, writes: bool = True
    ) -> RunRecord:
        """The record of the trained model's losses; ``eval_<set>.npz`` go into the folder.

        Raises
        ------
        DivergedError
            A loss is not finite: the last steps can spoil a model without a loss that tells.
        """
        summaries = {name: found.summary() for name, found in losses.items()}
        for name, summary in summaries.items():
            self._require_finite(name, summary)
        files = write_document_losses(folder, losses) if writes else {}
        return self._record("finished", losses=summaries, extra={"document_losses": files})

    def _require_finite(self, name: str, loss: Loss) -> None:
        if not all(map(math.isfinite, astuple(loss))):
            rule = f"loss on {name} must be finite, got {loss.nats_per_token} after the last step"
            raise DivergedError(f"run {self.settings.name!r}: {rule}")

    def diverged(self, error: str) -> RunRecord:
        """The record of a run that met a value that is not finite."""
        return self._record("diverged", error=error)

    def _record(self, status: str, **rest: Any) -> RunRecord:
        name = self.corpus.folder.resolve().name
        corpus = {"name": name, "hash": self.corpus.hash, "vocab_size": self.corpus.vocab_size}
        return RunRecord(
            run=self.settings.name,
            status=status,
            settings=self.settings,
            corpus=corpus,
            counts=self.counts,
            tokens=self.progress.step * tokens_per_step(self.settings),
            steps=self.progress.step,
            curve=self.progress.curve,
            resources=self._resources(),
            versions=versions(),
            started=self.progress.started,
            finished=now(),
            **rest,
        )

    def _resources(self) -> dict[str, Any]:
        """Time and machine; a run of a stack has its share of the time they took together."""
        done = self.progress
        seconds = done.train_seconds / self.stacked
        speed = done.step * tokens_per_step(self.settings) / max(seconds, 1e-9)
        engine = {"engine": f"stacked of {self.stacked}"} if self.stacked > 1 else {}
        return engine | {
            "seconds": seconds + done.evaluation_seconds,
            "train_seconds": seconds,
            "evaluation_seconds": done.evaluation_seconds,
            "tokens_per_second": speed,
            "mfu": Meter(self.settings, done, processes=self.processes).mfu(speed),
            "device": device_name(self.settings.device),
            "threads": torch.get_num_threads(),
            "processes": self.processes,
            "restarts": done.restarts,
            "batch_sequences": self.settings.budget.batch_sequences,
            "learning_rate": self.settings.budget.learning_rate,
        }


def tokens_per_step(settings: RunSettings) -> int:
    """Tokens of one optimiser step, over all processes."""
    return settings.budget.batch_sequences * settings.shape.seq_len
