"""How far a recipe can be from the global optimum: bounds by duality, and the error if too far.

The bounds hold whatever the multipliers are, so they certify a recipe without trusting the solver
that found it.
"""

import numpy as np

from bayes_infolaw.recipes.program import RecipeProgram

__all__ = ["GAP_TOLERANCE", "CertificateError", "ordering_prices", "relative_gap", "require_gap"]

Array = np.ndarray

GAP_TOLERANCE = 1e-8
"""Largest relative duality gap of an optimum that is returned."""


class CertificateError(ArithmeticError):
    """A solver ended further from the optimum than `GAP_TOLERANCE`; nothing is returned."""


def ordering_prices(price: Array, order_price: Array | None) -> Array:
    """Price of each bucket's tokens, ``p_d = mu - nu_d + nu_{d-1}``, shape (J, D').

    Parameters
    ----------
    price : array of shape (J,)
        mu, the multiplier of ``sum w = 1``.
    order_price : array of shape (J, D' - 1) or None
        nu >= 0, the multipliers of ``w_d >= w_{d+1}``; None without the ordering.
    """
    if order_price is None:
        return price[:, None]
    return price[:, None] - np.diff(order_price, axis=1, prepend=0.0, append=0.0)


def relative_gap(
    program: RecipeProgram, shares: Array, price: Array, order_price: Array | None = None
) -> Array:
    """Relative duality gap of every draw's own shares, shape (J,).

    The bound is ``mu + sum_d max_w (g_d(w) - p_d w)`` over ``0 <= w <= 1`` (ordered: 1 / (d + 1),
    which the ordering implies); each maximum is closed form.
    """
    prices = ordering_prices(price, order_price)
    n_buckets = len(program.capacity)
    largest = 1.0 / np.arange(1, n_buckets + 1) if order_price is not None else np.ones(n_buckets)
    best = np.minimum(_best_response(program, prices), largest)
    bound = price + (program.bucket_gain(best) - prices * best).sum(axis=1)
    return np.maximum(bound / program.gain(shares) - 1.0, 0.0)


def _best_response(program: RecipeProgram, prices: Array) -> Array:
    """Shares that maximise ``g_d(w) - p_d w`` over w >= 0; infinite where the price is <= 0."""
    r = program.exposure[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        times = np.maximum(np.log(program.density * r / prices) / r, 1.0)
    exhausted = program.capacity * np.where(prices > 0, times, np.inf)
    return np.where(program.density * program.first_slope[:, None] > prices, exhausted, 0.0)


def require_gap(gap: Array, what: str) -> None:
    """Raise unless every gap is below `GAP_TOLERANCE` (not-a-number counts as above).

    Raises
    ------
    CertificateError
        Naming the worst gap.
    """
    failed = ~(np.asarray(gap) < GAP_TOLERANCE)
    if failed.any():
        raise CertificateError(
            f"{what}: relative duality gap must be below {GAP_TOLERANCE:g}, "
            f"got {np.max(gap):.3g} ({failed.sum()} of {failed.size})"
        )
