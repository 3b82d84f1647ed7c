"""Whether workers will be able to import another trainer, asked before anything is begun."""

import subprocess
import sys
from functools import cache

from bayes_infolaw.errors import InputError

__all__ = ["require_trainer"]

# In a process of its own: workers, started by `-m`, find modules where this one may not.
ASKED = (
    "import importlib, sys; module, _, name = sys.argv[1].partition(':'); "
    "callable(getattr(importlib.import_module(module), name)) or sys.exit('is not callable')"
)


@cache  # a refusal is asked for again
def require_trainer(train: str) -> None:
    """Raise InputError where a worker could not call ``"module:function"``."""
    module, colon, name = train.partition(":")
    said = "no MODULE:FUNCTION"
    if module and colon and name:
        done = subprocess.run(
            [sys.executable, "-c", ASKED, train], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        said = ([*filter(None, done.stderr.splitlines())] or ["no message"])[-1].strip()
    raise InputError(f"--train: must be MODULE:FUNCTION of a trainer, got {train!r} ({said})")
