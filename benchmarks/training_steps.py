"""Whole training steps (forward, backward, clipping, AdamW) of our models and of others.

A step is a function without arguments that trains on the next batch and waits for nothing: who
measures synchronises.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.harness.training.optimiser import make_optimiser, set_learning_rate
from bayes_infolaw.harness.training.stacked.model import (
    StackedAdamW,
    StackedTransformer,
    clip_by_run,
)
from bayes_infolaw.harness.training.strategy import SingleProcess
from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["Step", "Workload", "one_after_another", "our_step", "plain_step", "stacked_step"]

Step = Callable[[], Tensor]
N_BATCHES = 16


@dataclass(frozen=True)
class Workload:
    """A model's shape, its batch and where it is trained.

    ``compiled`` is None for eager, else the mode of torch.compile.
    """

    shape: Shape
    rows: int
    device: str = "cpu"
    precision: str = "fp32"
    compiled: str | None = None

    @property
    def tokens(self) -> int:
        """Of one step."""
        return self.rows * self.shape.seq_len

    @property
    def settings(self) -> RunSettings:
        """Of a run of 1,000 steps."""
        whole = {"recipe": {"0": 1.0}, "tokens": 1000 * self.tokens, "learning_rate": 1e-3}
        how = {"device": self.device, "precision": self.precision}
        rest = {"source_tokens": 1000 * self.tokens, "batch_tokens": self.tokens}
        return RunSettings("benchmark", self.shape, **whole, **rest, **how)

    def autocast(self) -> AbstractContextManager[Any]:
        """Bf16 where it is asked for."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def compile(self, model: nn.Module) -> nn.Module:
        """The model, compiled in place where it is asked for."""
        if self.compiled is not None:
            model.compile(dynamic=False, mode=self.compiled)
        return model

    def batches(self) -> Iterator[Tensor]:
        """(rows, s + 1) random ids, frequent and rare; the same few batches again and again."""
        rng = np.random.default_rng(0)
        drawn = rng.random((N_BATCHES, self.rows, self.shape.seq_len + 1)) ** 3
        ids = torch.from_numpy((drawn * self.shape.vocab_size).astype(np.int64)).to(self.device)
        while True:
            yield from ids


def plain_step(model: nn.Module, work: Workload) -> Step:
    """The step of nanoGPT's loop: AdamW (decay on matrices), gradient norm 1, one micro-batch."""
    model = work.compile(model.to(work.device))
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    gains = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    data = work.batches()

    def step() -> Tensor:
        batch = next(data)
        with work.autocast():
            loss = model(batch[:, :-1], batch[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def our_step(work: Workload, seed: int = 0, prepare: Callable[[nn.Module], object] = id) -> Step:
    """Our model in our trainer's step; ``prepare`` may change the model before it is compiled."""
    settings, model = work.settings, Transformer(work.shape).to(work.device)
    model.initialise(seed)
    prepare(model)
    work.compile(model)
    optimiser, one = make_optimiser(model, settings), SingleProcess()
    data, budget, numbers = work.batches(), settings.budget, itertools.count()

    def step() -> Tensor:
        batch = next(data)
        rate = budget.learning_rate_at(next(numbers) % budget.steps, settings)
        set_learning_rate(optimiser, rate)
        with work.autocast():
            loss = model(batch[:, :-1], batch[:, 1:])
        loss.backward()
        one.clip(model, settings.clip)
        optimiser.step()
        optimiser.zero_grad()
        return loss.detach()

    return step


def stacked_step(work: Workload, seeds: Sequence[int]) -> Step:
    """The stacked trainer's step for one model a seed."""
    runs, settings = len(seeds), work.settings
    model = StackedTransformer(work.shape, runs).to(work.device)
    model.initialise(seeds)
    work.compile(model)
    clip = clip_by_run if work.compiled is None else torch.compile(clip_by_run, dynamic=False)
    decays = torch.full((runs,), settings.weight_decay, device=work.device)
    optimiser = StackedAdamW(model, decays, (settings.beta1, settings.beta2))
    bounds = torch.full((runs,), settings.clip, device=work.device)
    data, budget, numbers = work.batches(), settings.budget, itertools.count()

    def step() -> Tensor:
        batch = next(data).expand(runs, -1, -1)
        rate = budget.learning_rate_at(next(numbers) % budget.steps, settings)
        with work.autocast():
            losses = model(batch[..., :-1], batch[..., 1:])
        losses.sum().backward()
        clip([p.grad for p in model.parameters()], bounds)
        optimiser.step([rate] * runs)
        optimiser.zero_grad()
        return losses.detach()

    return step


def one_after_another(work: Workload, seeds: Sequence[int]) -> Step:
    """As many models, each with its own step."""
    steps = [our_step(work, seed) for seed in seeds]

    def step() -> Tensor:
        return torch.stack([single() for single in steps])

    return step
