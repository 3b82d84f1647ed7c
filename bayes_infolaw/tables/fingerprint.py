"""A table's columns -> SHA-256, independent of the file format."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

__all__ = ["data_hash"]


def data_hash(
    frame: pd.DataFrame, numeric: Sequence[str], labels: Sequence[str], facts: Sequence[str]
) -> str:
    """Hash the values that a fit depends on; row order counts, column order in the file does not.

    Only columns that the table gave are hashed, never derived ones: a power computed on another
    machine may differ in its last bit.

    Parameters
    ----------
    frame : DataFrame of n rows
    numeric : sequence of str
        Columns hashed as little-endian float64, in this order.
    labels : sequence of str
        Columns hashed as text (run names, groups).
    facts : sequence of str
        What else a fit depends on: unit, bucket order, names of the groups.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for content in _fields(frame, numeric, labels, facts):
        # The length first, so that neighbouring fields cannot run into each other.
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _fields(
    frame: pd.DataFrame, numeric: Sequence[str], labels: Sequence[str], facts: Sequence[str]
) -> list[bytes]:
    texts = [*facts, str(len(frame))]
    for column in labels:
        texts += [column, *map(str, frame[column])]
    found = [text.encode() for text in texts]
    for column in numeric:
        found += [column.encode(), _float_bytes(frame[column])]
    return found


def _float_bytes(values: pd.Series) -> bytes:
    numbers = values.to_numpy(dtype=float, na_value=np.nan) + 0.0  # -0.0 becomes 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes()
