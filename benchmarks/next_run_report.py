"""Sums up the curves of `next_run.py`, and times `next` beside a plain numpy version.

    python benchmarks/next_run_report.py

Reads benchmarks/results/next_run/next_run_<kind>.json and writes benchmarks/results/next_run.json,
next_run.md and next_run.png.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import next_run as benchmark
import numpy as np
import pandas as pd
from next_run import RESULTS, STRATEGIES
from next_run_world import KINDS
from scipy import stats

import bayes_infolaw as bi
from bayes_infolaw.decisions.next_run.answer import SearchSettings
from bayes_infolaw.decisions.next_run.search import next_run as search
from bayes_infolaw.decisions.next_run.search import prepare
from bayes_infolaw.figures.regret import regret_curves
from bayes_infolaw.posterior.plan import plan_for
from bayes_infolaw.tables.files import write_text
from bayes_infolaw.whole_file import write_whole

ROOT = Path(__file__).resolve().parents[1]
TARGET = {"params_nonembedding": 6.44e9, "tokens": 425e9, "source_tokens": 425e9}
CANDIDATES, OUTCOMES = 200, 128
PARTS = (0.5, 0.2, 0.1, 0.05)  # of the pilot's mean regret
BOOTSTRAP = 2000


def records_of(kind, folder):
    """One row a (repetition, strategy, step); None where the kind was not run."""
    path = folder / f"next_run_{kind}.json"
    if not path.exists():
        return None
    steps = json.loads(path.read_text())["steps"]
    return pd.DataFrame([record for step in steps for record in step["records"]])


def step_functions(records, grid):
    """Regret of every repetition at each FLOP of the grid by strategy: that of the last step."""
    curves = {}
    for strategy, part in records.groupby("strategy"):
        rows = []
        for _, lane in part.sort_values("step").groupby("rep"):
            last = np.searchsorted(lane["flop"].to_numpy(), grid, side="right") - 1
            rows.append(lane["regret"].to_numpy()[np.maximum(last, 0)])
        curves[strategy] = np.array(rows)
    return curves


def flop_to_reach(curves, grid, threshold):
    """First FLOP from which the mean regret stays at most the threshold; None: never."""
    mean = curves.mean(axis=0)
    above = np.flatnonzero(mean > threshold)
    first = 0 if not above.size else above[-1] + 1
    return float(grid[first]) if first < len(grid) else None


def difference(a, b, rng):
    """Mean of a - b over repetitions and its 90 % bootstrap interval."""
    gaps = a - b
    means = gaps[rng.integers(0, len(gaps), (BOOTSTRAP, len(gaps)))].mean(axis=1)
    lo, hi = np.quantile(means, [0.05, 0.95])
    return {"mean": float(gaps.mean()), "lo": float(lo), "hi": float(hi)}


def summary(records):
    """Curves by step, FLOP to reach parts of the pilot's regret, and differences at equal FLOP."""
    rng = np.random.default_rng(13)
    grid = np.geomspace(records["flop"].min(), records["flop"].max() * 1.0001, 400)
    curves = step_functions(records, grid)
    start = float(records.loc[records["step"] == 0, "regret"].mean())
    by_step = records.groupby(["strategy", "step"])
    table = by_step[["flop", "regret", "evpi"]].mean()
    table = table.assign(regret_median=by_step["regret"].median()).reset_index()
    spent = float(records[records["strategy"] == "next"].groupby("step")["flop"].mean().max())
    at = int(np.searchsorted(grid, spent))
    return {
        "repetitions": int(records["rep"].nunique()),
        "steps": int(records["step"].max()),
        "pilot_regret": start,
        "curves": table.to_dict(orient="records"),
        "flop_to_reach": {
            f"{part:g}": {s: flop_to_reach(curves[s], grid, part * start) for s in STRATEGIES}
            for part in PARTS
        },
        "at_equal_flop": {
            "flop": float(grid[at]),
            **{
                f"{other} minus next": difference(curves[other][:, at], curves["next"][:, at], rng)
                for other in STRATEGIES[:-1]
            },
        },
        "bought": _bought(records),
    }


def _bought(records):
    """How many runs each strategy bought, and how often they repeat their most repeated bucket."""
    told = {}
    for strategy, part in records.groupby("strategy"):
        epochs = np.concatenate([np.array(e) for e in part["epochs"]])
        runs = part.groupby("rep")["bought"].agg(lambda lists: sum(map(len, lists)))
        other = np.mean(["@" in run for bought in part["bought"] for run in bought])
        told[strategy] = {
            "runs": float(runs.mean()),
            "median_epochs": float(np.median(epochs)),
            "other_degree": float(other),
        }
    return told


def two_hundred(fit):
    """Candidates of the fit's sizes with random recipes and sources."""
    rng, fitted = np.random.default_rng(0), fit.table.frame
    rows = []
    for i in range(CANDIDATES):
        base = fitted.iloc[rng.integers(len(fitted))]
        row = {"run": f"c{i}", **{c: base[c] for c in ("layers", "hidden", "seq_len", "tokens")}}
        row["params_nonembedding"] = base["params_nonembedding"]
        row["source_tokens"] = base["tokens"] * rng.choice([0.1, 0.25, 0.5, 1.0, 2.0])
        weights = rng.dirichlet(np.ones(fit.table.n_buckets))
        for name, weight in zip(fit.table.buckets, weights, strict=True):
            row |= {f"w_{name}": weight, f"share_{name}": base[f"share_{name}"]}
        rows.append(row)
    return plan_for(fit, pd.DataFrame(rows))


