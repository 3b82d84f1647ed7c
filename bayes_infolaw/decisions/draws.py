"""Laws at one target, of one fit or of several -> weighted joint draws of the loss of any recipe.

Every decision is an expectation over these draws, and every comparison of two recipes takes both
under the same draw: their common level varies many times more than their difference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget

__all__ = ["TargetDraws", "form_weights", "pool"]

Array = np.ndarray
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class TargetDraws:
    """J joint draws of the law at one target; D buckets, F forms (fits).

    The noise-free loss of the recipe w (shares of the packed tokens) under draw j is::

        gain_j(w) = sum_d f_jd min(w_d, c_d) (1 - exp(-r_j max(w_d / c_d, 1)))
        loss_j(w) = E_j + exp(log_level_j - beta_j ln gain_j(w))

    the law of `laws.infolaw` with the units of information taken into the level.

    Raises
    ------
    InputError
        Weights that are not positive or do not sum to one.
    """

    buckets: tuple[str, ...]  # D names, best first
    capacity: Array  # (D,) c_d = source tokens over K, >= 0; a bucket of 0 cannot be packed
    tokens: float  # K
    density: Array  # (J, D) f_d over the draw's largest
    exposure: Array  # (J,) r = lambda / l, > 0
    log_level: Array  # (J,)
    beta: Array  # (J,) > 0
    irreducible: Array  # (J,) E >= 0, loss unit
    weight: Array  # (J,) > 0, sums to one
    form: Array  # (J,) int, position among `forms`
    forms: tuple[str, ...]  # F names
    loss_unit: str = "nats per token"

    def __post_init__(self) -> None:
        weight = np.asarray(self.weight, dtype=float)
        if weight.size and (not (weight > 0).all() or abs(weight.sum() - 1.0) > SUM_TOLERANCE):
            raise InputError(f"weight: must be > 0 and sum to 1, got a sum of {weight.sum():.12g}")

    def __len__(self) -> int:
        return len(self.weight)

    def gain(self, recipes: Array) -> Array:
        """Scaled information: recipe (D,) gives (J,), recipes (R, D) give (R, J).

        Holds R x J x D numbers: for a few recipes; many go through `decisions.kernel`.
        """
        w = np.asarray(recipes, dtype=float)[..., None, :]
        unique = np.minimum(w, self.capacity)
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(self.capacity > 0, np.maximum(w / self.capacity, 1.0), 1.0)
        return (self.density * unique * -np.expm1(-self.exposure[:, None] * times)).sum(axis=-1)

    def loss(self, recipes: Array) -> Array:
        """Noise-free loss in the loss unit, same shapes as `gain`; infinite without information."""
        with np.errstate(divide="ignore"):
            log_gain = np.log(self.gain(recipes))
        return self.irreducible + np.exp(self.log_level - self.beta * log_gain)

    def mean(self, values: Array) -> Array:
        """Weighted mean over the last axis, the draws."""
        return np.asarray(values) @ self.weight

    def take(self, draws: Array) -> "TargetDraws":
        """Some of the draws, their weights scaled to sum to one."""
        weight = self.weight[draws]
        return TargetDraws(
            self.buckets,
            self.capacity,
            self.tokens,
            self.density[draws],
            self.exposure[draws],
            self.log_level[draws],
            self.beta[draws],
            self.irreducible[draws],
            weight / weight.sum(),
            self.form[draws],
            self.forms,
            self.loss_unit,
        )

    def take_by_form(self, draws: Array) -> "TargetDraws":
        """Some of the draws, those of every form together weighing as much as all of that form.

        A form that has none of them is left out of the sum.
        """
        some, n = self.take(draws), len(self.forms)
        whole = np.bincount(self.form, self.weight, n)
        scale = whole / np.maximum(np.bincount(some.form, some.weight, n), np.finfo(float).tiny)
        weight = some.weight * scale[some.form]
        return replace(some, weight=weight / weight.sum())

    def of_form(self, name: str) -> "TargetDraws":
        """The draws of one form."""
        return self.take(np.flatnonzero(self.form == self.forms.index(name)))

    def halves(self) -> tuple["TargetDraws", "TargetDraws"]:
        """Alternate draws of every form: one half to choose by, the other to report.

        Chains come one after another, so that neighbours (which are correlated) are parted. Either
        half gives every form its whole weight, however its draws are parted.
        """
        first, second = self.half_positions()
        return self.take_by_form(first), self.take_by_form(second)

    def half_positions(self) -> tuple[Array, Array]:
        """Positions of the draws in either half."""
        even = np.zeros(len(self), dtype=bool)
        for i in range(len(self.forms)):
            even[np.flatnonzero(self.form == i)[::2]] = True
        return np.flatnonzero(even), np.flatnonzero(~even)

    def require_recipe(self, name: str, recipe: Array) -> None:
        """Raise InputError unless these are shares (D,) of sum one over buckets with tokens."""
        w, n = np.asarray(recipe, dtype=float), len(self.buckets)
        if w.shape != (n,):
            raise InputError(f"{name}: must have shape ({n},), got {w.shape}")
        if not (np.isfinite(w) & (w >= 0)).all():
            raise InputError(f"{name}: shares must be numbers >= 0, got {w.tolist()}")
        if abs(w.sum() - 1.0) > SUM_TOLERANCE:
            raise InputError(f"{name}: shares must sum to 1, got {w.sum():.12g}")
        empty = np.flatnonzero((w > 0) & (self.capacity <= 0))
        if empty.size:
            bucket = self.buckets[empty[0]]
            raise InputError(f"{name}: bucket {bucket!r} has no tokens, got share {w[empty[0]]:g}")

    def by_name(self, values: Array) -> dict[str, float]:
        """A number of each bucket (D,), by its name."""
        return dict(zip(self.buckets, np.asarray(values, dtype=float).tolist(), strict=True))

    def repetition(self, recipe: Array) -> Array:
        """Mean epochs T_d = w_d / c_d, at least 1, over a bucket's source; 0 where unused, (D,)."""
        w = np.asarray(recipe, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(w > 0, np.maximum(w / self.capacity, 1.0), 0.0)


def pool(
    laws: Mapping[str, LawAtTarget], weights: Mapping[str, float] | None = None
) -> TargetDraws:
    """Join the laws of several fits at one target, each with its weight spread over its draws.

    Parameters
    ----------
    laws : mapping of name to LawAtTarget
        Same buckets, source, tokens and loss unit.
    weights : mapping of name to float, optional
        Non-negative, over the same names; scaled to sum to one. Equal by default. A form of weight
        zero is left out.

    Raises
    ------
    InputError
        No law, targets that differ, or bad weights.
    """
    shares = form_weights(tuple(laws), weights)
    kept = [name for name in laws if shares[name] > 0]
    _require_one_target({name: laws[name] for name in kept})
    parts = [_columns(laws[name]) for name in kept]
    first = laws[kept[0]]
    counts = [len(laws[name].rate) for name in kept]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return TargetDraws(
        buckets=first.buckets,
        capacity=np.asarray(first.source, dtype=float) / first.tokens,
        tokens=first.tokens,
        weight=np.repeat([shares[n] / c for n, c in zip(kept, counts, strict=True)], counts),
        form=np.repeat(np.arange(len(kept)), counts),
        forms=tuple(kept),
        loss_unit=first.loss_unit,
        **joined,
    )


def _columns(law: LawAtTarget) -> dict[str, Array]:
    largest = law.density.max(axis=1)
    scale = largest * law.normaliser * (law.tokens / law.token_unit)
    return {
        "density": law.density / largest[:, None],
        "exposure": law.rate / law.normaliser,
        "log_level": law.log_alpha - law.beta * np.log(scale),
        "beta": law.beta,
        "irreducible": law.irreducible,
    }


def form_weights(names: tuple[str, ...], weights: Mapping[str, float] | None) -> dict[str, float]:
    """Weights of forms by name, scaled to sum to one; equal where none are given.

    Raises
    ------
    InputError
        No name, weights of other names, a negative one, or all zero.
    """
    if not names:
        raise InputError("laws: at least one fit is needed, got none")
    given = dict.fromkeys(names, 1.0) if weights is None else dict(weights)
    off = sorted(set(given) ^ set(names))
    if off:
        raise InputError(f"weights: must name exactly {', '.join(names)}; off at {off[0]!r}")
    for name, value in given.items():
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"weight of {name!r} must be a number >= 0, got {value!r}")
    total = sum(given.values())
    if total <= 0:
        raise InputError(f"weights: at least one must be > 0, got a sum of {total:g}")
    return {name: value / total for name, value in given.items()}


def _require_one_target(laws: Mapping[str, LawAtTarget]) -> None:
    (first_name, first), *others = laws.items()
    for name, law in others:
        for field in ("buckets", "tokens", "loss_unit"):
            ours, theirs = getattr(first, field), getattr(law, field)
            if ours != theirs:
                raise InputError(
                    f"fits: {field} must agree; {first_name!r} has {ours}, {name!r} has {theirs}"
                )
        if not np.allclose(first.source, law.source, rtol=1e-6):
            raise InputError(
                f"fits: source tokens by bucket differ between {first_name!r} and {name!r}"
            )
