"""Compute and the overtraining degree m (paper section 3.2, after DeepSeek LLM and Gadre et al.).

``C = M K`` with M the training FLOP per token *with attention*; ``K_opt(C) = 5.8316 C ** 0.4757``;
``m = (K / K_opt(C)) ** 2``. (The paper's 1.2B anchors use m' = m ** 0.9537; never mix the two.)
"""

from typing import Any

import numpy as np

__all__ = [
    "compute",
    "flops_per_token",
    "optimal_tokens",
    "overtraining_degree",
    "tokens_at_degree",
]

TOKENS_COEFFICIENT, TOKENS_EXPONENT = 5.8316, 0.4757


def flops_per_token(layers: Any, hidden: Any, seq_len: Any) -> Any:
    """``M = 72 L h^2 + 12 L h s``, FLOP per trained token with attention (DeepSeek LLM, eq. 2)."""
    return 72 * layers * hidden**2 + 12 * layers * hidden * seq_len


def compute(flops_per_token: Any, tokens: Any) -> Any:
    """``C = M K``, training FLOP."""
    return flops_per_token * tokens


def optimal_tokens(compute: Any) -> Any:
    """Compute-optimal tokens ``K_opt(C)``."""
    return TOKENS_COEFFICIENT * compute**TOKENS_EXPONENT


def overtraining_degree(flops_per_token: Any, tokens: Any) -> Any:
    """``m = (K / K_opt(M K)) ** 2``; 1 is compute-optimal, more is overtrained."""
    return (tokens / optimal_tokens(compute(flops_per_token, tokens))) ** 2


def tokens_at_degree(flops_per_token: Any, degree: Any) -> Any:
    """Tokens K at which a model of M FLOP per token has overtraining degree m (closed form)."""
    base = np.sqrt(degree) * TOKENS_COEFFICIENT * np.asarray(flops_per_token) ** TOKENS_EXPONENT
    return base ** (1.0 / (1.0 - TOKENS_EXPONENT))
