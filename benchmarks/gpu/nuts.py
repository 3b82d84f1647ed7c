"""NUTS on CUDA against the CPU: the same posterior, and its price from 4 to 1,024 chains.

    python benchmarks/gpu/nuts.py --out OUT [--devices cpu,gpu] [--chains 4,1024,64,256,16]

Needs jax, numpyro, scipy, pandas and xarray, neither ArviZ nor PyMC. Every (device, chains) is a
fresh process that samples twice, so that the first time holds the compilation and the second
does not. Writes nuts.json after every process: a run that is cut off leaves what it measured.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "runs" / "paper_design" / "benchmark42.csv"
DRAWS, WARMUP, SEED = 250, 900, 2
Z_BOUND = 4.5
"""Two-sided; over all comparisons of one run, some 200 z-scores, a false alarm once in 700."""


def measure(device: str, chains: int, draws: int) -> dict[str, Any]:
    """One device and number of chains, in this process: two fits and the posterior's moments."""
    started = time.perf_counter()
    from bayes_infolaw.inference.device import prepare_device

    plan = prepare_device(device, chains)
    problem, data = problem_of_table()
    imported = time.perf_counter() - started
    result, seconds = None, []
    for _ in range(2):
        start = time.perf_counter()
        result = sample(problem, data, plan, chains, draws)
        seconds.append(round(time.perf_counter() - start, 2))
    scalars = scalars_of(result.draws)
    ess = {name: effective(x) for name, x in scalars.items()}
    return {
        "device": device,
        "device_kind": plan.devices[0].device_kind,
        "dtype": str(result.draws["sigma"].dtype),
        "chains": chains,
        "draws": draws,
        "import_seconds": round(imported, 2),
        "first_seconds": seconds[0],
        "second_seconds": seconds[1],
        "ess_bulk_min": round(min(ess.values())),
        "ess_per_second": round(min(ess.values()) / seconds[1], 1),
        "rhat_max": round(max(rhat(x) for x in scalars.values()), 4),
        "divergences": int(result.stats["diverging"].sum()),
        "steps_per_draw": round(float(result.stats["n_steps"].mean()), 2),
        "moments": {name: moments(x, ess[name]) for name, x in scalars.items()},
    }


def problem_of_table() -> tuple[Any, Any]:
    """The default model on the 42 simulated runs."""
    from bayes_infolaw.inference.problem import Problem
    from bayes_infolaw.model.anchors import anchors_of
    from bayes_infolaw.model.layout import layout_of, model_data
    from bayes_infolaw.model.library import find_model
    from bayes_infolaw.tables import read_runs

    table, spec = read_runs(TABLE), find_model("infolaw")
    anchors = anchors_of(table, spec)
    problem = Problem(spec, layout_of(table, spec, anchors), collapsed=spec.collapses)
    return problem, model_data(table, spec, anchors)


def sample(problem: Any, data: Any, plan: Any, chains: int, draws: int) -> Any:
    """One fit of the table."""
    from bayes_infolaw.inference.nuts import NutsSettings
    from bayes_infolaw.inference.sample import sample_numpyro

    settings = NutsSettings(chains=chains, draws=draws, warmup=WARMUP, seed=SEED)
    return sample_numpyro(problem, data, settings, plan)


def scalars_of(draws: dict[str, Any]) -> dict[str, Any]:
    """One (chain, draw) array a scalar; positive parameters in logs."""
    import numpy as np

    coefficients = draws["coefficients"]
    found = {f"coefficients[{i}]": coefficients[..., i] for i in range(coefficients.shape[-1])}
    positive = {k: v for k, v in draws.items() if k != "coefficients" and v.ndim == 2}
    return {**found, **{f"log {name}": np.log(value) for name, value in positive.items()}}


def ranked(x: Any) -> Any:
    """Normal scores of ranks over all draws, chains split in halves: what bulk ESS is taken of."""
    import numpy as np
    from scipy import stats

    half = x.shape[1] // 2
    split = np.concatenate([x[:, :half], x[:, -half:]])
    rank = stats.rankdata(split).reshape(split.shape)
    return stats.norm.ppf((rank - 0.375) / (rank.size + 0.25))


