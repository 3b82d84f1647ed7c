"""Bayesian information scaling laws for pretraining data recipes.

The public names are loaded on first use, so ``import bayes_infolaw`` costs nothing and pulls in
neither JAX nor torch nor a plotting library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_infolaw.decisions.decision import decide as decide
    from bayes_infolaw.decisions.forms import decision_draws as decision_draws
    from bayes_infolaw.decisions.next_run.search import next_run as next_run
    from bayes_infolaw.decisions.question import Question as Question
    from bayes_infolaw.decisions.recipe_set import RecipeSet as RecipeSet
    from bayes_infolaw.errors import InfeasibleError as InfeasibleError
    from bayes_infolaw.errors import InputError as InputError
    from bayes_infolaw.errors import RefusedError as RefusedError
    from bayes_infolaw.model.library import find_model as find_model
    from bayes_infolaw.model.library import list_models as list_models
    from bayes_infolaw.posterior.fit import Fit as Fit
    from bayes_infolaw.posterior.fit import load_fit as load_fit
    from bayes_infolaw.posterior.fitting import fit as fit
    from bayes_infolaw.tables import RunTable as RunTable
    from bayes_infolaw.tables import read_plan as read_plan
    from bayes_infolaw.tables import read_runs as read_runs
    from bayes_infolaw.tables import simulate as simulate
    from bayes_infolaw.validation.validate import validate as validate

_HOMES = {
    "Fit": "posterior.fit",
    "InfeasibleError": "errors",
    "InputError": "errors",
    "Question": "decisions.question",
    "RecipeSet": "decisions.recipe_set",
    "RefusedError": "errors",
    "RunTable": "tables",
    "decide": "decisions.decision",
    "decision_draws": "decisions.forms",
    "find_model": "model.library",
    "fit": "posterior.fitting",
    "list_models": "model.library",
    "load_fit": "posterior.fit",
    "next_run": "decisions.next_run.search",
    "read_plan": "tables",
    "read_runs": "tables",
    "simulate": "tables",
    "validate": "validation.validate",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
