"""Fits or constants, opened at a target -> the answer of ``recommend`` and its tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.cli.several import about_fits, open_fits, weigh
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from bayes_infolaw.decisions.decision import Decision, Question
    from bayes_infolaw.decisions.draws import TargetDraws
    from bayes_infolaw.decisions.recipe_set import RecipeSet
    from bayes_infolaw.laws.target import LawAtTarget
    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.tables import RunTable

__all__ = ["Opened", "backing", "of_constants", "of_fits", "planned", "require_data"]


@dataclass(frozen=True)
class Opened:
    """Draws at a target, where they come from, and what is needed to say more of them."""

    draws: "TargetDraws"
    about: dict[str, Any]
    target: dict[str, Any]
    labels: dict[str, str]
    law: "LawAtTarget"  # of the first form: its unit of information
    fits: "dict[str, Fit]" = field(default_factory=dict)
    parameters: "dict[str, np.ndarray] | None" = None
    every: "TargetDraws | None" = None  # of all fits, those of weight zero too

    def answer(
        self, allowed: "RecipeSet", question: "Question", limits: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The fields of the JSON contract."""
        import numpy as np

        from bayes_infolaw.decisions.decision import decide

        found = decide(self.draws, allowed, question, self.parameters)
        recipe = np.array(list(found.recipe.values()))
        alone = len(self.draws.forms) == 1
        payload = self.about | {
            "target": self.target,
            "labels": self.labels,
            **found.to_dict(),
            "information": float(self.law.information(recipe).mean()) if alone else None,
            "ordered": allowed.ordering is not None,
            "constraints": dict(limits),
            "beyond": None,
        }
        payload |= self._any_weights(allowed, payload["notes"])
        return payload | self._beyond(found, payload["notes"])

    def _any_weights(self, allowed: "RecipeSet", notes: list[str]) -> dict[str, Any]:
        """The value of perfect information whatever the forms weigh; None for one form."""
        from bayes_infolaw.decisions.minimax import any_weights
        from bayes_infolaw.recipes.certificate import CertificateError

        if self.every is None or len(self.every.forms) == 1:
            return {"any_weights": None}
        try:
            return {"any_weights": any_weights(self.every, allowed).to_dict()}
        except CertificateError as error:
            return {"any_weights": None, "notes": [*notes, f"no value under any weights: {error}."]}

    def _beyond(self, found: "Decision", notes: list[str]) -> dict[str, Any]:
        """How far the target with its recipe lies beyond the runs, by the fit that knows most."""
        if not self.fits:
            return {}
        from bayes_infolaw.posterior.beyond import run_beyond

        fitted = next(iter(self.fits.values()))
        plan = planned(fitted, self.draws, self.target | self.labels, found.recipe)
        beyond = run_beyond(plan.arrays(), fitted.table.arrays())
        return {"beyond": beyond, "notes": [*notes, *plan.notes]}


def of_fits(
    paths: list[str],
    weight: list[str] | None,
    target: dict[str, Any],
    labels: dict[str, str],
    allow_unconverged: bool,
) -> Opened:
    """Open fit files at a target.

    Raises
    ------
    InputError
        Fits that do not go together, a bad target, or a label that no fit has.
    RefusedError
        A fit that did not converge, or has one bucket.
    """
    from bayes_infolaw.decisions.forms import decision_draws
    from bayes_infolaw.decisions.labels import own_target, require_labels

    fits = open_fits(paths, allow_unconverged)
    require_labels(fits, labels)
    weights = weigh(fits, weight)
    opened = decision_draws(
        fits,
        target | {"labels": labels},
        weights=weights.weights,
        allow_unconverged=allow_unconverged,
    )
    about = about_fits(paths, fits, weights)
    first = fits[opened.draws.forms[0]]
    law = first.target(**own_target(first, target | {"labels": labels}))
    single = {
        "fit": paths[0] if len(paths) == 1 else None,
        "constants": None,
        "converged": all(fit.verdict.converged for fit in fits.values()),
    }
    return Opened(
        draws=opened.draws,
        about=single | about | _units(law, opened.draws),
        target=target,
        labels=labels,
        law=law,
        fits=fits,
        parameters=opened.parameters,
        every=opened.every,
    )


def _units(law: "LawAtTarget", draws: "TargetDraws") -> dict[str, Any]:
    alone = len(draws.forms) == 1
    return {"token_unit": law.token_unit if alone else None, "draws": len(draws)}


