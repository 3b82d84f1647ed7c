"""Ways of choosing a recipe in one table: regret, rank correlation and calibration.

On simulated truths (in the family of the law and off it; 20 repetitions each) and on the measured
ladders, every method reads the same runs. What was computed is kept in the work folder, so that a
second call goes on where the first stopped, and several calls can share the work by --cells.

    python benchmarks/decision_baselines.py --work FOLDER [--cells published-paper,...]
        [--methods ours,plain,gp] [--ladders runs/cpu_ladder] [--report] [--out benchmarks/results]

Writes decision_baselines.json, .md and .png. The Gaussian processes need botorch (extra
`benchmarks`); without it their lines say so.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from decision_cells import CELLS, METHODS, run_cell
from decision_figure import regret_by_method
from decision_ladder import run_ladder
from decision_table import PREFACE, ladder_table, simulated_tables

from bayes_infolaw.figures.canvas import save
from bayes_infolaw.tables.files import write_text
from bayes_infolaw.threads import one_blas_thread

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ("regret", "regret_percent", "spearman", "coverage", "gap_coverage")


def ladder_rows(study: Path, methods: str, work: Path) -> list[dict]:
    """Rows of a ladder, from the file if it is there."""
    path = work / f"ladder-{study.name}-{methods}.json"
    if not path.exists():
        write_text(json.dumps(run_ladder(study, methods, work), indent=0), path)
    return json.loads(path.read_text())


def summary(rows: pd.DataFrame) -> list[dict]:
    """One entry a (design, target, kind, method): every measure over the repetitions."""
    keys = ["design", "target", "kind", "method"]
    found = []
    for where, part in rows.groupby(keys, sort=False):
        entry = dict(zip(keys, where, strict=True)) | {"repetitions": len(part)}
        entry["notes"] = sorted(set(part["note"]) - {""})
        known = part["regret"].notna()
        entry["answered"] = int(known.sum())
        if known.any():
            entry |= {name: _spread(part[name].dropna()) for name in MEASURES}
            entry["regrets_percent"] = part["regret_percent"].dropna().round(5).tolist()
        found.append(entry | _fits(part))
    return found


def _spread(values: pd.Series) -> dict | None:
    if not len(values):
        return None
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    quantiles = values.quantile([0.1, 0.5, 0.9]).tolist()
    found = {"mean": values.mean(), "se": error}
    found |= dict(zip(("q10", "median", "q90"), quantiles, strict=True))
    return {name: float(f"{value:.4g}") for name, value in found.items() if np.isfinite(value)}


def _fits(part: pd.DataFrame) -> dict:
    """Mean weight of every form, and how many of its fits converged."""
    if "weights" not in part or not part["weights"].notna().any():
        return {}
    weights, converged = (pd.DataFrame(part[name].tolist()) for name in ("weights", "converged"))
    return {
        "mean_weights": weights.mean().round(4).to_dict(),
        "fits_converged": converged.sum().astype(int).to_dict(),
    }


def report(simulated: list[dict], ladders: list[dict], out: Path) -> None:
    """Write the JSON, the tables and the figure."""
    rows = pd.DataFrame(simulated)
    cells = summary(rows)
    text = PREFACE + simulated_tables(rows) + ladder_table(pd.DataFrame(ladders))
    measured = [{k: v for k, v in row.items() if v == v} for row in ladders]  # NaN is not JSON
    parts = [f'"{k}": {_lines(v)}' for k, v in (("simulated", cells), ("ladders", measured))]
    write_text("{\n" + ",\n".join(parts) + "\n}\n", out / "decision_baselines.json")
    write_text(text, out / "decision_baselines.md")
    save(regret_by_method(rows), out / "decision_baselines.png")
    print(text)


def _lines(entries: list[dict]) -> str:
    """A JSON array, an entry a line."""
    return "[\n" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "\n]"


@one_blas_thread
def main() -> None:
    """Compute what is missing and, where all is there, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--work", type=Path, required=True, help="folder for partial results")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--ladders", default=str(ROOT / "runs" / "cpu_ladder"))
    parser.add_argument("--report", action="store_true", help="write the tables and the figure")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    methods, studies = given.methods.split(","), [Path(s) for s in given.ladders.split(",") if s]
    simulated = [
        row
        for cell in given.cells.split(",")
        for method in methods
        for row in run_cell(cell, given.repetitions, method, given.work)
    ]
    ladders = [
        row for s in studies for method in methods for row in ladder_rows(s, method, given.work)
    ]
    if given.report:
        report(simulated, ladders, given.out)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    main()
