"""What a sampler returns, whichever it was."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Sampled"]

Array = np.ndarray


@dataclass(frozen=True)
class Sampled:
    """Draws by name, (chain, draw, ...), with ``coefficients``; statistics (chain, draw).

    ``energy`` (chain, transition) is that of every transition where draws were thinned: BFMI
    compares neighbouring ones. None: take it from the statistics.
    """

    draws: dict[str, Array]
    stats: dict[str, Array]
    info: dict[str, Any]
    energy: Array | None = None

    @property
    def transition_energy(self) -> Array:
        """Energy of all transitions."""
        return self.stats["energy"] if self.energy is None else self.energy
