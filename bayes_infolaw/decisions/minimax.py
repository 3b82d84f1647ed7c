"""What not knowing the law costs whatever the weights of its forms: a bound, and a recipe for it.

Weights of forms come from few runs and are themselves uncertain, which no expectation under them
tells. The value of perfect information is concave in the weights, so that its maximum over all of
them is found exactly; over a convex set it is also the least expected regret that one recipe can
promise under every form (the minimax theorem).
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bayes_infolaw.decisions.convex import draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.recipes.certificate import CertificateError
from bayes_infolaw.threads import one_blas_thread

__all__ = ["AnyWeights", "any_weights"]

Array = np.ndarray

GAP = 1e-3  # relative, of the largest value
ROUNDING = 1e-9  # of the loss: values below are noise
ROUNDS = 200


@dataclass(frozen=True)
class AnyWeights:
    """The value of perfect information by the weights of the forms, in the loss unit."""

    evpi_equal: float  # equal weights
    evpi_largest: float  # of all weights
    evpi_bound: float  # nowhere above this
    weights: dict[str, float]  # where it is largest
    recipe: dict[str, float]  # of least expected loss under those weights
    regret: dict[str, float]  # that recipe's expected regret under each form

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@one_blas_thread
def any_weights(draws: TargetDraws, allowed: RecipeSet) -> AnyWeights:
    """Maximise ``min_w sum_f p_f E_f[L(w) - min L]`` over weights p by cutting planes.

    Parameters
    ----------
    draws : TargetDraws
        Every form that may hold, with draws of its own; only weights within a form count.
    allowed : RecipeSet

    Raises
    ------
    InputError
        A set of another target than the draws'.
    InfeasibleError
        No recipe is allowed.
    CertificateError
        The bound stays more than 0.1 % above the value found.
    """
    game = _Game(draws, allowed)
    n = len(draws.forms)
    equal = game.play(np.full(n, 1.0 / n))
    best = max([equal, *(game.play(alone) for alone in np.eye(n))], key=lambda r: r.value)
    for _ in range(ROUNDS):
        weights, bound = _upper(game.cuts)
        if bound - best.value <= max(GAP * bound, ROUNDING * game.scale):
            return _told(draws, equal.value, bound, best)
        best = max(best, game.play(weights), key=lambda r: r.value)
    raise CertificateError(f"value under any weights: {best.value:.3g}, bound {bound:.3g}")


@dataclass(frozen=True)
class _Round:
    """Weights (F,), the best recipe (D,) under them and its regrets by form (F,)."""

    weights: Array
    recipe: Array
    regret: Array
    value: float


class _Game:
    """Weights -> best recipe and its regrets, remembered as planes above the concave value."""

    def __init__(self, draws: TargetDraws, allowed: RecipeSet) -> None:
        self.draws, self.allowed = draws, allowed
        self.shares = draws.weight / np.bincount(draws.form, draws.weight)[draws.form]
        optima = draw_optima(draws, allowed).loss
        self.least = self._by_form(optima)
        self.scale = float(self.least.max())
        self.cuts: list[Array] = []

    def play(self, weights: Array) -> _Round:
        kept = np.flatnonzero(weights[self.draws.form] > 0)
        mass = (self.shares * weights[self.draws.form])[kept]
        part = replace(self.draws.take(kept), weight=mass / mass.sum())
        recipe = least_mean(part, self.allowed).recipe
        regret = np.maximum(self._by_form(self.draws.loss(recipe)) - self.least, 0.0)
        self.cuts.append(regret)
        return _Round(weights, recipe, regret, float(weights @ regret))

    def _by_form(self, values: Array) -> Array:
        return np.bincount(self.draws.form, self.shares * values, len(self.draws.forms))


def _upper(cuts: list[Array]) -> tuple[Array, float]:
    """Weights under which the lowest of the planes is highest, and its height."""
    rows, scale = np.array(cuts), max(float(np.max(cuts)), np.finfo(float).tiny)
    n = rows.shape[1]
    found = linprog(
        np.r_[np.zeros(n), -1.0],
        A_ub=np.column_stack([-rows / scale, np.ones(len(rows))]),
        b_ub=np.zeros(len(rows)),
        A_eq=[[*np.ones(n), 0.0]],
        b_eq=[1.0],
        bounds=[(0.0, 1.0)] * n + [(0.0, None)],
    )
    weights = np.clip(found.x[:n], 0.0, None)
    return weights / weights.sum(), float(-found.fun * scale)


def _told(draws: TargetDraws, equal: float, bound: float, best: _Round) -> AnyWeights:
    def named(values: Array) -> dict[str, float]:
        return dict(zip(draws.forms, values.tolist(), strict=True))

    return AnyWeights(
        evpi_equal=equal,
        evpi_largest=best.value,
        evpi_bound=max(bound, best.value),
        weights=named(best.weights),
        recipe=draws.by_name(best.recipe),
        regret=named(best.regret),
    )
