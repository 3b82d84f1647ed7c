"""Draws, a recipe set and the parameters behind the draws -> what moves the choice of recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.losses import unrounded
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.errors import InputError
from bayes_infolaw.threads import one_blas_thread

__all__ = ["ParameterSensitivity", "Sensitivity", "Third", "sensitivity"]

Array = np.ndarray


@dataclass(frozen=True)
class Third:
    """The decision if a parameter were known to lie in the lower (or upper) third of its draws."""

    mean: float  # of the parameter there
    recipe: dict[str, float]  # of least expected loss there
    expected_loss: float  # of the chosen recipe there
    regret: float  # of the chosen recipe against that recipe, there


@dataclass(frozen=True)
class ParameterSensitivity:
    """How one parameter moves the draws' own best recipes and the chosen recipe's loss.

    Slopes are of a regression on this parameter alone, per standard deviation of it, within forms:
    what comes with the parameter, correlated ones included. Its worth is against the best recipe
    for the forms that have it, so that knowing the form does not count, times their probability.
    """

    name: str
    forms: tuple[str, ...]  # that have the parameter
    mean: float
    sd: float  # within forms
    share_slope: dict[str, float]  # of the draws' own best shares, per sd
    explained: float  # part of the variance of those shares, summed over buckets
    loss_slope: float  # of the chosen recipe's loss, per sd, loss unit
    lower: Third
    upper: Third
    worth: float  # expected loss saved by knowing the third it lies in, where its forms hold

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"forms": list(self.forms)}


@dataclass(frozen=True)
class Sensitivity:
    """What moves the choice, the parameter most worth knowing first."""

    recipe: dict[str, float]  # chosen
    parameters: tuple[ParameterSensitivity, ...]
    explained: dict[str, float]  # by form: all its parameters together, linearly

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        rows = [parameter.to_dict() for parameter in self.parameters]
        return {"recipe": self.recipe, "parameters": rows, "explained": self.explained}


@one_blas_thread
def sensitivity(
    draws: TargetDraws,
    allowed: RecipeSet,
    parameters: Mapping[str, Array],
    *,
    recipe: Array | None = None,
    optima: DrawOptima | None = None,
) -> Sensitivity:
    """How the choice moves with every parameter.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    parameters : mapping of name to array (J,)
        Beside the draws, as in `forms.FormDraws`; NaN in the draws of a form without it. One that
        does not vary is left out.
    recipe : array of shape (D,), optional
        The chosen one; by default that of least expected loss.
    optima : DrawOptima, optional
        Of the same draws and set, where they are known already.

    Raises
    ------
    InputError
        A parameter whose number of draws is not J, or a set of another target than the draws'.
    """
    allowed.require_matching(draws)
    for name, values in parameters.items():
        if np.shape(values) != (len(draws),):
            shape = np.shape(values)
            raise InputError(
                f"parameter {name}: must have one value a draw ({len(draws)},), {shape}"
            )
    optima = draw_optima(draws, allowed) if optima is None else optima
    chosen = least_mean(draws, allowed).recipe if recipe is None else np.asarray(recipe, float)
    study = _Study(draws, allowed, chosen, optima.recipes)
    varying = {name: values for name, values in parameters.items() if study.varies(values)}
    rows = [study.of_parameter(name, values) for name, values in varying.items()]
    return Sensitivity(
        recipe=study.draws.by_name(chosen),
        parameters=tuple(sorted(rows, key=lambda row: -row.worth)),
        explained=study.explained(varying),
    )


@dataclass(frozen=True)
class _Study:
    draws: TargetDraws
    allowed: RecipeSet
    chosen: Array  # (D,)
    own: Array  # (J, D) the draws' own best recipes

    def varies(self, values: Array) -> bool:
        known = np.isfinite(values)
        centred = self.centred(values[:, None], known)[known, 0]
        size = np.abs(values[known]).max(initial=0.0)
        return bool(np.abs(centred).max(initial=0.0) > 1e-12 * size)

    def centred(self, values: Array, known: Array) -> Array:
        """Values (J, P) minus the weighted means of their form, over the draws where known."""
        out = np.array(values, dtype=float)
        for form in range(len(self.draws.forms)):
            rows = np.flatnonzero(known & (self.draws.form == form))
            if rows.size:
                weight = self.draws.weight[rows]
                out[rows] -= weight @ out[rows] / weight.sum()
        return out

    def of_parameter(self, name: str, values: Array) -> ParameterSensitivity:
        known = np.isfinite(values)
        part = self.draws.take(np.flatnonzero(known))
        x = self.centred(values[:, None], known)[known, 0]
        sd = float(np.sqrt(part.weight @ x**2))
        per_sd = part.weight * x / sd
        shares, loss = self.centred(self.own, known)[known], part.loss(self.chosen)
        slope = per_sd @ shares
        thirds = _thirds(part, x)
        known_third = [self.third(part, loss, values[known], rows) for rows in thirds]
        mass = [float(part.weight[rows].sum()) for rows in thirds]
        return ParameterSensitivity(
            name=name,
            forms=tuple(part.forms[i] for i in np.unique(part.form)),
            mean=float(part.weight @ values[known]),
            sd=sd,
            share_slope=self.draws.by_name(slope),
            explained=_ratio(float(slope @ slope), float(part.weight @ (shares**2).sum(axis=1))),
            loss_slope=float(per_sd @ loss),  # x is centred by form: the forms' levels drop out
            lower=known_third[0],
            upper=known_third[-1],
            worth=float(self.draws.weight[known].sum()) * self.saved(part, mass, known_third),
        )

    def saved(self, part: TargetDraws, mass: list[float], thirds: list[Third]) -> float:
        """Mean loss of the best single recipe minus that of the best recipe for each third."""
        least = [third.expected_loss - third.regret for third in thirds]
        alone = least_mean(part, self.allowed).value
        return float(unrounded(np.array(alone - float(np.dot(mass, least))), np.array(alone)))

    def third(self, part: TargetDraws, loss: Array, values: Array, rows: Array) -> Third:
        inside = part.take(rows)
        best = least_mean(inside, self.allowed).recipe
        return Third(
            mean=float(inside.weight @ values[rows]),
            recipe=self.draws.by_name(best),
            expected_loss=float(inside.mean(loss[rows])),
            regret=self.above(inside, loss[rows], inside.loss(best)),
        )

    def above(self, inside: TargetDraws, loss: Array, least: Array) -> float:
        return float(unrounded(np.array(inside.mean(loss - least)), inside.mean(least)))

    def explained(self, parameters: Mapping[str, Array]) -> dict[str, float]:
        """Part of the variance of a form's own best shares that its parameters explain."""
        found = {}
        for i, form in enumerate(self.draws.forms):
            rows = np.flatnonzero(self.draws.form == i)
            columns = [v[rows] for v in parameters.values() if np.isfinite(v[rows]).all()]
            found[form] = _linear_fit(columns, self.own[rows], self.draws.weight[rows])
        return found


