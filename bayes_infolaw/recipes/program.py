"""A target -> the scaled concave program that every recipe solver works on.

Shares ``w = n / K`` are the variables, ``c_d = s_d / K`` the buckets' capacities and
``r = lambda / l`` the learning per exposure. A draw's information is ``K l`` times::

    gain(w) = sum_d f_d u_d (1 - exp(-r w_d / u_d)),   u_d = min(w_d, c_d)

which is linear with slope ``f_d (1 - exp(-r))`` up to ``c_d`` and then concave with slope
``f_d r exp(-r w_d / c_d)``: smaller, and falling. Splitting ``w = y + z`` with ``0 <= y <= c`` and
``z >= 0`` makes it smooth. A bucket without tokens cannot be packed and leaves the program.
"""

from dataclasses import dataclass

import numpy as np

from bayes_infolaw.errors import InfeasibleError
from bayes_infolaw.laws.target import LawAtTarget

__all__ = ["RecipeProgram", "recipe_program"]

Array = np.ndarray


@dataclass(frozen=True)
class RecipeProgram:
    """The program's data over the buckets that can be packed (D' of the target's D)."""

    capacity: Array  # (D',) source tokens over K, > 0
    density: Array  # (J, D') f_d over the draw's largest
    exposure: Array  # (J,) r = lambda / l, > 0
    scale: Array  # (J,) information per unit of gain
    packed: Array  # (D',) positions of these buckets among the target's D
    n_buckets: int  # D

    @property
    def first_slope(self) -> Array:
        """Slope of a bucket of density one before it is exhausted, ``1 - exp(-r)``, shape (J,)."""
        return -np.expm1(-self.exposure)

    def gain(self, shares: Array) -> Array:
        """Gain of each draw at its own shares (J, D'), shape (J,)."""
        return self.bucket_gain(shares).sum(axis=-1)

    def bucket_gain(self, shares: Array) -> Array:
        """Terms of `gain`, shape (J, D')."""
        unique = np.minimum(shares, self.capacity)
        repetition = np.maximum(shares / self.capacity, 1.0)
        return self.density * unique * -np.expm1(-self.exposure[:, None] * repetition)

    def take(self, draws: Array | slice) -> "RecipeProgram":
        """The same program for some of the draws."""
        return RecipeProgram(
            self.capacity,
            self.density[draws],
            self.exposure[draws],
            self.scale[draws],
            self.packed,
            self.n_buckets,
        )

    def full_recipes(self, shares: Array) -> Array:
        """Shares (..., D') with the buckets left out put back as zeros, (..., D)."""
        recipes = np.zeros((*shares.shape[:-1], self.n_buckets))
        recipes[..., self.packed] = shares
        return recipes


def recipe_program(target: LawAtTarget, ordered: bool) -> RecipeProgram:
    """Scale a target, leaving out buckets that cannot be packed.

    With the ordering, a bucket without tokens also closes every bucket after it.

    Raises
    ------
    InfeasibleError
        No bucket can be packed: none has tokens (or, ordered, the best one has none).
    """
    has_tokens = np.asarray(target.source) > 0
    usable = np.logical_and.accumulate(has_tokens) if ordered else has_tokens
    _require_informative(target, usable, ordered)
    density = target.density[:, usable]
    largest = density.max(axis=1)
    return RecipeProgram(
        capacity=np.asarray(target.source, float)[usable] / target.tokens,
        density=density / largest[:, None],
        exposure=target.rate / target.normaliser,
        scale=largest * target.normaliser * (target.tokens / target.token_unit),
        packed=np.flatnonzero(usable),
        n_buckets=len(target.buckets),
    )


def _require_informative(target: LawAtTarget, usable: Array, ordered: bool) -> None:
    if not usable.any():
        blame = f"the best bucket {target.buckets[0]!r}" if ordered else "every bucket"
        raise InfeasibleError(f"no recipe exists: {blame} has 0 source tokens")
    if not (target.density[:, usable] > 0).any(axis=1).all():
        raise InfeasibleError("no recipe is informative: density is 0 in every bucket with tokens")
