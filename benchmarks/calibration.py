"""Recovery and calibration on the paper's design: do intervals hold what they say.

Arms: ``prior``: truths drawn from the prior, anchors fixed at the reference table (the exact case:
coverage must be nominal); ``prior-own-anchors``: the same tables as a user would fit them, anchors
from each table; ``shifted``: published constants with theta 0.4 or 1.5, a x 0.5 or x 2, beta x 2.

    python benchmarks/calibration.py [--prior 100] [--shifted 50] [--out benchmarks/results]
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_infolaw as bi
from bayes_infolaw.laws.published import ALPHA, BETA, THETA, A, B
from bayes_infolaw.model.anchors import anchors_of
from bayes_infolaw.model.layout import layout_of, model_data
from bayes_infolaw.model.linear import linear_block
from bayes_infolaw.model.mean import log_information
from bayes_infolaw.model.sites import prior_draws
from bayes_infolaw.posterior.many import fit_many
from bayes_infolaw.posterior.parameters import derived_draws, reported_draws

ROOT = Path(__file__).resolve().parents[1]
PROB = 0.9
NOISE = 0.0015
NAMES = ("theta", "a", "b", "alpha", "beta", "sigma")
SHIFTS = (
    {"theta": 0.4},
    {"theta": 1.5},
    {"a": 0.5 * A},
    {"a": 2.0 * A},
    {"beta": 2.0 * BETA},
)


def with_loss(table, log_loss):
    """The same runs with other losses."""
    frame = table.frame.assign(loss=np.exp(log_loss))
    table = replace(table, frame=frame)
    return replace(table, data_hash=table.compute_hash())


def prior_truths(reference, n, rng):
    """Truths from the prior at the reference table's anchors, and a table for each."""
    spec = bi.find_model("infolaw")
    anchors = anchors_of(reference, spec)
    layout, data = layout_of(reference, spec, anchors), model_data(reference, spec, anchors)
    draws = prior_draws(spec, layout, data, n, rng)
    log_info = log_information(draws, data, spec, layout)
    block = linear_block(draws, log_info, data, spec, layout)
    mean = block.offset + (block.columns @ draws["coefficients"][..., None])[..., 0]
    noisy = mean + draws["sigma"][:, None] * rng.standard_normal(mean.shape)
    draws |= derived_draws(draws, data, spec, layout)
    truth = reported_draws(draws, data, spec, layout, anchors)
    tables = [with_loss(reference, row) for row in noisy]
    return tables, pd.DataFrame({name: truth[name] for name in NAMES}), anchors


def shifted_truths(reference, n, seed):
    """Published constants, one shifted at a time, in turn."""
    base = {"theta": THETA, "a": A, "b": B, "alpha": ALPHA, "beta": BETA, "sigma": NOISE}
    truths = [{**base, **SHIFTS[i % len(SHIFTS)]} for i in range(n)]
    tables = [bi.simulate(reference, t, seed=seed + i) for i, t in enumerate(truths)]
    return tables, pd.DataFrame(truths)


def held_out_score(fit, truth, heldout):
    """RMS error of predicted log loss on unseen recipes and sizes, in units of the noise."""
    parameters = {name: float(truth[name]) for name in NAMES}
    noisy = bi.simulate(heldout, parameters, seed=int(fit.info["seed"]) + 7).arrays().loss
    clean = bi.simulate(heldout, parameters, seed=0, noise_sd=1e-12).arrays().loss
    seen = fit.predict(heldout, PROB, allow_unconverged=True)
    error = np.log(seen["loss_mean"].to_numpy() / clean)
    inside = (noisy >= seen["loss_lo"].to_numpy()) & (noisy <= seen["loss_hi"].to_numpy())
    return float(np.sqrt(np.mean(error**2)) / parameters["sigma"]), float(inside.mean())


