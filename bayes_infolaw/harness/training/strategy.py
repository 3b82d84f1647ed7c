"""How one run is carried by processes: the part of training that parallel strategies replace."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["SingleProcess"]


class SingleProcess:
    """One process does everything; also the protocol that other strategies follow.

    The training loop calls, in this order: `wrap` once, on the initialised model (before the
    optimiser is made of the wrapped model's parameters); `load_state` where a run resumes;
    `require_same`; then a step: `shard` for the rows of the global batch that are this process's,
    for each of its `micro_batches` forward and backward of ``mean loss x rows x world / batch
    rows`` inside `accumulating`, `clip`, the optimiser. So gradients that are *averaged* over
    processes come out as those of the batch's mean loss. All processes call every method alike;
    only the main one writes files.

    Attributes
    ----------
    rank, world : int
        This process's number and how many there are.
    """

    rank = 0
    world = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is to be called, on its device."""
        return model

    def shard(self, indices: np.ndarray) -> np.ndarray:
        """The rows of a global batch that this process takes."""
        return indices

    def micro_batches(self, rows: Tensor, size: int | None) -> tuple[Tensor, ...]:
        """The process's rows of a batch in parts of at most ``size`` rows; None takes all."""
        return rows.split(size or len(rows))

    def accumulating(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Around a micro-batch's forward and backward; gradients need meet only after the last."""
        return nullcontext()

    def clip(self, model: nn.Module, max_norm: float) -> Tensor:
        """Scale the gradients down to a global norm; returns the norm before, a plain scalar."""
        return nn.utils.clip_grad_norm_(model.parameters(), max_norm)

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over processes."""
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all must stop or save at the same step."""
        return flag

    def require_same(self, step: int) -> None:
        """Raise InputError in all processes where they do not start from the same step."""

    def state(
        self, model: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Whole tensors by name: weights, and ``<state>/<weight>`` of the optimiser.

        What other processes than the main one return is not used.
        """
        named = dict(self.bare(model).named_parameters())
        moments = {
            f"{key}/{name}": value
            for name, parameter in named.items()
            for key, value in optimiser.state[parameter].items()
        }
        return {name: p.detach() for name, p in named.items()}, moments

    def load_state(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        weights: Mapping[str, Tensor],
        moments: Mapping[str, Tensor],
    ) -> None:
        """Put back what `state` gave."""
        named = dict(self.bare(model).named_parameters())
        for name, parameter in named.items():
            with torch.no_grad():
                parameter.copy_(self.part(weights[name], parameter))
        for key, value in moments.items():
            kind, _, name = key.partition("/")
            parameter = named[name]
            # AdamW's fused kernel wants its step counter on the device of the weights.
            part = self.part(value, parameter).to(parameter.device, copy=True)
            optimiser.state[parameter][kind] = part

    def bare(self, model: nn.Module) -> nn.Module:
        """The model with the names of `Transformer`, without what `wrap` put around it."""
        return model

    def part(self, whole: Tensor, parameter: Tensor) -> Tensor:
        """What this process keeps of a weight's whole tensor, or of a moment's."""
        return whole
