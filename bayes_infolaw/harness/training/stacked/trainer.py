"""Runs of one shape but different recipes, trained together as one program.

Each run is what `train_run` would have made of it, up to rounding (the last bits of its losses;
hundredths to tenths of a nat where a too large learning rate makes the run chaotic): the same
initialisation, packed set, schedule, clipping and evaluation. What they share is the time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayes_infolaw.harness.layermix import pack
from bayes_infolaw.harness.record import DivergedError, RunRecord, now
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.checkpoint import (
    Checkpoint,
    drop_partial,
    latest_checkpoint,
    save_checkpoint,
)
from bayes_infolaw.harness.training.evaluate import DocumentLosses, EvaluationSet, evaluation_sets
from bayes_infolaw.harness.training.log import RunLog
from bayes_infolaw.harness.training.loop import precision_of, train
from bayes_infolaw.harness.training.meter import Watcher
from bayes_infolaw.harness.training.progress import Progress
from bayes_infolaw.harness.training.results import Training, tokens_per_step
from bayes_infolaw.harness.training.stacked.grouping import require_stackable
from bayes_infolaw.harness.training.stacked.meter import Member, StackedMeter
from bayes_infolaw.harness.training.stacked.model import (
    StackedAdamW,
    StackedTransformer,
    clip_by_run,
)
from bayes_infolaw.harness.training.stacked.sets import StackedSets
from bayes_infolaw.harness.training.start import (
    as_checkpointed,
    compiling_explained,
    final_sets,
    identity_of,
    require_fit,
)
from bayes_infolaw.harness.training.strategy import SingleProcess
from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["train_stack"]


def train_stack(
    runs: Sequence[RunSettings],
    corpus: Corpus,
    work: str | Path,
    *,
    progress: Watcher | None = None,
    folder_of: Callable[[str], Path] | None = None,
    keep_weights: bool = True,
) -> list[RunRecord]:
    """Train and evaluate runs together, going on from their last checkpoint where there is one.

    Parameters
    ----------
    runs : sequence of RunSettings
        Stackable with each other, and of different names. The first one's ``checkpoint_seconds``
        count.
    corpus : Corpus
        What `pack` draws from, and its evaluation sets.
    work : str or Path
        The stack's own folder, with its ``checkpoint/``.
    progress : Watcher, optional
        Called after steps with (done, total, status=Status): loss and gradient norm are means over
        the runs, speed is that of all together. Where it raises KeyboardInterrupt the stack is
        saved first.
    folder_of : callable, optional
        Folder of a run's ``log.jsonl`` and ``eval_<set>.npz`` by its name; default
        ``work / name``.
    keep_weights : bool
        Leave each finished run's weights in its folder, as a checkpoint without moments.

    Returns
    -------
    list of RunRecord
        In the order of the runs; finished, or diverged where a loss or a gradient was not finite:
        such a run stands still from then on, and the others go on as if it were not there.

    Raises
    ------
    InputError
        Settings that cannot be stacked, or do not fit the corpus, the machine or the checkpoint.
    """
    require_stackable(runs)
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    stack = _Stack(runs, corpus, work)
    folders = {run.name: (folder_of or work.joinpath)(run.name) for run in runs}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack_of_logs, compiling_explained(stack.settings.compile):
        logs = []
        for member in stack.members:
            logs.append(RunLog(folders[member.name], member.progress.step))
            stack_of_logs.callback(logs[-1].close)
        with suppress(DivergedError):  # all of them: each has its error
            train(stack, StackedMeter(stack.members, logs, progress, stack.optimiser.clear))
    return stack.finish(folders, keep_weights)


class _Stack:
    """Models on their way, and everything they need to go on."""

    def __init__(self, runs: Sequence[RunSettings], corpus: Corpus, work: Path) -> None:
        found = latest_checkpoint(work)
        runs = [as_checkpointed(run, found) for run in runs]
        self.settings, self.corpus, self.work = runs[0], corpus, work
        require_fit(self.settings, corpus)
        torch.set_num_threads(self.settings.threads)
        self.sets_packed = [pack(corpus, run.packing) for run in runs]
        on_gpu = torch.device(self.settings.device).type != "cpu"
        self.packed = StackedSets(self.sets_packed, corpus.vocab_size, in_memory=on_gpu)
        self.final_sets = final_sets(self.settings, corpus)
        seq_len, n_tokens = self.settings.shape.seq_len, self.settings.eval_tokens
        self.sets = evaluation_sets(corpus, seq_len, n_tokens)
        self.members = [Member(run, Progress(started=now())) for run in runs]
        self._make_models(runs, torch.device(self.settings.device))
        if found:
            self._resume(found)
        drop_partial(work)
        if self.settings.compile:
            self._compile()

    def _make_models(self, runs: Sequence[RunSettings], device: torch.device) -> None:
        shape, betas = self.settings.shape, (self.settings.beta1, self.settings.beta2)
        self.single = Transformer(shape).to(device)
        self.model = StackedTransformer(shape, len(runs)).to(device)
        self.model.initialise([run.seed for run in runs])
        decays = torch.tensor([run.weight_decay for run in runs], device=device)
        self.optimiser = StackedAdamW(self.model, decays, betas)
        self.clip = clip_by_run
        self.clips = torch.tensor([run.clip for run in runs], device=device)

    def _compile(self) -> None:
        torch.compiler.reset()  # a sweep's many stacks would use up the limit of recompiling
        self.model.compile(dynamic=False)
        self.clip = torch.compile(clip_by_run, dynamic=False)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the stack that goes on from it."""
        runs = {member.name: member.settings.identity() for member in self.members}
        return identity_of(self.corpus, runs)

    @property
    def steps_done(self) -> int:
        """Optimiser steps taken."""
        return max(member.progress.step for member in self.members)

    def _resume(self, found: Checkpoint) -> None:
        found.require_same(self.identity)
        tensors = found.weights(), found.optimiser()
        SingleProcess().load_state(self.model, self.optimiser.torch, *tensors)
        for member, state in zip(self.members, found.progress["state"], strict=True):
            member.error = state.pop("error")
            member.progress = Progress(**state)
            member.progress.restarts += 1

    def rows(self, step: int) -> np.ndarray:
        """Sequences of a step, the same numbers in every run's packed set."""
        size = self.settings.budget.batch_sequences
        return np.arange(step * size, (step + 1) * size)

    def step(self, batch: Tensor) -> tuple[Tensor, Tensor, list[float]]:
        """One optimiser step of all: (R,) mean losses, gradient norms, learning rates."""
        rates = [member.learning_rate() for member in self.members]
        rows = batch.shape[1]
        parts = batch.split(self.settings.micro_batch or rows, dim=1)
        loss = torch.stack([self._backward(part, part.shape[1] / rows) for part in parts]).sum(0)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norms = self.clip(gradients, self.clips)
        self.optimiser.step(rates)
        self.optimiser.zero_grad()
        for member in self.members:
            member.progress.step += member.going
        return loss, norms, rates

    def _backward(self, part: Tensor, share: float) -> Tensor:
        with precision_of(self.settings):
            losses = self.model(part[..., :-1], part[..., 1:])
        (losses.sum() * share).backward()
        return losses.detach() * share

    def evaluate(self) -> None:
        """Add a point to the curve of every run that is still going."""
        for run, member in enumerate(self.members):
            if member.going:
                losses = self._losses(run, self.sets)
                member.progress.add_point(tokens_per_step(self.settings), losses)

    def agreed(self, flag: bool) -> bool:
        """A stack is one process's."""
        return flag

    def _losses(self, run: int, sets: Mapping[str, EvaluationSet]) -> dict[str, DocumentLosses]:
        start = time.monotonic()
        self.model.copy_run(run, self.single)
        with precision_of(self.settings):
            losses = {name: found.losses(self.single) for name, found in sets.items()}
        self.members[run].progress.evaluation_seconds += time.monotonic() - start
        return losses

    def save(self) -> None:
        """Write a checkpoint."""
        state = SingleProcess().state(self.model, self.optimiser.torch)
        members = [asdict(member.progress) | {"error": member.error} for member in self.members]
        facts = {"step": self.steps_done, "state": members, "identity": self.identity}
        facts["settings"] = self.settings.to_dict()
        save_checkpoint(self.work, state, facts)

    def finish(self, folders: Mapping[str, Path], keep_weights: bool) -> list[RunRecord]:
        """Evaluate the trained models and put their records together."""
        records = []
        for run, member in enumerate(self.members):
            records.append(self._record(run, folders[member.name]))
            if keep_weights and member.going:
                self._keep_weights(member, folders[member.name])
        return records

    def _record(self, run: int, folder: Path) -> RunRecord:
        member, counts = self.members[run], self.sets_packed[run].counts
        stacked = len(self.members)
        training = Training(member.settings, self.corpus, counts, member.progress, stacked=stacked)
        if member.error is not None:
            return training.diverged(member.error)
        losses = self._losses(run, self.final_sets)
        on_the_way = {n: d.only(self.sets[n].documents) for n, d in losses.items()}
        member.progress.add_point(tokens_per_step(self.settings), on_the_way)
        try:
            return training.finished(losses, folder)
        except DivergedError as error:
            member.error = str(error)
            return training.diverged(member.error)

    def _keep_weights(self, member: Member, folder: Path) -> None:
        """Those of the single model, which was just evaluated."""
        weights = {name: weight.detach() for name, weight in self.single.named_parameters()}
        identity = identity_of(self.corpus, member.settings.identity())
        facts = {"step": member.progress.step, "state": asdict(member.progress)}
        facts |= {"identity": identity, "settings": member.settings.to_dict()}
        save_checkpoint(folder, (weights, {}), facts)
