"""Time of the decisions' searches on two cores, beside plain numpy and against random recipes.

    python benchmarks/decisions.py

Writes benchmarks/results/decisions.json and decisions.md. Every part runs in a process of its own
on two cores, so that its peak memory is its own; times are after compilation.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", JAX_PLATFORMS="cpu")

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from decision_speed import PARTS
from decision_speed_table import as_text

RESULT = Path(__file__).resolve().parent / "results" / "decisions.json"
CORES = 2


def in_own_process(part: str) -> Any:
    """Run one part by this script in a new process."""
    command = [sys.executable, __file__, "--part", part]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def machine() -> dict[str, Any]:
    """What the times were taken on."""
    import jax

    return {
        "cores_used": CORES,
        "cores_seen": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "jax": jax.__version__,
        "load_before": [round(x, 1) for x in os.getloadavg()],
    }


def write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(path.suffix + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> None:
    """Measure every part and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="measure one part and print it")
    part = parser.parse_args().part
    if part:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
        print(json.dumps(PARTS[part]()))
        return
    found = {"machine": machine(), **{name: in_own_process(name) for name in PARTS}}
    RESULT.parent.mkdir(exist_ok=True)
    write(RESULT, json.dumps(found, indent=2) + "\n")
    write(RESULT.with_suffix(".md"), as_text(found))
    print(RESULT.with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
