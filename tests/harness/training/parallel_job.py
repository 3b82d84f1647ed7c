"""What test_parallel.py has torchrun start: runs named by a JSON file, on several processes."""

import json
import os
import signal
import sys
from pathlib import Path

from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.training.parallel import STRATEGIES, launched
from bayes_infolaw.harness.training.strategy import SingleProcess
from bayes_infolaw.harness.training.trainer import train_run


def main(path: Path) -> None:
    jobs = json.loads(path.read_text())
    device = jobs[0]["settings"]["device"]
    with launched(jobs[0]["kind"], device):  # one group for all: gloo does not like a second
        for job in jobs:
            try:
                run(job, STRATEGIES[job["kind"]]())
            except KeyboardInterrupt:
                assert "stop_at" in job


def run(job: dict, strategy: SingleProcess) -> None:
    record = train_run(
        RunSettings.from_dict(job["settings"]),
        Corpus.open(job["corpus"]),
        job["work"].format(rank=strategy.rank),
        progress=watcher(job, strategy),
        strategy=strategy,
    )
    if strategy.is_main:
        Path(job["work"], "record.json").write_text(json.dumps(record.to_dict()))


def watcher(job: dict, strategy: SingleProcess):
    """Kill the last process, or ask the main one to stop, after the step that the job says."""

    def watch(done: int, total: int, *, status: object) -> None:
        if done == job.get("kill_at") and strategy.rank == strategy.world - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if done == job.get("stop_at") and strategy.is_main:
            raise KeyboardInterrupt

    return watch


if __name__ == "__main__":
    main(Path(sys.argv[1]))
