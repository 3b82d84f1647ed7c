"""Loss-compute power law: training FLOP -> loss, blind to model size, recipe and repetition.

``ln L = ln k_m - gamma ln C``, the traditional curve that the InfoLaw paper compares with (section
3.2, figure 1), one intercept for each overtraining degree (Gadre et al. 2024, arXiv 2403.08540:
overtraining shifts the intercept and keeps the exponent).
"""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.baselines.base import TooFewRunsError, measured_log_loss
from bayes_infolaw.baselines.degrees import Lines, cluster_degrees, fit_lines
from bayes_infolaw.tables.runs import RunArrays

__all__ = ["PowerLaw", "fit_power_law"]

Array = np.ndarray


@dataclass(frozen=True)
class PowerLaw:
    """A fitted loss-compute power law; a run of another degree takes the nearest intercept."""

    lines: Lines
    name: str = "loss-compute power law"

    @property
    def log_sd(self) -> float:
        """Residual sd of log loss."""
        return self.lines.sd

    @property
    def parameters(self) -> dict[str, float]:
        """`gamma` and, by overtraining degree, `k[m=...]` (loss at 1 FLOP)."""
        return {"gamma": -self.lines.slope, **self.lines.levels("k")}

    def predict(self, runs: RunArrays) -> Array:
        """Loss of each run, shape (n,)."""
        return np.exp(self.lines.predict(np.log(runs.compute), np.log(runs.overtraining)))


def fit_power_law(runs: RunArrays) -> PowerLaw:
    """Fit the power law by least squares on log loss.

    Raises
    ------
    TooFewRunsError
        Fewer than three runs more than intercepts, or a single compute.
    """
    log_loss, log_degree = measured_log_loss(runs), np.log(runs.overtraining)
    needed = 3 + len(cluster_degrees(log_degree))
    if len(log_loss) < needed or np.ptp(runs.compute) == 0:
        raise TooFewRunsError(
            f"loss-compute power law: needs at least {needed} runs over 2 computes, got "
            f"{len(log_loss)} over {len(np.unique(runs.compute))}"
        )
    return PowerLaw(fit_lines(np.log(runs.compute), log_loss, log_degree))
