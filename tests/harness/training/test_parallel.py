"""DDP and FSDP2 by torchrun on two CPU processes, against the same run in one process."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayes_infolaw.errors import InputError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from bayes_infolaw.harness.settings import RunSettings  # noqa: E402
from bayes_infolaw.harness.shapes import Shape  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training import parallel  # noqa: E402
from bayes_infolaw.harness.training.checkpoint import latest_checkpoint  # noqa: E402
from bayes_infolaw.harness.training.strategy import SingleProcess  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from ..generated import generate_corpus  # noqa: E402

JOB = Path(__file__).with_name("parallel_job.py")
BATCH, SEQ_LEN, STEPS = 7, 32, 12
ROUND_OFF = 2e-6  # relative, of fp32 sums in another order


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return generate_corpus(tmp_path_factory.mktemp("parallel") / "corpus", 120)


def settings(corpus: Path, **changes) -> RunSettings:
    """A few steps whose batch of 7 sequences no number of processes divides."""
    vocab = Corpus.open(corpus).vocab_size
    wanted = {
        "name": "run",
        "shape": Shape(2, 36, 2, 96, vocab, SEQ_LEN),
        "recipe": {"0": 0.7, "1": 0.3},
        "tokens": BATCH * SEQ_LEN * STEPS,
        "source_tokens": BATCH * SEQ_LEN * STEPS,
        "batch_tokens": BATCH * SEQ_LEN,
        "learning_rate": 3e-3,
        "eval_tokens": 2000,
        "log_seconds": 1e-9,
    }
    return RunSettings(**{**wanted, **changes})


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """Record and folder of the run in one process."""
    work = tmp_path_factory.mktemp("alone")
    return train_run(settings(corpus), Corpus.open(corpus), work).to_dict(), work


def torchrun(folder: Path, jobs: list[dict], processes: int = 2) -> int:
    """Start the jobs one after another in one torchrun; its exit code."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes), str(JOB), str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with (folder / "stderr.txt").open("w") as errors:
        process = subprocess.Popen(command, env=environment, stderr=errors)
        try:
            return process.wait(300)
        finally:
            process.terminate()  # torchrun ends its workers then
            process.wait(60)


def job(corpus: Path, kind: str, work: Path, run: RunSettings, **more) -> dict:
    work.mkdir(exist_ok=True)
    return {
        "kind": kind,
        "corpus": str(corpus),
        "work": str(work),
        "settings": run.to_dict(),
        **more,
    }


def record_of(work: Path) -> dict:
    return json.loads((work / "record.json").read_text())


def lines(work: Path) -> list[dict]:
    return [json.loads(line) for line in (work / "log.jsonl").read_text().splitlines()]


def assert_same_run(work: Path, alone: tuple[dict, Path]) -> None:
    """Losses of every step, norms, evaluations and the final weights agree up to round-off."""
    expected, single = alone
    found = record_of(work)
    for name in ("loss", "grad_norm"):
        seen, wanted = ([line[name] for line in lines(w)] for w in (work, single))
        assert len(wanted) == STEPS
        np.testing.assert_allclose(seen, wanted, rtol=10 * ROUND_OFF)
    for key in ("nats_per_token", "nats_per_token_se", "bits_per_byte"):
        loss, wanted = (r["losses"]["heldout"][key] for r in (found, expected))
        assert loss == pytest.approx(wanted, rel=10 * ROUND_OFF)
    curves = ([p["losses"]["heldout"] for p in r["curve"]] for r in (found, expected))
    np.testing.assert_allclose(*curves, rtol=10 * ROUND_OFF)
    assert found["counts"] == expected["counts"]
    assert_same_state(work, single)


def assert_same_state(work: Path, single: Path) -> None:
    """Whole tensors by the same names; AdamW's first steps blow round-off up where g is near 0."""
    found, expected = latest_checkpoint(work), latest_checkpoint(single)
    for kind in ("weights", "optimiser"):
        tensors, wanted = getattr(found, kind)(), getattr(expected, kind)()
        assert set(tensors) == set(wanted)
        for name, tensor in wanted.items():
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-3, atol=1e-4)


