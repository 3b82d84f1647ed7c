"""The published constants and units, and the map to the scale-free form.

Units (checked against the paper's Table 6): N_0 = 1e9 FLOP per token, K_0 = 1e9 tokens,
information in 1e9 tokens, logarithm of K to base ten, N = 6 x non-embedding parameters.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "ALPHA",
    "BETA",
    "K_0",
    "N_0",
    "PAPER_SHARES",
    "THETA",
    "A",
    "B",
    "ScaleFree",
    "to_scale_free",
]

THETA, A, B, ALPHA, BETA = 0.922, 0.140, 0.018, 3.7373, 0.0441
N_0 = 1e9
"""Reference of the learning rate, FLOP per token."""
K_0 = 1e9
"""Reference of the normaliser, tokens."""
TOKEN_UNIT = 1e9
"""Tokens per unit of published information."""
PAPER_SHARES = (0.05, 0.15, 0.20, 0.20, 0.20, 0.20)
"""Source shares of the paper's buckets 0..5 (percentiles 0-5-20-40-60-80-100)."""


@dataclass(frozen=True)
class ScaleFree:
    """Parameters of the scale-free form at (`flops_ref`, `tokens_ref`)."""

    theta: float
    kappa: float
    rate_slope: float
    rate_ref: float
    log_alpha: float
    beta: float
    flops_ref: float
    tokens_ref: float


def log10_normaliser(tokens: np.ndarray | float, tokens_0: float = K_0) -> np.ndarray | float:
    """``l(K) = log10(K / K_0)``; > 0 only for K > K_0."""
    return np.log10(np.asarray(tokens) / tokens_0)


def published_rate(flops: np.ndarray | float, a: float = A, b: float = B) -> np.ndarray | float:
    """``lambda(N) = a ln(N / N_0) + b`` (eq. 9); > 0 only above N_0 exp(-b/a)."""
    return a * np.log(np.asarray(flops) / N_0) + b


def to_scale_free(
    flops_ref: float,
    tokens_ref: float,
    *,
    theta: float = THETA,
    a: float = A,
    b: float = B,
    alpha: float = ALPHA,
    beta: float = BETA,
    tokens_0: float = K_0,
) -> ScaleFree:
    """Express published-unit parameters in the scale-free form.

    Information is then counted in units of ``tokens_ref`` tokens and ``l~(tokens_ref) = 1``.
    """
    level = float(log10_normaliser(tokens_ref, tokens_0))
    log_alpha = np.log(alpha) - beta * np.log(level * tokens_ref / TOKEN_UNIT)
    return ScaleFree(
        theta=theta,
        kappa=1.0 / np.log(tokens_ref / tokens_0),
        rate_slope=a / level,
        rate_ref=float(published_rate(flops_ref, a, b)) / level,
        log_alpha=float(log_alpha),
        beta=beta,
        flops_ref=flops_ref,
        tokens_ref=tokens_ref,
    )
