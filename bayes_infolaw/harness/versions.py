"""Which code made a record: versions of the package, its libraries and its commit."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["versions"]

COMMIT = "BAYES_INFOLAW_COMMIT"
"""Environment variable: the commit of a copy that has no git folder."""
LIBRARIES = ("bayes-infolaw", "torch", "numpy", "safetensors", "tokenizers")


@cache
def versions() -> dict[str, Any]:
    """Python, libraries, the checkout's commit and whether it had changes (None outside git).

    Outside git the commit is what the variable `COMMIT` says, None without it.
    """
    found = {name: _version(name) for name in LIBRARIES}
    commit = _git("rev-parse", "HEAD")
    changed = None if commit is None else bool(_git("status", "--porcelain", "-uno"))
    commit = commit or os.environ.get(COMMIT) or None
    return {"python": platform.python_version(), **found, "commit": commit, "changed": changed}


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    # In the package's own folder: the commit of the code, not of where the command was given.
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