def _thirds(part: TargetDraws, centred: Array) -> list[Array]:
    """Draws in the lower, middle and upper third of a parameter by weight, form by form."""
    position = np.empty(len(part))
    for form in set(part.form.tolist()):
        rows = np.flatnonzero(part.form == form)
        order = rows[np.argsort(centred[rows], kind="stable")]
        mass = np.cumsum(part.weight[order])
        position[order] = (mass - 0.5 * part.weight[order]) / mass[-1]
    third = np.minimum((3.0 * position).astype(int), 2)
    return [rows for i in range(3) if (rows := np.flatnonzero(third == i)).size]


def _linear_fit(columns: list[Array], shares: Array, weight: Array) -> float:
    """R^2 of a weighted least-squares fit of shares (J, D), summed over buckets."""
    weight = weight / weight.sum()
    shares = (shares - weight @ shares) * np.sqrt(weight)[:, None]
    if not columns:
        return 0.0
    x = np.column_stack(columns)
    x = x - weight @ x
    scale = np.sqrt(weight @ x**2)
    x = x[:, scale > 0] / scale[scale > 0] * np.sqrt(weight)[:, None]
    fitted = x @ np.linalg.lstsq(x, shares, rcond=1e-10)[0]
    return _ratio(float((fitted**2).sum()), float((shares**2).sum()))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
