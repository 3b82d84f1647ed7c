"""What our training step is measured beside: nanoGPT's architecture, nanoGPT itself, litgpt.

Every model is a module whose call takes (B, s) ids and (B, s) targets and gives the mean
cross-entropy, so that one step function serves all of them.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Gpt2Block(nn.Module):
    """LayerNorm, fused attention, LayerNorm, GELU MLP of width 4 h: nanoGPT's block, no bias."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(hidden, bias=False)
        self.qkv = nn.Linear(hidden, 3 * hidden, bias=False)
        self.projection = nn.Linear(hidden, hidden, bias=False)
        self.norm_2 = nn.LayerNorm(hidden, bias=False)
        self.up = nn.Linear(hidden, 4 * hidden, bias=False)
        self.down = nn.Linear(4 * hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, s, h) -> (B, s, h)."""
        batch, length, hidden = x.shape
        split = self.qkv(self.norm_1(x)).split(hidden, dim=2)
        by_head = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in split)
        mixed = F.scaled_dot_product_attention(*by_head, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).contiguous().view(x.shape))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Gpt2(nn.Module):
    """GPT-2 as nanoGPT trains it: learned positions, tied head, no bias, no dropout."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        hidden = shape.hidden
        self.tokens = nn.Embedding(shape.vocab_size, hidden)
        self.positions = nn.Embedding(shape.seq_len, hidden)
        self.blocks = nn.ModuleList(Gpt2Block(hidden, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(hidden, bias=False)
        self.head = nn.Linear(hidden, shape.vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        for name, weight in self.named_parameters():
            last = name.endswith(("projection.weight", "down.weight"))
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * shape.layers) if last else 0.02)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


class Nanogpt(nn.Module):
    """nanoGPT's own GPT, from the user's copy of its ``model.py``."""

    def __init__(self, shape: Any, source: Path) -> None:
        super().__init__()
        spec = importlib.util.spec_from_file_location("nanogpt_model", source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.hidden}
        config = module.GPTConfig(
            block_size=shape.seq_len, vocab_size=shape.vocab_size, dropout=0.0, bias=False, **sizes
        )
        self.model = module.GPT(config)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        return self.model(tokens, targets)[1]


class Litgpt(nn.Module):
    """litgpt's GPT with our architecture: RMSNorm, SwiGLU, RoPE over the whole head, no bias."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        from litgpt import GPT, Config

        config = Config(
            block_size=shape.seq_len,
            n_layer=shape.layers,
            n_embd=shape.hidden,
            n_head=shape.heads,
            padded_vocab_size=shape.vocab_size,
            vocab_size=shape.vocab_size,
            intermediate_size=shape.mlp,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
        )
        self.model = GPT(config)
        self.model.apply(self.model._init_weights)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats."""
        logits = self.model(tokens)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def nonembedding(model: nn.Module) -> int:
    """Weights but the token embedding, the positions and an untied head."""
    kept = ("wte", "wpe", "lm_head", "head", "tokens", "positions", "embedding")
    return sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if not any(part in kept for part in name.split("."))
    )
