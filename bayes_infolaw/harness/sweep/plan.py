"""A plan (one row a run, or a compact one) -> the settings of every run, checked."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.cells import SETTING_KINDS, Row, placed
from bayes_infolaw.harness.sweep.expand import REPLICATES, expanded_rows
from bayes_infolaw.harness.sweep.naming import run_name
from bayes_infolaw.harness.sweep.recipe import recipe_of
from bayes_infolaw.harness.sweep.settings_file import SweepFile
from bayes_infolaw.harness.sweep.size import SHAPE_COLUMNS, size_of
from bayes_infolaw.harness.sweep.tokens import (
    SOURCE_COLUMNS,
    TOKEN_COLUMNS,
    source_of,
    tokens_of,
)
from bayes_infolaw.harness.training.device import chosen_device
from bayes_infolaw.tables.files import read_frame
from bayes_infolaw.tables.schema import canonical_columns

__all__ = ["Plan", "read_plan", "resolve_plan"]

TEXT = ("run", "size", "recipe", *SHAPE_COLUMNS, *TOKEN_COLUMNS, *SOURCE_COLUMNS, *SETTING_KINDS)
GROUPS = (SHAPE_COLUMNS[:-1], TOKEN_COLUMNS, SOURCE_COLUMNS)
DERIVED = ("flops_per_token", "loss_unit", "simulated", "unique_tokens", "bits_per_byte")
"""Columns of run tables and of planned tables that the sweep works out itself."""
MEASURED = ("params_module", "loss_se_documents")
MEASURED_PREFIX = "loss_on_"
"""Columns that only the table of trained runs has: a plan's would be taken for measurements."""
CLOSE = 0.8


@dataclass(frozen=True)
class Plan:
    """Runs in the plan's order.

    Attributes
    ----------
    runs : tuple of RunSettings
        Names are unique, and so are settings.
    notes : tuple of str
        What was chosen on the way (a size taken for a parameter count, ...), one sentence each.
    """

    runs: tuple[RunSettings, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.runs)


@dataclass(frozen=True)
class Resolver:
    """What rows are read against."""

    corpus: Corpus
    file: SweepFile
    ratio: float | None
    """S / K for all rows (from a target), else the rows' own."""

    def resolve(self, row: Row) -> tuple[RunSettings, list[str]]:
        """Settings of one row, and notes."""
        full = Row(row.number, self._with_defaults(row))
        size, notes = size_of(full, self.corpus.vocab_size)
        recipe = recipe_of(full, self.file, self.corpus)
        tokens = tokens_of(full, size.shape)
        named = full.text("run") if "run" in row else run_name(row, full, size.name, recipe.name)
        facts = {"size": size.name, "recipe": recipe.name} | _labels(full)
        given = {name: full.setting(name) for name in SETTING_KINDS if name in full}
        if "device" in given:
            given["device"] = self._device(full, given["device"])
        given |= {"tokens": tokens, "source_tokens": 1, "facts": facts}
        try:
            wanted = RunSettings(name=named, shape=size.shape, recipe=recipe.shares, **given)
            source = source_of(full, wanted.budget.tokens, self.ratio)
            settings = replace(wanted, source_tokens=source)
        except InputError as error:
            raise placed(error, full) from error
        _check_source(full, settings, self.corpus)
        return settings, notes

    def _device(self, row: Row, wanted: str) -> str:
        try:
            return chosen_device(wanted)
        except InputError as error:
            raise placed(InputError(str(error).removeprefix("--")), row) from error

    def _with_defaults(self, row: Row) -> dict[str, Any]:
        defaults = dict(self.file.training)
        by_bucket = any(str(name).startswith("w_") for name in row.cells)
        for group in (*GROUPS, ("recipe",) if by_bucket else ()):
            if any(name in row for name in group):
                defaults = {k: v for k, v in defaults.items() if k not in group}
        return defaults | dict(row.cells)


