"""Settings and corpus -> one trained model and its record; resumed where it was cut off."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bayes_infolaw.harness.layermix import pack
from bayes_infolaw.harness.record import RunRecord, now
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.checkpoint import (
    Checkpoint,
    drop_partial,
    latest_checkpoint,
    save_checkpoint,
)
from bayes_infolaw.harness.training.evaluate import (
    DocumentLosses,
    EvaluationSet,
    evaluation_sets,
)
from bayes_infolaw.harness.training.log import RunLog
from bayes_infolaw.harness.training.loop import precision_of, train
from bayes_infolaw.harness.training.meter import Meter, Watcher
from bayes_infolaw.harness.training.optimiser import make_optimiser, set_learning_rate
from bayes_infolaw.harness.training.progress import Progress
from bayes_infolaw.harness.training.results import Training, tokens_per_step
from bayes_infolaw.harness.training.start import (
    as_checkpointed,
    compiling_explained,
    final_sets,
    identity_of,
    require_fit,
)
from bayes_infolaw.harness.training.strategy import SingleProcess
from bayes_infolaw.harness.training.transformer import Transformer

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
            train(run, Meter(run.settings, run.progress, log, progress, run.strategy.world))
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
        self.progress = self._resumed(found) if found else Progress(started=now())
        strategy.require_same(self.progress.step)
        if strategy.is_main:
            drop_partial(work)
        if settings.compile:
            self.model.compile(dynamic=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that goes on from it."""
        return identity_of(self.corpus, self.settings.identity())

    @property
    def steps_done(self) -> int:
        """Optimiser steps taken."""
        return self.progress.step

    def _resumed(self, found: Checkpoint) -> Progress:
        found.require_same(self.identity)
        self.strategy.load_state(self.model, self.optimiser, found.weights(), found.optimiser())
        progress = Progress(**found.progress["state"])
        progress.restarts += 1
        return progress

    def rows(self, step: int) -> np.ndarray:
        """Sequences of a step that this process takes."""
        size = self.budget.batch_sequences
        return self.strategy.shard(np.arange(step * size, (step + 1) * size))

    def step(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
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
            with precision_of(self.settings):
                loss = self.model(rows[:, :-1], rows[:, 1:])
            (loss * (share * self.strategy.world)).backward()
        return loss.detach() * share

    def evaluate(self) -> None:
        """Add a point to the curve."""
        self.progress.add_point(tokens_per_step(self.settings), self._losses(self.sets))

    def agreed(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return self.strategy.any(flag)

    def _losses(self, sets: Mapping[str, EvaluationSet]) -> dict[str, DocumentLosses]:
        start = time.monotonic()
        with precision_of(self.settings):
            losses = {name: s.losses(self.model, self.strategy) for name, s in sets.items()}
        self.progress.evaluation_seconds += time.monotonic() - start
        return losses

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
        on_the_way = {n: d.only(self.sets[n].documents) for n, d in losses.items()}
        self.progress.add_point(tokens_per_step(self.settings), on_the_way)
        training = Training(
            self.settings, self.corpus, self.packed.counts, self.progress, self.strategy.world
        )
        return training.finished(losses, self.work, self.strategy.is_main)
