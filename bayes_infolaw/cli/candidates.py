"""What ``next`` searches: the recipes to decide between, and the candidate runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli import constraints as limits
from bayes_infolaw.cli import options as opt
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from bayes_infolaw.decisions.next_run.answer import SearchSettings
    from bayes_infolaw.decisions.recipe_set import RecipeSet
    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.tables import RunTable

__all__ = ["PlanFiles", "Request", "allowed_recipes", "candidate_runs"]


@dataclass(frozen=True)
class Request:
    """The options that say which runs could be bought, and for which target."""

    candidates: str | None
    budget: float | None
    target: dict[str, Any]
    data_dir: str | None
    max_run_repetition: float | None = None


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
    from bayes_infolaw.decisions.next_run.propose import (
        common_labels,
        fitted_repetition,
        propose_runs,
    )

    assert request.budget is not None
    recipe, needed = _best_recipe(leading, request.target, settings)
    most = request.max_run_repetition
    usual = {name: label for fit in fits.values() for name, label in common_labels(fit).items()}
    return propose_runs(
        leading,
        request.budget,
        recipe=recipe,
        shares=request.target["shares"],
        labels=usual | common_labels(leading) | request.target["labels"],
        max_repetition=max(fitted_repetition(fits.values()), needed) if most is None else most,
    )


def _best_recipe(
    leading: "Fit", target: dict[str, Any], settings: "SearchSettings"
) -> "tuple[np.ndarray, float]":
    """The recipe that the leading fit alone would choose, and the most it repeats a bucket."""
    from bayes_infolaw.decisions.convex import least_mean
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.decisions.labels import own_target
    from bayes_infolaw.recipes.expected import expected_loss_recipe

    law = leading.target(**own_target(leading, target))
    draws = pool({"leading": law})
    if settings.allowed is None:
        recipe = expected_loss_recipe(law, ordered=settings.ordered).recipe
    else:
        recipe = least_mean(draws, settings.allowed).recipe
    return recipe, max(float(draws.repetition(recipe).max()), 1.0)


@dataclass(frozen=True)
class PlanFiles:
    """Where the candidates are written as plans: all of them, and the runs of the batch."""

    every: str | None
    batch: str | None

    def require(self, others: "Mapping[str, str | None]") -> None:
        """Refuse folders that are not there, and files that are read or written by others.

        Raises
        ------
        InputError
            Naming the option.
        """
        named = {"--plan-out": self.every, "--batch-out": self.batch}
        taken = {name: Path(p).resolve() for name, p in others.items() if p is not None}
        for name, path in named.items():
            opt.require_folder(path, name)
            if path is None:
                continue
            for other, used in taken.items():
                if Path(path).resolve() == used:
                    raise InputError(f"{name}: must not be the file of {other}, got {path!r}")
            taken[name] = Path(path).resolve()

    def write(self, plan: "RunTable", found: "Mapping[str, Any]") -> list[str]:
        """Write what was asked for; a note for each file."""
        from bayes_infolaw.tables.files import write_frame
        from bayes_infolaw.tables.write import stated_frame

        frame = stated_frame(plan).drop(columns=["loss", "simulated"], errors="ignore")
        if "set" in frame:  # an empty cell means a run of its own; `sweep` wants it said
            frame["set"] = frame["set"].where(frame["set"].notna(), frame["run"])
        bought = [run for candidate in found["batch"] for run in candidate["runs"]]
        batch = frame.set_index("run").loc[bought].reset_index()
        notes = []
        for path, rows, what in (
            (self.every, frame, "the candidates"),
            (self.batch, batch, "the runs of the batch"),
        ):
            if path is not None:
                write_frame(rows, Path(path))
                notes.append(f"{what} are written as a plan: {path}")
        return notes