def read_plan(
    path: Path, corpus: Corpus, file: SweepFile | None = None, ratio: float | None = None
) -> Plan:
    """Read a plan file (CSV or Parquet).

    Parameters
    ----------
    path : Path
        Columns: `resolve_plan`.
    corpus : Corpus
        Its buckets and vocabulary decide what the rows mean.
    file : SweepFile, optional
        Defaults and named recipes.
    ratio : float, optional
        S / K of all runs, in the place of the rows' own.

    Raises
    ------
    InputError
        One sentence naming row, run, column, rule and value.
    """
    buckets = [f"w_{name}" for name in corpus.buckets]
    return resolve_plan(read_frame(path, (*TEXT, *buckets)), corpus, file, ratio)


def resolve_plan(
    frame: pd.DataFrame, corpus: Corpus, file: SweepFile | None = None, ratio: float | None = None
) -> Plan:
    """Settings of every run of a plan.

    Parameters
    ----------
    frame : DataFrame
        A size (``size``, or ``layers``, ``hidden``, ``heads``, ``mlp``, or
        ``params_nonembedding``), ``tokens`` or ``overtraining``, ``source_tokens`` or
        ``source_ratio``, ``recipe`` or ``w_<bucket>``, any training setting, ``run``,
        ``replicates``. Any other column is kept for the table.
    corpus, file, ratio
        As for `read_plan`.

    Raises
    ------
    InputError
        One sentence naming row, run, column, rule and value.
    """
    file = SweepFile() if file is None else file
    frame = frame.rename(columns=lambda name: str(name).strip())
    _check_columns([*map(str, frame.columns), *file.training], corpus.buckets)
    if frame.empty:
        raise InputError("plan: must have at least one run, got no rows")
    resolver = Resolver(corpus, file, ratio)
    rows = list(expanded_rows(frame))
    resolved = [resolver.resolve(row) for row in rows]
    _check_distinct(rows, [settings for settings, _ in resolved])
    notes = dict.fromkeys(note for _, notes in resolved for note in notes)
    return Plan(tuple(settings for settings, _ in resolved), tuple(notes))


def _known(buckets: Sequence[str]) -> list[str]:
    by_bucket = [f"{prefix}{name}" for prefix in ("w_", "share_") for name in buckets]
    return [*TEXT, REPLICATES, *by_bucket]


def _check_columns(columns: Sequence[str], buckets: Sequence[str]) -> None:
    known = _known(buckets)
    ignored = {*canonical_columns(buckets), *DERIVED}
    for name in columns:
        if name in known or name in ignored:
            continue
        if name in MEASURED or name.startswith(MEASURED_PREFIX):
            raise InputError(f"plan, column {name}: is measured by the sweep, leave it out")
        if name.startswith(("w_", "share_")):
            rule = f"bucket must be one of the corpus's {', '.join(buckets)}"
            raise InputError(f"plan, column {name}: {rule}")
        close = difflib.get_close_matches(name, known, n=1, cutoff=CLOSE)
        if close:
            raise InputError(f"plan, column {name}: is unknown, did you mean {close[0]!r}?")


def _labels(row: Row) -> dict[str, Any]:
    """Columns without meaning for the training, which go into the table as they are."""
    prefixes = ("w_", "share_", "unique_", "repetition_")
    known = {*TEXT, *DERIVED, *canonical_columns(())}
    kept = {k: v for k, v in row.cells.items() if k not in known and not k.startswith(prefixes)}
    labels = {name: getattr(value, "item", lambda v=value: v)() for name, value in kept.items()}
    for name, value in labels.items():
        if isinstance(value, float) and not math.isfinite(value):
            row.fail(name, "must be text or a finite number")
    return labels


def _check_source(row: Row, settings: RunSettings, corpus: Corpus) -> None:
    held = sum(corpus.bucket(name).tokens for name in corpus.buckets)
    if settings.source_tokens > held:
        rule = f"S must be at most the corpus's {held} tokens"
        row.fail("source_tokens", rule, settings.source_tokens)


def _check_distinct(rows: Sequence[Row], runs: Sequence[RunSettings]) -> None:
    names: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for row, run in zip(rows, runs, strict=True):
        if run.name in names:
            rule = f"must occur once, row {names[run.name]} has it too"
            row.fail("run", rule, run.name)
        if run.hash in hashes:
            rule = f"settings are those of {hashes[run.hash]!r}: a replicate needs another seed"
            row.fail("run", rule, run.name)
        names[run.name], hashes[run.hash] = row.number, run.name
