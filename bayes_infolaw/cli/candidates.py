"""What ``next`` searches: the recipes to decide between, and the candidate runs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from bayes_infolaw.decisions.next_run.answer import SearchSettings
    from bayes_infolaw.decisions.recipe_set import RecipeSet
    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.tables import RunTable

__all__ = ["Request", "allowed_recipes", "candidate_runs"]


@dataclass(frozen=True)
class Request:
    """The options that say which runs could be bought, and for which target."""

    candidates: str | None
    budget: float | None
    target: dict[str, Any]
    data_dir: str | None


def allowed_recipes(
    wanted: limits.ConstraintOptions, fits: "Mapping[str, Fit]", target: dict[str, Any]
) -> "RecipeSet | None":
    """The recipes allowed at the target; None where --ordered is all that limits them.

    Raises
    ------
    InputError
        A bad target, a label that no fit has, or bad limits.
    """
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.decisions.labels import own_target, require_labels

    require_labels(fits, target["labels"])
    draws = pool({name: fit.target(**own_target(fit, target)) for name, fit in fits.items()})
    if not set(wanted.given()) - {"ordered"}:
        return None
    return limits.recipe_set(wanted, draws)


def candidate_runs(
    fits: "Mapping[str, Fit]",
    request: Request,
    settings: "SearchSettings",
    weights: "Mapping[str, float] | None" = None,
) -> "RunTable":
    """Candidates as given, those over the budget left out, or proposed within it.

    Proposals go by the fit of most weight, the first of equals.

    Raises
    ------
    InputError
        Candidates that a fit cannot read, none within the budget, or fewer than the batch takes.
    """
    from bayes_infolaw.decisions.next_run.propose import within_budget
    from bayes_infolaw.decisions.next_run.search import require_candidates
    from bayes_infolaw.posterior.plan import plan_for

    shares = weights or dict.fromkeys(fits, 1.0)
    leading = fits[max(fits, key=lambda name: shares[name])]
    if request.candidates is None:
        plan = _proposed(fits, leading, request, settings)
    else:
        plan = plan_for(leading, opt.read_planned(leading, request.candidates, request.data_dir))
        plan = plan if request.budget is None else within_budget(plan, request.budget)
    for fit in fits.values():
        plan_for(fit, plan)
    require_candidates(plan, settings.q)
    return plan


def _proposed(
    fits: "Mapping[str, Fit]", leading: "Fit", request: Request, settings: "SearchSettings"
) -> "RunTable":
    from bayes_infolaw.decisions.next_run.propose import common_labels, propose_runs

    assert request.budget is not None
    usual = {name: label for fit in fits.values() for name, label in common_labels(fit).items()}
    return propose_runs(
        leading,
        request.budget,
        recipe=_best_recipe(leading, request.target, settings),
        shares=request.target["shares"],
        labels=usual | common_labels(leading) | request.target["labels"],
    )


def _best_recipe(
    leading: "Fit", target: dict[str, Any], settings: "SearchSettings"
) -> "np.ndarray":
    """The recipe that the leading fit alone would choose."""
    from bayes_infolaw.decisions.convex import least_mean
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.decisions.labels import own_target
    from bayes_infolaw.recipes.expected import expected_loss_recipe

    law = leading.target(**own_target(leading, target))
    if settings.allowed is None:
        return expected_loss_recipe(law, ordered=settings.ordered).recipe
    return least_mean(pool({"leading": law}), settings.allowed).recipe
