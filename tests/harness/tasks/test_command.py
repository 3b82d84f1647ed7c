"""`bayes-infolaw evaluate` as a user runs it: checkpoints, tasks, table, messages."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from bayes_infolaw.cli.app import app  # noqa: E402
from bayes_infolaw.harness.settings import RunSettings  # noqa: E402
from bayes_infolaw.harness.shapes import Shape  # noqa: E402
from bayes_infolaw.harness.store import Corpus  # noqa: E402
from bayes_infolaw.harness.training.trainer import train_run  # noqa: E402

from ..generated import generate_corpus  # noqa: E402
from .task_files import QUESTIONS, question, work_offline, write_task  # noqa: E402

STEPS, BATCH, SEQ_LEN, N = 40, 32, 32, 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Corpus, task, and one run as it was at its start and at its end."""
    folder = tmp_path_factory.mktemp("evaluate")
    corpus = Corpus.open(generate_corpus(folder / "corpus", 400))
    rng = np.random.default_rng(1)
    (folder / "tasks").mkdir()
    write_task(folder / "tasks", "next_word", QUESTIONS, [question(rng) for _ in range(N)])
    settings = RunSettings(
        name="small",
        shape=Shape(2, 32, 2, 88, corpus.vocab_size, SEQ_LEN),
        recipe={"0": 1.0},
        tokens=STEPS * BATCH * SEQ_LEN,
        source_tokens=corpus.bucket("0").tokens,
        batch_tokens=BATCH * SEQ_LEN,
        learning_rate=1e-2,
    )
    with pytest.raises(KeyboardInterrupt):
        train_run(settings, corpus, folder / "small", progress=stop_at_1)
    shutil.copytree(folder / "small", folder / "early")
    train_run(settings, corpus, folder / "small")
    return folder


def stop_at_1(done, total, *, status):
    if done == 1:
        raise KeyboardInterrupt


@pytest.fixture
def run(folder, monkeypatch, tmp_path):
    work_offline(monkeypatch, tmp_path / "arrow")

    def invoke(*arguments, corpus="corpus", tasks="tasks"):
        fixed = ["--corpus", folder / corpus, "--tasks", folder / tasks, "--device", "cpu"]
        return CliRunner().invoke(app, ["evaluate", *map(str, (*fixed, *arguments))])

    return invoke


def test_training_shows_in_the_right_answers(run, folder, tmp_path):
    out = tmp_path / "tasks.csv"
    answer = run(folder / "early", folder / "small", "--out", out, "--json")
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    early, late = told["runs"]
    assert (early["step"], late["step"]) == (1, STEPS)
    assert late["answer_loss"] < early["answer_loss"] - 1  # nats; from about log(300) = 5.7
    score = late["tasks"]["next_word"]
    assert late["answer_loss"] == score["answer"]["nats_per_token"]
    assert score["answer"]["documents"] == N
    assert told["notes"] == [f"small: at step 1 of {STEPS}."]
    table = pd.read_csv(out)
    assert list(table["answer_loss"]) == [early["answer_loss"], late["answer_loss"]]
    assert list(table["next_word_acc"]) == [
        r["tasks"]["next_word"]["metrics"]["acc"] for r in (early, late)
    ]


def test_people_are_told(run, folder):
    checkpoint = max((folder / "small" / "checkpoint").iterdir())
    answer = run(checkpoint, "--limit", 8, "--shots", 3)
    assert answer.exit_code == 0, answer.stderr
    assert "next_word" in answer.stdout
    assert "small: answer loss" in answer.stdout
    assert f"did not fit {SEQ_LEN} tokens" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["tasks"], "run: must be a run's folder with a whole checkpoint"),
        (["small", "--limit", "0"], "limit: must be at least 1, got 0"),
        (["small", "--device", "tpu"], "--device: must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["small", "--threads", "0"], "--threads: must be at least 1, got 0"),
        (["small", "--out", "absent/x.csv"], "--out: folder must exist"),
    ],
)
def test_bad_input(run, folder, arguments, rule):
    answer = run(folder / arguments[0], *arguments[1:])
    assert answer.exit_code == 2
    assert rule in answer.stderr


def test_another_corpus_is_refused(run, folder):
    generate_corpus(folder / "other", 40)
    answer = run(folder / "small", corpus="other")
    assert answer.exit_code == 2
    assert "corpus: must be the one that run 'small' was trained on" in answer.stderr


def test_a_torn_checkpoint_is_refused(run, folder, tmp_path):
    torn = tmp_path / "torn"
    shutil.copytree(max((folder / "small" / "checkpoint").iterdir()), torn)
    weights = bytearray((torn / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (torn / "weights.safetensors").write_bytes(weights)
    answer = run(torn)
    assert answer.exit_code == 2
    assert "whole checkpoint" in answer.stderr
