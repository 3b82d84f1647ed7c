"""Token ids -> mean cross-entropy: the paper's decoder-only transformer.

RoPE, SwiGLU, RMSNorm with gain before each half-block and before the head, no bias, scaled dot
product attention, output projection apart from the embedding unless the shape says tied. Linear
layers that read the same input are one matrix: queries, keys and values; SwiGLU's gate and value.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_infolaw.harness.shapes import Shape
from bayes_infolaw.harness.training.cpu_functions import (
    ChunkedCrossEntropy,
    GateByHand,
    NormByHand,
    is_eager_cpu,
)

__all__ = [
    "Block",
    "Matrix",
    "RMSNorm",
    "Transformer",
    "causal_attention",
    "gated",
    "linear_cross_entropy",
    "rotary_angles",
    "rotate",
    "token_cross_entropy",
]

EPSILON = 1e-5
ROPE_BASE = 10_000.0
INIT_SD = 0.02
EVALUATED_ROWS = 4096  # of logits held at a time by `token_cross_entropy`


class RMSNorm(nn.Module):
    """``x / rms(x) * gain`` over the last axis (Zhang & Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., width)."""
        if is_eager_cpu(x):
            rows = x.reshape(1, -1, x.shape[-1])
            normed = NormByHand.apply(rows, self.gain.unsqueeze(0), EPSILON)
            return cast(Tensor, normed).view(x.shape)
        return F.rms_norm(x, self.gain.shape, self.gain.to(x.dtype), EPSILON)


class Matrix(nn.Linear):
    """A linear layer without bias; its weights are drawn by `Transformer.initialise` alone."""

    def __init__(self, wide_in: int, wide_out: int) -> None:
        super().__init__(wide_in, wide_out, bias=False)

    def reset_parameters(self) -> None:
        """Leave the weights unset."""


class Block(nn.Module):
    """Attention, then SwiGLU (Shazeer 2020, arXiv 2002.05202), each added to its normed input."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden, mlp = shape.hidden, shape.mlp
        self.heads = shape.heads
        self.attention_norm = RMSNorm(hidden)
        self.qkv = Matrix(hidden, 3 * hidden)
        self.attention_out = Matrix(hidden, hidden)
        self.mlp_norm = RMSNorm(hidden)
        self.gate_value = Matrix(hidden, 2 * mlp)
        self.mlp_out = Matrix(mlp, hidden)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """(B, s, h) and the (s, head_dim / 2, 2) of `rotary_angles` -> (B, s, h)."""
        qkv = self.qkv(self.attention_norm(x)).unflatten(-1, (3, self.heads, -1))
        x = x + self.attention_out(causal_attention(qkv, angles))
        return x + self.mlp_out(gated(self.gate_value(self.mlp_norm(x))))


class Transformer(nn.Module):
    """The model of one shape; its weights are unset until `initialise` or a checkpoint fills them.

    Parameters
    ----------
    shape : Shape
        Its ``nonembedding`` is the number of this module's weights without ``embedding`` and
        ``head``.
    """

    angles: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding.from_pretrained(
            torch.empty(shape.vocab_size, shape.hidden), freeze=False
        )
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = RMSNorm(shape.hidden)
        self.head = Matrix(shape.hidden, shape.vocab_size)
        if shape.tied:
            self.head.weight = self.embedding.weight
        self.register_buffer("angles", rotary_angles(shape.seq_len, shape.head_dim), False)

    def initialise(self, seed: int) -> None:
        """Fill the weights: gains 1, matrices Normal(0, 0.02).

        Those that lead back into the residual stream: sd over ``sqrt(2 layers)``, as in GPT-2.
        Drawn on the CPU in the parameters' order: the same seed gives the same model anywhere.
        """
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                else:
                    draws = torch.empty(weight.shape).normal_(
                        0.0, self._sd(name), generator=generator
                    )
                    weight.copy_(draws)

    def _sd(self, name: str) -> float:
        into_residual = name.endswith(("attention_out.weight", "mlp_out.weight"))
        return INIT_SD / math.sqrt(2 * self.shape.layers) if into_residual else INIT_SD

    def hidden(self, tokens: Tensor) -> Tensor:
        """(B, s) ids -> (B, s, h), normed: what the head reads."""
        x = self.embedding(tokens)
        angles = self.angles[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, angles)
        return self.final_norm(x)

    def forward(self, tokens: Tensor, targets: Tensor | None = None, each: bool = False) -> Tensor:
        """Losses or logits, by one entry that wrappers (DDP, FSDP, compile) can hook.

        Parameters
        ----------
        tokens : Tensor
            (B, s) ids.
        targets : Tensor, optional
            (B, s) ids to be predicted.
        each : bool
            Whether every target's loss is wanted, instead of their mean.

        Returns
        -------
        Tensor
            fp32: the mean cross-entropy in nats, with ``each`` (B, s) cross-entropies, or without
            targets the (B, s, vocab_size) logits.
        """
        x = self.hidden(tokens)
        if targets is None:
            return self.head(x).float()
        rows, wanted = x.flatten(0, 1), targets.flatten()
        if each:
            return token_cross_entropy(rows, self.head.weight, wanted).view(targets.shape)
        return linear_cross_entropy(rows, self.head.weight, wanted)


