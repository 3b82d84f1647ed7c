"""CSV and Parquet files -> data frames, and back, with one clear error for an unreadable file."""

import csv
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.whole_file import write_whole

__all__ = ["read_frame", "write_frame", "write_text"]

PARQUET = (".parquet", ".pq")
# CSV and Parquet must hash alike. Until pandas 3.1 the default parser was off by an ulp at times;
# since then it is exact, and the argument is deprecated.
OLD_PARSER = tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1)
EXACT_FLOATS: dict[str, Any] = {"float_precision": "round_trip"} if OLD_PARSER else {}
UNREADABLE = (OSError, ValueError, pd.errors.ParserError, pd.errors.ParserWarning)


def read_frame(path: Path, text_columns: tuple[str, ...] = ("run",)) -> pd.DataFrame:
    """Read a CSV or Parquet file as it is, rows numbered from 0.

    Parameters
    ----------
    path : Path
        ``.parquet`` and ``.pq`` are Parquet; everything else is comma-separated text with a header.
    text_columns : tuple of str
        Columns of a CSV kept as text, so that a run called ``007`` stays ``007``.

    Raises
    ------
    InputError
        The file is missing, unreadable, without columns, or repeats a column name.
    """
    if not path.is_file():
        raise InputError(f"table {path}: no such file")
    try:
        frame = _read_parquet(path) if path.suffix in PARQUET else _read_csv(path, text_columns)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"table {path}: cannot be read ({_first_line(error)})") from error
    return frame.reset_index(drop=True)


def _read_parquet(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)


def _read_csv(path: Path, text_columns: tuple[str, ...]) -> pd.DataFrame:
    names = _header(path)
    with warnings.catch_warnings():
        # Rows longer than the header would otherwise lose their last cells with only a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            header=0,
            names=names,
            index_col=False,
            encoding="utf-8-sig",
            dtype={name: str for name in text_columns if name in names},
            low_memory=False,
            **EXACT_FLOATS,
        )


def _header(path: Path) -> list[str]:
    # Read apart because pandas renames the second of two equal columns without a word.
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
    if not names:
        raise InputError(f"table {path}: is empty, a header and at least one row are needed")
    require_distinct_columns(names)
    return names


def require_distinct_columns(names: list[str]) -> None:
    """Raise InputError when a column name occurs twice."""
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InputError(f"column {twice[0]}: must occur once, got {names.count(twice[0])} columns")


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write CSV or Parquet by the name's ending, to a temporary file that is then renamed."""
    if path.suffix in PARQUET:
        write_whole(path, lambda temporary: frame.to_parquet(temporary, index=False))
    else:
        write_whole(
            path, lambda temporary: frame.to_csv(temporary, index=False, lineterminator="\n")
        )


def write_text(text: str, path: Path) -> None:
    """Write a text file, to a temporary file that is then renamed."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
