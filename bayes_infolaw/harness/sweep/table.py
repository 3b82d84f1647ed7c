"""Records -> the study's table and study.toml, as ``bayes-infolaw fit`` reads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from filelock import FileLock

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import table_rows
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.tables.files import write_frame, write_text

__all__ = ["check_study", "study_text", "write_study", "write_table"]

STUDY_KEYS = {"title": str, "source": str, "licence": str, "caveats": list, "groups": list}
LOSS_UNIT = "nats per token"
GROUPS = ("subsample",)


def write_table(folder: StudyFolder) -> int:
    """Write ``runs.csv`` from all records, whole; the number of rows.

    Failed and diverged runs are no rows; without any finished run there is no table.
    """
    # Two sweeps may share the folder: whoever writes last must have read last.
    with FileLock(folder.root / "work" / ".table.lock"):
        rows = table_rows(folder.all_records())
        if rows:
            write_frame(pd.DataFrame(rows), folder.table)
        return len(rows)


def write_study(folder: StudyFolder, corpus: Corpus, facts: Mapping[str, Any]) -> None:
    """Write ``study.toml`` where there is none; later it is the user's own.

    Parameters
    ----------
    facts : mapping
        ``title``, ``source``, ``licence``, ``caveats``, ``groups`` from ``sweep.toml``.
    """
    check_study(facts)
    if not folder.study.exists():
        write_text(study_text(folder.root.resolve().name, corpus, facts), folder.study)


def check_study(facts: Mapping[str, Any]) -> None:
    """Raise InputError for a fact that study.toml does not know, or of the wrong kind."""
    for key, value in facts.items():
        if key not in STUDY_KEYS:
            rule = f"key must be one of {', '.join(STUDY_KEYS)}"
            raise InputError(f"settings, [study]: {rule}, got {key!r}")
        if not isinstance(value, STUDY_KEYS[key]):
            need = STUDY_KEYS[key].__name__
            raise InputError(f"settings, [study] {key}: must be a {need}, got {value!r}")


def study_text(name: str, corpus: Corpus, facts: Mapping[str, Any]) -> str:
    """The text of ``study.toml``."""
    licences = ", ".join(map(str, corpus.manifest.get("licences", ())))
    said = {
        "title": facts.get("title", f"Trained: {name}"),
        "source": facts.get("source", f"trained by bayes-infolaw sweep on corpus {corpus.hash}"),
        "licence": facts.get("licence", licences),
    }
    lines = [f"{key} = {_toml(value)}" for key, value in said.items() if value]
    lines += [f"caveats = {_toml(facts['caveats'])}"] if facts.get("caveats") else []
    lines += ['table = "runs.csv"', f'loss_unit = "{LOSS_UNIT}"']
    lines += [f"buckets = {_toml(list(corpus.buckets))}"]
    lines += [f"groups = {_toml(facts.get('groups', GROUPS))}"]
    return "\n".join(["# Written once by bayes-infolaw sweep; edit it as you like.", *lines, ""])


def _toml(value: str | Sequence[str]) -> str:
    """A string or a list of strings: JSON's escapes are TOML's."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps([str(item) for item in value], ensure_ascii=False)
