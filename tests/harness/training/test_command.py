"""`bayes-infolaw train` as a user runs it: records, table, messages, stopping."""

import json
import os
import signal
import threading
import time

import pytest
import typer
from typer.testing import CliRunner

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

from bayes_infolaw import read_runs  # noqa: E402
from bayes_infolaw.cli.train import train  # noqa: E402
from bayes_infolaw.harness.record import read_record  # noqa: E402
from bayes_infolaw.harness.settings import deepseek_batch, deepseek_learning_rate  # noqa: E402
from bayes_infolaw.harness.training.checkpoint import latest_checkpoint  # noqa: E402

from ..generated import generate_corpus  # noqa: E402

SHAPE = ["--layers", 1, "--hidden", 16, "--heads", 2, "--mlp", 40, "--seq-len", 32]
SHORT = [*SHAPE, "--tokens", "12288", "--source-ratio", "1", "--recipe", "0=0.6,1=0.4"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return generate_corpus(tmp_path_factory.mktemp("corpus") / "c")


@pytest.fixture
def run(corpus, tmp_path):
    app = typer.Typer()
    app.command()(train)

    def invoke(*arguments):
        fixed = ["--corpus", corpus, "--out", tmp_path / "study", "--device", "cpu"]
        return CliRunner().invoke(app, [str(word) for word in (*fixed, *arguments)])

    return invoke


def test_a_run_leaves_a_record_and_a_row(run, tmp_path):
    answer = run(*SHORT, "--run", "one", "--set", "batch_tokens=512", "--json")
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    record = read_record(told["record"])
    assert (record.run, record.status, told["status"]) == ("one", "finished", "finished")
    assert record.settings.shape.mlp == 40
    assert record.settings.batch_tokens == 512
    assert told["losses"]["heldout"]["nats_per_token"] == record.losses["heldout"].nats_per_token
    assert told["counts"]["0"]["packed"] / told["tokens"] == pytest.approx(0.6, abs=1e-3)
    again = run(*SHORT, "--run", "two", "--seed", 1, "--set", "batch_tokens=512")
    assert again.exit_code == 0, again.stderr
    assert "two" in again.stdout
    table = read_runs(tmp_path / "study", prior_dominated=True)
    assert list(table.frame["run"]) == ["one", "two"]
    assert table.buckets == ("0", "1", "2")


def test_learning_rate_and_batch_come_from_the_compute(run):
    told = json.loads(run(*SHORT, "--json").stdout)
    flops = told["model"]["flops_per_token"] * 12_288
    rate, batch = deepseek_learning_rate(flops), deepseek_batch(flops)
    assert told["resources"]["learning_rate"] == pytest.approx(rate / 4)  # tuned: a small model
    assert told["resources"]["batch_sequences"] == max(1, round(batch / 4 / 32))
    settings = read_record(told["record"]).settings
    assert (settings.lr_scale, settings.warmup_fraction, settings.beta2) == (0.25, 0.03, 0.99)
    scales = ["--set", "lr_scale=1", "--set", "batch_scale=1", "--run", "as-it-stands"]
    plain = json.loads(run(*SHORT, *scales, "--json").stdout)
    assert plain["resources"]["learning_rate"] == pytest.approx(rate)


def test_a_name_is_taken_once(run):
    assert run(*SHORT, "--run", "one").exit_code == 0
    answer = run(*SHORT, "--run", "one")
    assert answer.exit_code == 2
    assert answer.stderr.strip().endswith("--run: must be new in study/records, got 'one'")


def test_a_diverged_run_is_recorded_and_no_row(run, tmp_path):
    answer = run(*SHORT, "--run", "wild", "--set", "learning_rate=1e30", "--json")
    assert answer.exit_code == 3
    told = json.loads(answer.stdout)
    assert (told["status"], told["table"]) == ("diverged", None)
    assert "must be finite" in read_record(told["record"]).error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "3k"], "--size: must be one of 252M"),
        (["--size", "31k", "--recipe", "0"], "--tokens: tokens or overtraining is needed"),
        ([*SHAPE, "--tokens", "1e4", "--recipe", "0"], "--source-tokens: .* is needed"),
        (
            [*SHORT, "--recipe", "0=0.6,1=0.3"],
            "--recipe: packed shares must sum to 1 .*, got 0.[89]",
        ),
        ([*SHORT, "--recipe", "9=1"], "w_9: bucket must be one of the corpus's 0, 1, 2"),
        ([*SHORT, "--recipe", "best"], "--recipe: must be one of 0, 1, 2"),
        ([*SHORT, "--heads", "5"], "hidden: must be an even multiple of heads"),
        ([*SHORT, "--set", "speed=9"], "--set: must be one of .*, got 'speed'"),
        ([*SHORT, "--set", "clip=-1"], "--clip: must be above 0, got -1"),
        ([*SHORT, "--device", "tpu"], "--device: must be auto, cpu, cuda or cuda:N, got 'tpu'"),
        ([*SHORT, "--device", "cuda:x"], "--device: must be auto, .*, got 'cuda:x'"),
        ([*SHORT, "--set", "device=gpu"], "--device: must be auto, .*, got 'gpu'"),
        ([*SHORT, "--set", "beta1=1"], r"--beta1: must be in \[0, 1\), got 1"),
        (
            [*SHORT, "--seed", str(2**63)],
            r"--seed: must be .* below 2\^63, got 9223372036854775808",
        ),
        ([*SHORT, "--set", "learning_rate=inf"], "--learning-rate: must be a number"),
        ([*SHORT, "--run", "a b"], "--run: must be letters, digits .* got 'a b'"),
        ([*SHORT, "--threads", "0"], "--threads: must be at least 1, got 0"),
        ([*SHORT, "--parallel", "none"], "parallel: must be one of ddp, fsdp, got 'none'"),
        ([*SHORT, "--settings", "no.toml"], "settings no.toml: cannot be read"),
    ],
)
def test_bad_input_is_one_sentence(run, tmp_path, arguments, message):
    answer = run(*arguments)
    assert answer.exit_code == 2, answer.output
    lines = answer.stderr.splitlines()
    assert len(lines) == 1
    import re

    assert re.match(f"error: .*{message}", lines[0]), lines[0]
    assert not list(tmp_path.glob("study/records/*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(run, tmp_path, number):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are the main thread's")
    work = tmp_path / "study" / "work" / "one"
    words = [*SHORT, "--run", "one", "--set", "batch_tokens=32", "--set", "checkpoint_seconds=0.05"]

    def stop():
        deadline = time.monotonic() + 120
        while latest_checkpoint(work) is None and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    killer = threading.Thread(target=stop)
    killer.start()
    stopped = run(*words, "--json")
    killer.join()
    assert stopped.exit_code == 130
    assert json.loads(stopped.stdout) == {"run": "one", "status": "stopped"}
    assert signal.getsignal(number) is before
    assert 0 < latest_checkpoint(work).progress["step"] < 384
    answer = run(*words, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["resources"]["restarts"] == 1


def test_a_run_lost_at_its_last_step_is_recorded_as_diverged(run):
    once = ["--set", "batch_tokens=12288", "--set", "learning_rate=1e38", "--run", "lost"]
    answer = run(*SHORT, *once, "--json")
    assert answer.exit_code == 3, answer.output
    told = json.loads(answer.stdout)
    assert (told["status"], told["table"]) == ("diverged", None)
