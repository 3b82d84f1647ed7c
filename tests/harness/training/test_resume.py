"""Interrupted runs: killed at any moment, stopped when asked, torn checkpoints, other settings."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw.errors import InputError  # noqa: E402
from bayes_infolaw.harness.record import DivergedError  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training.checkpoint import latest_checkpoint, save_checkpoint  # noqa: E402
from bayes_infolaw.harness.training.log import LOG  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from ..generated import generate_corpus  # noqa: E402
from .training_run import outcome, tiny_settings  # noqa: E402

SCRIPT = Path(__file__).parent / "training_run.py"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.open(generate_corpus(tmp_path_factory.mktemp("corpus") / "c"))


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):
    return outcome(train_run(tiny_settings(), corpus, tmp_path_factory.mktemp("whole")))


class StopAt:
    """A watcher that asks to stop once, after so many steps."""

    def __init__(self, step: int) -> None:
        self.step, self.seen = step, []

    def __call__(self, done, total, *, status):
        self.seen.append((done, total, status.loss))
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [1, 13, 16, 63])
def test_a_stopped_run_goes_on_to_the_same_end(corpus, uninterrupted, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train_run(tiny_settings(), corpus, tmp_path, progress=StopAt(step))
    assert latest_checkpoint(tmp_path).progress["step"] == step
    watch = StopAt(-1)
    record = train_run(tiny_settings(), corpus, tmp_path, progress=watch)
    assert outcome(record) == uninterrupted
    assert [done for done, _, _ in watch.seen] == list(range(step + 1, 65))
    assert record.resources["restarts"] == 1


def test_a_finished_run_is_evaluated_again_from_its_last_checkpoint(
    corpus, uninterrupted, tmp_path
):
    train_run(tiny_settings(), corpus, tmp_path)
    watch = StopAt(-1)
    assert outcome(train_run(tiny_settings(), corpus, tmp_path, progress=watch)) == uninterrupted
    assert watch.seen == []


class Server:
    """Starts training processes one at a time, see `training_run.serve`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: Path) -> int:
        self._process.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Exit code of the process that was started; negative for a signal."""
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def kill(child: int, work: Path, in_checkpoint: bool, delay: float) -> None:
    """SIGKILL, `delay` seconds after the attempt's first checkpoint, or inside one after that."""
    parent = work / "checkpoint"
    before = set(parent.glob("[0-9]*"))
    deadline = time.monotonic() + 300  # where other work has the machine
    while set(parent.glob("[0-9]*")) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(delay)
    while in_checkpoint and not list(parent.glob(".*.part/*")):
        assert time.monotonic() < deadline
    os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_kill_9_at_any_moment_changes_nothing(corpus, uninterrupted, tmp_path, server):
    work, out, rng = tmp_path / "work", tmp_path / "out.json", random.Random(0)
    attempts, torn = 8, 0
    for attempt in range(attempts):
        child = server.start(corpus.folder, work, out)
        kill(child, work, in_checkpoint=attempt % 2 == 0, delay=rng.random() * 0.03)
        assert server.end() == -signal.SIGKILL
        torn += bool(list((work / "checkpoint").glob(".*.part")))
    assert torn >= 1
    server.start(corpus.folder, work, out)
    assert server.end() == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found.pop("restarts") == attempts
    assert found == json.loads(json.dumps(uninterrupted))


def stop_at(corpus: Corpus, work: Path, step: int, **changes) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_run(tiny_settings(**changes), corpus, work, progress=StopAt(step))


@pytest.mark.parametrize("file", ["weights.safetensors", "optimiser.safetensors", "progress.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_torn_checkpoint_gives_way_to_the_one_before(
    corpus, uninterrupted, tmp_path, file, damage
):
    stop_at(corpus, tmp_path, 10)
    stop_at(corpus, tmp_path, 20)
    folders = sorted((tmp_path / "checkpoint").iterdir())
    assert [int(folder.name) for folder in folders] == [10, 20]
    path = folders[-1] / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[-9] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    assert latest_checkpoint(tmp_path).progress["step"] == 10
    assert outcome(train_run(tiny_settings(), corpus, tmp_path)) == uninterrupted


def test_two_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, ({"w": torch.zeros(2)}, {}), {"step": step})
    assert sorted(int(p.name) for p in (tmp_path / "checkpoint").iterdir()) == [3, 10]


