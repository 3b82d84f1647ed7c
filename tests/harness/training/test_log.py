"""What is told of a run: FLOP and peaks, lines on stderr, the meter's arithmetic."""

import json
import sys

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")

from bayes_infolaw.harness.record import DivergedError  # noqa: E402
from bayes_infolaw.harness.training.log import (  # noqa: E402
    LOG,
    RunLog,
    Status,
    model_flops,
    peak_flops,
    progress_bar,
)
from bayes_infolaw.harness.training.meter import Meter  # noqa: E402
from bayes_infolaw.harness.training.progress import Progress  # noqa: E402
from bayes_infolaw.harness.training.transformer import Transformer  # noqa: E402

from .training_run import TINY, tiny_settings  # noqa: E402


def test_model_flops_are_three_times_the_forward_products():
    model, products = Transformer(TINY), []
    model.initialise(0)

    def count(layer, inputs, output):
        products.append(2 * output.numel() * inputs[0].shape[-1])

    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(count)
    model(torch.zeros(1, TINY.seq_len, dtype=torch.long))
    scores_and_mixes = 2 * 2 * TINY.layers * TINY.seq_len**2 * TINY.hidden
    assert 3 * (sum(products) + scores_and_mixes) == model_flops(TINY) * TINY.seq_len


@pytest.mark.parametrize(
    ("name", "bf16", "fp32"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12, 67e12),
        ("NVIDIA H100 PCIe", 756e12, 51e12),
        ("NVIDIA H200", 989e12, 67e12),
        ("NVIDIA A100-SXM4-80GB", 312e12, 19.5e12),
        ("NVIDIA L40S", 362e12, 91.6e12),
        ("NVIDIA L4", 121e12, 30.3e12),
        ("cpu", None, None),
        ("NVIDIA L40", 181e12, 90.5e12),
        ("NVIDIA GH200 480GB", 989e12, 67e12),
        ("NVIDIA GB200", 2500e12, 80e12),
        ("NVIDIA L400", None, None),
    ],
)
def test_peaks_are_by_device_and_precision(name, bf16, fp32):
    assert peak_flops(name, "bf16") == bf16
    assert peak_flops(name, "fp32") == fp32


def test_mfu_is_of_all_devices(monkeypatch):
    monkeypatch.setattr("bayes_infolaw.harness.training.meter.device_name", lambda _: "NVIDIA H100")
    speed = 1e6
    for processes in (1, 4):
        meter = Meter(tiny_settings(precision="bf16"), Progress(), processes=processes)
        assert meter.mfu(speed) == pytest.approx(model_flops(TINY) * speed / 989e12 / processes)


class Clock:
    def __init__(self, monkeypatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("bayes_infolaw.harness.training.meter.time.monotonic", lambda: self.now)


def add(meter: Meter, progress: Progress, loss: float, norm: float = 1.0):
    progress.step += 1
    return meter.add(torch.tensor(loss), torch.tensor(norm), 1e-3)


def test_speed_leaves_out_what_is_not_training(monkeypatch, tmp_path):
    clock, progress, said = Clock(monkeypatch), Progress(), []
    log = RunLog(tmp_path)
    meter = Meter(
        tiny_settings(log_seconds=3.0), progress, log, lambda *_, status: said.append(status)
    )
    for loss in (4.0, 3.0, 2.0, 1.0):
        clock.now += 2.0
        add(meter, progress, loss)
        clock.now += 50.0  # an evaluation, say
        meter.start()
    log.close()
    assert progress.train_seconds == 8.0
    assert [status.tokens_per_second for status in said] == [128.0] * 4
    assert [status.loss for status in said] == [4.0, 3.5, 2.0, 1.5]
    assert said[1].seconds_left == pytest.approx(62 * 256 / 128)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(2, 3.5), (4, 1.5)]
    assert (progress.loss_sum, progress.loss_steps) == (10.0, 4)


@pytest.mark.parametrize(("loss", "norm"), [(float("nan"), 1.0), (2.0, float("inf"))])
def test_the_step_that_was_not_finite_is_named(loss, norm):
    progress = Progress()
    meter = Meter(tiny_settings(), progress)
    add(meter, progress, 3.0)
    named = "loss must be finite, got nan" if norm == 1.0 else "gradient norm must be .*, got inf"
    with pytest.raises(DivergedError, match=f"{named} at step 2 of 64"):
        add(meter, progress, loss, norm)


def test_a_gpus_losses_are_looked_at_now_and_then(monkeypatch):
    monkeypatch.setattr("bayes_infolaw.harness.training.meter.device_name", lambda _: "a GPU")
    progress, said = Progress(), []
    meter = Meter(
        tiny_settings(device="cuda"), progress, watch=lambda done, total, status: said.append(done)
    )
    for step in range(25):
        add(meter, progress, float(step))
    assert said == [10, 20]
    assert progress.loss_steps == 20
    meter.look()
    assert said == [10, 20, 25]
    assert progress.loss_sum == sum(range(25))


def status(step: int) -> Status:
    return Status(step, 40, 256 * step, 3.21, 1e-3, 1.0, 12_345.6, 0.456, 7.0)


def test_progress_without_a_terminal_is_a_line_every_tenth(capsys):
    with progress_bar(tiny_settings()) as show:
        for step in range(1, 41):
            show(status(step))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4] == "tiny: 50 %, loss 3.2100, 12,346 tokens/s, MFU 45.6%, 7 s left"


def test_progress_on_a_terminal_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with progress_bar(tiny_settings()) as show:
        show(status(20))
    assert "12,346 tokens/s, MFU 45.6%" in capsys.readouterr().err


def test_a_log_goes_on_after_whole_lines(tmp_path):
    lines = [json.dumps({"step": step}) for step in (1, 2, 3)]
    (tmp_path / LOG).write_text("\n".join(lines) + '\n{"ste', encoding="utf-8")
    log = RunLog(tmp_path, from_step=2)
    log.write({"step": 3, "loss": 1.5})
    log.close()
    found = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert found == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.5}]
