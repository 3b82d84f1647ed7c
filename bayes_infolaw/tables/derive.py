"""Given columns -> unique tokens, repetition, model FLOP and overtraining degree (design.md 1)."""

import numpy as np
import pandas as pd

from bayes_infolaw.laws.overtraining import flops_per_token, overtraining_degree
from bayes_infolaw.tables.checks import fail, finite_or_missing, positive, row_name
from bayes_infolaw.tables.schema import ARCHITECTURE, OVERTRAINING_TOLERANCE

__all__ = [
    "fill_repetition",
    "fill_unique",
    "given_overtraining",
    "law_flops",
    "model_flops",
    "overtraining",
]

Array = np.ndarray


def law_flops(params: Array) -> Array:
    """``N = 6 x non-embedding parameters``, FLOP per token: the size that the law uses."""
    return 6.0 * params


def fill_unique(packed: Array, available: Array, unique: Array, repetition: Array) -> Array:
    """Unique tokens U: as measured, else n / T of a measured T, else ``min(n, s)``.

    Parameters
    ----------
    packed, available : array of shape (n, D)
        Packed tokens n_d = w_d K and the bucket's tokens s_d = v_d S.
    unique, repetition : array of shape (n, D)
        Measured values, NaN where there are none.

    Returns
    -------
    array of shape (n, D)
        Tokens, at most ``min(n, s)``: the tolerance of the check is cut off here.
    """
    most = np.minimum(packed, available)
    divisor = np.where(repetition >= 1, repetition, 1.0)
    implied = np.where(np.isnan(repetition), most, packed / divisor)
    return np.minimum(np.where(np.isnan(unique), implied, unique), most)


def fill_repetition(packed: Array, unique: Array, repetition: Array) -> Array:
    """Mean repetition T: as measured, else n / U; 1 where the bucket is unused. Shape (n, D)."""
    used = packed > 0
    derived = np.where(used, packed / np.where(used, unique, 1.0), 1.0)
    return np.where(used & ~np.isnan(repetition), repetition, derived)


def model_flops(frame: pd.DataFrame) -> Array | None:
    """M of every run, FLOP per token with attention, shape (n,); None where the table has no M.

    Raises
    ------
    InputError
        Some rows have M and others not: m of one table must be of one definition.
    """
    flops = _given_flops(frame)
    computed = _architecture_flops(frame)
    known = np.where(np.isnan(flops), computed, flops)
    missing = np.flatnonzero(np.isnan(known))
    if missing.size == len(frame):
        return None
    if missing.size:
        rule = "M (or layers, hidden, seq_len) must be given for all rows or for none"
        fail(frame, int(missing[0]), "flops_per_token", f"{rule}, never a mixture", np.nan)
    return known


def _given_flops(frame: pd.DataFrame) -> Array:
    if "flops_per_token" not in frame:
        return np.full(len(frame), np.nan)
    flops = finite_or_missing(frame, "flops_per_token", "FLOP per token")
    if (flops == 0).any():
        rule = "must be a positive number (FLOP per token)"
        fail(frame, int(np.flatnonzero(flops == 0)[0]), "flops_per_token", rule, 0.0)
    return flops


def _architecture_flops(frame: pd.DataFrame) -> Array:
    if not all(column in frame for column in ARCHITECTURE):
        return np.full(len(frame), np.nan)
    layers, hidden, seq_len = (finite_or_missing(frame, c, "a count") for c in ARCHITECTURE)
    flops = np.asarray(flops_per_token(layers, hidden, seq_len))
    return np.where((layers > 0) & (hidden > 0) & (seq_len > 0), flops, np.nan)


def given_overtraining(frame: pd.DataFrame) -> Array | None:
    """The table's own m, shape (n,); None where the column is absent or empty.

    Raises
    ------
    InputError
        The column is filled for some rows only, or a value is not positive.
    """
    if "overtraining" not in frame or frame["overtraining"].isna().all():
        return None
    return positive(frame, "overtraining", "degree m, given for all rows or for none")


def overtraining(
    frame: pd.DataFrame, flops: Array | None, law: Array, tokens: Array
) -> tuple[Array, tuple[str, ...]]:
    """Overtraining degree m of every run: the given one, else ``(K / K_opt(M K))^2``.

    Parameters
    ----------
    flops : array of shape (n,) or None
        M, where the table has it.
    law : array of shape (n,)
        N, which stands in for a missing M.
    tokens : array of shape (n,)

    Returns
    -------
    degree : array of shape (n,)
    notes : tuple of str
    """
    given = given_overtraining(frame)
    derived = np.asarray(overtraining_degree(law if flops is None else flops, tokens))
    if given is None:
        return derived, ()
    return given, () if flops is None else _disagreement(frame, given, derived)


def _disagreement(frame: pd.DataFrame, given: Array, derived: Array) -> tuple[str, ...]:
    apart = np.abs(given / derived - 1)
    rows = int((apart > OVERTRAINING_TOLERANCE).sum())
    if not rows:
        return ()
    worst = int(apart.argmax())
    return (
        f"overtraining as given is used; it is more than {OVERTRAINING_TOLERANCE:.0%} from the "
        f"derived degree in {rows} of {len(frame)} rows, at most in {row_name(frame, worst)}: "
        f"given {given[worst]:.4g}, derived {derived[worst]:.4g}.",
    )
