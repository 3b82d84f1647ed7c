"""One occasion of the GPU ladder: train what is missing, stack by stack, and pack up the records.

    PYTHONPATH=. python benchmarks/gpu/ladder.py --corpus .gpu_corpus --out OUT [--commit HASH]

Needs torch (CUDA), safetensors, filelock, numpy, pandas, pyarrow, rich and typer; no network.
Stops cleanly after ``--seconds``, so that the command ends within eight minutes. OUT/ladder.tar.gz
is written anew after every stack, so that something comes back however this ends: the study's
records and table, and no checkpoint. Unpacked over the checkout's runs/ and committed, the next
occasion goes on from there: see runs/gpu_ladder/README.md. Exit code 0: runs were added, or none
was missing; 1: none was added in the time; else the sweep's own.
"""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs"
STUDY = RUNS / "gpu_ladder"
PACKED = ("records", "attempts", "provenance", "runs.csv", "study.toml", "sweep.json")
CLI = "from bayes_infolaw.cli import main; main()"
NEEDED = ("torch", "safetensors", "filelock", "numpy", "pandas", "pyarrow", "rich", "typer")
COMMIT = "BAYES_INFOLAW_COMMIT"
STOPPED, NOTHING_ADDED = 130, 1
TICK = 1.0


def main() -> int:
    """Sweep, packing on the way and at the end; returns the exit code."""
    given = arguments()
    started, before = time.monotonic(), len(records(given.study))
    given.out.mkdir(parents=True, exist_ok=True)
    code = follow(sweep(given), given.study, given.out / "ladder.tar.gz")
    count = len(records(given.study))
    added, took = count - before, time.monotonic() - started
    print(f"{added} records added, {count} in all, {took:.0f} s, sweep's exit code {code}")
    if code != STOPPED:
        return code
    if not added:
        print(f"error: no run ended within {given.seconds:g} s", file=sys.stderr)
    return 0 if added else NOTHING_ADDED


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder that `corpus thin` made")
    parser.add_argument("--out", type=Path, required=True, help="where ladder.tar.gz goes")
    parser.add_argument("--plan", default=str(STUDY / "plan.csv"))
    parser.add_argument("--settings", default=str(STUDY / "sweep.toml"))
    parser.add_argument("--study", type=Path, default=STUDY, help="folder of records that goes on")
    parser.add_argument("--stack", type=int, default=16, help="most runs in a stack")
    # 3e16 is one run of 50M, and five minutes at 1e14 FLOP/s, a tenth of an H100's bf16 peak.
    parser.add_argument("--stack-flops", type=float, default=3e16, help="most FLOP in a stack")
    parser.add_argument("--seconds", type=float, default=420.0)
    parser.add_argument("--commit", help=f"of this copy, where it has no .git (or set {COMMIT})")
    given = parser.parse_args()
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        parser.error(f"this Python must have {', '.join(absent)}")
    if not (given.corpus / "corpus.json").is_file():
        rule = "must be a corpus's folder, with its corpus.json"
        parser.error(f"--corpus: {rule}, got {str(given.corpus)!r}")
    return given


def sweep(given: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Start `bayes-infolaw sweep` from this checkout."""
    command = [sys.executable, "-c", CLI, "sweep", given.plan, "--settings", given.settings]
    command += ["--corpus", str(given.corpus), "--out", str(given.study)]
    command += ["--stack", str(given.stack), "--stack-flops", str(given.stack_flops)]
    command += ["--stop-after", str(given.seconds), "--drop-checkpoints"]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    environment |= {COMMIT: given.commit} if given.commit else {}
    return subprocess.Popen(command, env=environment)


def follow(process: Any, study: Path, archive: Path) -> int:
    """Pack whenever there are more records, and at the end; SIGTERM goes on to the sweep."""
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    packed = len(records(study))
    while (code := process.poll()) is None:
        time.sleep(TICK)
        if len(found := records(study)) > packed:
            pack(study, archive)
            packed = len(found)
    pack(study, archive)
    return int(code)


def records(study: Path) -> list[Path]:
    """The study's records."""
    return sorted((study / "records").glob("*.json"))


def pack(study: Path, archive: Path) -> None:
    """What a sweep published in the study's folder, under its path in runs/; whole or not."""
    study, part = study.resolve(), archive.with_name(f".{archive.name}.part")
    name = study.relative_to(RUNS) if study.is_relative_to(RUNS) else Path(study.name)
    with tarfile.open(part, "w:gz") as file:
        for kept in PACKED:
            if (study / kept).exists():
                file.add(study / kept, arcname=str(name / kept), filter=published)
    part.replace(archive)


def published(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out files that are just being written, and working folders."""
    name = Path(entry.name).name
    return None if name.startswith(".") or name == "work" else entry


if __name__ == "__main__":
    sys.exit(main())
