"""Draws -> the verdict that a fit carries, which says whether its numbers may be used."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from arviz_stats.base import array_stats

__all__ = ["Verdict", "judge"]

RHAT_MAX, ESS_MIN, BFMI_MIN = 1.01, 400.0, 0.3
TAIL = (0.05, 0.95)


@dataclass(frozen=True)
class Verdict:
    """Convergence of a fit; ``converged`` is the conjunction of the stated rules.

    R-hat (rank-normalised, Vehtari et al. 2021) <= 1.01, bulk and tail ESS >= 400, no divergence,
    BFMI of every chain >= 0.3.
    """

    rhat_max: float
    ess_bulk_min: float
    ess_tail_min: float
    divergences: int
    bfmi_min: float
    worst: str

    @property
    def converged(self) -> bool:
        """Whether every rule holds."""
        return not self.failures()

    def failures(self) -> list[str]:
        """The rules that do not hold, each with its value."""
        rules = [
            (self.rhat_max <= RHAT_MAX, f"R-hat {self.rhat_max:.3f} > {RHAT_MAX} ({self.worst})"),
            (self.ess_bulk_min >= ESS_MIN, f"bulk ESS {self.ess_bulk_min:.0f} < {ESS_MIN:.0f}"),
            (self.ess_tail_min >= ESS_MIN, f"tail ESS {self.ess_tail_min:.0f} < {ESS_MIN:.0f}"),
            (self.divergences == 0, f"{self.divergences} divergent transitions"),
            (self.bfmi_min >= BFMI_MIN, f"BFMI {self.bfmi_min:.2f} < {BFMI_MIN}"),
        ]
        return [text for holds, text in rules if not holds]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and the fit file."""
        return {"converged": self.converged, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Verdict":
        """Rebuild a verdict from `to_dict`."""
        return cls(**{key: value for key, value in data.items() if key != "converged"})


def judge(draws: Mapping[str, np.ndarray], diverging: np.ndarray, energy: np.ndarray) -> Verdict:
    """Judge draws by every scalar they hold.

    Parameters
    ----------
    draws : mapping of str to array (chain, draw, ...)
    diverging, energy : array (chain, draw)
    """
    names, scalars = _scalars(draws)
    rhat = array_stats.rhat(scalars, chain_axis=0, draw_axis=1)
    bulk = array_stats.ess(scalars, chain_axis=0, draw_axis=1)
    tail = array_stats.ess(scalars, chain_axis=0, draw_axis=1, method="tail", prob=TAIL)
    rhat = np.where(np.isnan(rhat), np.inf, rhat)
    return Verdict(
        rhat_max=float(rhat.max()),
        ess_bulk_min=float(np.nan_to_num(bulk).min()),
        ess_tail_min=float(np.nan_to_num(tail).min()),
        divergences=int(diverging.sum()),
        bfmi_min=float(np.min(array_stats.bfmi(energy))),
        worst=names[int(np.argmax(rhat))],
    )


def _scalars(draws: Mapping[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    names, parts = [], []
    for name, value in draws.items():
        flat = value.reshape(*value.shape[:2], -1)
        names += [name if flat.shape[-1] == 1 else f"{name}[{i}]" for i in range(flat.shape[-1])]
        parts.append(flat)
    return names, np.concatenate(parts, axis=-1)
