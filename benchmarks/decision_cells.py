"""One kind of truth on one design: every method on every repetition and target."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from decision_answers import Answer, score
from decision_fits import FORMS, Fitted, fitted_form, kept_on_disk
from decision_truths import (
    BUCKETS,
    DEGREE,
    DESIGNS,
    KINDS,
    MODELS,
    NOISE_SD,
    SHARES,
    Target,
    Truth,
    design,
    table,
    targets,
    truths,
)

from bayes_infolaw.laws.overtraining import tokens_at_degree
from bayes_infolaw.laws.published import K_0
from bayes_infolaw.tables.files import write_text
from bayes_infolaw.tables.runs import RunTable

Array = np.ndarray

TESTED = 200  # random recipes that every method ranks
METHODS = ("ours", "plain", "gp")
CELLS = tuple(f"{kind}-{name}" for name in DESIGNS for kind in KINDS)


def tables_of(cell: str, n: int) -> tuple[list[Truth], list[RunTable]]:
    """Truth and simulated table of every repetition."""
    kind, name = cell.split("-")
    known = truths(kind, n)
    seeds = range(n)
    return known, [table(design(name, i), truth, i) for i, truth in zip(seeds, known, strict=True)]


def fits_of(cell: str, tables: list[RunTable], work: Path) -> dict[str, list[Fitted]]:
    """Every form fitted to every table."""
    seed = CELLS.index(cell)
    found = {}
    for form in FORMS:
        path = work / "fits" / f"{cell}-{form}-{len(tables)}.pkl"
        found[form] = kept_on_disk(path, lambda f=form: fitted_form(f, tables, targets(), seed))
        print(cell, form, "fitted", flush=True)
    return found


def run_cell(cell: str, n: int, methods: str, work: Path) -> list[dict]:
    """Scores of one family of methods (plain, gp, ours) on a cell, from the file if it is there."""
    path = work / f"{cell}-{methods}-{n}.json"
    if path.exists():
        return json.loads(path.read_text())
    known, tables = tables_of(cell, n)
    fits = fits_of(cell, tables, work) if methods == "ours" else {}
    rows = []
    for i, (truth, runs) in enumerate(zip(known, tables, strict=True)):
        own = {form: fitted[i] for form, fitted in fits.items()}
        rows += _scores(methods, truth, runs, own, i)
        print(cell, methods, i + 1, "of", n, flush=True)
    kind, name = cell.split("-")
    rows = [{"kind": kind, "design": name, **row} for row in rows]
    write_text(json.dumps(rows, indent=0), path)
    return rows


def _scores(
    methods: str, truth: Truth, runs: RunTable, fits: dict[str, Fitted], i: int
) -> list[dict]:
    rng = np.random.default_rng([19, i])
    recipes = rng.dirichlet(np.ones(len(BUCKETS)), TESTED)
    noise = NOISE_SD * rng.standard_normal(TESTED)
    return [
        {
            "repetition": i,
            "target": target.name,
            **score(answer, truth.at(target), recipes, noise),
        }
        for target, answer in _answers(methods, truth, runs, recipes, fits, i)
    ]


def _answers(
    methods: str,
    truth: Truth,
    runs: RunTable,
    recipes: Array,
    fits: dict[str, Fitted],
    i: int,
) -> Iterator[tuple[Target, Answer]]:
    # Imported here: each family needs libraries that the others do without.
    import decision_plain as plain

    arrays = runs.arrays()
    if methods == "gp":
        from decision_gp import gp_answers

        yield from gp_answers(arrays, targets(), recipes, i)
        return
    for target in targets():
        if methods == "plain":
            found = plain.plain_answers(arrays, target, recipes, K_0, i)
            extra = plain.proxies(truth.log_loss, small_target(target), recipes, i)
            answers = [*found, *extra]
        else:
            from decision_forms import our_answers

            incumbent = plain.best_at_largest(arrays, target)
            answers = list(our_answers(fits, target.name, recipes, incumbent, i))
        yield from ((target, answer) for answer in answers)


def small_target(target: Target) -> Target:
    """The smallest size of the ladder at the same m and S / K."""
    model = MODELS["252M"]
    tokens = float(tokens_at_degree(model.flops_per_token, DEGREE))
    source = tokens * target.source_tokens / target.tokens
    return Target("small", model.params, tokens, source, model.flops_per_token, DEGREE, SHARES)
