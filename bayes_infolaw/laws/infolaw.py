"""Tokens, repetition and model size -> information -> loss: the InfoLaw family.

Every function is plain array arithmetic; ``xp`` is the array module (``numpy`` by default,
``jax.numpy`` or ``pytensor.tensor``), so one text serves numpy, JAX and PyTensor alike.

The law (InfoLaw paper, eqs. 5, 6, 8, 9), in units that the paper leaves open::

    U_d = min(n_d, s_d),  T_d = n_d / U_d,  n_d = w_d K,  s_d = v_d S
    f_d = exp(-theta d)
    lambda(N) = a ln(N / N_0) + b
    l(K) = log10(K / K_0)
    info = sum_d U_d f_d l(K) (1 - exp(-lambda(N) T_d / l(K)))
    loss = alpha_m info ** -beta

``(l, lambda, alpha) -> (c l, c lambda, c**beta alpha)`` leaves the loss unchanged, so the package
works with ``l~(K_ref) = 1`` (the scale-free form); `published.py` holds the map between the two.
"""

from typing import Any

import numpy as np

__all__ = [
    "bucket_information",
    "constant_step_density",
    "information",
    "log_loss",
    "normaliser",
    "rate",
    "step_density",
]

NORMALISERS = ("log", "constant", "power")
RATES = ("log", "power", "exponential")


def constant_step_density(theta: Any, n_buckets: int, xp: Any = np) -> Any:
    """Information density of each bucket, ``f_d = exp(-theta d)`` (eq. 8).

    Parameters
    ----------
    theta : array of shape (...)
        Fall of log density from one bucket to the next, >= 0, dimensionless.
    n_buckets : int
        Number of buckets D, best first.

    Returns
    -------
    array of shape (..., D)
        Densities relative to the best bucket, in (0, 1].
    """
    return xp.exp(-theta[..., None] * np.arange(n_buckets))


def step_density(steps: Any, xp: Any = np) -> Any:
    """Information density from free steps, ``f_d = exp(-sum of the first d steps)``.

    Parameters
    ----------
    steps : array of shape (..., D - 1)
        Non-negative falls of log density between neighbouring buckets.

    Returns
    -------
    array of shape (..., D)
    """
    falls = xp.cumsum(steps, axis=-1)
    return xp.exp(-xp.concatenate([xp.zeros_like(falls[..., :1]), falls], axis=-1))


def normaliser(tokens: Any, tokens_ref: Any, form: str, shape: Any, xp: Any = np) -> Any:
    """Normaliser of the exposure rate, scaled to one at ``tokens_ref``.

    ``log``: ``1 + kappa ln(K / K_ref)`` with ``kappa = 1 / ln(K_ref / K_0)`` (eq. 3);
    ``constant``: 1; ``power``: ``(K / K_ref) ** rho`` (the alternatives of appendix B).

    Parameters
    ----------
    tokens : array
        Training tokens K.
    tokens_ref : float
        K_ref, tokens.
    form : {"log", "constant", "power"}
    shape : array or float
        ``kappa`` for ``log``, the exponent ``rho`` for ``power``; unused for ``constant``.

    Returns
    -------
    array
        ``l~(K)``; the law holds only where it is positive.
    """
    log_tokens = xp.log(tokens / tokens_ref)
    if form == "log":
        return 1.0 + shape * log_tokens
    if form == "power":
        return xp.exp(shape * log_tokens)
    if form == "constant":
        return 1.0 + 0.0 * log_tokens
    raise ValueError(f"normaliser must be one of {NORMALISERS}, got {form!r}")


def rate(
    flops: Any,
    flops_min: Any,
    flops_max: Any,
    rate_min: Any,
    rate_max: Any,
    form: str,
    xp: Any = np,
) -> Any:
    """Learning rate per exposure, from its values at the smallest and the largest model.

    ``log``: linear in ln N (eq. 9); ``power``: ln lambda linear in ln N; ``exponential``:
    ln lambda linear in N (appendix G names the two alternatives).

    Parameters
    ----------
    flops : array
        N = 6 x non-embedding parameters, FLOP per token.
    flops_min, flops_max : float
        The two sizes at which the rate is given, FLOP per token.
    rate_min, rate_max : array
        lambda~ there, dimensionless, > 0.
    form : {"log", "power", "exponential"}

    Returns
    -------
    array
        lambda~(N). The ``log`` form may turn negative below ``flops_min``: callers must check.
    """
    if form == "exponential":
        position = (flops - flops_min) / (flops_max - flops_min)
    else:
        position = xp.log(flops / flops_min) / xp.log(flops_max / flops_min)
    if form == "log":
        return rate_min + (rate_max - rate_min) * position
    if form in ("power", "exponential"):
        return rate_min * (rate_max / rate_min) ** position
    raise ValueError(f"rate must be one of {RATES}, got {form!r}")


def bucket_information(
    unique: Any, repetition: Any, density: Any, rate: Any, normaliser: Any, xp: Any = np
) -> Any:
    """Information learned from each bucket (eq. 5, one term of the sum).

    Parameters
    ----------
    unique : array of shape (..., D)
        Unique tokens U_d, in the unit in which information is wanted.
    repetition : array of shape (..., D)
        Mean repetition T_d, >= 1 (any value where ``unique`` is 0).
    density : array of shape (..., D)
    rate, normaliser : array of shape (..., 1) or (...,) with a trailing axis of one
        lambda and l, both > 0.

    Returns
    -------
    array of shape (..., D)
    """
    return unique * density * normaliser * -xp.expm1(-rate * repetition / normaliser)


def information(
    unique: Any, repetition: Any, density: Any, rate: Any, normaliser: Any, xp: Any = np
) -> Any:
    """Total information of a run (eq. 5): `bucket_information` summed over the last axis.

    ``rate`` and ``normaliser`` have shape (...), without the bucket axis.
    """
    terms = bucket_information(
        unique, repetition, density, rate[..., None], normaliser[..., None], xp
    )
    return xp.sum(terms, axis=-1)


def log_loss(log_alpha: Any, beta: Any, log_information: Any) -> Any:
    """Log of the loss, ``ln alpha - beta ln info`` (eq. 6)."""
    return log_alpha - beta * log_information
