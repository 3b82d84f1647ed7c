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
    for found in cells:
        print(json.dumps(found)[:400])


if __name__ == "__main__":
    main()
