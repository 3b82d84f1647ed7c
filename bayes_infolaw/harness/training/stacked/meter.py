"""Losses and gradient norms of a stack's steps -> the progress of each of its runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bayes_infolaw.harness.record import DivergedError
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.training.log import RunLog, Status
from bayes_infolaw.harness.training.meter import GPU_STEPS, Meter, Watcher
from bayes_infolaw.harness.training.progress import Progress

__all__ = ["Member", "StackedMeter"]


@dataclass
class Member:
    """One run of a stack: how far it is and, where it stands still, why."""

    settings: RunSettings
    progress: Progress
    error: str | None = None

    @property
    def name(self) -> str:
        """The run's."""
        return self.settings.name

    @property
    def going(self) -> bool:
        """Whether it has not diverged."""
        return self.error is None

    def learning_rate(self) -> float:
        """Of the next step; 0 for a run that has diverged."""
        if not self.going:
            return 0.0
        return self.settings.budget.learning_rate_at(self.progress.step, self.settings)


class StackedMeter:
    """Looks at the runs' losses now and then; one that is not finite ends its run, not the others.

    Parameters
    ----------
    members : sequence of Member
        The runs; a diverged one gets its ``error``.
    logs : sequence of RunLog
        One a run.
    watch : Watcher, optional
        Told of all runs together at every look.
    silence : callable
        Told the number of a run that has diverged.
    """

    def __init__(
        self,
        members: Sequence[Member],
        logs: Sequence[RunLog],
        watch: Watcher | None,
        silence: Callable[[int], None],
    ) -> None:
        self._members, self._watch, self._silence = members, watch, silence
        self._heard: dict[int, Status] = {}
        self._meters = [
            Meter(member.settings, member.progress, log, self._hearing(run))
            for run, (member, log) in enumerate(zip(members, logs, strict=True))
        ]
        self._every = 1 if members[0].settings.device == "cpu" else GPU_STEPS
        self._pending: list[tuple[Tensor, list[float]]] = []

    def _hearing(self, run: int) -> Watcher:
        def hear(done: int, total: int, *, status: Status) -> None:
            self._heard[run] = status

        return hear

    def start(self) -> None:
        """Begin to count time."""
        for meter in self._meters:
            meter.start()

    def add(self, loss: Tensor, norm: Tensor, rate: list[float]) -> KeyboardInterrupt | None:
        """Take in one step's (R,) losses, norms and learning rates; the watcher's wish to stop."""
        self._pending.append((torch.stack((loss.float(), norm.float())), rate))
        return self.look() if len(self._pending) >= self._every else None

    def look(self) -> KeyboardInterrupt | None:
        """Fetch what was added, check it run by run, and tell of it.

        Raises
        ------
        DivergedError
            No run is left.
        """
        if not self._pending:
            return None
        values = torch.stack([value for value, _ in self._pending]).cpu()
        rates = [rate for _, rate in self._pending]
        self._pending.clear()
        self._heard.clear()
        for run, member in enumerate(self._members):
            if member.going:
                self._measure(run, values[:, :, run], [rate[run] for rate in rates])
        if not self._heard:
            raise DivergedError("no run of the stack is left")
        return self._tell()

    def _measure(self, run: int, values: Tensor, rates: Sequence[float]) -> None:
        meter = self._meters[run]
        try:
            for (loss, norm), rate in zip(values, rates, strict=True):
                meter.add(loss, norm, rate)
            meter.look()
        except DivergedError as error:
            self._members[run].error = str(error)
            self._silence(run)

    def _tell(self) -> KeyboardInterrupt | None:
        if self._watch is None:
            return None
        status = _together(list(self._heard.values()))
        try:
            self._watch(status.step, status.steps, status=status)
        except KeyboardInterrupt as wish:
            return wish
        return None


def _together(runs: Sequence[Status]) -> Status:
    """Means of losses and norms, sums of tokens and speeds."""
    shares = [run.mfu for run in runs if run.mfu is not None]
    return replace(
        runs[0],
        tokens=sum(run.tokens for run in runs),
        loss=math.fsum(run.loss for run in runs) / len(runs),
        grad_norm=math.fsum(run.grad_norm for run in runs) / len(runs),
        tokens_per_second=math.fsum(run.tokens_per_second for run in runs),
        mfu=math.fsum(shares) if shares else None,
    )
