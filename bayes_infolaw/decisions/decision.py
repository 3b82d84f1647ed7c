"""Draws, a recipe set and a question -> the recipe to train on, and all that is said of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayes_infolaw.decisions.batch import Batch, best_batch
from bayes_infolaw.decisions.choice import Choice, Known, choose
from bayes_infolaw.decisions.convex import DrawOptima, draw_optima, least_mean
from bayes_infolaw.decisions.draws import TargetDraws
from bayes_infolaw.decisions.equivalent import EquivalentSet, equivalent_set
from bayes_infolaw.decisions.forms import FormRegret, regret_across_forms
from bayes_infolaw.decisions.improvement import incumbent_losses, require_halves
from bayes_infolaw.decisions.losses import TIE, regret, unrounded
from bayes_infolaw.decisions.monte_carlo import Estimate, estimate_mean, estimate_probability
from bayes_infolaw.decisions.question import OBJECTIVES, Question
from bayes_infolaw.decisions.recipe_set import RecipeSet
from bayes_infolaw.decisions.sensitivity import Sensitivity, sensitivity
from bayes_infolaw.decisions.starts import Search
from bayes_infolaw.decisions.value import held_out_losses
from bayes_infolaw.decisions.weighted import equal_tailed, weighted_quantile
from bayes_infolaw.threads import one_blas_thread

__all__ = ["OBJECTIVES", "Decision", "Forecast", "Gap", "Question", "decide", "forecast"]

Array = np.ndarray


@dataclass(frozen=True)
class Forecast:
    """What the draws say of one recipe at the target; interval ends are None for a single draw."""

    recipe: dict[str, float]
    expected_loss: float  # noise-free, loss unit
    loss_lo: float | None
    loss_hi: float | None
    prob: float | None
    repetition: dict[str, float]  # mean epochs T_d, 0 where unused


@dataclass(frozen=True)
class Gap:
    """Loss of the incumbent minus that of the recipe, under common draws."""

    mean: float
    lo: float | None
    hi: float | None


@dataclass(frozen=True)
class Decision(Forecast):
    """A recipe, chosen by the question's objective."""

    objective: str
    objective_value: float  # loss unit; for ei the improvement
    objective_se: float | None
    reported_on: str  # the draws that the objective's value is over
    level: float | None  # of the quantile, or of the CVaR's edge
    relative_gap: float  # the expected loss is within this of the least possible over the set
    recipe_sd: dict[str, float] | None  # of the draws' own best recipes
    recipe_quantiles: dict[str, dict[str, float]] | None
    incumbent: Forecast | None
    difference: Gap | None
    expected_improvement: Estimate | None  # on the incumbent; for ei over the half that told it
    p_better: Estimate | None  # than the incumbent, ties counted half
    expected_regret: Estimate  # E[L(recipe) - min L]
    evpi: Estimate  # the same of the recipe of least expected loss: what any study can still gain
    evpi_held_out: Estimate | None  # each half's recipe judged by the other half of the draws
    objective_held_out: Estimate | None  # the objective, over draws that did not choose
    equivalent_set: EquivalentSet
    batch: Batch | None
    across_forms: FormRegret | None  # None for one form
    sensitivity: Sensitivity | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; estimates as their value, errors under ``standard_errors``."""
        whole = {k: v for k, v in vars(self).items() if not hasattr(v, "to_dict")}
        plain = {k: asdict(v) if isinstance(v, Forecast | Gap) else v for k, v in whole.items()}
        names = ["expected_improvement", "p_better", "expected_regret", "evpi"]
        names += ["evpi_held_out", "objective_held_out"]
        found: dict[str, Estimate | None] = {name: getattr(self, name) for name in names}
        numbers = {name: None if e is None else e.value for name, e in found.items()}
        errors = {name: None if e is None else e.se for name, e in found.items()}
        parts = ("equivalent_set", "batch", "across_forms", "sensitivity")
        told = {p: None if getattr(self, p) is None else getattr(self, p).to_dict() for p in parts}
        return plain | numbers | told | {"standard_errors": errors}


@one_blas_thread
def decide(
    draws: TargetDraws,
    allowed: RecipeSet,
    question: Question | None = None,
    parameters: Mapping[str, Array] | None = None,
) -> Decision:
    """Choose a recipe of the set and say what to expect of it.

    Parameters
    ----------
    draws : TargetDraws
    allowed : RecipeSet
    question : Question, optional
        By default the recipe of least expected loss, against nothing.
    parameters : mapping of name to array (J,), optional
        Beside the draws (`forms.FormDraws.parameters`): then the choice's sensitivity to each.

    Raises
    ------
    InputError
        An incumbent or a set that does not fit the draws, or too few draws for expected
        improvement.
    InfeasibleError
        No recipe is allowed.
    """
    asked = question or Question()
    if asked.objective == "ei" or asked.q > 1:
        require_halves(draws)
    allowed.require_matching(draws)
    allowed.require_feasible()
    optima = draw_optima(draws, allowed)
    best = least_mean(draws, allowed).recipe
    other = held_out_losses(draws, allowed)
    chosen = choose(draws, allowed, asked, Known(optima, best, other))
    loss, least = draws.loss(chosen.recipe), draws.loss(best)
    return Decision(
        **vars(forecast(draws, chosen.recipe, asked.prob)),
        objective=asked.objective,
        objective_value=chosen.value.value,
        objective_se=chosen.value.se,
        reported_on=chosen.reported_on,
        level=asked.used_level,
        objective_held_out=chosen.held_out,
        relative_gap=float(
            unrounded(draws.mean(loss - least), draws.mean(least)) / draws.mean(loss)
        ),
        **_spread(draws, optima, asked.prob),
        **_against(draws, asked, chosen),
        expected_regret=estimate_mean(draws, regret(loss, optima.loss)),
        evpi=estimate_mean(draws, regret(least, optima.loss)),
        evpi_held_out=None if other is None else estimate_mean(draws, regret(other, optima.loss)),
        equivalent_set=equivalent_set(draws, allowed, best=best, settings=asked.equivalent),
        batch=_batch(draws, allowed, asked),
        across_forms=None
        if len(draws.forms) == 1
        else regret_across_forms(
            draws, allowed, {"recommended": chosen.recipe}, optima=optima, pooled=best
        ),
        sensitivity=None
        if parameters is None
        else sensitivity(draws, allowed, parameters, recipe=chosen.recipe, optima=optima),
    )


def forecast(draws: TargetDraws, recipe: Array, prob: float = 0.9) -> Forecast:
    """Expected loss, its equal-tailed interval and the repetition of a recipe (D,)."""
    loss = draws.loss(recipe)
    low, high = equal_tailed(loss, draws.weight, prob) if len(draws) > 1 else (None, None)
    return Forecast(
        recipe=draws.by_name(recipe),
        expected_loss=float(draws.mean(loss)),
        loss_lo=low,
        loss_hi=high,
        prob=None if low is None else prob,
        repetition=draws.by_name(draws.repetition(recipe)),
    )


def _spread(draws: TargetDraws, optima: DrawOptima, prob: float) -> dict[str, Any]:
    """Sd and quantiles of the draws' own best recipes; None for one draw."""
    if len(draws) == 1:
        return {"recipe_sd": None, "recipe_quantiles": None}
    levels = [0.5 * (1.0 - prob), 0.5, 0.5 * (1.0 + prob)]
    mean = draws.weight @ optima.recipes
    sd = np.sqrt(draws.weight @ (optima.recipes - mean) ** 2)
    quantiles = {
        name: dict(
            zip(
                ("lo", "median", "hi"),
                weighted_quantile(shares, draws.weight, levels).tolist(),
                strict=True,
            )
        )
        for name, shares in zip(draws.buckets, optima.recipes.T, strict=True)
    }
    return {"recipe_sd": draws.by_name(sd), "recipe_quantiles": quantiles}


