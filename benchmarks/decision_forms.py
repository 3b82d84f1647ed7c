"""Our answers: one form of the law, and several weighed equally or by stacking."""

from collections.abc import Iterator, Mapping

import numpy as np
from decision_answers import Answer
from decision_fits import Fitted

from bayes_infolaw.decisions.convex import least_mean
from bayes_infolaw.decisions.draws import TargetDraws, pool
from bayes_infolaw.decisions.improvement import best_improvement
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.stacking import HIGH_K_SHARE, stacking_weights

Array = np.ndarray

PREDICTIVE = 2000  # draws by which mixtures predict
STACKED = "forms by stacking"


def our_answers(
    fits: Mapping[str, Fitted], target: str, recipes: Array, incumbent: Array, seed: int
) -> Iterator[Answer]:
    """The form `infolaw` alone, then all forms: least posterior mean, and largest EI."""
    for name, chosen, weights, note in mixtures(fits):
        draws = thinned(pool({form: fit.laws[target] for form, fit in chosen.items()}, weights))
        predicted = predictions(draws, chosen, recipes, seed)
        facts = {"weights": {form: round(weight, 4) for form, weight in weights.items()}}
        facts["converged"] = {form: fit.converged for form, fit in chosen.items()}
        allowed = RecipeSet.free(draws)
        best = least_mean(draws, allowed).recipe
        yield Answer(f"{name}, least mean", best, *predicted, note=note, facts=facts)
        if name == STACKED:
            continue
        improved = best_improvement(draws, allowed, incumbent).recipe
        recipe = np.array([improved[bucket] for bucket in draws.buckets])
        yield Answer(f"{name}, largest EI", recipe, *predicted, note=note, facts=facts)


def thinned(draws: TargetDraws) -> TargetDraws:
    """Every second draw of each form: 1,000 of 2,000."""
    return draws.halves()[0]


def mixtures(fits: Mapping[str, Fitted]) -> Iterator[tuple[str, dict, dict[str, float], str]]:
    """Name, fits, weights and remark of one form alone and of all, weighed equally and stacked."""
    yield "InfoLaw", {"infolaw": fits["infolaw"]}, {"infolaw": 1.0}, ""
    yield "forms with equal weights", dict(fits), dict.fromkeys(fits, 1.0 / len(fits)), ""
    weights, note = stacking(fits)
    yield STACKED, dict(fits), weights, note


def stacking(fits: Mapping[str, Fitted]) -> tuple[dict[str, float], str]:
    """Stacking weights; equal ones and the reason where leave-one-out cannot be trusted."""
    for name, fit in fits.items():
        if fit.high_k > HIGH_K_SHARE * len(fit.log_density):
            return dict.fromkeys(fits, 1.0 / len(fits)), f"equal weights: Pareto k of {name}"
    weights = stacking_weights(np.array([fit.log_density for fit in fits.values()]))
    return dict(zip(fits, map(float, weights), strict=True)), ""


def predictions(
    draws: TargetDraws, fits: Mapping[str, Fitted], recipes: Array, seed: int
) -> tuple[Array, Array, Array]:
    """Log of the mean loss (R,), equally weighted draws of log loss (S, R), noise sds (S,)."""
    rng = np.random.default_rng([23, seed])
    losses = draws.loss(recipes)
    chosen = rng.choice(len(draws), PREDICTIVE, p=draws.weight)
    sigma = [rng.choice(fits[draws.forms[form]].sigma) for form in draws.form[chosen]]
    return np.log(draws.mean(losses)), np.log(losses[:, chosen]).T, np.array(sigma)
