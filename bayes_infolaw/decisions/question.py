"""What a decision is asked: the objective, the rival, and how sure to be."""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.decisions.equivalent import EquivalentSettings
from bayes_infolaw.errors import InputError, require_probability

__all__ = ["OBJECTIVES", "Question"]

Array = np.ndarray

OBJECTIVES = ("mean", "ei", "quantile", "cvar", "thompson")
WITH_LEVEL = ("quantile", "cvar")
LEVEL = 0.9  # where none is given


@dataclass(frozen=True)
class Question:
    """What to choose by, against what, and what to say.

    Raises
    ------
    InputError
        An unknown objective, a probability or tolerance out of range, a level that the objective
        does not use, ``q`` below one, both kinds of incumbent or none where the objective needs
        one.
    """

    objective: str = "mean"
    level: float | None = None  # of the quantile; CVaR is the mean of the worst rest; 0.9
    incumbent: Array | None = None  # (D,) today's recipe, at the same target
    incumbent_loss: float | None = None  # in its place: a fixed loss
    q: int = 1  # recipes to train side by side
    prob: float = 0.9  # of equal-tailed intervals
    epsilon: float = 0.001  # of the loss: recipes that lose no more are equivalent
    equivalent_prob: float = 0.9  # with which they must lose no more
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            allowed = ", ".join(OBJECTIVES)
            raise InputError(f"objective: must be one of {allowed}, got {self.objective!r}")
        self._require_probabilities()
        for name, least in (("q", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: must be at least {least}, got {getattr(self, name)!r}")
        self._require_incumbent()

    def _require_probabilities(self) -> None:
        for name in ("level", "prob"):
            value = getattr(self, name)
            if value is not None:
                require_probability(name, value)
        if self.level is not None and self.objective not in WITH_LEVEL:
            raise InputError(f"level: objective {self.objective} uses none, got {self.level!r}")
        given = self.equivalent_prob
        if not 0 < given <= 1:
            raise InputError(f"equivalent_prob: must lie in (0, 1], got {given!r}")
        EquivalentSettings(self.epsilon)  # refuses a tolerance that is none

    def _require_incumbent(self) -> None:
        if self.incumbent is not None and self.incumbent_loss is not None:
            raise InputError("incumbent: give a recipe or a fixed loss, not both")
        if self.current is None and (self.objective == "ei" or self.q > 1):
            what = "objective ei" if self.objective == "ei" else f"a batch of {self.q}"
            raise InputError(f"incumbent: {what} needs one (a recipe, or a fixed loss), got none")

    @property
    def current(self) -> Array | float | None:
        """The incumbent: a recipe, a loss, or None."""
        return self.incumbent if self.incumbent is not None else self.incumbent_loss

    @property
    def used_level(self) -> float | None:
        """The level, 0.9 where none is given; None for an objective without one."""
        if self.objective not in WITH_LEVEL:
            return None
        return LEVEL if self.level is None else self.level

    @property
    def equivalent(self) -> EquivalentSettings:
        """What counts as equivalent to the best recipe."""
        return EquivalentSettings(self.epsilon, self.equivalent_prob, seed=self.seed)
