"""How long runs take, learnt from the runs that are finished."""

import math
from collections.abc import Iterable, Sequence
from statistics import median

from bayes_infolaw.harness.record import RunRecord
from bayes_infolaw.harness.settings import RunSettings

__all__ = ["Speed", "time_left"]


class Speed:
    """Seconds a run will take, from tokens per second of finished runs.

    Runs of the same shape and device tell directly; else the nearest size does, its FLOP per second
    taken as the same.
    """

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        self._rates: dict[tuple[str, float], list[float]] = {}
        for record in records:
            self.learn(record)

    def learn(self, record: RunRecord) -> None:
        """Take a finished run into account."""
        seconds = record.resources.get("seconds")
        if record.status != "finished" or not seconds or not record.tokens:
            return
        self._rates.setdefault(_key(record.settings), []).append(record.tokens / float(seconds))

    def seconds(self, run: RunSettings) -> float | None:
        """Seconds of one run on its threads; None before any run of its device is finished."""
        device, flops = _key(run)
        known = [key for key in self._rates if key[0] == device]
        if not known:
            return None
        nearest = min(known, key=lambda key: abs(math.log(key[1] / flops)))
        rate = median(self._rates[nearest]) * nearest[1] / flops
        return run.budget.tokens / rate


def _key(run: RunSettings) -> tuple[str, float]:
    return run.device.partition(":")[0], run.shape.flops_per_token


def time_left(seconds: Sequence[float], slots: int) -> float:
    """Seconds until the last of these runs ends, longest first, on so many slots."""
    ends = [0.0] * max(slots, 1)
    for duration in sorted(seconds, reverse=True):
        first = ends.index(min(ends))
        ends[first] += duration
    return max(ends)
