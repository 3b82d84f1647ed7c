"""Plan against records: what is done, what is missing, and what must not be."""

from collections.abc import Mapping, Sequence
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.attempt import clear_work
from bayes_infolaw.harness.sweep.folder import StudyFolder

__all__ = ["check_records", "missing_runs", "set_aside_failed"]


def missing_runs(folder: StudyFolder, runs: Sequence[RunSettings]) -> list[RunSettings]:
    """Runs of the plan that have no record, in the plan's order."""
    return [run for run in runs if not (folder.records / f"{run.name}.json").is_file()]


def check_records(
    folder: StudyFolder, runs: Sequence[RunSettings], corpus: Corpus, retry_failed: bool = False
) -> None:
    """Refuse a plan that says something else of a run than its record.

    Parameters
    ----------
    retry_failed : bool
        Records of failed and diverged runs are to be set aside: their settings may change.

    Raises
    ------
    InputError
        Settings or corpus of a run differ from its record; the first difference is named.
    """
    for run in runs:
        record = folder.record(run.name)
        if record is None or (retry_failed and record.status != "finished"):
            continue
        _check_corpus(record, corpus)
        _check_settings(record, run)


def set_aside_failed(folder: StudyFolder, runs: Sequence[RunSettings]) -> list[str]:
    """Move the records of failed and diverged runs to the attempts; their names.

    A failed run goes on from its checkpoint; a diverged one starts anew.
    """
    moved = []
    for run in runs:
        record = folder.record(run.name)
        if record is not None and record.status != "finished":
            folder.set_aside(run.name)
            # A record on its way back from a cluster, left where its driver was killed.
            (folder.work(run.name) / f"{run.name}.json").unlink(missing_ok=True)
            moved.append(run.name)
            if record.status == "diverged":
                clear_work(folder.work(run.name))
    return moved


def _check_corpus(record: RunRecord, corpus: Corpus) -> None:
    recorded = record.corpus.get("hash")
    if recorded != corpus.hash:
        rule = f"was recorded with the corpus {recorded}, this one is {corpus.hash}"
        raise InputError(f"run {record.run!r}, corpus: {rule}; a new corpus needs a new --out")


def _check_settings(record: RunRecord, run: RunSettings) -> None:
    if record.settings.hash == run.hash:
        return
    found = _first_difference(record.settings.identity(), run.identity())
    raise InputError(
        f"run {run.name!r}, {found[0]}: was recorded with {found[1]!r}, the plan has {found[2]!r}; "
        "a record is never rewritten, so give the row another name"
        + ("" if record.status == "finished" else f" or --retry-failed (it {record.status})")
    )


def _first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> tuple[str, Any, Any]:
    for key in [*old, *(key for key in new if key not in old)]:
        a, b = old.get(key), new.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            return _first_difference(a, b, f"{prefix}{key}.")
        return f"{prefix}{key}", a, b
    return "settings", old, new
