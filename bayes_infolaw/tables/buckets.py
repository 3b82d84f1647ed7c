"""A table's columns and the declared order -> its buckets, best first."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.laws.published import PAPER_SHARES
from bayes_infolaw.tables.schema import (
    BUCKET_PREFIXES,
    ONE_BUCKET,
    bucket_column,
    bucket_names,
)

__all__ = ["fill_single_bucket", "paper_shares", "resolve_buckets"]

PAPER_BUCKETS = tuple(str(d) for d in range(len(PAPER_SHARES)))


def resolve_buckets(columns: Sequence[str], declared: Sequence[str] | None) -> tuple[str, ...]:
    """Names of the buckets, best first.

    Parameters
    ----------
    columns : sequence of str
        The table's columns.
    declared : sequence of str or None
        Order from study.toml or ``--buckets``; not needed for one bucket, nor for the names
        0..D-1, which declare their own.

    Raises
    ------
    InputError
        A name is repeated or has no column, a column has no declared name or lacks its
        counterpart, or no order is declared.
    """
    order = None if declared is None else tuple(str(name) for name in declared)
    found = bucket_names(columns, "w_")
    _check_declared(order)
    if not found:
        return _single(columns, order)
    if order is None:
        _check_pairs(found, bucket_names(columns, "share_"))
        order = _own_order(found)
    _check_unknown(columns, order)
    for name in order:
        if name not in found:
            raise InputError(f"bucket {name!r}: must have a column w_{name}, the table has {found}")
    return order


def _check_declared(order: tuple[str, ...] | None) -> None:
    if order is None:
        return
    if not order:
        raise InputError("buckets: at least one name is needed, got none")
    twice = [name for name in dict.fromkeys(order) if order.count(name) > 1]
    if twice:
        raise InputError(f"buckets: every name must occur once, got {twice[0]!r} twice")


def _single(columns: Sequence[str], order: tuple[str, ...] | None) -> tuple[str, ...]:
    if order is not None and len(order) > 1:
        needed = ", ".join(bucket_column("w_", name) for name in order)
        raise InputError(
            f"column {needed}: needed for the buckets {', '.join(order)}, got no w_ column"
        )
    stray = [name for name in bucket_names(columns, "share_") if order is None or name not in order]
    if stray:
        raise InputError(
            f"column share_{stray[0]}: needs packed shares w_{stray[0]}, got no w_ column"
        )
    return order or (ONE_BUCKET,)


def _check_pairs(packed: list[str], source: list[str]) -> None:
    # A misspelt, missing or stray column, told before it is taken for a bucket of unknown place.
    lone = [(f"w_{name}", f"share_{name}") for name in packed if name not in source]
    lone += [(f"share_{name}", f"w_{name}") for name in source if name not in packed]
    if not source or not lone:
        return
    raise InputError(
        f"column {', '.join(column for column, _ in lone)}: every bucket needs both packed shares "
        "w_ and source shares share_ (ignore = [...] in study.toml drops a column of no bucket), "
        f"got {' and '.join(f'{column} without {other}' for column, other in lone)}"
    )


def _own_order(found: list[str]) -> tuple[str, ...]:
    integers = tuple(str(d) for d in range(len(found)))
    if set(found) == set(integers):
        return integers
    if len(found) == 1:
        return tuple(found)
    how = "(buckets = [...] in study.toml or --buckets)"
    got = f"got {', '.join(found)}"
    words = [name for name in found if not name.isdecimal()]
    if 0 < len(words) < len(found):
        rule = f"must be an integer like the other buckets, or the order of all be declared {how}"
        raise InputError(f"column w_{words[0]}: bucket {words[0]!r} {rule}, {got}")
    rule = f"must be declared {how} unless their names are 0 to {integers[-1]}"
    raise InputError(f"buckets: their order, best first, {rule}, {got}")


def _check_unknown(columns: Sequence[str], order: tuple[str, ...]) -> None:
    for prefix in BUCKET_PREFIXES if len(order) > 1 else ("w_", "share_"):
        for name in bucket_names(columns, prefix):
            if name not in order:
                known = ", ".join(order)
                raise InputError(
                    f"column {prefix}{name}: unknown bucket {name!r}, must be one of {known}"
                )


def fill_single_bucket(frame: pd.DataFrame, bucket: str) -> pd.DataFrame:
    """Give a table of one bucket the columns that go without saying.

    ``w_`` and ``share_`` are 1, and `source_tokens` and `unique_tokens` stand for each other.
    """
    new: dict[str, Any] = {bucket_column(prefix, bucket): 1.0 for prefix in ("w_", "share_")}
    if "source_tokens" not in frame and "unique_tokens" in frame:
        new["source_tokens"] = frame["unique_tokens"]
    return frame.assign(**{name: value for name, value in new.items() if name not in frame})


def paper_shares(
    frame: pd.DataFrame, buckets: tuple[str, ...]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Fill in the paper's source shares for buckets named 0..5 without share columns.

    Returns
    -------
    frame : DataFrame
    notes : tuple of str
        One sentence when shares were filled in.
    """
    if set(buckets) != set(PAPER_BUCKETS) or bucket_names(frame.columns, "share_"):
        return frame, ()
    named = {bucket_column("share_", str(d)): share for d, share in enumerate(PAPER_SHARES)}
    shares = ", ".join(f"{share:g}" for share in PAPER_SHARES)
    return frame.assign(**named), (f"source shares are the paper's for buckets 0..5: {shares}.",)
