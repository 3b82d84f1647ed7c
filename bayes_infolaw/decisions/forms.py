"""Several fits at one target -> weighted joint draws, and what not knowing the form costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws, pool
from bayes_infolaw.decisions.labels import own_target, require_labels
from bayes_infolaw.decisions.losses import unrounded
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.stacking import FormWeights, weigh_forms
from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.target import LawAtTarget
from bayes_infolaw.posterior.fit import Fit
from bayes_infolaw.posterior.rows import flat_draws
from bayes_infolaw.threads import one_blas_thread

__all__ = ["FormDraws", "FormRegret", "decision_draws", "regret_across_forms"]

Array = np.ndarray

POOLED = "pooled"


@dataclass(frozen=True)
class FormDraws:
    """Several fits opened at one target."""

    draws: TargetDraws
    every: TargetDraws  # of all fits, those of weight zero too, in equal shares
    weights: FormWeights
    parameters: dict[str, Array]  # (J,) reported parameters beside the draws; NaN without one


@dataclass(frozen=True)
class FormRegret:
    """What a recipe loses under each form; R recipes, F forms, in the loss unit."""

    forms: tuple[str, ...]
    weights: dict[str, float]
    recipes: dict[str, dict[str, float]]  # each form's own best, the pooled best, given ones
    regret: dict[str, dict[str, Estimate]]  # recipe, form: mean loss above the form's own best
    expected_loss: dict[str, dict[str, float]]  # recipe, form
    within: dict[str, Estimate]  # by form: the best recipe's mean loss above the draws' own best
    across: dict[str, float]  # by recipe: weighted mean of its regrets, what knowing the form saves
    total: dict[str, float]  # by recipe: across + weighted within, its expected regret

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "forms": list(self.forms),
            "weights": self.weights,
            "recipes": self.recipes,
            "regret": {
                recipe: {form: estimate.to_dict() for form, estimate in row.items()}
                for recipe, row in self.regret.items()
            },
            "expected_loss": self.expected_loss,
            "within": {form: estimate.to_dict() for form, estimate in self.within.items()},
            "across": self.across,
            "total": self.total,
        }


def decision_draws(
    fits: Mapping[str, Fit],
    target: Mapping[str, Any],
    *,
    weights: str | Mapping[str, float] = "auto",
    allow_unconverged: bool = False,
) -> FormDraws:
    """Open fits at one target.

    Parameters
    ----------
    fits : mapping of name to Fit
    target : mapping
        Arguments of `posterior.target.law_at_target`. Each fit gets those of ``labels`` that name
        one of its columns.
    weights : str or mapping
        See `stacking.weigh_forms`. A form of weight zero is left out of the draws.
    allow_unconverged : bool

    Raises
    ------
    InputError
        A bad target or weights, fits that do not agree on buckets, source or unit, or a label that
        no fit has.
    RefusedError
        A fit did not converge, or has one bucket.
    """
    for fit in fits.values():
        fit.require_usable(allow_unconverged)
    require_labels(fits, target.get("labels") or {})
    chosen = weigh_forms(fits, weights)
    laws = {name: fit.target(**own_target(fit, target)) for name, fit in fits.items()}
    draws = pool(laws, chosen.weights)
    opened = {name: _parameters(fits[name], laws[name]) for name in draws.forms}
    return FormDraws(draws, pool(laws), chosen, _joined(draws, opened))


def _parameters(fit: Fit, law: LawAtTarget) -> dict[str, Array]:
    """Draws (J,) of the reported parameters, for the draws that are inside the law's domain.

    The law at a target carries a draw's beta unchanged, so that draws are known by it.
    """
    inside = np.isin(flat_draws(fit)["beta"], law.beta)
    return {name: value.reshape(-1)[inside] for name, value in fit.parameters().items()}


def _joined(draws: TargetDraws, opened: Mapping[str, dict[str, Array]]) -> dict[str, Array]:
    names = dict.fromkeys(name for form in opened.values() for name in form)
    joined = {name: np.full(len(draws), np.nan) for name in names}
    for i, form in enumerate(draws.forms):
        for name, values in opened[form].items():
            joined[name][draws.form == i] = values
    return joined | {"lambda/l": draws.exposure}


@one_blas_thread
def regret_across_forms(
    draws: TargetDraws,
    allowed: RecipeSet,
    recipes: Mapping[str, Array] | None = None,
    *,
    optima: DrawOptima | None = None,
    pooled: Array | None = None,
) -> FormRegret:
    """Mean losses of recipes under every form, against the form's own best.

    The expected regret of a recipe splits exactly: ``E[L(w) - min L]`` is the weighted mean over
    forms of ``E_f[L(w)] - min_v E_f[L(v)]``, lost for want of the form, plus the weighted mean of
    ``min_v E_f[L(v)] - E_f[min L]``, lost for want of its parameters.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    recipes : mapping of name to array (D,), optional
        Shown beside each form's own best recipe and that of all forms together ("pooled").
    optima : DrawOptima, optional
        Of the same draws and set, where they are known already; so with ``pooled`` (D,), the recipe
        of least expected loss.

    Raises
    ------
    InputError
        A given recipe has the name of a form, or "pooled".
    """
    given = {name: np.asarray(recipe, dtype=float) for name, recipe in (recipes or {}).items()}
    for name in given:
        if name in (*draws.forms, POOLED):
            raise InputError(f"recipes: must not have the name of a form or {POOLED!r}: {name!r}")
    parts = {form: draws.of_form(form) for form in draws.forms}
    _require_name_free(draws.forms)
    best = {form: least_mean(part, allowed).recipe for form, part in parts.items()}
    together = least_mean(draws, allowed).recipe if pooled is None else pooled
    shown = {**best, POOLED: together, **given}
    regret = {
        name: {
            form: _mean_above(part, part.loss(recipe), part.loss(best[form]))
            for form, part in parts.items()
        }
        for name, recipe in shown.items()
    }
    known = draw_optima(draws, allowed) if optima is None else optima
    return _summed(draws, parts, known, shown, regret)


def _mean_above(draws: TargetDraws, loss: Array, least: Array) -> Estimate:
    """Mean of losses above those of least mean, a mean below them by rounding set to 0."""
    found = estimate_mean(draws, loss - least)
    return replace(found, value=float(unrounded(np.array(found.value), draws.mean(least))))


def _require_name_free(forms: tuple[str, ...]) -> None:
    if POOLED in forms:
        raise InputError(f"fits: the name {POOLED!r} is that of all fits together; rename the fit")


def _summed(
    draws: TargetDraws,
    parts: Mapping[str, TargetDraws],
    optima: DrawOptima,
    shown: Mapping[str, Array],
    regret: dict[str, dict[str, Estimate]],
) -> FormRegret:
    share = {f: float(draws.weight[draws.form == i].sum()) for i, f in enumerate(draws.forms)}
    within = {
        form: _mean_above(part, part.loss(shown[form]), optima.loss[draws.form == i])
        for i, (form, part) in enumerate(parts.items())
    }
    inner = sum(share[form] * within[form].value for form in parts)
    across = {r: sum(share[f] * row[f].value for f in parts) for r, row in regret.items()}
    return FormRegret(
        forms=draws.forms,
        weights=share,
        recipes={r: draws.by_name(w) for r, w in shown.items()},
        regret=regret,
        expected_loss={
            r: {f: float(part.mean(part.loss(w))) for f, part in parts.items()}
            for r, w in shown.items()
        },
        within=within,
        across=across,
        total={r: value + inner for r, value in across.items()},
    )
