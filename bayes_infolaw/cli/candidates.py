"""What ``next`` searches: the recipes to decide between, and the candidate runs."""

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

__all__ = ["allowed_recipes", "candidate_runs"]


def allowed_recipes(
    wanted: limits.ConstraintOptions, fits: "Mapping[str, Fit]", target: dict[str, Any]
) -> "RecipeSet | None":
    """The recipes allowed at the target; None where --ordered is all that limits them."""
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.posterior.target import law_at_target

    if not set(wanted.given()) - {"ordered"}:
        return None
    laws = {name: law_at_target(fit, **target) for name, fit in fits.items()}
    return limits.recipe_set(wanted, pool(laws))


def candidate_runs(
    leading: "Fit",
    candidates: str | None,
    budget: float | None,
    target: dict[str, Any],
    settings: "SearchSettings",
    data_dir: str | None,
) -> "RunTable":
    """Candidates as given, those over the budget left out, or proposed within it."""
    from bayes_infolaw.decisions.next_run.propose import propose_runs, within_budget
    from bayes_infolaw.posterior.plan import plan_for

    if candidates is not None:
        plan = plan_for(leading, opt.read_planned(leading, candidates, data_dir))
        return plan if budget is None else within_budget(plan, budget)
    assert budget is not None
    return propose_runs(
        leading,
        budget,
        recipe=_best_recipe(leading, target, settings),
        shares=target["shares"],
        labels=target["labels"],
    )


def _best_recipe(
    leading: "Fit", target: dict[str, Any], settings: "SearchSettings"
) -> "np.ndarray":
    """The recipe that the leading fit alone would choose."""
    from bayes_infolaw.decisions.convex import least_mean
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.recipes.expected import expected_loss_recipe

    law = leading.target(**target)
    if settings.allowed is None:
        return expected_loss_recipe(law, ordered=settings.ordered).recipe
    return least_mean(pool({"leading": law}), settings.allowed).recipe
