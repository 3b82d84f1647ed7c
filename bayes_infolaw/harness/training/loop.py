"""The training loop: steps, evaluations and checkpoints in the order that resuming needs."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.training.batches import Batched, batches
from bayes_infolaw.harness.training.meter import Measuring
from bayes_infolaw.harness.training.start import evaluated_steps

__all__ = ["Trainable", "precision_of", "train"]


class Trainable(Protocol):
    """What the loop carries on: one run, or several as one program."""

    settings: RunSettings

    @property
    def packed(self) -> Batched:
        """Where the steps' sequences come from."""

    @property
    def steps_done(self) -> int:
        """Optimiser steps taken."""

    def rows(self, step: int) -> np.ndarray:
        """Sequences that this process takes in a step."""

    def step(self, batch: Tensor) -> tuple[Any, Any, Any]:
        """Take one optimiser step; what the meter wants to know of it."""

    def evaluate(self) -> None:
        """Take the held-out losses on the way."""

    def save(self) -> None:
        """Write a checkpoint."""

    def agreed(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""


def train(run: Trainable, meter: Measuring) -> None:
    """Take the steps that are left; evaluate and save on the way and at the end.

    Raises
    ------
    DivergedError
        The meter met a loss or a gradient norm that is not finite.
    KeyboardInterrupt
        The watcher's wish, or another process's; the run is saved before.
    """
    settings = run.settings
    evaluated, saved = evaluated_steps(settings), time.monotonic()
    rows = (run.rows(step) for step in range(run.steps_done, settings.budget.steps))
    meter.start()
    for batch in batches(run.packed, rows, torch.device(settings.device)):
        wish = meter.add(*run.step(batch))
        if run.steps_done in evaluated:
            wish = meter.look() or wish
            run.evaluate()
            meter.start()
        due = time.monotonic() - saved >= settings.checkpoint_seconds
        if run.agreed(due or wish is not None):
            wish = meter.look() or wish
            run.save()
            saved = time.monotonic()
            meter.start()
        if run.agreed(wish is not None):
            raise wish or KeyboardInterrupt("another process was asked to stop")
    meter.look()
    run.save()


def precision_of(settings: RunSettings) -> AbstractContextManager[Any]:
    """Autocast to bf16 where the settings want it."""
    if settings.precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(settings.device).type, dtype=torch.bfloat16)
