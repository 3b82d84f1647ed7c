"""The recipes a decision may choose from: constraints, and what searches ask of their set."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.feasibility import is_feasible, require_feasible
from bayes_infolaw.decisions.lifted import Lifted, lift
from bayes_infolaw.decisions.linear_minimum import cheapest
from bayes_infolaw.decisions.pieces import convex_pieces
from bayes_infolaw.decisions.sampling import sample_convex
from bayes_infolaw.decisions.violation import violation
from bayes_infolaw.errors import InfeasibleError, InputError

__all__ = ["RecipeSet"]

Array = np.ndarray
SAME_SOURCE = 1e-6  # relative, as fits of one target may differ (`draws.pool`)


@dataclass(frozen=True, eq=False)
class RecipeSet(RecipeConstraints):
    """A set of recipes; see `RecipeConstraints` for its fields."""

    @classmethod
    def free(cls, draws: TargetDraws) -> "RecipeSet":
        """All recipes that the target's source tokens allow."""
        return cls(draws.buckets, np.asarray(draws.capacity, dtype=float))

    def require_matching(self, draws: TargetDraws) -> None:
        """Raise unless these are draws at the target that the set is of.

        The same buckets in the same order, and of each the same source tokens over K: K itself is
        in nothing else that the set holds.

        Raises
        ------
        InputError
            Saying what differs.
        """
        if draws.buckets != self.buckets:
            theirs, ours = ", ".join(draws.buckets), ", ".join(self.buckets)
            raise InputError(f"recipe set: must have the draws' buckets {theirs}, got {ours}")
        own, capacity = self.capacity, np.asarray(draws.capacity, dtype=float)
        off = np.flatnonzero(~np.isclose(own, capacity, rtol=SAME_SOURCE, atol=0.0))
        if off.size:
            d = off[0]
            raise InputError(
                f"recipe set: must be of the draws' target, where bucket {self.buckets[d]!r} has "
                f"source tokens of {capacity[d]:.6g} K, got {own[d]:.6g} K"
            )

    def contains(self, recipes: Array, tolerance: float = 1e-9) -> Array:
        """Which of recipes (R, D) are in the set, to a violation of ``tolerance``, bool (R,)."""
        return violation(self, np.atleast_2d(recipes)) <= tolerance

    @property
    def unconstrained(self) -> bool:
        """Whether the sum and the source tokens are all there is, but for an ordering."""
        others = (self.max_mean_repetition, self.kl_max, self.tv_max, self.budget)
        bounded = (self.lower > 0).any() or (self.upper < (self.capacity > 0)).any()
        return self.convex and not bounded and not self.linear and others == (None,) * 4

    @cached_property
    def lifted(self) -> Lifted:
        """Split coordinates of a convex set.

        Raises
        ------
        InfeasibleError
            It is empty; naming the constraints that clash.
        """
        if self.kl_max is not None:
            self.require_feasible()
        try:
            return lift(self)
        except InfeasibleError:
            self.require_feasible()
            raise

    def linear_minimum(self, cost: Array) -> tuple[Array, float]:
        """Recipe (D,) of least ``cost . w`` in the set, and that cost.

        Raises
        ------
        InfeasibleError
            The set is empty.
        """
        cost = np.asarray(cost, dtype=float)
        found = (
            [self._cheapest(cost)] if self.convex else [p._cheapest(cost) for p in self.pieces()]
        )
        if not found:
            self.require_feasible()
        recipe = min(found, key=lambda w: float(cost @ w))
        return recipe, float(cost @ recipe)

    def _cheapest(self, cost: Array) -> Array:
        if self.unconstrained and self.ordering is None and (self.capacity > 0).any():
            packed = np.where(self.capacity > 0, cost, np.inf)
            return np.eye(len(cost))[int(np.argmin(packed))]
        return cheapest(self.lifted, cost)

    def random(self, n: int, seed: int) -> Array:
        """Recipes (n, D) spread over the set.

        Convex: nearly uniform. Else the pieces in turn, each nearly uniform within itself, in
        random order.
        """
        if self.convex:
            return self._random(n, seed)
        pieces = list(self.pieces())
        if not pieces:
            self.require_feasible()
        counts = np.full(len(pieces), n // len(pieces)) + (np.arange(len(pieces)) < n % len(pieces))
        found = [
            piece._random(int(k), seed + i)
            for i, (piece, k) in enumerate(zip(pieces, counts, strict=True))
            if k
        ]
        return np.random.default_rng(seed).permutation(np.concatenate(found), axis=0)

    def _random(self, n: int, seed: int) -> Array:
        if self.unconstrained and self.ordering != "repetition" and (self.capacity > 0).all():
            w = np.random.default_rng(seed).dirichlet(np.ones(len(self.buckets)), n)
            return -np.sort(-w, axis=1) if self.ordering else w
        return sample_convex(self, self._cheapest, n, seed)

    def pieces(self) -> "Iterator[RecipeSet]":
        """Convex sets, none empty, whose union is this set; itself if it is convex."""
        yield from self._all_pieces

    @cached_property
    def _all_pieces(self) -> "tuple[RecipeSet, ...]":
        if self.convex:
            return (self,)
        return tuple(piece for piece in convex_pieces(self) if is_feasible(piece))

    def require_feasible(self) -> None:
        """Raise unless a recipe is in the set.

        Raises
        ------
        InfeasibleError
            Naming a smallest set of constraints that clash.
        """
        require_feasible(self)
