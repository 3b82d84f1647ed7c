"""Losses and gradient norms of steps -> progress that is logged, watched and checked."""

import math
import time
from typing import Any, Protocol

import torch
from torch import Tensor

from bayes_infolaw.harness.record import DivergedError
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.training.log import RunLog, Status, entry_of, model_flops, peak_flops
from bayes_infolaw.harness.training.progress import Progress

__all__ = ["GPU_STEPS", "Measuring", "Meter", "Watcher", "device_name"]

GPU_STEPS = 10  # steps between looks at a GPU's losses: each look waits for the device


class Watcher(Protocol):
    """Told of progress; it may raise KeyboardInterrupt, and the run is saved before it ends."""

    def __call__(self, done: int, total: int, *, status: Status) -> object:
        """Hear that so many of all steps are done."""


class Measuring(Protocol):
    """What the loop tells of its steps."""

    def start(self) -> None:
        """Begin to count time."""

    def add(self, loss: Any, norm: Any, rate: Any) -> KeyboardInterrupt | None:
        """Take in one step; returns the watcher's wish to stop."""

    def look(self) -> KeyboardInterrupt | None:
        """Fetch what was added, check it, and tell of it."""


class Meter:
    """Gathers steps, and looks at them now and then.

    Parameters
    ----------
    settings : RunSettings
        Of the run.
    progress : Progress
        Gets losses and seconds.
    log : RunLog, optional
        Gets a line every ``log_seconds``.
    watch : Watcher, optional
        Told at every look.
    processes : int
        That share the work, each with a device of its own.
    """

    def __init__(
        self,
        settings: RunSettings,
        progress: Progress,
        log: RunLog | None = None,
        watch: Watcher | None = None,
        processes: int = 1,
    ) -> None:
        self._settings, self._budget = settings, settings.budget
        self._progress, self._log, self._watch = progress, log, watch
        self._every = 1 if settings.device == "cpu" else GPU_STEPS
        self._flops = model_flops(settings.shape)
        peak = peak_flops(device_name(settings.device), settings.precision)
        self._peak = peak * processes if peak else None
        self._pending: list[Tensor] = []
        self._rate = 0.0
        self._since_line: list[float] = []
        self._line_seconds, self._line_step = 0.0, progress.step
        self.start()

    def start(self) -> None:
        """Begin to count time: at first, and again after an evaluation or a checkpoint."""
        self._started = time.monotonic()

    def add(self, loss: Tensor, norm: Tensor, rate: float) -> KeyboardInterrupt | None:
        """Take in one step, its tensors still on the device; returns the watcher's wish to stop."""
        self._pending.append(torch.stack((loss.float(), norm.float())))
        self._rate = rate
        return self.look() if len(self._pending) >= self._every else None

    def look(self) -> KeyboardInterrupt | None:
        """Fetch what was added, check it, and tell of it.

        Raises
        ------
        DivergedError
            A loss or a norm is not finite.
        """
        if not self._pending:
            return None
        values = torch.stack(self._pending).tolist()
        self._pending.clear()
        seconds = time.monotonic() - self._started
        self.start()
        self._check(values)
        losses = [loss for loss, _ in values]
        progress = self._progress
        progress.loss_sum += math.fsum(losses)
        progress.loss_steps += len(losses)
        progress.train_seconds += seconds
        self._since_line += losses
        self._line_seconds += seconds
        return self._tell(values[-1][1])

    def _check(self, values: list[list[float]]) -> None:
        first = self._progress.step - len(values) + 1
        for step, (loss, norm) in enumerate(values, first):
            for name, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    rule = f"must be finite, got {value} at step {step} of {self._budget.steps}"
                    raise DivergedError(f"run {self._settings.name!r}: {name} {rule}")

    def _tell(self, norm: float) -> KeyboardInterrupt | None:
        status = self._status(norm)
        last = status.step == status.steps
        if self._log and (last or self._line_seconds >= self._settings.log_seconds):
            self._log.write(entry_of(status))
            self._log.flush()
            self._since_line, self._line_seconds, self._line_step = [], 0.0, status.step
        try:
            if self._watch:
                self._watch(status.step, status.steps, status=status)
        except KeyboardInterrupt as wish:
            return wish
        return None

    def _status(self, norm: float) -> Status:
        step, steps = self._progress.step, self._budget.steps
        per_step = self._budget.tokens // steps
        speed = (step - self._line_step) * per_step / max(self._line_seconds, 1e-9)
        return Status(
            step=step,
            steps=steps,
            tokens=step * per_step,
            loss=math.fsum(self._since_line) / len(self._since_line),
            learning_rate=self._rate,
            grad_norm=norm,
            tokens_per_second=speed,
            mfu=self.mfu(speed),
            seconds_left=(steps - step) * per_step / speed,
        )

    def mfu(self, tokens_per_second: float) -> float | None:
        """Part of the devices' peak that the model's FLOP amount to; None where it is unknown."""
        return self._flops * tokens_per_second / self._peak if self._peak else None


def device_name(device: str) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