def of_constants(
    name: str | None,
    target: dict[str, Any],
    labels: dict[str, str],
    order: list[str] | None,
) -> Opened:
    """The published constants at a target: one draw.

    Raises
    ------
    InputError
        Another name than ``published``, labels, or a bad target.
    """
    from bayes_infolaw.decisions.draws import pool
    from bayes_infolaw.recipes.published import published_target

    if name != "published":
        raise InputError(f"--constants: must be published, got {name!r}")
    if labels:
        raise InputError("--label: the published constants know no groups")
    names, values = _ordered_shares(target["shares"], order)
    law = published_target(
        target["params_nonembedding"],
        target["tokens"],
        target["source_tokens"],
        shares=values,
        buckets=names,
        overtraining=_degree(target),
    )
    draws = pool({name: law})
    about: dict[str, Any] = {
        "fit": None,
        "constants": name,
        "converged": None,
        "loss_unit": law.loss_unit,
    }
    about |= {"fits": [], "weighting": None, "simulated": False, **_units(law, draws)}
    about["notes"] = [
        "published constants: no posterior, so no intervals, no regret and no value of information."
    ]
    return Opened(draws=draws, about=about, target=target, labels=labels, law=law)


def _ordered_shares(
    shares: dict[str, float] | None, order: list[str] | None
) -> tuple[list[str] | None, list[float] | None]:
    """Bucket names best first, and shares in that order; the paper's where there are none."""
    from bayes_infolaw.tables.buckets import resolve_buckets

    if shares is None:
        return order, None
    columns = [f"{prefix}{name}" for prefix in ("w_", "share_") for name in shares]
    names = resolve_buckets(columns, order)
    return list(names), [shares[name] for name in names]


def _degree(target: Mapping[str, Any]) -> float | None:
    from bayes_infolaw.laws.overtraining import overtraining_degree

    flops = target["flops_per_token"]
    if flops is None or not (flops > 0 and target["tokens"] > 0):
        return target["overtraining"]
    return float(overtraining_degree(flops, target["tokens"]))


def planned(
    fitted: "Fit", draws: "TargetDraws", target: dict[str, Any], recipe: dict[str, float]
) -> "RunTable":
    """The target, its labels included, with a recipe as a plan of one row."""
    import pandas as pd

    from bayes_infolaw.posterior.plan import plan_for

    row = {name: value for name, value in target.items() if value is not None and name != "shares"}
    shares = draws.capacity / draws.capacity.sum()
    row |= {f"share_{name}": share for name, share in zip(draws.buckets, shares, strict=True)}
    row |= {f"w_{name}": share for name, share in recipe.items()}
    return plan_for(fitted, pd.DataFrame([{"run": "target", **row}]))


def held_out_error(path: str) -> dict[str, Any]:
    """Errors and coverage of a saved ``validate --json``: what backs a claim beyond the draws.

    Raises
    ------
    InputError
        No such file, or not that output.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--held-out: cannot read {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"--held-out: {path!r} is no JSON: {error}") from error
    names = ("model", "hold_out", "runs", "errors_percent", "coverage")
    if not isinstance(found, dict) or any(name not in found for name in names):
        raise InputError(f"--held-out: must be the output of `validate --json`, got {path!r}")
    return {name: found[name] for name in names}


def backing(fits: "Mapping[str, Fit]", path: str | None) -> dict[str, Any]:
    """The held-out error given, and every form's own leave-one-out score."""
    from bayes_infolaw.posterior.loo import leave_one_out

    scores = {name: leave_one_out(fit) for name, fit in fits.items()}
    rows = {
        name: {
            "elpd_per_run": score.elpd / len(score.runs),
            "error_percent": score.error_percent,
            "pit_p_value": score.pit_p_value,
            "unreliable": len(score.high_k),
        }
        for name, score in scores.items()
    }
    return {"held_out": held_out_error(path) if path else None, "leave_one_out": rows}


def require_data(fits: "Mapping[str, Fit]", table: str | None, data_dir: str | None) -> None:
    """Refuse fits of other data than the table's.

    Raises
    ------
    RefusedError
        The data hashes differ.
    """
    if table is None:
        return
    from bayes_infolaw import read_runs

    for fit in fits.values():
        runs = read_runs(table, buckets=fit.table.buckets, data_dir=data_dir, prior_dominated=True)
        fit.require_data(runs)
