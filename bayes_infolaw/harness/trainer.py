"""Settings and corpus -> one trained model and its record; resumed where it was cut off."""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayes_infolaw.harness.batches import batches
from bayes_infolaw.harness.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from bayes_infolaw.harness.evaluate import (
    DocumentLosses,
    EvaluationSet,
    evaluation_sets,
    write_document_losses,
)
from bayes_infolaw.harness.layermix import pack
from bayes_infolaw.harness.log import RunLog
from bayes_infolaw.harness.meter import Meter, Watcher, device_name
from bayes_infolaw.harness.optimiser import make_optimiser, set_learning_rate
from bayes_infolaw.harness.progress import Progress
from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.start import (
    as_checkpointed,
    compiling_explained,
    evaluated_steps,
    final_sets,
    require_fit,
)
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.strategy import SingleProcess
from bayes_infolaw.harness.transformer import Transformer

__all__ = ["train_run"]


def train_run(
    settings: RunSettings,
    corpus: Corpus,
    work: str | Path,
    *,
    progress: Watcher | None = None,
    strategy: SingleProcess | None = None,
    tensorboard: bool = False,
) -> RunRecord:
    """Train and evaluate one run, going on from its last checkpoint where there is one.

    Parameters
    ----------
    settings : RunSettings
        The run.
    corpus : Corpus
        What `pack` draws from, and its evaluation sets.
    work : str or Path
        The run's own folder, made where it is missing: ``checkpoint/``, ``log.jsonl`` and, at the
        end, ``eval_<set>.npz`` with each document's loss.
    progress : Watcher, optional
        Called after steps with (done, total, status=Status). Where it raises KeyboardInterrupt the
        run is saved first.
    strategy : SingleProcess, optional
        How processes share the work.
    tensorboard : bool
        Write TensorBoard's files as well.

    Returns
    -------
    RunRecord
        Finished, not yet written to a file.

    Raises
    ------
    InputError
        Settings that do not fit the corpus, the machine or the checkpoint.
    DivergedError
        A loss or a gradient that is not finite.
    """
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    run = _Run(settings, corpus, work, strategy or SingleProcess())
    log = RunLog(work, run.progress.step, tensorboard) if run.strategy.is_main else None
    try:
        with compiling_explained(run.settings.compile):
            run.train(Meter(run.settings, run.progress, log, progress, run.strategy.world))
    finally:
        if log:
            log.close()
    return run.finish()


