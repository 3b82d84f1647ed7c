"""What a sampler returns, whichever it was."""

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Sampled"]

Array = np.ndarray


@dataclass(frozen=True)
class Sampled:
    """Draws by name, (chain, draw, ...), with ``coefficients``; statistics (chain, draw)."""

    draws: dict[str, Array]
    stats: dict[str, Array]
    info: dict[str, Any]