def effective(x: Any) -> float:
    """Bulk effective sample size (rank-normalised, split)."""
    from numpyro.diagnostics import effective_sample_size

    return float(effective_sample_size(ranked(x)))


def rhat(x: Any) -> float:
    """Rank-normalised split R-hat, the bulk part."""
    from numpyro.diagnostics import gelman_rubin

    return float(gelman_rubin(ranked(x)))


def moments(x: Any, ess: float) -> dict[str, float]:
    """Mean and sd with their Monte Carlo standard errors; that of the sd from the kurtosis."""
    import numpy as np
    from numpyro.diagnostics import effective_sample_size

    mean, sd = float(x.mean()), float(x.std())
    squared = (x - mean) ** 2
    ess_squared = float(effective_sample_size(squared))
    ess_mean = min(ess, float(effective_sample_size(np.asarray(x))))
    sd_error = float(squared.std()) / (2 * sd * math.sqrt(ess_squared))
    return {"mean": mean, "sd": sd, "mean_se": sd / math.sqrt(ess_mean), "sd_se": sd_error}


def compare(reference: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Worst z-score of means and sds between two records."""
    scores = {}
    for name, a in reference["moments"].items():
        b = other["moments"][name]
        for of in ("mean", "sd"):
            error = math.hypot(a[f"{of}_se"], b[f"{of}_se"])
            scores[f"{of} of {name}"] = (b[of] - a[of]) / error
    worst = max(scores, key=lambda key: abs(scores[key]))
    return {
        "device": other["device"],
        "chains": other["chains"],
        "against": f"{reference['device']}, {reference['chains']} chains",
        "worst_z": round(scores[worst], 2),
        "worst": worst,
        "equal": abs(scores[worst]) < Z_BOUND,
    }


def report(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything measured so far; the reference is the CPU run with most chains."""
    good = [r for r in records if "failed" not in r]
    on_cpu = [r for r in good if r["device"] == "cpu"]
    reference = max(on_cpu, key=lambda r: r["chains"]) if on_cpu else None
    others = [r for r in good if r is not reference] if reference else []
    return {
        "table": "runs/paper_design/benchmark42.csv, 42 simulated runs",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "z_bound": Z_BOUND,
        "same_posterior": [compare(reference, r) for r in others],
        "records": records,
    }


def run_child(device: str, chains: int, draws: int, limit: float) -> dict[str, Any]:
    """One record from a fresh process, or why there is none."""
    command = [sys.executable, __file__, "--one", device, str(chains), str(draws)]
    environment = {
        **os.environ,
        **({"JAX_PLATFORMS": "cpu"} if device == "cpu" else {}),  # else JAX defaults to the GPU
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {"device": device, "chains": chains, "failed": f"cut off after {limit:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"device": device, "chains": chains, "failed": last}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(options: argparse.Namespace) -> None:
    """Measure every device and number of chains within the budget."""
    options.out.mkdir(parents=True, exist_ok=True)
    records, deadline = [], time.monotonic() + options.budget
    for chains in (int(text) for text in options.chains.split(",")):
        for device in options.devices.split(","):
            left = deadline - time.monotonic()
            if left < 10:
                why = "not started: the budget is used up"
                records.append({"device": device, "chains": chains, "failed": why})
                continue
            records.append(run_child(device, chains, options.draws, left))
            print({k: v for k, v in records[-1].items() if k != "moments"}, flush=True)
            write(options.out / "nuts.json", report(records))
    print(json.dumps(report(records)["same_posterior"], indent=2))


def write(path: Path, content: dict[str, Any]) -> None:
    """To a temporary file first, then renamed."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=2), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for nuts.json")
    parser.add_argument("--devices", default="cpu,gpu")
    parser.add_argument("--chains", default="4,1024,64,256,16")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of each chain")
    parser.add_argument("--budget", type=float, default=570.0, help="seconds for everything")
    main(parser.parse_args())
