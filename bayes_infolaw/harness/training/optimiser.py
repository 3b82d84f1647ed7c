"""Model -> AdamW with the paper's settings; the learning rate of a step comes from the budget."""

import torch
from torch import nn

from bayes_infolaw.harness.settings import RunSettings

__all__ = ["make_optimiser", "set_learning_rate"]


def make_optimiser(model: nn.Module, settings: RunSettings) -> torch.optim.AdamW:
    """AdamW in one fused kernel.

    Weight decay is on the blocks' matrices and the head; gains have none, since they only scale,
    and neither has the embedding, whose rare rows would decay without ever being taught (a tied
    matrix counts as the embedding). Decay is decoupled and times the learning rate, as in
    Loshchilov & Hutter 2019 (arXiv 1711.05101) and torch.
    """
    named = list(model.named_parameters())
    decayed = [p for name, p in named if p.ndim > 1 and "embedding" not in name]
    others = [p for name, p in named if p.ndim <= 1 or "embedding" in name]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.budget.learning_rate, betas=betas, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
