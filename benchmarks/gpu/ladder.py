"""One occasion of the GPU ladder: train what is missing, stack by stack, and pack up the records.

    PYTHONPATH=. python benchmarks/gpu/ladder.py --corpus .gpu_corpus --out OUT

Needs torch (CUDA), safetensors, filelock, pandas and pyarrow; no network. Stops cleanly after
``--seconds``, so that the command ends within eight minutes. OUT/ladder.tar.gz then holds the
study's records and table, and no checkpoint; unpacked over the checkout and committed, the next
occasion goes on from there: see runs/gpu_ladder/README.md.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "runs" / "gpu_ladder"
LEFT_OUT = ("work",)
CLI = "from bayes_infolaw.cli import main; main()"
STOPPED = 130


def main() -> int:
    """Sweep, then pack; returns the sweep's exit code, 0 where it was only stopped by the clock."""
    given = arguments()
    started = time.monotonic()
    code = sweep(given)
    Path(given.out).mkdir(parents=True, exist_ok=True)
    pack(Path(given.study), Path(given.out) / "ladder.tar.gz")
    count = len(list((Path(given.study) / "records").glob("*.json")))
    print(f"{count} records, {time.monotonic() - started:.0f} s, sweep's exit code {code}")
    return 0 if code == STOPPED else code


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="folder that `corpus thin` made")
    parser.add_argument("--out", required=True, help="where ladder.tar.gz goes")
    parser.add_argument("--plan", default=str(STUDY / "plan.csv"))
    parser.add_argument("--settings", default=str(STUDY / "sweep.toml"))
    parser.add_argument("--study", default=str(STUDY), help="folder of records that goes on")
    parser.add_argument("--stack", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=420.0)
    return parser.parse_args()


def sweep(given: argparse.Namespace) -> int:
    """Run `bayes-infolaw sweep` from this checkout; returns its exit code."""
    command = [sys.executable, "-c", CLI, "sweep", given.plan, "--settings", given.settings]
    command += ["--corpus", given.corpus, "--out", given.study, "--stack", str(given.stack)]
    command += ["--stop-after", str(given.seconds), "--drop-checkpoints"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, env=environment, check=False).returncode


def pack(study: Path, archive: Path) -> None:
    """All of the study but its working folder, under its own name."""
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(study.iterdir()):
            if path.name not in LEFT_OUT:
                file.add(path, arcname=f"{study.name}/{path.name}")


if __name__ == "__main__":
    sys.exit(main())