class _Run:
    """A model on its way, and everything it needs to go on."""

    def __init__(
        self, settings: RunSettings, corpus: Corpus, work: Path, strategy: SingleProcess
    ) -> None:
        found = latest_checkpoint(work)
        settings = as_checkpointed(settings, found)
        require_fit(settings, corpus)
        torch.set_num_threads(settings.threads)
        self.settings, self.corpus, self.work, self.strategy = settings, corpus, work, strategy
        self.budget, self.device = settings.budget, torch.device(settings.device)
        self.packed = pack(corpus, settings.packing)
        self.final_sets = final_sets(settings, corpus)
        self.sets = evaluation_sets(corpus, settings.shape.seq_len, settings.eval_tokens)
        model = Transformer(settings.shape).to(self.device)
        model.initialise(settings.seed)
        self.model = strategy.wrap(model)
        self.optimiser = make_optimiser(self.model, settings)
        self.progress = self._resumed(found) if found else Progress(started=_now())
        if settings.compile:
            self.model.compile(dynamic=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it."""
        return _plain({"corpus": self.corpus.hash, **self.settings.identity()})

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimiser step, over all processes."""
        return self.budget.batch_sequences * self.settings.shape.seq_len

    def _resumed(self, found: Checkpoint) -> Progress:
        found.require_same(self.identity)
        self.strategy.load_state(self.model, self.optimiser, found.weights(), found.optimiser())
        progress = Progress(**found.progress["state"])
        progress.restarts += 1
        return progress

    def train(self, meter: Meter) -> None:
        """Take the steps that are left; evaluate and save on the way and at the end."""
        evaluated, saved = evaluated_steps(self.settings), time.monotonic()
        rows = (self._rows(step) for step in range(self.progress.step, self.budget.steps))
        meter.start()
        for batch in batches(self.packed, rows, self.device):
            wish = meter.add(*self._step(batch))
            if self.progress.step in evaluated:
                wish = meter.look() or wish
                self._extend_curve(self._losses(self.sets))
                meter.start()
            due = time.monotonic() - saved >= self.settings.checkpoint_seconds
            if self.strategy.any(due or wish is not None):
                wish = meter.look() or wish
                self.save()
                saved = time.monotonic()
                meter.start()
            if self.strategy.any(wish is not None):
                raise wish or KeyboardInterrupt("another process was asked to stop")
        meter.look()
        self.save()

    def _rows(self, step: int) -> np.ndarray:
        size = self.budget.batch_sequences
        return self.strategy.shard(np.arange(step * size, (step + 1) * size))

    def _step(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """One optimiser step: the global batch's mean loss, gradient norm, learning rate."""
        rate = self.budget.learning_rate_at(self.progress.step, self.settings)
        set_learning_rate(self.optimiser, rate)
        parts = self.strategy.micro_batches(batch, self.settings.micro_batch)
        losses = [self._backward(part, last=part is parts[-1]) for part in parts]
        loss = self.strategy.sum(torch.stack(losses).sum())
        norm = self.strategy.clip(self.model, self.settings.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.progress.step += 1
        return loss, norm, rate

    def _backward(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Backward of some rows; returns their part of the global batch's mean loss."""
        share = len(rows) / self.budget.batch_sequences
        with self.strategy.accumulating(self.model, last):
            with self._precision():
                loss = self.model(rows[:, :-1], rows[:, 1:])
            (loss * (share * self.strategy.world)).backward()
        return loss.detach() * share

    def _precision(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _losses(self, sets: Mapping[str, EvaluationSet]) -> dict[str, DocumentLosses]:
        start = time.monotonic()
        with self._precision():
            losses = {name: s.losses(self.model, self.strategy) for name, s in sets.items()}
        self.progress.evaluation_seconds += time.monotonic() - start
        return losses

    def _extend_curve(self, losses: Mapping[str, DocumentLosses]) -> None:
        now = self.progress
        point: dict[str, Any] = {"step": now.step, "tokens": now.step * self.tokens_per_step}
        point["train_loss"] = now.loss_sum / now.loss_steps if now.loss_steps else None
        point["losses"] = {n: float(d.nats.sum() / d.tokens.sum()) for n, d in losses.items()}
        now.curve.append(point)
        now.loss_sum, now.loss_steps = 0.0, 0

    def save(self) -> None:
        """Write a checkpoint."""
        state = self.strategy.state(self.model, self.optimiser)
        if self.strategy.is_main:
            facts = {"step": self.progress.step, "state": asdict(self.progress)}
            facts |= {"identity": self.identity, "settings": self.settings.to_dict()}
            save_checkpoint(self.work, state, facts)

    def finish(self) -> RunRecord:
        """Evaluate the trained model and put the record together."""
        losses = self._losses(self.final_sets)
        self._extend_curve({n: d.only(self.sets[n].documents) for n, d in losses.items()})
        files = write_document_losses(self.work, losses) if self.strategy.is_main else {}
        corpus = {"name": self.corpus.folder.resolve().name, "hash": self.corpus.hash}
        return RunRecord(
            run=self.settings.name,
            status="finished",
            settings=self.settings,
            corpus={**corpus, "vocab_size": self.corpus.vocab_size},
            counts=self.packed.counts,
            tokens=self.budget.tokens,
            steps=self.budget.steps,
            losses={name: found.summary() for name, found in losses.items()},
            curve=self.progress.curve,
            resources=self._resources(),
            versions=_versions(),
            started=self.progress.started,
            finished=_now(),
            extra={"document_losses": files},
        )

    def _resources(self) -> dict[str, Any]:
        now = self.progress
        speed = self.budget.tokens / max(now.train_seconds, 1e-9)
        return {
            "seconds": now.train_seconds + now.evaluation_seconds,
            "train_seconds": now.train_seconds,
            "evaluation_seconds": now.evaluation_seconds,
            "tokens_per_second": speed,
            "mfu": Meter(self.settings, now, processes=self.strategy.world).mfu(speed),
            "device": device_name(self.settings.device),
            "threads": torch.get_num_threads(),
            "processes": self.strategy.world,
            "restarts": now.restarts,
            "batch_sequences": self.budget.batch_sequences,
            "learning_rate": self.budget.learning_rate,
        }


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give it back."""
    return dict(json.loads(json.dumps(content)))


def _versions() -> dict[str, Any]:
    from bayes_infolaw.harness.sweep.versions import versions

    return versions()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
