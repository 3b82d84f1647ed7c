"""Names of runs that the plan leaves unnamed: built from the row alone, so a plan can grow."""

from bayes_infolaw.harness.settings import HOW
from bayes_infolaw.harness.sweep.cells import SETTING_KINDS, Row

__all__ = ["run_name"]

IN_THE_NAME = ("tokens", "source_tokens", "subsample", "seed")
UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def run_name(own: Row, row: Row, size: str, recipe: str) -> str:
    """``147k-HQ-m4-S1K-sub0-seed0``: size, recipe, m or K, S, seeds, and settings of its own.

    Parameters
    ----------
    own, row : Row
        As the plan has it, and with the defaults filled in.
    size, recipe : str
    """
    seeds = [f"sub{_whole(row, 'subsample')}", f"seed{_whole(row, 'seed')}"]
    left_out = (*IN_THE_NAME, *HOW)
    parts = [f"{n}{own.text(n)}" for n in SETTING_KINDS if n in own and n not in left_out]
    text = "-".join([size, recipe, _tokens(row), _source(row), *seeds, *parts])
    return "".join(c if c.isascii() and (c.isalnum() or c in "._+-") else "_" for c in text)


def _whole(row: Row, column: str) -> int:
    return row.whole(column) if column in row else 0


def _tokens(row: Row) -> str:
    if "tokens" in row:
        return f"K{short(row.positive('tokens'))}"
    return f"m{row.positive('overtraining'):.4g}"


def _source(row: Row) -> str:
    if "source_tokens" in row:
        return f"S{short(row.positive('source_tokens'))}"
    return f"S{row.positive('source_ratio'):.4g}K" if "source_ratio" in row else "Smatched"


def short(value: float) -> str:
    """``12_500_000`` -> ``12.5M``."""
    for unit, letter in UNITS:
        if value >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"
