"""Packed sequences -> batches on the device, read ahead by a thread where that is a GPU."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["Batched", "batches"]

AHEAD = 4


class Batched(Protocol):
    """A packed set, or several that are read together."""

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """(..., B, seq_len + 1) int64, the sequences of these indices."""


def batches(packed: Batched, rows: Iterable[np.ndarray], device: torch.device) -> Iterator[Tensor]:
    """(..., B, seq_len + 1) int64 batches of the sequences with these indices, in their order.

    For a GPU a thread reads and pins the next few while the device works; on the CPU reading takes
    a thousandth of a step, and a thread would only contend with it.
    """
    if device.type == "cpu":
        yield from (torch.from_numpy(packed.batch(indices)) for indices in rows)
        return
    for pinned in _ahead(packed, iter(rows)):
        yield pinned.to(device, non_blocking=True)


def _ahead(packed: Batched, rows: Iterator[np.ndarray]) -> Iterator[Tensor]:
    with ThreadPoolExecutor(1) as reader:
        waiting: list[Future[Tensor]] = []
        try:
            while True:
                for indices in islice(rows, AHEAD - len(waiting)):
                    waiting.append(reader.submit(_pinned, packed, indices))
                if not waiting:
                    return
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _pinned(packed: Batched, indices: np.ndarray) -> Tensor:
    return torch.from_numpy(packed.batch(indices)).pin_memory()
