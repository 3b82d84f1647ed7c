"""Transformers of one shape as one program: every weight has a leading axis of runs.

A tiny model leaves most of a device idle; R of them side by side turn R small matrix products into
one batched product and R kernel launches into one. Nothing mixes the runs: each has its own
weights, batch, loss, gradient norm, learning rate and decay; one that diverges does so alone.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.harness.training.cpu_functions import NormByHand, is_eager_cpu
from bayes_infolaw.harness.training.transformer import (
    EPSILON,
    Transformer,
    causal_attention,
    gated,
    linear_cross_entropy,
    rotary_angles,
)

__all__ = ["StackedAdamW", "StackedTransformer", "clip_by_run", "norms_by_run"]

CLIP_EPSILON = 1e-6  # that of torch.nn.utils.clip_grad_norm_


class StackedEmbedding(nn.Module):
    """(R, n) ids -> (R, n, h) by each run's own table."""

    first: Tensor

    def __init__(self, runs: int, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(runs, rows, width))
        self.register_buffer("first", torch.arange(runs).unsqueeze(1) * rows, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Look up in all tables at once: the runs' tables are one long one."""
        return F.embedding(tokens + self.first, self.weight.flatten(0, 1))


class StackedLinear(nn.Module):
    """(R, n, inputs) -> (R, n, outputs), no bias."""

    def __init__(self, runs: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(runs, outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        """One batched product."""
        return torch.bmm(x, self.weight.transpose(1, 2))


class StackedRMSNorm(nn.Module):
    """(R, n, width) over its last axis, with each run's gain."""

    def __init__(self, runs: int, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(runs, width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise and scale."""
        if is_eager_cpu(x):
            return cast(Tensor, NormByHand.apply(x, self.gain, EPSILON))
        normed = F.rms_norm(x, self.gain.shape[1:], None, EPSILON)
        return normed * self.gain.unsqueeze(1).to(x.dtype)


class StackedBlock(nn.Module):
    """The block of `Transformer`, R times."""

    def __init__(self, shape: Shape, runs: int) -> None:
        super().__init__()
        hidden, mlp = shape.hidden, shape.mlp
        self.shape = shape
        self.attention_norm = StackedRMSNorm(runs, hidden)
        self.qkv = StackedLinear(runs, hidden, 3 * hidden)
        self.attention_out = StackedLinear(runs, hidden, hidden)
        self.mlp_norm = StackedRMSNorm(runs, hidden)
        self.gate_value = StackedLinear(runs, hidden, 2 * mlp)
        self.mlp_out = StackedLinear(runs, mlp, hidden)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """(R, B s, h) -> (R, B s, h); attention takes the sequences of all runs as one batch."""
        length, heads = angles.shape[0], self.shape.heads
        qkv = self.qkv(self.attention_norm(x)).view(-1, length, 3, heads, self.shape.head_dim)
        x = x + self.attention_out(causal_attention(qkv, angles).view(x.shape))
        return x + self.mlp_out(gated(self.gate_value(self.mlp_norm(x))))


class StackedTransformer(nn.Module):
    """R models of one shape.

    Parameters
    ----------
    shape : Shape
        Of every run.
    runs : int
        R. Parameters have the names that `Transformer` gives them and the shapes (R, ...).
    """

    angles: Tensor

    def __init__(self, shape: Shape, runs: int) -> None:
        super().__init__()
        self.shape, self.runs = shape, runs
        self.embedding = StackedEmbedding(runs, shape.vocab_size, shape.hidden)
        self.blocks = nn.ModuleList(StackedBlock(shape, runs) for _ in range(shape.layers))
        self.final_norm = StackedRMSNorm(runs, shape.hidden)
        self.head = StackedLinear(runs, shape.hidden, shape.vocab_size)
        if shape.tied:
            self.head.weight = self.embedding.weight
        self.register_buffer("angles", rotary_angles(shape.seq_len, shape.head_dim), False)

    def initialise(self, seeds: Sequence[int]) -> None:
        """Give each run the weights that `Transformer.initialise` draws for its seed."""
        single = Transformer(self.shape)
        for run, seed in enumerate(seeds):
            single.initialise(seed)
            self.load_run(run, single)

    def load_run(self, run: int, single: Transformer) -> None:
        """Copy one model's weights in."""
        weights = dict(single.named_parameters())
        with torch.no_grad():
            for name, stacked in self.named_parameters():
                stacked[run].copy_(weights[name])

    def copy_run(self, run: int, single: Transformer) -> None:
        """Copy one run's weights into a model of this shape, to evaluate or to keep it."""
        weights = dict(self.named_parameters())
        with torch.no_grad():
            for name, weight in single.named_parameters():
                weight.copy_(weights[name][run])

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """(R, B, s) ids and targets -> (R,) mean cross-entropies in nats, fp32."""
        x = self.embedding(tokens.flatten(1))
        angles = self.angles[: tokens.shape[2]]
        for block in self.blocks:
            x = block(x, angles)
        return self._losses(self.final_norm(x), targets.flatten(1))

    def _losses(self, x: Tensor, targets: Tensor) -> Tensor:
        if is_eager_cpu(x):
            parts = zip(x.unbind(), self.head.weight.unbind(), targets.unbind(), strict=True)
            return torch.stack([linear_cross_entropy(*part) for part in parts])
        logits = self.head(x).float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape).mean(dim=1)


def norms_by_run(gradients: Sequence[Tensor]) -> Tensor:
    """(R,) norm of each run's whole gradient, from (R, ...) parts."""
    parts = [torch.linalg.vector_norm(part.flatten(1), dim=1) for part in gradients]
    return torch.linalg.vector_norm(torch.stack(parts), dim=0)


def clip_by_run(gradients: Sequence[Tensor], bounds: Tensor) -> Tensor:
    """Scale each run's gradient to at most its bound, in place.

    Parameters
    ----------
    gradients : sequence of Tensor
        (R, ...) each.
    bounds : Tensor
        (R,) largest norms.

    Returns
    -------
    Tensor
        (R,) norms before.
    """
    norms = norms_by_run(gradients)
    scale = (bounds / (norms + CLIP_EPSILON)).clamp(max=1.0)
    for part in gradients:
        part.mul_(_by_run(scale, part))
    return norms


class StackedAdamW:
    """AdamW over (R, ...) parameters with a learning rate and a decoupled weight decay a run.

    torch's fused AdamW takes the step for all runs at their largest rate. An update is proportional
    to the rate, so a run with a smaller one goes that part of the way; runs that agree, the usual
    case, take the very step that torch would.

    Parameters
    ----------
    model : StackedTransformer
        Its blocks' matrices and its head decay, as those of `make_optimiser` do.
    decays : Tensor
        (R,) weight decay.
    betas : tuple of float
        Of the two moments, for all runs.
    """

    def __init__(
        self, model: StackedTransformer, decays: Tensor, betas: tuple[float, float]
    ) -> None:
        named = list(model.named_parameters())
        self._parameters = [p for _, p in named]
        self._decayed = [p for name, p in named if p.ndim > 2 and "embedding" not in name]
        others = [p for name, p in named if p.ndim <= 2 or "embedding" in name]
        self._decays = decays
        self._same_decay = bool((decays == decays[0]).all())
        groups = [
            {"params": self._decayed, "weight_decay": float(decays[0]) * self._same_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.torch = torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)

    def step(self, rates: Sequence[float]) -> None:
        """One step at (R,) learning rates; a run at rate 0 stays where it is."""
        largest = max(rates)
        for group in self.torch.param_groups:
            group["lr"] = largest
        if self._same_decay and min(rates) == largest:
            self.torch.step()
        elif largest > 0:
            self._step_apart(self._decays.new_tensor(rates), largest)

    @torch.no_grad()
    def clear(self, run: int) -> None:
        """Set a diverged run's weights and moments to 0.

        Its losses and gradients are finite from then on, and at rate 0 it stays so: no NaN is
        carried through the other runs' steps.
        """
        for parameter in self._parameters:
            state: dict[str, Any] = self.torch.state.get(parameter, {})
            for value in (parameter, state.get("exp_avg"), state.get("exp_avg_sq")):
                if value is not None:
                    value[run] = 0.0

    def zero_grad(self) -> None:
        """Drop the gradients."""
        self.torch.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _step_apart(self, rates: Tensor, largest: float) -> None:
        if not self._same_decay:
            for parameter in self._decayed:
                parameter.mul_(_by_run(1 - rates * self._decays, parameter))
        before = [parameter.clone() for parameter in self._parameters]
        self.torch.step()
        for parameter, old in zip(self._parameters, before, strict=True):
            parameter.copy_(torch.lerp(old, parameter, _by_run(rates / largest, parameter)))


def _by_run(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))
