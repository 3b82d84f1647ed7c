"""``python -m bayes_infolaw.harness.sweep.worker``: one run, told on stdin, in a fresh process."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path

from bayes_infolaw.harness.sweep.attempt import attempt
from bayes_infolaw.harness.sweep.job import STOPPED, Job

__all__ = ["main"]

OOM_SCORE = "500"
"""Above the sweep's own: where memory runs out, the system ends a run and not the sweep."""


def main() -> int:
    """Read the job, do it, and return the exit code."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent has heard it and decides
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    line = sys.stdin.readline()
    if not line.strip():
        return STOPPED
    threading.Thread(target=_stop_at_end_of_stdin, args=(stop,), daemon=True).start()
    job = Job.from_json(line)
    _stand_back(job.nice)
    return attempt(job, stop.is_set)


def _stand_back(nice: int) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    if nice:
        os.nice(nice)
        with contextlib.suppress(OSError):
            # The worker is in a session of its own, and Linux may share time out by sessions.
            Path("/proc/self/autogroup").write_text(str(nice), encoding="ascii")


def _stop_at_end_of_stdin(stop: threading.Event) -> None:
    # By its descriptor: a buffered reader's lock would be held when the interpreter ends.
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