def study(arm, tables, truths, heldout, anchors=None, **settings):
    """Fit every table; one row a (table, parameter), and one a table."""
    started = time.perf_counter()
    fits = fit_many(tables, anchors=anchors, **settings)
    seconds = time.perf_counter() - started
    rows, runs = [], []
    for i, (fit, (_, truth)) in enumerate(zip(fits, truths.iterrows(), strict=True)):
        summary = fit.summary(PROB)
        for name in NAMES:
            s = summary[name]
            inside = s["lo"] <= truth[name] <= s["hi"]
            rank = float((fit.parameters()[name] < truth[name]).mean())
            rows.append((arm, i, name, truth[name], s["mean"], s["sd"], inside, rank))
        relative, covered = held_out_score(fit, truth, heldout)
        runs.append((arm, i, fit.verdict.converged, fit.verdict.rhat_max, relative, covered))
    columns = ["arm", "table", "parameter", "truth", "mean", "sd", "covered", "rank"]
    detail = pd.DataFrame(rows, columns=columns)
    names = ["arm", "table", "converged", "rhat_max", "error_over_noise", "heldout_coverage"]
    return detail, pd.DataFrame(runs, columns=names), seconds


def prior_sds(reference):
    """Prior sd of every reported parameter at the reference anchors."""
    _, truth, _ = prior_truths(reference, 20_000, np.random.default_rng(99))
    return truth.std()


def report(detail, runs, seconds, prior_sd):
    """The table of figures that the study is for."""
    band = 1.96 * np.sqrt(PROB * (1 - PROB))
    out = {}
    for arm, part in detail.groupby("arm", sort=False):
        fits = runs[runs["arm"] == arm]
        n = len(fits)
        coverage = part.groupby("parameter")["covered"].mean()[list(NAMES)]
        ratio = (part["sd"] / part["parameter"].map(prior_sd)).groupby(part["parameter"]).median()
        out[arm] = {
            "tables": n,
            "converged": int(fits["converged"].sum()),
            "seconds": round(seconds[arm], 1),
            "nominal": PROB,
            "monte_carlo_band": [round(PROB - band / n**0.5, 3), round(PROB + band / n**0.5, 3)],
            "coverage": coverage.round(3).to_dict(),
            "posterior_over_prior_sd_median": ratio[list(NAMES)].round(4).to_dict(),
            "heldout_error_over_noise": {
                "median": round(float(fits["error_over_noise"].median()), 3),
                "q90": round(float(fits["error_over_noise"].quantile(0.9)), 3),
            },
            "heldout_coverage_mean": round(float(fits["heldout_coverage"].mean()), 3),
        }
    return out


def main() -> None:
    """Run the arms and write calibration.json and calibration.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", type=int, default=100)
    parser.add_argument("--shifted", type=int, default=50)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    reference = bi.read_runs(ROOT / "runs" / "paper_design")
    heldout = bi.read_runs(ROOT / "runs" / "paper_design" / "heldout.toml", prior_dominated=True)
    heldout = heldout.subset(heldout.arrays().overtraining < 10)  # one degree was fitted
    tables, truths, anchors = prior_truths(reference, arguments.prior, np.random.default_rng(1))
    moved, shifted = shifted_truths(reference, arguments.shifted, seed=1000)
    parts = [
        study("prior", tables, truths, heldout, anchors),
        study("prior-own-anchors", tables, truths, heldout),
        study("shifted", moved, shifted, heldout),
    ]
    detail, runs = (pd.concat([p[i] for p in parts], ignore_index=True) for i in (0, 1))
    seconds = {p[0]["arm"].iloc[0]: p[2] for p in parts}
    figures = report(detail, runs, seconds, prior_sds(reference))
    print(json.dumps(figures, indent=1))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "calibration.json").write_text(json.dumps(figures, indent=1) + "\n")
    detail.round(6).to_csv(arguments.out / "calibration.csv", index=False)


if __name__ == "__main__":
    main()
