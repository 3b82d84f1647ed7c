"""The published constants at a target: a law of one draw, for recipes without a fit."""

import warnings
from collections.abc import Sequence

import numpy as np

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws import published
from bayes_infolaw.laws.infolaw import constant_step_density
from bayes_infolaw.laws.target import LawAtTarget

__all__ = ["published_target"]

PUBLISHED_DEGREE = 3.6
"""Overtraining degree m of the runs behind the published alpha (paper section 3.2)."""
SAME_DEGREE = 0.05
"""Largest difference in ln m that counts as the same degree."""
SUM_TOLERANCE = 0.005


def published_target(
    params_nonembedding: float,
    tokens: float,
    source_tokens: float,
    shares: Sequence[float] | None = None,
    buckets: Sequence[str] | None = None,
    overtraining: float | None = None,
) -> LawAtTarget:
    """The published law (paper, eqs. 5-9) at one model, token budget and source corpus.

    Parameters
    ----------
    params_nonembedding : float
        Non-embedding parameters; the law uses N = 6 times this, FLOP per token.
    tokens : float
        Packed tokens K, more than K_0 = 1e9.
    source_tokens : float
        Tokens S of the source corpus.
    shares : sequence of float, optional
        Source shares v_d, best bucket first; the paper's six by default.
    buckets : sequence of str, optional
        Bucket names, best first; "0", "1", ... by default.
    overtraining : float, optional
        Degree m of the target. The constants hold alpha at m = 3.6 only: another m is warned
        about, and does not change the recipe.

    Returns
    -------
    LawAtTarget
        J = 1; information in 1e9 tokens, loss in nats per token.

    Raises
    ------
    InputError
        A size that is not positive, K <= K_0, lambda <= 0, or shares that are none.
    """
    _require_positive(
        params_nonembedding=params_nonembedding, tokens=tokens, source_tokens=source_tokens
    )
    rate, normaliser = _domain(params_nonembedding, tokens)
    source_shares = _source_shares(published.PAPER_SHARES if shares is None else shares)
    names = tuple(map(str, range(len(source_shares)))) if buckets is None else tuple(buckets)
    _require_names(names, len(source_shares))
    _warn_other_degree(overtraining)
    return LawAtTarget(
        buckets=names,
        source=source_shares * source_tokens,
        tokens=float(tokens),
        token_unit=published.TOKEN_UNIT,
        density=constant_step_density(np.array([published.THETA]), len(names)),
        rate=np.array([rate]),
        normaliser=np.array([normaliser]),
        log_alpha=np.log([published.ALPHA]),
        beta=np.array([published.BETA]),
        irreducible=np.zeros(1),
    )


def _require_positive(**sizes: float) -> None:
    for name, size in sizes.items():
        if not (np.isfinite(size) and size > 0):
            raise InputError(f"{name} must be a positive number, got {size!r}")


def _domain(params_nonembedding: float, tokens: float) -> tuple[float, float]:
    """``lambda(N)`` and ``l(K)``, both positive or an error that says which is not."""
    if tokens <= published.K_0:
        raise InputError(f"tokens must exceed K_0 = {published.K_0:g}, got {tokens:g}")
    rate = float(published.published_rate(6.0 * params_nonembedding))
    if rate <= 0:
        least = published.N_0 * np.exp(-published.B / published.A) / 6.0
        raise InputError(
            f"params_nonembedding must exceed {least:.4g} for the published rate lambda to be "
            f"positive, got {params_nonembedding:g}"
        )
    return rate, float(published.log10_normaliser(tokens))


def _source_shares(shares: Sequence[float]) -> np.ndarray:
    array = np.asarray(shares, dtype=float)
    if array.ndim != 1 or not array.size or not (np.isfinite(array) & (array >= 0)).all():
        raise InputError(f"shares must be numbers >= 0, got {list(shares)!r}")
    total = array.sum()
    if abs(total - 1.0) > SUM_TOLERANCE + 1e-12:
        raise InputError(f"shares must sum to 1 within {SUM_TOLERANCE}, got {total:.6g}")
    return array / total


def _require_names(names: tuple[str, ...], n_buckets: int) -> None:
    if len(names) != n_buckets or len(set(names)) != len(names):
        raise InputError(f"buckets must be {n_buckets} different names, got {', '.join(names)}")


def _warn_other_degree(overtraining: float | None) -> None:
    if overtraining is None:
        return
    _require_positive(overtraining=overtraining)
    if abs(np.log(overtraining / PUBLISHED_DEGREE)) > SAME_DEGREE:
        warnings.warn(
            f"overtraining {overtraining:g}: the published alpha is that of m = "
            f"{PUBLISHED_DEGREE}; the recipe does not depend on it, the loss does",
            UserWarning,
            stacklevel=3,
        )
