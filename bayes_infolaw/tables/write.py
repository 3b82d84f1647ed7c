"""A run table -> a CSV or Parquet file that reads back with the same data hash."""

from pathlib import Path

import pandas as pd

from bayes_infolaw.tables.files import write_frame
from bayes_infolaw.tables.runs import RunTable
from bayes_infolaw.tables.schema import canonical_columns

__all__ = ["stated_frame", "write_runs"]


def stated_frame(table: RunTable) -> pd.DataFrame:
    """Columns that the table gave, without those that the reader derived.

    Returns
    -------
    DataFrame
        One row a run; a simulated table carries the column `simulated`.
    """
    canonical = canonical_columns(table.buckets)
    given = {"run", *table.provenance.get("given", canonical)}
    derived = [name for name in canonical if name in table.frame and name not in given]
    # A loss that a plan carries is ignored, not derived.
    frame = table.frame.drop(columns=[name for name in derived if name != "loss"])
    return frame.assign(simulated=True) if table.simulated else frame


def write_runs(table: RunTable, path: str | Path) -> None:
    """Write a table (CSV, or Parquet by its ending); buckets and groups belong into a study.toml.

    Raises
    ------
    InputError
        The folder does not exist.
    """
    write_frame(stated_frame(table), Path(path))
