"""The public tables fitted, and their largest runs predicted from the rest, beside the baselines.

Needs the folder with the public tables (``BAYES_INFOLAW_DATA``, see runs/README.md). Writes
studies.json and studies.md: one line a (study, hold-out, method).

    python benchmarks/studies.py [--models infolaw,infolaw_irreducible] [--out benchmarks/results]
"""

import argparse
import json
import time
from pathlib import Path

import bayes_infolaw as bi
from bayes_infolaw.validation.validate import validate

ROOT = Path(__file__).resolve().parents[1]
# The largest sizes: 19, 47, 23 and 6 rows; every size is on one side only.
HOLD_OUTS = {
    "datablations_fit182": ("largest-compute:0.2", "params_nonembedding > 2e9"),
    "datablations_4b": ("largest-compute:0.2", "params_nonembedding > 2.5e9"),
    "chinchilla": ("largest-compute:0.2", "params_nonembedding > 4e9"),
    "overtraining": ("largest-compute:0.2", "params_nonembedding > 1e9"),
}


def cell(study: str, hold_out: str, model: str) -> dict:
    """One validation, with its verdict and every method's scores."""
    started = time.perf_counter()
    try:
        found = validate(ROOT / "runs" / study, hold_out, model, allow_unconverged=True)
    except bi.InputError as error:
        return {"study": study, "hold_out": hold_out, "model": model, "error": str(error)}
    facts = {"study": study, "model": model, "seconds": round(time.perf_counter() - started, 1)}
    return {**found.to_dict(), **facts}


def line(study: str, rule: str, name: str, found: dict, runs: str, verdict: str) -> str:
    """One row of the markdown table."""
    errors, coverage = found.get("errors_percent"), found.get("coverage")
    if not errors or not coverage:
        return f"| {study} | {rule} | {name} | {runs} | {found.get('reason')} | | | | | | |"
    shown = [f"{errors[k]:.2f}" for k in ("mean", "median", "maximum")]
    shown += [f"{100 * coverage[p]['fraction']:.0f}" for p in ("0.5", "0.8", "0.9", "0.95")]
    cells = [study, f"`{rule}`", name, runs, *shown, f"{found['log_score']:.2f}", verdict]
    return "| " + " | ".join(cells) + " |"


def table(cells: list[dict]) -> str:
    """Every method on every split, in percent of the loss and percent of runs inside."""
    head = "study | held out | method | fitted / held | mean % | median % | max % | in 50 | in 80"
    head += " | in 90 | in 95 | log score | converged, R-hat, min ESS"
    rows = [f"| {head} |", "|---" * 13 + "|"]
    for found in cells:
        where = (found["study"], found["hold_out"])
        if "error" in found:
            rows.append(f"| {where[0]} | `{where[1]}` | {found['model']} | {found['error']} |")
            continue
        v = found["verdict"]
        verdict = f"{'yes' if v['converged'] else 'NO'}, {v['rhat_max']:.3f}, "
        verdict += f"{min(v['ess_bulk_min'], v['ess_tail_min']):.0f}"
        runs = f"{found['runs_fitted']} / {found['runs']}"
        rows.append(line(*where, f"**{found['model']}**", found, runs, verdict))
        if found["model"] == "infolaw":
            others = found["baselines"].values()
            rows += [line(*where, o["method"], o, runs, "") for o in others if o["coverage"]]
    return "\n".join(rows) + "\n"


def main() -> None:
    """Validate every study twice under every model and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="infolaw,infolaw_k0,infolaw_irreducible")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    cells = [
        cell(study, hold_out, model)
        for study, rules in HOLD_OUTS.items()
        for hold_out in rules
        for model in arguments.models.split(",")
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "studies.json").write_text(json.dumps(cells, indent=1) + "\n")
    (arguments.out / "studies.md").write_text(table(cells))
    print(table(cells))


if __name__ == "__main__":
    main()
