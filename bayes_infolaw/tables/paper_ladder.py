"""The paper's model ladder (table 3) and named recipes (table 1), as numbers."""

from dataclasses import dataclass
from math import fsum

from bayes_infolaw.laws.overtraining import flops_per_token

__all__ = ["LADDER", "RECIPES", "SEQ_LEN", "LadderModel"]

SEQ_LEN = 2048
"""Tokens a sequence in the paper."""


@dataclass(frozen=True)
class LadderModel:
    """One size of the ladder."""

    name: str
    hidden: int
    layers: int

    @property
    def params(self) -> int:
        """Non-embedding parameters, ``12 L h^2``, so that N = 6 x params = 72 L h^2."""
        return 12 * self.layers * self.hidden**2

    @property
    def flops_per_token(self) -> float:
        """``M``, FLOP per token with attention at the paper's sequence length."""
        return float(flops_per_token(self.layers, self.hidden, SEQ_LEN))


LADDER = (
    LadderModel("252M", 1024, 20),
    LadderModel("302M", 1024, 24),
    LadderModel("392M", 1280, 20),
    LadderModel("470M", 1280, 24),
    LadderModel("566M", 1536, 20),
    LadderModel("680M", 1536, 24),
    LadderModel("850M", 1792, 22),
    LadderModel("1B", 1920, 24),
    LadderModel("1.2B", 2048, 24),
    LadderModel("1.5B", 2304, 24),
    LadderModel("1.8B", 2304, 28),
    LadderModel("2.5B", 2560, 32),
    LadderModel("7.7B", 4096, 32),
)

PRINTED_RECIPES = {
    "HQ": (0.80, 0.10, 0.03, 0.03, 0.02, 0.0),
    "MHQ": (0.66, 0.22, 0.05, 0.03, 0.02, 0.0),
    "MQ": (0.48, 0.23, 0.13, 0.07, 0.07, 0.0),
    "MLQ": (0.38, 0.21, 0.20, 0.11, 0.08, 0.0),
    "LQ": (0.24, 0.20, 0.19, 0.18, 0.17, 0.0),
}


def _rescaled(recipe: tuple[float, ...]) -> tuple[float, ...]:
    # Every printed recipe sums to 0.98.
    return tuple(share / fsum(recipe) for share in recipe)


RECIPES = {name: _rescaled(recipe) for name, recipe in PRINTED_RECIPES.items()}
"""Packed shares by recipe, best bucket first, rescaled to sum to 1."""
