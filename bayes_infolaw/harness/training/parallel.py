"""One run on many processes started by ``torchrun``: weights replicated (DDP) or sharded (FSDP2).

Processes take turns in the rows of the global batch that a single process would train on, so the
data order is the same, the gradients agree up to the order of summation, and a checkpoint, which
holds whole tensors, goes on in any number of processes.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.training.strategy import SingleProcess
from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["STRATEGIES", "Replicated", "Sharded", "launched", "under_torchrun"]

TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
State = tuple[dict[str, Tensor], dict[str, Tensor]]


class Replicated(SingleProcess):
    """Every process has the whole model; gradients are averaged (DistributedDataParallel).

    Made inside an initialised process group, see `launched`.
    """

    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self._batch = self.world

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model behind DistributedDataParallel."""
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def shard(self, indices: np.ndarray) -> np.ndarray:
        """Every world-th row, from the rank's own on.

        Raises
        ------
        InputError
            There are more processes than rows.
        """
        self._batch = len(indices)
        if self._batch < self.world:
            rule = f"must have a sequence for each of {self.world} processes"
            raise InputError(f"batch: {rule}, got {self._batch}")
        return indices[self.rank :: self.world]

    def micro_batches(self, rows: Tensor, size: int | None) -> tuple[Tensor, ...]:
        """As many parts in every process: those of sharded models work in step.

        A part has one row more than ``size`` where it otherwise would be empty in some process.
        """
        most, least = -(-self._batch // self.world), self._batch // self.world
        return rows.tensor_split(min(-(-most // (size or most)), least))

    def accumulating(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Gradients meet in the backward pass of the last part only."""
        if last:
            return nullcontext()
        return cast(DistributedDataParallel, model).no_sync()

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over processes, on the values' device."""
        total = values.detach().clone()
        dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; no accelerator is waited for."""
        return bool(self.sum(torch.tensor(int(flag))) > 0)

    def require_same(self, step: int) -> None:
        """Raise InputError in all processes where they do not start from the same step.

        So it is where they do not see the same folder: each would go on from what it has.
        """
        ends = torch.tensor([step, -step])
        dist.all_reduce(ends, op=dist.ReduceOp.MAX)
        last, first = int(ends[0]), -int(ends[1])
        if first != last:
            rule = "must be the same in all processes (do they see one folder?)"
            raise InputError(f"checkpoint: step {rule}, got {first} to {last}")

    def bare(self, model: nn.Module) -> nn.Module:
        """The model inside DistributedDataParallel."""
        return cast(DistributedDataParallel, model).module


class Sharded(Replicated):
    """Every process has a part of each weight and of its moments (FSDP2, ``fully_shard``).

    A block's weights are gathered in the precision they are kept in, used, and dropped again;
    autocast does the rest as it does in one process.
    """

    def wrap(self, model: nn.Module) -> nn.Module:
        """The same model with sharded weights, a group for each block and for each large matrix."""
        model = cast(Transformer, model)
        mesh = dist.device_mesh.init_device_mesh(model.embedding.weight.device.type, (self.world,))
        for block in model.blocks:
            fully_shard(block, mesh=mesh)
        if not model.shape.tied:  # a shared weight must stay in one group, the root's
            fully_shard(model.embedding, mesh=mesh)
        return cast(nn.Module, fully_shard(model, mesh=mesh))

    def accumulating(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Gradients meet after every part, so that no process ever holds a whole one."""
        return nullcontext()

    def clip(self, model: nn.Module, max_norm: float) -> Tensor:
        """Scale the gradients down to a norm over all shards; returns the norm before."""
        norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return cast(DTensor, norm).full_tensor()

    def state(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> State:
        """Whole tensors on the CPU of the main process, gathered one by one."""
        cast(FSDPModule, model).reshard()  # an evaluation leaves the root's weights gathered
        weights, moments = super().state(model, optimiser)
        return self._gathered(weights), self._gathered(moments)

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        whole = {}
        for name, tensor in tensors.items():
            full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.is_main:
                whole[name] = full.cpu()
        return whole

    def bare(self, model: nn.Module) -> nn.Module:
        """The model itself: sharding wraps its weights alone."""
        return model

    def part(self, whole: Tensor, parameter: Tensor) -> Tensor:
        """The shard of this process; the step counter of AdamW is whole everywhere."""
        like = cast(DTensor, parameter)
        if whole.shape != like.shape:
            return whole
        local = whole.to(like.device)
        return distribute_tensor(local, like.device_mesh, like.placements, src_data_rank=None)


STRATEGIES: dict[str, Callable[[], Replicated]] = {"ddp": Replicated, "fsdp": Sharded}


def under_torchrun() -> bool:
    """Whether this process was started by ``torchrun``, or alike."""
    return all(name in os.environ for name in TORCHRUN)


@contextmanager
def launched(kind: str = "ddp", device: str = "cpu") -> Iterator[SingleProcess]:
    """How this process trains: its part of a ``torchrun``, or all of the run by itself.

    Parameters
    ----------
    kind : str
        "ddp" or "fsdp"; without ``torchrun`` neither is needed.
    device : str
        "cpu" (gloo between the processes) or "cuda" (NCCL, one device a process).

    Raises
    ------
    InputError
        The kind is unknown, or there are more processes than devices on this machine.
    """
    if kind not in STRATEGIES:
        raise InputError(f"parallel: must be one of {', '.join(STRATEGIES)}, got {kind!r}")
    if not under_torchrun():
        yield SingleProcess()
        return
    accelerated = torch.device(device).type == "cuda"
    if accelerated:
        _take_device(int(os.environ["LOCAL_RANK"]))
    # Flags and sums that are on the CPU anyway travel by gloo and leave the accelerator alone.
    dist.init_process_group("cpu:gloo,cuda:nccl" if accelerated else "gloo")
    try:
        yield STRATEGIES[kind]()
    finally:
        dist.destroy_process_group()


def _take_device(local_rank: int) -> None:
    if local_rank >= torch.cuda.device_count():
        rule = f"must be at most this machine's {torch.cuda.device_count()} CUDA devices"
        raise InputError(f"processes: {rule}, got {local_rank + 1}")
    torch.cuda.set_device(local_rank)
