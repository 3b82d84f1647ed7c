"""Trainers that train nothing, for the sweep's workers: ``fake_trainer:train`` and others."""

import json
import os
import signal
import time
from pathlib import Path

from bayes_infolaw.harness.layermix import PackSettings, pack
from bayes_infolaw.harness.record import DivergedError, Loss, RunRecord

STEPS = 20
STATE = "state.json"


def train(settings, corpus, work, *, progress):
    """A run of 20 steps that packs in earnest and has a loss that falls with size and tokens.

    The run's facts say what goes wrong: ``seconds`` a run takes, ``raises``, ``diverges``, and
    ``dies`` (how often it kills itself at half time).
    """
    facts = settings.facts
    state = _read(work)
    state["starts"] = state.get("starts", 0) + 1
    _write(work, state)
    (work / "checkpoint").mkdir(exist_ok=True)
    for step in range(state.get("step", 0) + 1, STEPS + 1):
        time.sleep(float(facts.get("seconds", 0)) / STEPS)
        _misbehave(facts, state, step)
        state["step"] = step
        _write(work, state)
        progress(step, STEPS, status=None)
    return _record(settings, corpus, state)


def _misbehave(facts, state, step):
    if step != STEPS // 2:
        return
    if "raises" in facts:
        raise ValueError(facts["raises"])
    if "diverges" in facts:
        raise DivergedError(f"loss is not finite at step {step}")
    if state["starts"] <= int(facts.get("dies", 0)):
        os.kill(os.getpid(), signal.SIGKILL)


def _record(settings, corpus, state):
    budget = settings.budget
    packed = pack(
        corpus,
        PackSettings(
            settings.recipe,
            budget.tokens,
            settings.source_tokens,
            settings.subsample,
            settings.order_seed,
            settings.shape.seq_len,
        ),
    )
    loss = 4 - 0.1 * settings.recipe.get("0", 0) - 1e-6 * settings.shape.nominal
    loss += 0.001 * (settings.subsample + settings.seed) + 100 / budget.tokens**0.5
    return RunRecord(
        run=settings.name,
        status="finished",
        settings=settings,
        corpus={"hash": corpus.hash},
        counts=packed.counts,
        tokens=budget.tokens,
        steps=budget.steps,
        losses={"heldout": Loss(loss, 0.01, loss / 3, 0.003, 20, 5000)},
        resources={
            "seconds": 2.0,
            "starts": state["starts"],
            "pid": os.getpid(),
            "nice": os.nice(0),
        },
    )


def _read(work: Path) -> dict:
    path = work / STATE
    return json.loads(path.read_text()) if path.exists() else {}


def _write(work: Path, state: dict) -> None:
    part = work / f".{STATE}"
    part.write_text(json.dumps(state))
    part.replace(work / STATE)
