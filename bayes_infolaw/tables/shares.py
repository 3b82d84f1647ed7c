"""Packed and source shares, measured repetition -> w, v, U and T of every run and bucket."""

from math import fsum

import numpy as np
import pandas as pd

from bayes_infolaw.tables.checks import (
    check_available,
    check_measured,
    check_shares,
    finite_or_missing,
    non_negative,
    require_columns,
)
from bayes_infolaw.tables.derive import fill_repetition, fill_unique
from bayes_infolaw.tables.schema import bucket_column

__all__ = ["exposure_columns"]

Array = np.ndarray
ROUND_OFF = 1e-12
"""Sums this near to 1 are left alone, so that reading a written table changes nothing."""


def exposure_columns(
    frame: pd.DataFrame, buckets: tuple[str, ...], tokens: Array, source_tokens: Array
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Check and complete the columns ``w_``, ``share_``, ``unique_`` and ``repetition_``.

    Measured values are checked against the shares as the table states them; the derived ones come
    from the rescaled shares.

    Parameters
    ----------
    frame : DataFrame of n runs
    buckets : tuple of D names, best first
    tokens, source_tokens : array of shape (n,)
        K and S, tokens.

    Returns
    -------
    columns : dict of array of shape (n,)
    notes : tuple of str
        One sentence for each kind of share that was rescaled to sum to 1.

    Raises
    ------
    InputError
        A share is negative or off, tokens come from an empty bucket, or a measured value
        contradicts the shares.
    """
    stated = {prefix: _stated(frame, prefix, buckets) for prefix in ("w_", "share_")}
    check_available(frame, stated["w_"], stated["share_"], buckets)
    measured = {prefix: _measured(frame, prefix, buckets) for prefix in ("unique_", "repetition_")}
    _check_all_measured(frame, buckets, stated, measured, tokens[:, None], source_tokens[:, None])
    weights, shares = _rescaled(stated["w_"]), _rescaled(stated["share_"])
    packed, available = weights * tokens[:, None], shares * source_tokens[:, None]
    unique = fill_unique(packed, available, measured["unique_"], measured["repetition_"])
    repetition = fill_repetition(packed, unique, measured["repetition_"])
    blocks = {"w_": weights, "share_": shares, "unique_": unique, "repetition_": repetition}
    columns = {
        bucket_column(prefix, bucket): block[:, d]
        for prefix, block in blocks.items()
        for d, bucket in enumerate(buckets)
    }
    return columns, (*_note("packed", stated["w_"]), *_note("source", stated["share_"]))


def _stated(frame: pd.DataFrame, prefix: str, buckets: tuple[str, ...]) -> Array:
    names = [bucket_column(prefix, bucket) for bucket in buckets]
    require_columns(frame, names, "shares of every bucket are needed")
    values = np.column_stack([non_negative(frame, name, "share") for name in names])
    check_shares(frame, prefix, values, buckets)
    return values


def _measured(frame: pd.DataFrame, prefix: str, buckets: tuple[str, ...]) -> Array:
    unit = "tokens" if prefix == "unique_" else "mean repetition"
    names = [bucket_column(prefix, bucket) for bucket in buckets]
    absent = np.full(len(frame), np.nan)
    return np.column_stack(
        [finite_or_missing(frame, n, unit) if n in frame else absent for n in names]
    )


def _check_all_measured(
    frame: pd.DataFrame,
    buckets: tuple[str, ...],
    stated: dict[str, Array],
    measured: dict[str, Array],
    tokens: Array,
    source_tokens: Array,
) -> None:
    packed, available = stated["w_"] * tokens, stated["share_"] * source_tokens
    unique, repetition = measured["unique_"], measured["repetition_"]
    for d, bucket in enumerate(buckets):
        columns = (packed[:, d], available[:, d], unique[:, d], repetition[:, d])
        check_measured(frame, bucket, *columns)


def _sums(values: Array) -> Array:
    # Correctly rounded, hence the same on every machine: the data hash is over rescaled shares.
    return np.array([fsum(row) for row in values])


def _rescaled(values: Array) -> Array:
    sums = _sums(values)[:, None]
    return np.where(np.abs(sums - 1) > ROUND_OFF, values / sums, values)


def _note(kind: str, values: Array) -> tuple[str, ...]:
    off = np.abs(_sums(values) - 1)
    rows = int((off > 1e-6).sum())
    if not rows:
        return ()
    worst = float(_sums(values)[off.argmax()])
    return (
        f"{kind} shares of {rows} of {len(values)} rows were rescaled to sum to 1 "
        f"(the sum farthest off was {worst:.6g}).",
    )
