"""Packed sequences -> batches on the device, read ahead by a thread where that is a GPU."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from bayes_infolaw.harness.layermix import PackedSet

__all__ = ["batches"]

AHEAD = 4


def batches(
    packed: PackedSet, rows: Iterable[np.ndarray], device: torch.device
) -> Iterator[Tensor]:
    """(B, seq_len + 1) int64 batches of the sequences with these indices, in their order.

    For a GPU a thread reads and pins the next few while the device works; on the CPU reading takes
    a thousandth of a step, and a thread would only contend with it.
    """
    if device.type == "cpu":
        yield from (torch.from_numpy(packed.batch(indices)) for indices in rows)
        return
    for pinned in _ahead(packed, iter(rows)):
        yield pinned.to(device, non_blocking=True)


def _ahead(packed: PackedSet, rows: Iterator[np.ndarray]) -> Iterator[Tensor]:
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


def _pinned(packed: PackedSet, indices: np.ndarray) -> Tensor:
    return torch.from_numpy(packed.batch(indices)).pin_memory()
