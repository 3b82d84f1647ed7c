"""What a plan amounts to, before anything is trained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.sweep.speed import Speed, time_left
from bayes_infolaw.laws.overtraining import overtraining_degree

__all__ = ["overview", "planned_totals"]


def overview(runs: Sequence[RunSettings], corpus: Corpus, folder: StudyFolder) -> pd.DataFrame:
    """One row a run: size, K, S / K, m, repetition by bucket, FLOP, seconds, status.

    Returns
    -------
    DataFrame
        ``repetition_<bucket>`` is planned, ``n_d / min(n_d, s_d)``; ``seconds`` is learnt from the
        finished runs in the folder (NaN before there is one); ``status`` is that of the record,
        else ``part-trained`` or ``missing``.
    """
    records = folder.all_records()
    by_name = {record.run: record for record in records}
    speed = Speed(records)
    return pd.DataFrame([_row(run, corpus, folder, by_name, speed) for run in runs])


def planned_totals(frame: pd.DataFrame, slots: int | None) -> dict[str, Any]:
    """Runs that are missing, their FLOP, and seconds on so many slots (None: unknown)."""
    left = frame[frame["status"].isin(["missing", "part-trained"])]
    seconds = None if left["seconds"].isna().any() else time_left(list(left["seconds"]), slots or 1)
    flops = float(left["flops"].sum())
    return {"missing": len(left), "flops": flops, "seconds": seconds, "slots": slots or 1}


def _row(
    run: RunSettings,
    corpus: Corpus,
    folder: StudyFolder,
    records: dict[str, RunRecord],
    speed: Speed,
) -> dict[str, Any]:
    budget, shape = run.budget, run.shape
    seconds = speed.seconds(run)
    row = {
        "run": run.name,
        "params_nonembedding": shape.nominal,
        "tokens": budget.tokens,
        "source_ratio": run.source_tokens / budget.tokens,
        "overtraining": float(overtraining_degree(shape.flops_per_token, budget.tokens)),
    }
    row |= _repetition(run, corpus)
    row |= {"steps": budget.steps, "batch": budget.batch_sequences}
    row |= {"learning_rate": budget.learning_rate, "flops": budget.flops}
    return row | {
        "seconds": float("nan") if seconds is None else seconds,
        "status": _status(run, folder, records),
    }


def _repetition(run: RunSettings, corpus: Corpus) -> dict[str, float]:
    packed = np.array([run.recipe.get(name, 0.0) for name in corpus.buckets]) * run.budget.tokens
    unique = np.minimum(packed, corpus.shares * run.source_tokens)
    with np.errstate(invalid="ignore"):
        repetition = np.where(packed > 0, packed / unique, 1.0)
    names = [f"repetition_{name}" for name in corpus.buckets]
    return dict(zip(names, map(float, repetition), strict=True))


def _status(run: RunSettings, folder: StudyFolder, records: dict[str, RunRecord]) -> str:
    if run.name in records:
        return records[run.name].status
    started = (folder.work(run.name) / "settings.json").is_file()
    return "part-trained" if started else "missing"
