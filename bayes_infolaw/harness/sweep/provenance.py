"""What was swept, with what: ``sweep.json`` and copies of the plans and settings."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.record import now
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.folder import StudyFolder
from bayes_infolaw.harness.versions import versions
from bayes_infolaw.tables.files import write_text
from bayes_infolaw.whole_file import write_whole

__all__ = ["write_provenance"]

NAME, SCHEMA = "sweep.json", 1
DIGITS = 12


def write_provenance(
    folder: StudyFolder, plan: Path, settings: Path | None, corpus: Corpus, how: Mapping[str, Any]
) -> None:
    """Add this session to ``sweep.json`` and keep a copy of its plan and settings.

    Parameters
    ----------
    plan : Path
    settings : Path or None
        The ``sweep.toml`` that was read.
    how : mapping
        Engine, slots, threads, runs of the plan, ...: whatever tells the session.
    """
    folder.provenance.mkdir(exist_ok=True)
    copies = {"plan": _keep(folder, plan)} | (
        {"settings": _keep(folder, settings)} if settings else {}
    )
    session = {
        "started": now(),
        **copies,
        "corpus": {"hash": corpus.hash, "name": corpus.folder.resolve().name},
        **how,
        "versions": versions(),
    }
    path = folder.root / NAME
    with FileLock(folder.root / "work" / ".sessions.lock"):
        content = {"schema": SCHEMA, "sessions": [*_sessions(path), session]}
        write_text(json.dumps(content, indent=1) + "\n", path)


def _sessions(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["sessions"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name}: must be what a sweep wrote ({error})") from error


def _keep(folder: StudyFolder, file: Path) -> dict[str, str]:
    """Copy a file under its hash; name of the copy and SHA-256."""
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    copy = folder.provenance / f"{file.stem}-{digest[:DIGITS]}{file.suffix}"
    if not copy.exists():
        write_whole(copy, lambda part: part.write_bytes(content))
    return {"file": copy.name, "sha256": digest}
