"""A measured ladder fitted by several forms of the law, and its held-out runs predicted.

Reads a study under runs/ and nothing else. Writes NAME.json and NAME.md.

    python benchmarks/ladder.py [--study runs/cpu_ladder] [--out benchmarks/results]
"""

import argparse
import json
from pathlib import Path

import studies

import bayes_infolaw as bi
from bayes_infolaw.posterior.loo import leave_one_out
from bayes_infolaw.posterior.prior_posterior import prior_posterior
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.validation.validate import validate

ROOT = Path(__file__).resolve().parents[1]
MODELS = (
    "infolaw",
    "infolaw_irreducible",
    "infolaw_k0",
    "infolaw_studentt",
    "infolaw_growing_noise",
)
# What the plan held out, then each part of it alone, then what no plan held out.
HOLD_OUTS = (
    "role in ['heldout_size', 'heldout_recipe']",
    "role == 'heldout_size'",
    "recipe == 'MLQ'",
    "overtraining > 2",
    "role == 'source'",
)
MOST_REPEATED = 30  # epochs: beyond, the loss rises while training goes on, in no form of the law


def tables(study: Path) -> dict[str, RunTable]:
    """The whole ladder, and the ladder without its most repeated runs."""
    runs = bi.read_runs(study)
    # A column of a bucket that a run does not use holds 1.
    most = runs.frame.filter(regex="^repetition_").max(axis=1).to_numpy()
    return {"all": runs, f"T <= {MOST_REPEATED}": runs.subset(most <= MOST_REPEATED)}


def fitted(name: str, runs: RunTable) -> list[dict]:
    """Every form fitted to one table: verdict, posterior beside prior, residual scale."""
    fits = {model: bi.fit(runs, model) for model in MODELS}
    return [
        {
            "table": name,
            "model": model,
            "runs": len(runs.frame),
            "verdict": fit.verdict.to_dict(),
            "posterior": prior_posterior(fit).reset_index().to_dict("records"),
            "loo": _loo(fit),
        }
        for model, fit in fits.items()
    ]


def _loo(fit: bi.Fit) -> dict:
    found = leave_one_out(fit)
    return {"elpd": found.elpd, "se": found.se, "high_k": found.high_k, "pit_p": found.pit_p_value}


def held_out(name: str, runs: RunTable) -> list[dict]:
    """Every form on every split of one table."""
    cells = []
    for rule in HOLD_OUTS:
        for model in MODELS:
            try:
                found = validate(runs, rule, model, allow_unconverged=True).to_dict()
            except bi.InputError as error:
                found = {"hold_out": rule, "error": str(error)}
            cells.append({**found, "study": name, "model": model})
            print(name, rule, model, flush=True)
    return cells


def main() -> None:
    """Fit, validate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=ROOT / "runs" / "cpu_ladder")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    found = tables(arguments.study)
    fits = [row for name, runs in found.items() for row in fitted(name, runs)]
    cells = [row for name, runs in found.items() for row in held_out(name, runs)]
    stem = arguments.out / arguments.study.resolve().name
    stem.with_suffix(".json").write_text(json.dumps({"fits": fits, "held_out": cells}, indent=1))
    stem.with_suffix(".md").write_text(studies.table(cells))
    print(studies.table(cells))


if __name__ == "__main__":
    main()
