"""A target whose repetition the proxies are to have: its S / K."""

from pathlib import Path

import pandas as pd

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.cells import Row, is_empty
from bayes_infolaw.harness.sweep.plan import Plan
from bayes_infolaw.harness.sweep.tokens import source_of
from bayes_infolaw.tables.files import read_frame
from bayes_infolaw.tables.schema import SHARE_TOLERANCE

__all__ = ["ratio_of_run", "ratio_of_table"]

OPTION = "--match-repetition"


def ratio_of_run(target: str, plan: Plan) -> float:
    """S / K of a run of the plan.

    Raises
    ------
    InputError
        The plan has no such run.
    """
    for run in plan.runs:
        if run.name == target:
            return run.source_tokens / run.budget.tokens
    rule = "must be a run of the plan, a table of one run, or TABLE#RUN"
    raise InputError(f"{OPTION}: {rule}, got {target!r}")


def ratio_of_table(target: str, corpus: Corpus) -> tuple[float, list[str]] | None:
    """S / K of a table's run, and notes; None where the target is no file.

    At equal recipe and equal S / K every bucket is repeated as often in a proxy as in the target:
    ``S_proxy = S_target K_proxy / K_target``.

    Parameters
    ----------
    target : str
        A table of one run (CSV or Parquet with ``tokens`` and ``source_tokens``), or
        ``TABLE#RUN``.
    corpus : Corpus
        Where the table states its buckets' shares, those of another corpus are noted.

    Raises
    ------
    InputError
        The table does not say which row is meant, or lacks a column.
    """
    name, _, chosen = target.partition("#")
    if not Path(name).is_file():
        return None
    row = _row(read_frame(Path(name)), chosen, target)
    if "tokens" not in row:
        row.fail("tokens", f"is needed for {OPTION}", "nothing")
    tokens = row.positive("tokens")
    return source_of(row, round(tokens)) / tokens, _other_shares(row, corpus)


def _row(frame: pd.DataFrame, chosen: str, target: str) -> Row:
    rows = [
        Row(number, {str(k): v for k, v in cells.items() if not is_empty(v)})
        for number, (_, cells) in enumerate(frame.iterrows(), start=1)
    ]
    if chosen:
        rows = [row for row in rows if "run" in row and row.text("run") == chosen]
        if not rows:
            raise InputError(f"{OPTION}: run must be in the table, got {target!r}")
    if len(rows) != 1:
        rule = "must name one row (TABLE#RUN)"
        raise InputError(f"{OPTION}: {rule}, got {target!r} with {len(rows)} rows")
    return rows[0]


def _other_shares(row: Row, corpus: Corpus) -> list[str]:
    pairs = zip(corpus.buckets, corpus.shares, strict=True)
    apart = [
        name
        for name, share in pairs
        if f"share_{name}" in row and abs(row.number_of(f"share_{name}") - share) > SHARE_TOLERANCE
    ]
    if not apart:
        return []
    return [
        f"the target's source shares differ from the corpus's in bucket {', '.join(apart)}: "
        "S / K is matched, the repetition of these buckets is not."
    ]
