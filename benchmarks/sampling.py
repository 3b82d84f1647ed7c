"""Seconds to a posterior of the 42 runs: this package, PyMC, nutpie and NumPyro in one go.

    python benchmarks/sampling.py [--quick] [--out FOLDER]

Every run is a process of its own (`sampling_cases.py`) on two cores, with 4 chains of 1,000 draws.
Cold: empty compilation caches; warm: the caches that the cold run filled. Both count the start of
Python, the imports and compilation. Writes sampling.json and sampling.md; about ten minutes, with
--quick (200 draws, without PyMC's own NUTS) about four.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "runs" / "paper_design" / "benchmark42.csv"
CHILD = Path(__file__).with_name("sampling_cases.py")
CORES = 2
PACKAGES = ("jax", "numpyro", "pymc", "pytensor", "nutpie", "numba", "numpy", "arviz-stats")
TITLES = {
    "ours": "`bayes_infolaw.fit`",
    "backend pymc": "the same by `--backend pymc` (nutpie)",
    "centred nutpie": "centred, uncollapsed: nutpie",
    "centred PyMC": "centred, uncollapsed: PyMC's own NUTS",
    "textbook nutpie": "textbook: nutpie",
    "textbook NumPyro": "textbook: NumPyro",
    "textbook PyMC": "textbook: PyMC's own NUTS",
}
COLD_AND_WARM = ("ours", "centred nutpie", "backend pymc")  # the slow ones run once, cold
COLUMNS = ("seconds", "rhat_max", "ess_bulk_min", "divergences", "ess_per_second")
TIMEOUT = 900


def environment(caches: Path) -> dict[str, str]:
    """The child's environment: its compilation caches live in ``caches``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "PYTENSOR"))}
    return {
        **kept,
        "XDG_CACHE_HOME": str(caches),
        "PYTENSOR_FLAGS": f"base_compiledir={caches / 'pytensor'}",
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "JAX_PLATFORMS": "cpu",
    }


def run(case: str, caches: Path, draws: int) -> list[dict[str, Any]]:
    """Records of one child process; one that fails is reported as such, not hidden."""
    out = caches / "out.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(CHILD), case, str(TABLE), str(draws), str(time.time()), str(out)]
    try:
        done = subprocess.run(
            command, env=environment(caches), capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return [{"failed": f"no result in {TIMEOUT} s"}]
    if done.returncode:
        return [{"failed": done.stderr.strip().splitlines()[-1]}]
    return json.loads(out.read_text(encoding="utf-8"))


def measure(cases: list[str], draws: int) -> list[dict[str, Any]]:
    """All rows, in the order of the table."""
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            for start in ("cold", "warm") if case in COLD_AND_WARM else ("cold",):
                records = run(case, Path(folder), draws)
                for turn, record in enumerate(records):
                    when = start if turn == 0 else "second fit"
                    if turn and start == "cold":
                        continue
                    rows.append({"case": case, "start": when, **record})
                    print(rows[-1], flush=True)
    return rows


def ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """ESS per second of our fit over the best of the centred, uncollapsed runs, start by start."""
    speed = {(r["case"], r["start"]): r.get("ess_per_second", 0.0) for r in rows}
    found = {}
    for start in ("cold", "warm"):
        rivals = [v for (case, s), v in speed.items() if case.startswith("centred") and s == start]
        if max(rivals, default=0.0) > 0:
            found[start] = round(speed[("ours", start)] / max(rivals), 1)
    return found


def markdown(report: dict[str, Any]) -> str:
    """The table for readers."""
    lines = [
        f"{report['runs']}; 4 chains of {report['draws']} draws; {report['cores_used']} of "
        f"{report['cores']} cores; load of the machine before the start: "
        f"{report['load_before']:.1f}.",
        "",
        "| how | start | wall s | max R-hat | min bulk ESS | divergences | ESS / s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        values = [row["failed"]] if "failed" in row else [str(row[c]) for c in COLUMNS]
        lines.append("| " + " | ".join([TITLES[row["case"]], row["start"], *values]) + " |")
    pairs = ", ".join(f"{k} {v}" for k, v in report["ratio_to_best_centred"].items())
    lines += ["", f"ESS per second over the best centred, uncollapsed run: {pairs}.", ""]
    return "\n".join([*lines, ", ".join(f"{k} {v}" for k, v in report["versions"].items()), ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 draws, without PyMC's own NUTS")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    cases = [case for case in TITLES if not (options.quick and case.endswith(" PyMC"))]
    draws = 200 if options.quick else 1000
    rows = measure(cases, draws)
    report = {
        "runs": "The 42 simulated runs of runs/paper_design/benchmark42.csv",
        "draws": draws,
        "cores_used": CORES,
        "cores": cores,
        "load_before": load,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "rows": rows,
        "ratio_to_best_centred": ratios(rows),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("sampling.json", json.dumps(report, indent=2)),
        ("sampling.md", markdown(report)),
    ):
        partial = options.out / f"{name}.part"
        partial.write_text(text, encoding="utf-8")
        partial.replace(options.out / name)


if __name__ == "__main__":
    main()
