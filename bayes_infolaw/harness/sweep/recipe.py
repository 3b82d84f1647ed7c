"""A row's recipe: packed shares of its own, or a name for them."""

import hashlib
from dataclasses import dataclass
from math import fsum

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.store import Corpus
from bayes_infolaw.harness.sweep.cells import Row
from bayes_infolaw.harness.sweep.settings_file import SweepFile
from bayes_infolaw.tables.schema import SHARE_TOLERANCE

__all__ = ["Recipe", "recipe_of"]


@dataclass(frozen=True)
class Recipe:
    """Packed shares by bucket, summing to 1, and what people call them."""

    name: str
    shares: dict[str, float]


def recipe_of(row: Row, file: SweepFile, corpus: Corpus) -> Recipe:
    """The recipe of a row: its ``w_<bucket>`` columns, else the one that ``recipe`` names.

    Beside ``w_`` columns, ``recipe`` is a label. ``share_<bucket>`` columns must be the corpus's.

    Raises
    ------
    InputError
        No recipe, an unknown one, or shares that do not sum to 1 within 0.005.
    """
    _check_shares(row, corpus)
    columns = [f"w_{name}" for name in corpus.buckets if f"w_{name}" in row]
    if columns:
        stated = {name: _share(row, f"w_{name}") for name in corpus.buckets}
        shares = _rescaled(row, stated, " + ".join(columns))
        name = row.text("recipe") if "recipe" in row else _digest(shares)
        return Recipe(name, shares)
    if "recipe" not in row:
        row.fail("recipe", "recipe or w_<bucket> columns are needed", "nothing")
    name = row.text("recipe")
    try:
        stated = file.recipe(name, corpus.buckets)
    except InputError as error:
        row.fail("recipe", str(error))
    return Recipe(name, _rescaled(row, stated, "recipe"))


def _share(row: Row, column: str) -> float:
    if column not in row:
        return 0.0
    value = row.number_of(column)
    if value < 0:
        row.fail(column, "must be a share of at least 0")
    return value


def _rescaled(row: Row, stated: dict[str, float], column: str) -> dict[str, float]:
    total = fsum(stated.values())
    if abs(total - 1) > SHARE_TOLERANCE + 1e-12:
        row.fail(column, f"packed shares must sum to 1 within {SHARE_TOLERANCE:g}", total)
    return {name: share / total for name, share in stated.items()}


def _check_shares(row: Row, corpus: Corpus) -> None:
    for name, share in zip(corpus.buckets, corpus.shares, strict=True):
        column = f"share_{name}"
        if column in row and abs(row.number_of(column) - share) > SHARE_TOLERANCE:
            rule = f"must be the corpus's {share:.4g} within {SHARE_TOLERANCE:g}"
            row.fail(column, f"{rule}, or be left out")


def _digest(shares: dict[str, float]) -> str:
    text = ",".join(f"{share:.6f}" for share in shares.values())
    return "w" + hashlib.sha256(text.encode()).hexdigest()[:6]