def test_processes_agree_with_one(corpus, alone, tmp_path):
    """DDP at one go; FSDP2 stopped after an evaluation, saved, and resumed."""
    works = {kind: tmp_path / kind for kind in ("ddp", "fsdp")}
    parts = settings(corpus, micro_batch=2)
    jobs = [job(corpus, kind, work, parts) for kind, work in works.items()]
    jobs.insert(1, {**jobs[1], "stop_at": STEPS // 2})
    assert torchrun(tmp_path, jobs) == 0, (tmp_path / "stderr.txt").read_text()
    for kind, work in works.items():
        assert_same_run(work, alone)
        resources = record_of(work)["resources"]
        assert (resources["processes"], resources["restarts"]) == (2, int(kind == "fsdp"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "after", "processes"), [("ddp", "fsdp", 3), ("fsdp", "ddp", 2)])
def test_killed_and_resumed_on_other_processes(corpus, alone, tmp_path, kind, after, processes):
    work, often = tmp_path / "work", settings(corpus, checkpoint_seconds=1e-9)
    assert torchrun(tmp_path, [job(corpus, kind, work, often, kill_at=7)]) != 0
    assert not (work / "record.json").exists()
    assert 5 <= latest_checkpoint(work).progress["step"] <= 7
    assert torchrun(tmp_path, [job(corpus, after, work, often)], processes) == 0
    assert record_of(work)["resources"]["restarts"] == 1
    assert_same_run(work, alone)


@pytest.mark.slow
def test_sharded_then_resumed_alone(corpus, alone, tmp_path):
    work, run = tmp_path / "work", settings(corpus)
    assert torchrun(tmp_path, [job(corpus, "fsdp", work, run, stop_at=5)]) == 0
    assert latest_checkpoint(work).progress["step"] == 5
    record = train_run(run, Corpus.open(corpus), work).to_dict()
    (work / "record.json").write_text(json.dumps(record))
    assert_same_run(work, alone)


@pytest.mark.slow
def test_tied_weights_are_sharded_as_one(corpus, tmp_path):
    vocab = Corpus.open(corpus).vocab_size
    tied = settings(corpus, shape=Shape(2, 36, 2, 96, vocab, SEQ_LEN, tied=True))
    single = tmp_path / "single"
    record = train_run(tied, Corpus.open(corpus), single).to_dict()
    assert torchrun(tmp_path, [job(corpus, "fsdp", tmp_path / "work", tied)]) == 0
    assert_same_run(tmp_path / "work", (record, single))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize(
    ("kind", "precision"), [("ddp", "fp32"), ("fsdp", "fp32"), ("fsdp", "bf16")]
)
def test_every_gpu_of_this_machine_agrees_with_one(corpus, tmp_path, kind, precision):
    """NCCL on as many devices as there are (one does as well), against the first of them."""
    run = settings(corpus, device="cuda", precision=precision)
    record = train_run(run, Corpus.open(corpus), tmp_path / "one").to_dict()
    processes = min(torch.cuda.device_count(), BATCH)
    found = tmp_path / "all"
    assert torchrun(tmp_path, [job(corpus, kind, found, run)], processes) == 0
    assert record_of(found)["losses"]["heldout"]["nats_per_token"] == pytest.approx(
        record["losses"]["heldout"]["nats_per_token"], rel=1e-3 if precision == "fp32" else 1e-2
    )


def replicated(rank: int, world: int) -> parallel.Replicated:
    made = object.__new__(parallel.Replicated)
    made.rank, made.world = rank, world
    return made


@pytest.mark.parametrize("size", [None, 1, 2, 3, 100])
@pytest.mark.parametrize(("batch", "world"), [(7, 2), (8, 2), (3, 3), (11, 4), (5, 4), (64, 8)])
def test_every_row_once_and_parts_in_step(batch, world, size):
    indices = np.arange(100, 100 + batch)
    parts = []
    for rank in range(world):
        strategy = replicated(rank, world)
        rows = torch.from_numpy(strategy.shard(indices))
        parts.append(strategy.micro_batches(rows, size))
    assert len({len(found) for found in parts}) == 1
    assert min(len(part) for part in itertools.chain(*parts)) >= 1
    assert max(len(part) for part in itertools.chain(*parts)) <= (size or batch) + (size == 1)
    rows = torch.cat(list(itertools.chain(*parts)))
    assert sorted(rows.tolist()) == indices.tolist()


def test_more_processes_than_rows_is_an_error():
    with pytest.raises(InputError, match=r"batch: must have a sequence for each of 4 processes"):
        replicated(0, 4).shard(np.arange(3))


def test_without_torchrun_one_process_does_it_all(monkeypatch):
    for name in parallel.TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    with parallel.launched("fsdp") as strategy:
        assert type(strategy) is SingleProcess
        assert not torch.distributed.is_initialized()


def test_an_unknown_kind_is_an_error():
    with pytest.raises(InputError, match=r"parallel: must be one of ddp, fsdp, got 'tp'"):
        parallel.launched("tp").__enter__()


def test_more_processes_than_devices_is_an_error(monkeypatch):
    for name in parallel.TORCHRUN:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=r"at most this machine's 1 CUDA devices, got 2"):
        parallel.launched("ddp", "cuda").__enter__()


@pytest.mark.slow
def test_processes_that_start_from_different_steps_all_refuse(corpus, tmp_path):
    """The second process sees another folder, without the first one's checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train_run(settings(corpus), Corpus.open(corpus), tmp_path / "rank0", progress=stop_at(3))
    words = job(corpus, "ddp", tmp_path / "rank0", settings(corpus))
    assert torchrun(tmp_path, [words | {"work": str(tmp_path / "rank{rank}")}]) != 0
    said = (tmp_path / "stderr.txt").read_text()
    assert said.count("InputError: checkpoint: step must be the same in all processes") == 2
    assert "got 0 to 3" in said


def stop_at(step: int):
    def watch(done, total, *, status):
        if done == step:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize(("own", "other", "fits"), [(3, 3, True), (3, 0, False), (0, 3, False)])
def test_the_step_of_all_processes_is_compared(monkeypatch, own, other, fits):
    def with_another(values, op):
        values.copy_(torch.maximum(values, torch.tensor([other, -other])))

    monkeypatch.setattr(parallel.dist, "all_reduce", with_another)
    replicated = object.__new__(parallel.Replicated)
    if fits:
        replicated.require_same(own)
        return
    with pytest.raises(InputError, match=r"checkpoint: step must be the same.* got 0 to 3"):
        replicated.require_same(own)
