"""The paper's table of optimal recipes against the exact ordered optimum of the published law.

    python benchmarks/published_recipes.py [FOLDER]

FOLDER holds `optimal_recipes.csv` (the paper's Table 6); by default $BAYES_INFOLAW_PAPER, else
../shared/paper. Writes benchmarks/results/published_recipes.csv.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_infolaw.recipes.optima import optimal_recipes
from bayes_infolaw.recipes.published import published_target

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "published_recipes.csv"
PARAMS = {"7B": 12 * 32 * 4096**2, "1.8B": 12 * 28 * 2304**2, "1.2B": 12 * 24 * 2048**2}
"""Non-embedding parameters 12 L h^2 of the table's models."""


def compare(row: pd.Series) -> dict[str, object]:
    """One row: share difference and information gains over the printed recipe, rescaled to one."""
    target = published_target(
        PARAMS[row["model"]], 1e9 * row["train_tokens_b"], 1e9 * row["source_tokens_b"]
    )
    printed = row[[f"w_{d}" for d in range(6)]].to_numpy(dtype=float)
    printed = printed / printed.sum()
    ordered = optimal_recipes(target, ordered=True)
    free = optimal_recipes(target)
    information = target.information(printed)[0]
    shares = {f"w_{d}": round(share, 4) for d, share in enumerate(ordered.recipes[0])}
    return {
        **row[["model", "train_tokens_b", "source_tokens_b"]],
        **shares,
        "max_share_difference": round(np.abs(ordered.recipes[0] - printed).max(), 4),
        "information_gain_percent": round(100 * (ordered.information[0] / information - 1), 4),
        "free_gain_percent": round(100 * (free.information[0] / information - 1), 4),
        "ordering_binds": bool((np.diff(free.recipes[0]) > 0).any()),
        "relative_gap": f"{ordered.relative_gap[0]:.1e}",
    }


def main() -> None:
    """Compare every row, write the table and print a summary."""
    default = os.environ.get("BAYES_INFOLAW_PAPER") or ROOT.parent / "shared" / "paper"
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    table = pd.read_csv(folder / "optimal_recipes.csv")
    result = pd.DataFrame([compare(row) for _, row in table.iterrows()])
    RESULT.parent.mkdir(exist_ok=True)
    partial = RESULT.with_suffix(".part")
    result.to_csv(partial, index=False)
    partial.replace(RESULT)
    print(result.to_string(index=False))
    gain, distance = result["information_gain_percent"], result["max_share_difference"]
    binds, close = result["ordering_binds"].sum(), (distance < 0.01).sum()
    print(f"\ngain {gain.min():.2f}-{gain.max():.2f} %, rows within 0.01: {close},")
    print(f"largest share difference {distance.max():.3f}, the ordering binds in {binds} rows")


if __name__ == "__main__":
    main()