def _against(draws: TargetDraws, asked: Question, chosen: Choice) -> dict[str, Any]:
    """The incumbent beside the recipe, under common draws."""
    names = ("incumbent", "difference", "expected_improvement", "p_better")
    if asked.current is None:
        return dict.fromkeys(names)
    today = incumbent_losses(draws, asked.current)
    gap = today - draws.loss(chosen.recipe)
    sign = np.where(np.abs(gap) <= TIE * np.abs(today), 0.0, np.sign(gap))
    ends = equal_tailed(gap, draws.weight, asked.prob) if len(draws) > 1 else (None, None)
    known = asked.incumbent
    parts = (
        None if known is None else forecast(draws, known, asked.prob),
        Gap(float(draws.mean(gap)), *ends),
        # Chosen for its improvement: only the draws that did not choose tell it without flattery.
        chosen.value if asked.objective == "ei" else estimate_mean(draws, np.maximum(gap, 0.0)),
        estimate_probability(draws, 0.5 * (sign + 1.0)),
    )
    return dict(zip(names, parts, strict=True))


def _batch(draws: TargetDraws, allowed: RecipeSet, asked: Question) -> Batch | None:
    if asked.q == 1 or asked.current is None:
        return None
    return best_batch(draws, allowed, asked.current, asked.q, Search(seed=asked.seed))
