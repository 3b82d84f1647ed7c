"""A generated corpus, plans in a folder, and sweeps with a trainer that trains nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.opening import open_sweep
from bayes_infolaw.harness.sweep.run import How, run_sweep
from bayes_infolaw.harness.sweep.stacks import StackedHow, run_stacks

from ..generated import generate_corpus

FAKE = "fake_trainer:train"
COMMAND = "import typer; from bayes_infolaw.cli.sweep import sweep; typer.run(sweep)"
HEADER = "size,recipe,tokens,source_ratio,seed"
STACKED_HEADER = "run,size,recipe,tokens,source_ratio,seed"
STACKED_ROWS = [f"r{i},31k,{i % 3},{10240 * (1 + (i == 4))},1,{i}" for i in range(5)]
STACKED_SETTINGS = """
[training]
seq_len = 32
batch_tokens = 1024
learning_rate = 1e-2
eval_every = 1.0
final_eval_tokens = 500
"""


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory) -> Path:
    return generate_corpus(tmp_path_factory.mktemp("corpus") / "tiny", n_documents=400)


@pytest.fixture(scope="session")
def corpus(corpus_folder) -> Corpus:
    return Corpus.open(corpus_folder)


@pytest.fixture
def plan_file(tmp_path):
    """Write a plan of rows under a header; its path."""

    def write(rows: Sequence[str], header: str = HEADER, name: str = "plan.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


@pytest.fixture
def settings_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "sweep.toml"
        path.write_text(text)
        return path

    return write


class Heard:
    """A watch that remembers."""

    def __init__(self):
        self.starts, self.ends, self.lines = [], [], []
        self.running, self.most = [], 0

    def started(self, job):
        self.starts.append(job.run)

    def ended(self, job):
        self.ends.append(job.run)

    def said(self, message):
        self.lines.append(message)

    def tick(self, running):
        self.running = [job.run for job in running]
        self.most = max(self.most, len(running))


def find_fake_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes started from now on import the fake trainer."""
    here, known = str(Path(__file__).parent), os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *([known] if known else [])]))


@pytest.fixture
def fake_path(monkeypatch) -> None:
    """Workers find the fake trainer."""
    find_fake_trainer(monkeypatch)


@pytest.fixture
def swept(fake_path, corpus_folder, tmp_path):
    """Run a plan; the summary and what the watch heard."""

    def run(plan: Path, out: Path | None = None, **how):
        sweep = open_sweep(plan, corpus_folder, out or tmp_path / "study")
        heard = Heard()

        @contextmanager
        def watcher(*_):
            yield heard

        wanted = How(**({"slots": 2, "train": FAKE} | how))
        return run_sweep(sweep, wanted, watcher), heard

    return run


@pytest.fixture
def stacked(corpus_folder, plan_file, settings_file, tmp_path):
    """Run a plan stack by stack with the real trainer; the summary."""
    settings_file(STACKED_SETTINGS)

    def run(size: int = 3, rows=STACKED_ROWS, header: str = STACKED_HEADER, **how):
        sweep = open_sweep(plan_file(rows, header), corpus_folder, tmp_path / "study")
        return run_stacks(sweep, StackedHow(size, **how))

    return run


@pytest.fixture
def sizes(monkeypatch) -> list[list[str]]:
    """Names of the runs of every stack that is trained."""
    from bayes_infolaw.harness.training.stacked import trainer

    seen, train = [], trainer.train_stack

    def hear(runs, *arguments, **options):
        seen.append([run.name for run in runs])
        return train(runs, *arguments, **options)

    monkeypatch.setattr(trainer, "train_stack", hear)
    return seen


@pytest.fixture
def launched(fake_path, corpus_folder, tmp_path):
    """Start a sweep by the command line in a process of its own."""
    sweeps = []

    def launch(plan: Path, *more: str) -> subprocess.Popen:
        fixed = ["--corpus", str(corpus_folder), "--out", str(tmp_path / "study"), "--train", FAKE]
        words = [sys.executable, "-c", COMMAND, str(plan), *fixed, *more, "--json"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        sweeps.append(subprocess.Popen(words, **pipes))
        return sweeps[-1]

    yield launch
    for sweep in sweeps:
        sweep.kill()
        sweep.communicate()


def state_of(out: Path, run: str) -> dict:
    """What the fake trainer left of a run."""
    return json.loads((out / "work" / run / "state.json").read_text())


def step_of(out: Path, run: str) -> int:
    """The step that a run has reached, 0 before it began."""
    try:
        return int(state_of(out, run).get("step", 0))
    except (OSError, ValueError):
        return 0


def wait_for(condition, seconds: float = 60.0) -> None:
    """Wait until the condition holds, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
