"""Training on a GPU: beside nanoGPT's architecture, share of the peak, and stacked runs.

    PYTHONPATH=. python benchmarks/gpu/training.py --out OUT [--only speed,peak,stack,same,sizes]

Needs torch and numpy. Five parts, each a fresh process that writes a line for every variant it
measured; training.json is rewritten after every line, so a run that is cut off keeps what it has.

speed   tokens/s of a 50M model against nanoGPT's architecture (goal: 1.3 times)
peak    share of the device's peak at 350M parameters (goal: 45 %)
stack   16 runs of 1M parameters as one program against one after another (goal: 4 times)
same    final losses of runs stacked and alone on the same learnable data
sizes   tokens/s of stacks at the sizes of a ladder, for planning one

Without a GPU: --device cpu --tiny tries everything at sizes of no meaning.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import torch  # noqa: E402
from training_models import Gpt2, nonembedding  # noqa: E402
from training_steps import (  # noqa: E402
    Step,
    Workload,
    one_after_another,
    our_step,
    plain_step,
    stacked_step,
)

from bayes_infolaw.harness.settings import deepseek_batch  # noqa: E402
from bayes_infolaw.harness.shapes import SMALL, Shape  # noqa: E402
from bayes_infolaw.harness.training.log import model_flops, peak_flops  # noqa: E402

PARTS = ("speed", "stack", "peak", "same", "sizes")
RUNS = 16
SAME_STEPS = 200
SAME_TOLERANCE = {"fp32": 2e-3, "bf16": 2e-2}  # nats: rounding, carried on by 200 steps
TINY = Shape(2, 32, 2, 88, vocab_size=256, seq_len=64)
FIFTY = Shape(16, 512, 8, 1376, vocab_size=32_768, seq_len=1024)
LARGE = Shape(27, 1024, 16, 2736, vocab_size=32_768, seq_len=2048)
Line = dict[str, Any]


class Bench:
    """Measures steps on one device.

    Parameters
    ----------
    device : str
        "cuda" or "cpu".
    tiny : bool
        Replace every shape and every number of runs by small ones.
    """

    def __init__(self, device: str, tiny: bool) -> None:
        self.device, self.tiny = device, tiny
        self.runs = 3 if tiny else RUNS
        torch.backends.cuda.matmul.allow_tf32 = False

    @property
    def name(self) -> str:
        """The device's."""
        return torch.cuda.get_device_name() if self.device == "cuda" else "cpu"

    def work(self, shape: Shape, rows: int, compiled: str | None = "default") -> Workload:
        """A workload in bf16."""
        if self.tiny:
            shape, rows = TINY, 2
        return Workload(shape, rows, self.device, "bf16", compiled)

    def line(self, variant: str, work: Workload, step: Step, runs: int = 1) -> Line:
        """One measured variant."""
        started = time.perf_counter()
        for _ in range(4):
            step().tolist()
        first = time.perf_counter() - started
        seconds = self.seconds_a_step(step)
        speed = work.tokens * runs / seconds
        peak = peak_flops(self.name, "bf16")
        return {
            "variant": variant,
            "compile": work.compiled or "eager",
            "tokens_per_step": work.tokens * runs,
            "first_four_steps_seconds": round(first, 1),
            "milliseconds_a_step": round(1e3 * seconds, 3),
            "tokens_per_second": round(speed),
            "share_of_peak": round(model_flops(work.shape) * speed / peak, 4) if peak else None,
            "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if peak else None,
        }

    def seconds_a_step(self, step: Step) -> float:
        """Median over five blocks of as many steps as take about two seconds."""
        one = self._timed(step, 3) / 3
        steps = 1 if self.tiny else max(3, min(200, round(2.0 / one)))
        return statistics.median(self._timed(step, steps) / steps for _ in range(5))

    def _timed(self, step: Step, steps: int) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(steps):
            step()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def residual_in_bf16(model: torch.nn.Module) -> None:
    """Let the stream between the blocks be bf16, which autocast alone leaves in fp32."""
    model.embedding.register_forward_hook(lambda module, inputs, output: output.bfloat16())