def rotary_angles(seq_len: int, head_dim: int) -> Tensor:
    """Cosine and sine of position times frequency, (seq_len, head_dim / 2, 2) fp32.

    Frequencies ``10000^(-2 i / head_dim)`` (Su et al. 2021, arXiv 2104.09864, eq. 15).
    """
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float64)
    positions = torch.arange(seq_len, dtype=torch.float64)
    angles = torch.outer(positions, ROPE_BASE ** (-pairs / head_dim))
    return torch.stack((angles.cos(), angles.sin()), dim=-1).float()


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn neighbouring coordinates of (B, s, ..., heads, head_dim) by their position's angle."""
    spread = angles.view(angles.shape[0], *(1,) * (x.ndim - 3), *angles.shape[1:])
    pairs = x.float().unflatten(-1, (-1, 2))
    if not torch.compiler.is_compiling():
        # One complex product in the place of five real kernels: a tenth of a small CPU step.
        turned = torch.view_as_complex(pairs) * torch.view_as_complex(spread)
        return torch.view_as_real(turned).flatten(-2).to(x.dtype)
    (first, second), (cos, sin) = pairs.unbind(-1), spread.unbind(-1)
    both = (first * cos - second * sin, second * cos + first * sin)
    return torch.stack(both, dim=-1).flatten(-2).to(x.dtype)


def causal_attention(qkv: Tensor, angles: Tensor) -> Tensor:
    """(B, s, 3, heads, head_dim) -> (B, s, heads * head_dim); queries and keys are rotated."""
    turning, value = qkv.split((2, 1), dim=2)
    query, key = rotate(turning, angles).unbind(2)
    query, key, value = (part.transpose(1, 2) for part in (query, key, value.squeeze(2)))
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return mixed.transpose(1, 2).flatten(2)


def gated(gate_value: Tensor) -> Tensor:
    """(..., 2 m) gates and values side by side -> (..., m) ``silu(gate) * value``."""
    if is_eager_cpu(gate_value):
        return cast(Tensor, GateByHand.apply(gate_value))
    gate, value = gate_value.chunk(2, dim=-1)
    return F.silu(gate) * value


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean of ``cross_entropy(x @ weight.T, targets)`` in nats, fp32, over (rows, h) inputs.

    On the CPU logits are made, used and dropped a few rows at a time, with their gradient: with a
    vocabulary thirty times the width they would otherwise be most of a step's memory traffic.
    """
    if is_eager_cpu(x):
        return cast(Tensor, ChunkedCrossEntropy.apply(x, weight, targets))
    return F.cross_entropy(F.linear(x, weight).float(), targets)


def token_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """(rows,) cross-entropies in nats, fp32, of (rows, h) inputs; some rows of logits at a time."""
    losses = [
        F.cross_entropy(F.linear(rows, weight).float(), wanted, reduction="none")
        for rows, wanted in zip(x.split(EVALUATED_ROWS), targets.split(EVALUATED_ROWS), strict=True)
    ]
    return torch.cat(losses)
