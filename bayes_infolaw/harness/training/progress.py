"""How far a run is: what its checkpoint carries beside the tensors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_infolaw.harness.training.evaluate import DocumentLosses

__all__ = ["Progress"]


@dataclass
class Progress:
    """Plain data that JSON keeps exactly.

    Attributes
    ----------
    step : int
        Optimiser steps taken.
    loss_sum, loss_steps : float, int
        Training losses since the last point of the curve.
    curve : list of dict
        Points at the evaluations: step, tokens, mean training loss since the point before, and
        nats per token on each evaluation set's subset for the way (None
        where a loss was not finite).
    train_seconds, evaluation_seconds : float
        Spent on what is in the checkpoint; what a kill undid is not counted.
    restarts : int
        How often the run was resumed.
    started : str
        UTC, ISO 8601, of the first start.
    """

    step: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    restarts: int = 0
    started: str = ""

    def add_point(self, tokens_per_step: int, losses: "Mapping[str, DocumentLosses]") -> None:
        """Extend the curve by held-out losses, and begin a new mean of the training losses."""
        point: dict[str, Any] = {"step": self.step, "tokens": self.step * tokens_per_step}
        point["train_loss"] = self.loss_sum / self.loss_steps if self.loss_steps else None
        means = {n: float(d.nats.sum() / d.tokens.sum()) for n, d in losses.items()}
        point["losses"] = {n: mean if math.isfinite(mean) else None for n, mean in means.items()}
        self.curve.append(point)
        self.loss_sum, self.loss_steps = 0.0, 0
