"""Quality scores that a corpus brings along, by the names of their columns."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bayes_infolaw.errors import InputError

__all__ = ["KNOWN_COLUMNS", "read_score", "score_columns"]

# FineWeb-Edu's regression of educational value (0 to 5); DCLM's fastText probability of being like
# OpenHermes and ELI5 answers rather than like RefinedWeb.
KNOWN_COLUMNS = ("score", "fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_prob")


def score_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The known quality columns among a table's columns, in a fixed order."""
    return tuple(name for name in KNOWN_COLUMNS if name in names)


def read_score(
    values: Iterable[object], column: str = "score", place: Callable[[int], str] = "row {}".format
) -> np.ndarray:
    """Parse one score column; some dumps of DCLM keep the probability as text.

    Parameters
    ----------
    values : iterable of n numbers or decimal strings
    column : str
        Named in the error.
    place : callable
        Names the place of value i in the error.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    InputError
        A value is missing or no finite number.
    """
    found = list(values)
    numbers = np.array([_number(value) for value in found], dtype=float)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        i = int(bad[0])
        raise InputError(f"{column}: {place(i)} must be a finite number, got {found[i]!r}")
    return numbers


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