def test_numbers_survive_a_checkpoint_exactly(tmp_path):
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(5, 3, generator=generator)}
    moments = {"step/w": torch.tensor(7.0)}
    progress = {"step": 7, "state": {"loss_sum": 0.1 + 0.2}}
    save_checkpoint(tmp_path, (weights, moments), progress)
    found = latest_checkpoint(tmp_path)
    assert found.progress == progress
    assert torch.equal(found.weights()["w"], weights["w"])
    assert torch.equal(found.optimiser()["step/w"], moments["step/w"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 2e-2}, "learning_rate"),
        ({"seed": 5}, "seed"),
        ({"recipe": {"0": 1.0}}, "recipe"),
        ({"shape": replace(tiny_settings().shape, layers=3)}, "shape"),
    ],
)
def test_other_settings_are_refused_by_name(corpus, tmp_path, change, named):
    stop_at(corpus, tmp_path, 5)
    with pytest.raises(InputError, match=f"resuming .*: {named} must be as in the checkpoint"):
        train_run(tiny_settings(**change), corpus, tmp_path)
    assert latest_checkpoint(tmp_path).progress["step"] == 5


def test_another_corpus_is_refused(corpus, tmp_path):
    stop_at(corpus, tmp_path / "work", 5)
    other = Corpus.open(generate_corpus(tmp_path / "other", seed=9))
    with pytest.raises(InputError, match=f"corpus must be as in the checkpoint .'{corpus.hash}'"):
        train_run(tiny_settings(), other, tmp_path / "work")


def test_how_a_run_is_done_may_change_but_not_its_last_bits(corpus, tmp_path):
    wanted = outcome(train_run(tiny_settings(micro_batch=3), corpus, tmp_path / "whole"))
    stop_at(corpus, tmp_path / "work", 5, micro_batch=3)
    changed = tiny_settings(micro_batch=None, threads=2, log_seconds=1e-6, name="other")
    record = train_run(changed, corpus, tmp_path / "work")
    assert (record.settings.micro_batch, record.settings.threads) == (3, 1)
    assert (record.run, outcome(record)) == ("other", wanted)


def test_the_log_goes_back_to_the_checkpoint(corpus, tmp_path):
    settings = tiny_settings(log_seconds=1e-6)
    with pytest.raises(KeyboardInterrupt):
        train_run(settings, corpus, tmp_path, progress=StopAt(20))
    path = tmp_path / LOG
    whole = path.read_text(encoding="utf-8")
    later = whole.splitlines()[-1].replace('"step": 20', '"step": 21')
    path.write_text(whole + later + "\n" + later[:17], encoding="utf-8")
    train_run(settings, corpus, tmp_path)
    steps = [json.loads(line)["step"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert steps == list(range(1, 65))


def test_a_half_written_checkpoint_is_none(corpus, uninterrupted, tmp_path):
    stop_at(corpus, tmp_path, 10)
    final = tmp_path / "checkpoint" / "000000010"
    shutil.copytree(final, final.parent / ".000000030.part")
    (final.parent / ".000000030.part" / "progress.json").unlink()
    assert latest_checkpoint(tmp_path).folder == final
    assert outcome(train_run(tiny_settings(), corpus, tmp_path)) == uninterrupted


def test_what_a_killed_save_left_is_dropped_at_the_start_and_at_a_save(corpus, tmp_path):
    """Even where the run diverges at once and never saves again."""
    left = tmp_path / "checkpoint" / ".000000007.part"
    left.mkdir(parents=True)
    with pytest.raises(DivergedError):
        train_run(tiny_settings(learning_rate=1e30), corpus, tmp_path)
    assert not left.exists()
    left.mkdir()
    save_checkpoint(tmp_path, ({}, {}), {"step": 8})
    assert [path.name for path in left.parent.iterdir()] == ["000000008"]
