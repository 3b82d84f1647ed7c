"""Whether any recipe satisfies a set's constraints, and if not, a smallest set that clash."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from bayes_infolaw.decisions.constraints import RecipeConstraints
from bayes_infolaw.decisions.divergence import divergence
from bayes_infolaw.decisions.interior_point import solve_program
from bayes_infolaw.decisions.lifted import EMPTY, Lifted, lift
from bayes_infolaw.decisions.objectives import DivergenceObjective
from bayes_infolaw.decisions.pieces import convex_pieces
from bayes_infolaw.decisions.set_program import SetProgram
from bayes_infolaw.errors import InfeasibleError

__all__ = ["clash", "is_feasible", "nearest_to_reference", "require_feasible"]

Array = np.ndarray
MAX_SUBSETS = 500
"""Smaller sets of constraints tried before an irreducible one is called a smallest."""


@dataclass(frozen=True)
class _Named:
    """One constraint: what a message calls it, and the set's fields without it."""

    label: str
    drop: Callable[[RecipeConstraints], dict[str, Any]]


def require_feasible(allowed: RecipeConstraints) -> None:
    """Raise unless a recipe satisfies all constraints.

    Raises
    ------
    InfeasibleError
        Naming constraints that clash: none can be left out, and (where at most 500 smaller sets
        are to be tried) no fewer clash.
    """
    if not is_feasible(allowed):
        raise InfeasibleError(f"no recipe satisfies, together: {'; '.join(clash(allowed))}")


def is_feasible(allowed: RecipeConstraints) -> bool:
    """Whether a recipe satisfies all constraints (to 1e-9)."""
    return any(_convex_feasible(piece) for piece in convex_pieces(allowed))


def nearest_to_reference(lifted: Lifted) -> tuple[Array, float]:
    """The point (n,) of least divergence within bounds and rows, and that divergence in nats."""
    free = replace(lifted, kl_max=None)
    point = solve_program(SetProgram(free, DivergenceObjective(free)), lifted.centre[:, None])
    recipe = free.recipes(point.x)
    assert lifted.reference is not None
    return point.x[:, 0], float(divergence(recipe.T, lifted.reference)[0])


def _convex_feasible(allowed: RecipeConstraints) -> bool:
    try:
        lifted = lift(allowed)
    except InfeasibleError:
        return False
    if lifted.kl_max is None:
        return True
    assert lifted.reference is not None
    if len(lifted.centre) == 0:
        return float(divergence(lifted.fixed[None], lifted.reference)[0]) <= lifted.kl_max + EMPTY
    return nearest_to_reference(lifted)[1] <= lifted.kl_max + EMPTY


def clash(allowed: RecipeConstraints) -> list[str]:
    """Labels of a smallest set of constraints of an infeasible set that clash."""
    named = list(_constraints(allowed))

    def feasible(kept: tuple[_Named, ...]) -> bool:
        return is_feasible(_with_only(allowed, named, kept))

    found = _irreducible(tuple(named), feasible)
    for size in range(1, len(found)):
        if comb(len(named), size) > MAX_SUBSETS:
            break
        smaller = next((s for s in combinations(named, size) if not feasible(s)), None)
        if smaller:
            return [constraint.label for constraint in smaller]
    return [constraint.label for constraint in found]


def _irreducible(
    kept: tuple[_Named, ...], feasible: Callable[[tuple[_Named, ...]], bool]
) -> tuple[_Named, ...]:
    """Leave out constraints one by one as long as the rest clash."""
    for constraint in kept:
        rest = tuple(other for other in kept if other is not constraint)
        if not feasible(rest):
            kept = rest
    return kept


def _with_only(
    allowed: RecipeConstraints, named: list[_Named], kept: tuple[_Named, ...]
) -> RecipeConstraints:
    chosen = {id(constraint) for constraint in kept}
    for constraint in named:
        if id(constraint) not in chosen:
            allowed = replace(allowed, **constraint.drop(allowed))
    return allowed


def _constraints(allowed: RecipeConstraints) -> Iterator[_Named]:
    for d, name in enumerate(allowed.buckets):
        yield from _of_bucket(allowed, d, name)
    labels = {
        "ordering": "ordering of the {value}",
        "max_mean_repetition": "mean repetition at most {value:g}",
        "kl_max": "KL divergence from the reference at most {value:g}",
        "tv_max": "total variation from the reference at most {value:g}",
        "budget": "price per packed token at most {value:g}",
        "unique_budget": "price of the unique tokens at most {value:g}",
        "max_buckets": "at most {value} buckets",
    }
    for field, label in labels.items():
        value = getattr(allowed, field)
        if value is not None:
            yield _Named(label.format(value=value), lambda _, field=field: {field: None})  # type: ignore[misc]
    if allowed.linear:
        yield _Named("further linear rows", lambda _: {"linear": ()})


def _of_bucket(allowed: RecipeConstraints, d: int, name: str) -> Iterator[_Named]:
    floor, cap = allowed.floor[d], allowed.cap[d]

    def put(**fields: float) -> Callable[[RecipeConstraints], dict[str, Any]]:
        return lambda now: {key: _put(getattr(now, key), d, v) for key, v in fields.items()}

    if floor == cap:
        yield _Named(f"share of {name!r} fixed at {floor:g}", put(floor=0.0, cap=1.0))
    if floor > 0 and floor != cap:
        yield _Named(f"floor of {name!r} {floor:g}", put(floor=0.0))
    if cap < 1 and floor != cap:
        yield _Named(f"cap of {name!r} {cap:g}", put(cap=1.0))
    if allowed.capacity[d] <= 0:
        yield _Named(f"no source tokens in {name!r}", put(capacity=1.0))
    if allowed.max_repetition is not None and np.isfinite(allowed.max_repetition[d]):
        label = f"repetition of {name!r} at most {allowed.max_repetition[d]:g}"
        label += f" (source {allowed.capacity[d]:.4g} of the tokens)"
        yield _Named(label, put(max_repetition=np.inf))
    if allowed.min_if_used is not None and allowed.min_if_used[d] > 0:
        yield _Named(f"{name!r} none or at least {allowed.min_if_used[d]:g}", put(min_if_used=0.0))


def _put(values: Array, d: int, value: float) -> Array:
    changed = np.array(values, dtype=float)
    changed[d] = value
    return changed