def speed(bench: Bench) -> Iterator[Line]:
    """A 50M model, 32k tokens a step: nanoGPT's architecture, and ours as it is and otherwise."""
    work = bench.work(FIFTY, 32)
    theirs = Gpt2(work.shape)
    count = {"params_nonembedding": nonembedding(theirs)}
    yield bench.line("nanoGPT's architecture", work, plain_step(theirs, work)) | count
    del theirs
    count = {"params_nonembedding": work.shape.nonembedding}
    yield bench.line("ours", work, our_step(work)) | count
    half = our_step(work, prepare=residual_in_bf16)
    yield bench.line("ours, residual in bf16", work, half) | count
    tuned = replace(work, compiled="max-autotune-no-cudagraphs")
    yield bench.line("nanoGPT's architecture", tuned, plain_step(Gpt2(work.shape), tuned))
    yield bench.line("ours", tuned, our_step(tuned)) | count
    eager = replace(work, compiled=None)
    yield bench.line("ours", eager, our_step(eager)) | count


def peak(bench: Bench) -> Iterator[Line]:
    """A 350M model, 32k tokens a step."""
    work = bench.work(LARGE, 16)
    count = {"params_nonembedding": work.shape.nonembedding}
    yield bench.line("ours", work, our_step(work)) | count
    half = our_step(work, prepare=residual_in_bf16)
    yield bench.line("ours, residual in bf16", work, half) | count


def stack(bench: Bench) -> Iterator[Line]:
    """16 runs of 1.2M parameters at DeepSeek's batch for 20M tokens."""
    shape = SMALL["1.2M"]
    work = bench.work(shape, round(deepseek_batch(shape.flops_per_token * 2e7) / shape.seq_len))
    seeds = range(bench.runs)
    for compiled in ("default", None, "reduce-overhead"):
        how = replace(work, compiled=compiled)
        yield bench.line("stacked", how, stacked_step(how, seeds), bench.runs)
        # One model's steps, again and again, are what runs one after another are.
        yield bench.line("one after another", how, one_after_another(how, seeds[:1]))


def sizes(bench: Bench) -> Iterator[Line]:
    """Stacks of 16 at the sizes of a ladder up to 21M, at DeepSeek's batch for 20 tokens each."""
    for name in ("1.2M", "3.5M", "6.3M", "12M", "21M"):
        shape = SMALL[name]
        tokens = 20 * shape.nonembedding
        rows = max(1, round(deepseek_batch(shape.flops_per_token * tokens) / shape.seq_len))
        work = bench.work(shape, rows)
        step = stacked_step(work, range(bench.runs))
        yield bench.line(f"stacked {name}", work, step, bench.runs)


def same(bench: Bench) -> Iterator[Line]:
    """Final losses of four runs, stacked and alone, in both precisions."""
    seeds, steps = range(4), 20 if bench.tiny else SAME_STEPS
    for precision, tolerance in SAME_TOLERANCE.items():
        work = replace(bench.work(SMALL["1.2M"], 16, None), precision=precision)
        together = mean_of_last(stacked_step(work, seeds), steps)
        alone = mean_of_last(one_after_another(work, seeds), steps)
        worst = float((together - alone).abs().max())
        yield {
            "variant": precision,
            "steps": steps,
            "stacked": together.tolist(),
            "alone": alone.tolist(),
            "largest_difference": worst,
            "tolerance": tolerance,
            "equal": worst < tolerance,
        }


