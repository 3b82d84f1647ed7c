"""The same methods on a measured ladder: smaller sizes fitted, the recipes of a larger one ranked.

Regret is the measured loss of the recipe that a method ranks first among those measured at the
larger size, less the least measured loss there. There are few of them and each loss has its noise.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from decision_answers import Answer, coverage, rank_correlation
from decision_fits import FORMS, SETTINGS, Fitted, kept_of, kept_on_disk
from decision_truths import Target

import bayes_infolaw as bi
from bayes_infolaw.baselines.base import select_runs
from bayes_infolaw.model.anchors import default_tokens_0
from bayes_infolaw.tables.runs import RunArrays, RunTable

Array = np.ndarray

MOST_REPEATED = 30  # epochs; beyond, no form of the law holds (benchmarks/ladder.py)
LARGEST = 3  # sizes predicted, each from the smaller ones
LEAST_RECIPES = 3
OTHER_CHOICES = ("logEI", "exact free optimum", "source shares")
"""Lines that differ from another only in recipes that no ladder has measured."""


def variants(runs: RunTable) -> dict[str, RunTable]:
    """All runs; those without much repetition; and of these, those that the plan held not out."""
    most = runs.frame.filter(regex="^repetition_").max(axis=1).to_numpy()
    few = runs.subset(most <= MOST_REPEATED)
    found = {"all": runs, f"T <= {MOST_REPEATED}": few}
    if "role" in runs.frame:
        seen = (few.frame["role"] != "heldout_recipe").to_numpy()
        found[f"T <= {MOST_REPEATED}, held-out recipe not fitted"] = few.subset(seen)
    return found


def run_ladder(study: Path, methods: str, work: Path) -> list[dict]:
    """Rows of one family of methods on every variant and size."""
    table = bi.read_runs(study)
    rows = []
    for variant, part in variants(table).items():
        for size in _sizes(table):
            where = {"study": study.name, "variant": variant, "size": size}
            rows += [
                {**where, **row} for row in _at_size(table, part, size, methods, variant, work)
            ]
            print(study.name, variant, size, methods, flush=True)
    return rows


def _sizes(table: RunTable) -> list[float]:
    """The largest sizes with recipes to choose from, largest first."""
    sizes = np.unique(table.arrays().params)[::-1]
    chosen = [
        size for size in sizes[:-1] if len(_measured(table.arrays(), size)[1]) >= LEAST_RECIPES
    ]
    return [float(size) for size in chosen[:LARGEST]]


def _measured(runs: RunArrays, size: float) -> tuple[Array, Array, Array]:
    """First rows, recipes (R, D) and log losses (R,) of the scale with most recipes at a size."""
    at = np.flatnonzero(runs.params == size)
    keys = np.log(np.column_stack([runs.tokens, runs.source_tokens]))[at].round(2)
    scales, member = np.unique(keys, axis=0, return_inverse=True)
    groups = [at[member == i] for i in range(len(scales))]
    rows = max(groups, key=lambda group: len(np.unique(runs.weights[group].round(2), axis=0)))
    names = np.unique(runs.weights[rows].round(2), axis=0, return_inverse=True)[1]
    recipes = [runs.weights[rows[names == i]].mean(axis=0) for i in range(names.max() + 1)]
    losses = [np.log(runs.loss[rows[names == i]]).mean() for i in range(names.max() + 1)]
    return rows, np.array(recipes), np.array(losses)


def _at_size(
    table: RunTable, part: RunTable, size: float, methods: str, variant: str, work: Path
) -> list[dict]:
    rows, recipes, log_loss = _measured(table.arrays(), size)
    target = _target(table, int(rows[0]))
    smaller = part.subset(part.arrays().params < size)
    key = f"{size:g}-{variant}".replace(" ", "").replace("<=", "")
    answers = _answers(methods, smaller, target, recipes, work / "fits" / f"ladder-{key}.pkl")
    return [_score(a, log_loss) for a in answers if not a.method.endswith(OTHER_CHOICES)]


def _target(table: RunTable, row: int) -> Target:
    one = select_runs(table.arrays(), np.arange(len(table)) == row)
    labels = {name: str(table.frame[name].iloc[row]) for name in table.groups}
    numbers = (one.params, one.tokens, one.source_tokens, one.flops_per_token, one.overtraining)
    given = [float(column[0]) for column in numbers]
    return Target("target", *given, one.shares[0], table.buckets, labels)


def _answers(
    methods: str, runs: RunTable, target: Target, recipes: Array, path: Path
) -> Iterator[Answer]:
    arrays = runs.arrays()
    if methods == "plain":
        from decision_plain import plain_answers

        K_0 = default_tokens_0(float(arrays.tokens.min()))
        yield from plain_answers(arrays, target, recipes, K_0, 0)
    elif methods == "gp":
        from decision_gp import gp_answers

        yield from (answer for _, answer in gp_answers(arrays, [target], recipes, 0))
    else:
        fits = dict(zip(FORMS, kept_on_disk(path, lambda: _fitted(runs, target)), strict=True))
        yield from _ours(fits, recipes)


def _fitted(runs: RunTable, target: Target) -> list[Fitted]:
    fits = [bi.fit(runs, form, **SETTINGS) for form in FORMS]
    return [kept_of(fit, {target.name: target.asked()}) for fit in fits]


def _ours(fits: dict[str, Fitted], recipes: Array) -> Iterator[Answer]:
    from decision_forms import mixtures, predictions

    from bayes_infolaw.decisions.draws import pool

    for name, chosen, weights, note in mixtures(fits):
        draws = pool({form: fit.laws["target"] for form, fit in chosen.items()}, weights)
        facts = {"weights": weights, "converged": {k: f.converged for k, f in chosen.items()}}
        predicted = predictions(draws, chosen, recipes, 0)
        yield Answer(f"{name}, least mean", recipes[0], *predicted, note=note, facts=facts)


def _score(answer: Answer, log_loss: Array) -> dict:
    """Regret, ranks and coverage against measured log losses (R,)."""
    found = {"method": answer.method, "note": answer.note, **answer.facts}
    if answer.log_loss is None or not np.isfinite(answer.log_loss).any():
        return found
    first = int(np.nanargmin(answer.log_loss))
    loss = np.exp(log_loss)
    regret = float(loss[first] - loss.min())
    found |= {"regret": regret, "regret_percent": 100.0 * regret / float(loss.min())}
    found |= {"recipes": len(loss), "spearman": rank_correlation(answer.log_loss, log_loss)}
    inside = coverage(answer, log_loss, np.zeros(len(loss))) if np.all(answer.noise_sd) else {}
    return found | {key: value for key, value in inside.items() if key == "coverage"}
