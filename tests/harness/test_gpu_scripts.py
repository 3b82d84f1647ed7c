"""The scripts that wait for a GPU, as far as a CPU can try them."""

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from bayes_infolaw.harness import versions as versions_module

from .generated import generate_corpus

pytestmark = pytest.mark.train
SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
PLAN = ["run,size,recipe,tokens,source_ratio,seed"]
PLAN += [f"r{i},31k,{i % 3},{8192 * (1 + (i == 2))},1,{i}" for i in range(3)]
SETTINGS = """
[training]
seq_len = 32
batch_tokens = 1024
learning_rate = 1e-2
eval_every = 1.0
final_eval_tokens = 500
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return generate_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


@pytest.fixture
def occasion(corpus, tmp_path):
    """Run the ladder's script with a plan for a CPU."""
    (tmp_path / "plan.csv").write_text("\n".join(PLAN) + "\n")
    (tmp_path / "sweep.toml").write_text(SETTINGS)

    def run(*more: object, corpus: Path = corpus) -> subprocess.CompletedProcess:
        words = [SCRIPTS / "ladder.py", "--corpus", corpus, "--out", tmp_path / "out", "--plan"]
        words += [tmp_path / "plan.csv", "--settings", tmp_path / "sweep.toml"]
        words += ["--study", tmp_path / "tuning", *more]
        command = [sys.executable, *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    return run


@pytest.fixture(scope="module")
def ladder():
    spec = importlib.util.spec_from_file_location("ladder", SCRIPTS / "ladder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(archive: Path) -> set[str]:
    with tarfile.open(archive) as file:
        return {entry.name for entry in file.getmembers() if entry.isfile()}


@pytest.mark.slow
def test_an_occasion_trains_what_is_missing_and_packs_the_records(occasion, tmp_path):
    """No time at first, then all; the flop bound keeps the longer run, r2, by itself."""
    pytest.importorskip("torch")
    short = occasion("--seconds", 0)
    assert short.returncode == 1, short.stderr
    assert "error: no run ended within 0 s" in short.stderr
    done = occasion("--stack", 4)
    assert done.returncode == 0, done.stderr
    assert "3 records added, 3 in all" in done.stdout
    names = packed(tmp_path / "out" / "ladder.tar.gz")
    assert {f"tuning/records/r{i}.json" for i in range(3)} <= names
    assert {"tuning/runs.csv", "tuning/study.toml", "tuning/sweep.json"} <= names
    assert {name.split("/")[1] for name in names} <= {
        *("records", "provenance", "runs.csv", "study.toml", "sweep.json")
    }
    again = occasion()
    assert (again.returncode, "0 records added" in again.stdout) == (0, True)


def test_a_corpus_that_is_none_is_one_error(occasion, tmp_path):
    refused = occasion(corpus=tmp_path / "nowhere")
    assert refused.returncode == 2
    assert "--corpus: must be a corpus's folder" in refused.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_every_stack_is_packed_as_it_ends(ladder, monkeypatch, tmp_path):
    study, archive = tmp_path / "study", tmp_path / "ladder.tar.gz"
    (study / "records").mkdir(parents=True)
    monkeypatch.setattr(ladder, "TICK", 0.0)
    monkeypatch.setattr(ladder.signal, "signal", lambda *_: None)

    class Sweep:
        """Two stacks; then it is killed."""

        polls = 0

        def poll(self):
            self.polls += 1
            if self.polls == 3:
                assert packed(archive) == {"study/records/r1.json"}
            if self.polls in (1, 3):
                (study / "records" / f"r{self.polls}.json").write_text("{}")
            return -9 if self.polls == 5 else None

    assert ladder.follow(Sweep(), study, archive) == -9
    assert packed(archive) == {"study/records/r1.json", "study/records/r3.json"}


def test_only_what_is_published_travels_under_its_path_in_runs(ladder, monkeypatch, tmp_path):
    study = tmp_path / "runs" / "gpu_ladder" / "tuning"
    kept = ("records/a.json", "attempts/a-1.json", "provenance/plan-0.csv", "runs.csv")
    work = "work"  # of a study, wherever it stands
    left = ("records/.b.json.part", f"records/{work}/x", f"{work}/a/checkpoint")
    left += ("plan.csv", "README.md")
    for name in (*kept, *left):
        (study / name).parent.mkdir(parents=True, exist_ok=True)
        (study / name).write_text("x")
    monkeypatch.setattr(ladder, "RUNS", tmp_path / "runs")
    ladder.pack(study, tmp_path / "ladder.tar.gz")
    assert packed(tmp_path / "ladder.tar.gz") == {f"gpu_ladder/tuning/{name}" for name in kept}


def test_a_copy_without_git_is_told_its_commit(monkeypatch):
    monkeypatch.setattr(versions_module, "_git", lambda *_: None)
    monkeypatch.setenv("BAYES_INFOLAW_COMMIT", "0123abc")
    found = versions_module.versions.__wrapped__()
    assert (found["commit"], found["changed"]) == ("0123abc", None)
    monkeypatch.delenv("BAYES_INFOLAW_COMMIT")
    assert versions_module.versions.__wrapped__()["commit"] is None


@pytest.mark.slow
@pytest.mark.parametrize("part", ["speed", "stack", "peak", "same", "sizes"])
def test_the_training_benchmark_measures(tmp_path, part):
    pytest.importorskip("torch")
    words = [SCRIPTS / "training.py", "--device", "cpu", "--tiny", "--out", tmp_path]
    environment = {**os.environ, "TORCH_COMPILE_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words), "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "training.json").read_text())
    lines = found["parts"][part]
    assert lines
    assert not [line for line in lines if "failed" in line]
    if part == "same":
        assert found["same_losses"]
    if part == "stack":
        assert found["stacked_best_over_best_one_after_another"] > 0
