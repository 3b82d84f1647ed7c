"""What every baseline offers, and how one that cannot be fitted is reported."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.runs import RunArrays

__all__ = [
    "Baseline",
    "BaselineFit",
    "TooFewRunsError",
    "measured_log_loss",
    "residual_sd",
    "select_runs",
]

Array = np.ndarray


class TooFewRunsError(InputError):
    """The runs cannot inform this baseline; the message names the rule that they break."""


class Baseline(Protocol):
    """A fitted law that predicts by plugging in its estimates: log loss is normal about it."""

    @property
    def name(self) -> str:
        """What a table of results calls it."""
        ...

    @property
    def log_sd(self) -> float:
        """Residual standard deviation of log loss, degrees of freedom taken off."""
        ...

    @property
    def parameters(self) -> dict[str, float]:
        """The estimates by name."""
        ...

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,), in the unit of the fitted losses; NaN outside the law."""
        ...


@dataclass(frozen=True)
class BaselineFit:
    """A baseline, or the reason why these runs do not give one."""

    name: str
    baseline: Baseline | None
    reason: str = ""  # one sentence; empty when fitted


def measured_log_loss(runs: RunArrays) -> Array:
    """Log of the measured losses, shape (n,).

    Raises
    ------
    InputError
        The runs carry no losses (a plan).
    """
    if runs.loss is None:
        raise InputError("baseline: column loss is missing; a fit needs measured losses")
    return np.log(runs.loss)


def residual_sd(residual: Array, n_parameters: int) -> float:
    """Residual standard deviation, ``sqrt(sum r^2 / (n - p))``."""
    return float(np.sqrt(np.sum(residual**2) / (len(residual) - n_parameters)))


def select_runs(runs: RunArrays, keep: Array) -> RunArrays:
    """Keep the runs of a boolean mask (n,)."""
    columns = {name: value for name, value in vars(runs).items() if value is not None}
    return replace(runs, **{name: column[keep] for name, column in columns.items()})