def plain(ready):
    """The knowledge gradient of every candidate, outcome by outcome."""
    study, loss = ready.study, -ready.choices.gain
    values = []
    for rows in ready.rows:
        outcomes = study.simulate(rows)[:, 0]
        location, noise = (getattr(study.outcomes, n)[:, rows[0]] for n in ("location", "noise"))
        gains = []
        for y in outcomes:
            weight = stats.norm.pdf(y, location, noise) * study.weight
            expected = (weight / weight.sum()) @ loss
            gains.append(expected[0] - expected.min())
        values.append(np.mean(gains))
    return np.array(values)


def speed():
    """Seconds of `next` over 200 candidates, whole, and of the plain loop's valuing alone."""
    fit = bi.load_fit(ROOT / "models" / "paper_design.nc")
    plan, settings = two_hundred(fit), SearchSettings(outcomes=OUTCOMES)
    started = time.perf_counter()
    found = search({"a": fit}, plan, TARGET, settings=settings)
    ours = time.perf_counter() - started
    ready = prepare({"a": fit}, plan, TARGET, None, settings)
    started = time.perf_counter()
    values = dict(zip(ready.names, plain(ready), strict=True))
    theirs = time.perf_counter() - started
    apart = max(abs(values[c.run] - c.regret_reduction) for c in found.candidates)
    return {
        "candidates": CANDIDATES,
        "draws": found.draws,
        "outcomes": OUTCOMES,
        "recipes": found.n_recipes,
        "seconds": round(ours, 2),
        "plain_seconds": round(theirs, 2),
        "largest_difference": float(apart),
        "threads": os.environ.get("OPENBLAS_NUM_THREADS", "all"),
        "load": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
    }


def text(report):
    """The report for people."""
    lines = ["# Which run next", "", "Written by `python benchmarks/next_run_report.py`.", ""]
    lines += [_speed_line(report["speed"]), "", about(), ""]
    for kind, part in report["kinds"].items():
        truth, _, stacked = kind.partition("_")
        how = "stacking, else equal weights" if stacked else "the density they gave the new runs"
        lines += [f"## Truth: {truth}; forms weighted by {how}", ""]
        lines += [f"{part['repetitions']} repetitions, {part['steps']} steps.", ""]
        lines += _curve_lines(part)
    return "\n".join(lines)


def about():
    """What `next_run.py` says of itself, less the command lines."""
    return (benchmark.__doc__ or "").split("\n\n    python")[0].split("\n\n", 1)[1]


def _speed_line(speed):
    return (
        "{candidates} candidates, {draws} draws, {outcomes} outcomes, {recipes} recipes: "
        "{seconds} s in all ({plain_seconds} s for the values alone in a plain loop, which differ "
        "by at most {largest_difference:.1g}); BLAS threads {threads}, load {load}."
    ).format(**speed)


def _curve_lines(part):
    lines = [
        "Mean regret (nats per token) of the recipe chosen after each step.",
        "",
        "| strategy | step | FLOP | mean regret | median |",
        "|---|---|---|---|---|",
    ]
    row = "| {strategy} | {step} | {flop:.2e} | {regret:.2e} | {regret_median:.2e} |"
    lines += [row.format(**curve) for curve in part["curves"]]
    lines += ["", "FLOP from which the mean regret stays below a part of the pilot's:", ""]
    lines += [f"| part | {' | '.join(STRATEGIES)} |", "|---" * (len(STRATEGIES) + 1) + "|"]
    for name, reach in part["flop_to_reach"].items():
        cells = [f"{reach[s]:.2e}" if reach[s] else "not reached" for s in STRATEGIES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    at = part["at_equal_flop"]
    lines += ["", f"At {at['flop']:.2e} FLOP, mean difference of regret and 90 % interval:", ""]
    for name in (f"{other} minus next" for other in STRATEGIES[:-1]):
        lines.append("- {0}: {mean:.2e} [{lo:.2e}, {hi:.2e}]".format(name, **at[name]))
    lines += ["", "| bought | runs | median epochs | at the second degree |", "|---|---|---|---|"]
    for strategy, told in part["bought"].items():
        row = "| {0} | {runs:.1f} | {median_epochs:.1f} | {other_degree:.0%} |"
        lines.append(row.format(strategy, **told))
    return [*lines, ""]


def draw(kinds, path):
    """Regret curves of the kinds weighted by evidence, a panel each."""
    told = {
        kind: records for kind, records in kinds.items() if records is not None and kind in KINDS
    }
    table = pd.concat([records.assign(truth=kind) for kind, records in told.items()])
    table = table.rename(columns={"rep": "repetition"})
    figure = regret_curves(
        table[["truth", "strategy", "repetition", "flop", "regret"]], "nats per token"
    )
    write_whole(path, lambda partial: figure.savefig(partial, format="png", dpi=110))


def main() -> None:
    """Write the report of every kind that was run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=RESULTS / "next_run")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    names = [*KINDS, *(f"{kind}_stacking" for kind in KINDS)]
    kinds = {kind: records_of(kind, arguments.work) for kind in names}
    done = {kind: summary(r) for kind, r in kinds.items() if r is not None}
    report = {"speed": speed(), "kinds": done}
    write_text(json.dumps(report, indent=1) + "\n", arguments.out / "next_run.json")
    write_text(text(report), arguments.out / "next_run.md")
    draw(kinds, arguments.out / "next_run.png")


if __name__ == "__main__":
    main()
