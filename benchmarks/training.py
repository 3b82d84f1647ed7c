"""Tokens per second of our training step beside litgpt's and nanoGPT's at the same shape.

    python benchmarks/training.py [--threads 2] [--nanogpt MODEL.PY] [--compile] [--out FOLDER]

One process; the engines take short turns in changing order, so that whatever else the machine
does meets all of them. Every engine makes the whole step (forward, backward, clipping, AdamW) on
the same random tokens. nanoGPT's architecture is written out in `training_models.py`; with
--nanogpt the user's copy of nanoGPT's own model.py runs as well, and litgpt's model where it is
installed. Beside them 16 of our models stacked as one program against one after another. Writes
training.json and training.md; five minutes, with --compile some more.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from training_models import Gpt2, Litgpt, Nanogpt, nonembedding
from training_steps import Step, Workload, one_after_another, our_step, plain_step, stacked_step

from bayes_infolaw.harness.shapes import SMALL, Shape, find_shape

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "147k": (SMALL["147k"], 8),
    "4.7M": (Shape(6, 256, 8, 680, vocab_size=4096, seq_len=256), 8),
}
STACKED = ((find_shape("31k"), 16, 4), (find_shape("147k"), 16, 4))


@dataclass(frozen=True)
class Engine:
    """One competitor: a training step that has been warmed up."""

    name: str
    step: Step
    tokens: int
    facts: dict[str, Any]


def rivals(shape: Shape, nanogpt: Path | None) -> dict[str, Callable[[], torch.nn.Module]]:
    """Makers of the other models, by title; those that are not installed are left out."""
    makers: dict[str, Callable[[], torch.nn.Module]] = {
        "nanoGPT's architecture": partial(Gpt2, shape)
    }
    if nanogpt is not None:
        makers["nanoGPT's model.py"] = partial(Nanogpt, shape, nanogpt)
    if importlib.util.find_spec("litgpt") is not None:
        makers["litgpt"] = partial(Litgpt, shape)
    return makers


def engines(case: str, nanogpt: Path | None, compiled: bool) -> list[Engine]:
    """Every competitor at one shape, warmed up; ours first."""
    shape, rows = CASES[case]
    work = Workload(shape, rows, compiled="default" if compiled else None)
    steps = {"ours": (our_step(work), shape.nonembedding)}
    for title, make in rivals(shape, nanogpt).items():
        model = make()
        steps[title] = (plain_step(model, work), nonembedding(model))
    facts = {"case": case, "how": "torch.compile" if compiled else "eager"}
    return [
        warm(Engine(title, step, work.tokens, facts | {"params_nonembedding": count}))
        for title, (step, count) in steps.items()
    ]


def stacks(shape: Shape, runs: int, rows: int) -> list[Engine]:
    """R models as one program, and one after another."""
    work, seeds = Workload(shape, rows), range(runs)
    case = f"{runs} runs of {shape.nominal // 1000}k"
    facts = {"case": case, "how": "eager", "params_nonembedding": shape.nonembedding}
    return [
        warm(Engine("stacked", stacked_step(work, seeds), runs * work.tokens, facts)),
        warm(
            Engine("one after another", one_after_another(work, seeds), runs * work.tokens, facts)
        ),
    ]


def warm(engine: Engine) -> Engine:
    """Three steps: compilation, allocation, caches."""
    for _ in range(3):
        engine.step().tolist()
    return engine


def speed(engine: Engine, seconds: float) -> tuple[float, float]:
    """Tokens per second over one turn: of the clock, and of processor time on all threads."""
    clock, processor, steps = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - clock) < seconds:
        engine.step().tolist()
        steps += 1
    tokens = engine.tokens * steps
    return tokens / elapsed, tokens / (time.process_time() - processor)


def compete(field: list[Engine], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Turns in rotating order; a row an engine, with the first one's ratios to it by rounds."""
    turns: dict[str, list[tuple[float, float]]] = {engine.name: [] for engine in field}
    for turn in range(rounds):
        first = turn % len(field)
        for engine in [*field[first:], *field[:first]]:
            turns[engine.name].append(speed(engine, seconds))
    rows = [row_of(engine, turns[engine.name], turns[field[0].name]) for engine in field]
    for row in rows:
        print(row, flush=True)
    return rows


def row_of(
    engine: Engine, mine: list[tuple[float, float]], leader: list[tuple[float, float]]
) -> dict[str, Any]:
    """Medians, quartiles and paired ratios of one engine's turns."""
    clock, ratios = [turn[0] for turn in mine], []
    for kind in range(2):
        pairs = zip(leader, mine, strict=True)
        ratios.append(round(statistics.median(a[kind] / b[kind] for a, b in pairs), 2))
    low, _, high = statistics.quantiles(clock, n=4)
    return {
        **engine.facts,
        "engine": engine.name,
        "tokens_per_second": round(statistics.median(clock)),
        "quartiles": [round(low), round(high)],
        "tokens_per_processor_second": round(statistics.median(turn[1] for turn in mine)),
        "first_over_it": ratios[0],
        "first_over_it_by_processor_time": ratios[1],
    }


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rows, case by case."""
    rows = []
    for compiled in (False, True) if options.compile else (False,):
        for case in CASES:
            field = engines(case, options.nanogpt, compiled)
            rows += compete(field, options.rounds, options.seconds)
    for shape, runs, batch in STACKED:
        rows += compete(stacks(shape, runs, batch), options.rounds, options.seconds)
    return rows


def report(rows: list[dict[str, Any]], options: argparse.Namespace, load: float) -> dict[str, Any]:
    """What was measured, and on what."""
    installed = {name: _version(name) for name in ("torch", "litgpt", "numpy")}
    return {
        "threads": options.threads,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load,
        "rounds": options.rounds,
        "seconds_a_turn": options.seconds,
        "shapes": {name: shape.to_dict() | {"rows": n} for name, (shape, n) in CASES.items()},
        "rows": rows,
        "versions": {"python": platform.python_version(), **installed},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def markdown(content: dict[str, Any]) -> str:
    """The table for readers."""
    lines = [
        f"Whole steps in fp32 on {content['threads']} threads ({content['cores']} cores, load "
        f"{content['load_before']:.1f} before), {content['rounds']} turns of "
        f"{content['seconds_a_turn']} s each in rotating order. Medians, and medians over rounds "
        "of the first engine's speed over this one's: by the clock and by processor time, which "
        "tells more where other work shares the cores.",
        "",
        "| case | how | engine | parameters | tokens/s | quartiles | by clock | by processor |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        low, high = row["quartiles"]
        cells = [row["case"], row["how"], row["engine"], f"{row['params_nonembedding']:,}"]
        cells += [f"{row['tokens_per_second']:,}", f"{low:,}-{high:,}", f"{row['first_over_it']}"]
        cells += [f"{row['first_over_it_by_processor_time']}"]
        lines.append("| " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return "\n".join([*lines, "", versions, ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--nanogpt", type=Path, help="nanoGPT's model.py")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    load = os.getloadavg()[0]
    content = report(measure(options), options, load)
    text = markdown(content)
    print(text)
    (options.out / "training.json").write_text(json.dumps(content, indent=1) + "\n")
    (options.out / "training.md").write_text(text)


if __name__ == "__main__":
    main()