def mean_of_last(step: Step, steps: int) -> torch.Tensor:
    """(R,) losses of a training, mean over its last tenth."""
    losses = torch.stack([step() for _ in range(steps)])
    return losses[-max(1, steps // 10) :].float().mean(dim=0).cpu()


def facts(bench: Bench) -> Line:
    """The machine."""
    found: Line = {"device": bench.name, "torch": torch.__version__}
    return found | {"python": platform.python_version(), "tiny": bench.tiny}


def verdicts(parts: dict[str, list[Line]]) -> Line:
    """The goals' numbers, from whatever lines there are."""
    found: Line = {}
    ours, theirs = _fastest(parts, "speed", "ours"), _fastest(parts, "speed", "nanoGPT")
    plain = [_of(parts, "speed", name, "default") for name in ("ours", "nanoGPT's architecture")]
    if all(plain):
        found["speed_as_it_is_over_nanogpt"] = _ratio(*plain)
    if ours and theirs:
        found["speed_best_over_best_nanogpt"] = _ratio(ours, theirs)
    best = max((line.get("share_of_peak") or 0 for line in parts.get("peak", [])), default=0)
    if best:
        found["share_of_peak_at_350m"] = best
    for how in ("eager", "default", "reduce-overhead"):
        pair = [_of(parts, "stack", name, how) for name in ("stacked", "one after another")]
        if all(pair):
            found[f"stacked_over_one_after_another_{how}"] = _ratio(*pair)
    together = _fastest(parts, "stack", "stacked")
    apart = _fastest(parts, "stack", "one after another")
    if together and apart:
        found["stacked_best_over_best_one_after_another"] = _ratio(together, apart)
    if parts.get("same"):
        found["same_losses"] = all(line.get("equal", False) for line in parts["same"])
    return found


def _of(parts: dict[str, list[Line]], part: str, variant: str, how: str) -> Line | None:
    lines = parts.get(part, [])
    found = [x for x in lines if x.get("variant") == variant and x.get("compile") == how]
    return found[0] if found else None


def _fastest(parts: dict[str, list[Line]], part: str, variant: str) -> Line | None:
    lines = [x for x in parts.get(part, []) if str(x.get("variant")).startswith(variant)]
    return max(lines, key=lambda line: line["tokens_per_second"], default=None)


def _ratio(one: Line, other: Line) -> float:
    return round(one["tokens_per_second"] / other["tokens_per_second"], 2)


def child(part: str, device: str, tiny: bool) -> None:
    """Print a line for every variant of a part."""
    bench = Bench(device, tiny)
    print(json.dumps({"facts": facts(bench)}), flush=True)
    measures: dict[str, Callable[[Bench], Iterator[Line]]] = {
        "speed": speed,
        "peak": peak,
        "stack": stack,
        "same": same,
        "sizes": sizes,
    }
    for line in measures[part](bench):
        print(json.dumps(line), flush=True)


def run_child(part: str, options: argparse.Namespace, limit: float) -> Iterator[Line]:
    """Lines of a fresh process, as they come; the last one says why there are no more."""
    command = [sys.executable, __file__, "--one", part, "--device", options.device]
    command += ["--tiny"] if options.tiny else []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    errors: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    listener = threading.Thread(target=lambda: errors.extend(process.stderr or []), daemon=True)
    listener.start()
    timer = threading.Timer(limit, process.kill)
    timer.start()
    for text in process.stdout:
        yield json.loads(text)
    timer.cancel()
    if process.wait():
        listener.join(5)
        said = next((e.strip() for e in reversed(errors) if e.strip()), "no message")
        cut = f"cut off after {limit:.0f} s" if process.returncode == -9 else said
        yield {"failed": cut}


def main(options: argparse.Namespace) -> None:
    """Measure part by part within the budget, and write after every line."""
    options.out.mkdir(parents=True, exist_ok=True)
    deadline, parts = time.monotonic() + options.budget, {}
    content: Line = {"goals": {"speed": 1.3, "share_of_peak": 0.45, "stacked": 4.0}}
    for part in options.only.split(","):
        lines: list[Line] = []
        parts[part] = lines
        left = deadline - time.monotonic()
        if left < 20:
            lines.append({"failed": "not started: the budget is used up"})
            continue
        for line in run_child(part, options, left):
            if "facts" in line:
                content |= line["facts"]
                continue
            lines.append(line)
            print(part, line, flush=True)
            write(options.out / "training.json", {**content, **verdicts(parts), "parts": parts})
    write(options.out / "training.json", {**content, **verdicts(parts), "parts": parts})
    print(json.dumps(verdicts(parts), indent=1))


def write(path: Path, content: Line) -> None:
    """To a temporary file first, then renamed."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder for training.json")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, in order")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--budget", type=float, default=460.0, help="seconds for everything")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        child(given.one, given.device, given.tiny)
    elif given.out is None:
        parser.error("--out: is needed")
    else:
        main(given)
