"""A recipe as a user writes it (text or file) -> shares in the buckets' order, checked."""

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bayes_infolaw.errors import InputError

__all__ = ["parse_recipe", "recipe_shares", "require_packable"]

SUM_TOLERANCE = 0.005
"""Shares that miss one by no more are rescaled; published recipes are rounded like this."""

Pairs = list[tuple[str, object]]


def parse_recipe(text: str | Path, buckets: tuple[str, ...]) -> np.ndarray:
    """Read a recipe from ``"a=0.5,b=0.5"`` or from a CSV, JSON or TOML file.

    CSV: two columns ``bucket,share``, or one row under the buckets' names (``w_`` is dropped).
    JSON and TOML: name to share, at the top or under ``recipe``.

    Parameters
    ----------
    text : str or Path
        The pairs themselves, or the path of a file that ends in .csv, .json or .toml.
    buckets : tuple of str
        The target's D bucket names, best first.

    Returns
    -------
    array of shape (D,)
        Shares of the packed tokens, rescaled to sum one; buckets left out get 0.

    Raises
    ------
    InputError
        A file that cannot be read; an unknown or repeated bucket; a share that is no number or
        negative; a sum further than 0.005 from one.
    """
    readers = {".csv": _csv_pairs, ".json": _json_pairs, ".toml": _toml_pairs}
    reader = readers.get(Path(text).suffix.lower()) if "=" not in Path(text).name else None
    if reader is None:
        return recipe_shares(_text_pairs(str(text)), buckets)
    try:
        pairs = reader(Path(text))
    except OSError as error:
        raise InputError(f"recipe file {str(text)!r} cannot be read: {error.strerror}") from error
    return recipe_shares(pairs, buckets)


def recipe_shares(
    recipe: Mapping[str, float] | Iterable[tuple[str, object]], buckets: tuple[str, ...]
) -> np.ndarray:
    """Check named shares and put them in the buckets' order, shape (D,); see `parse_recipe`."""
    pairs = recipe.items() if isinstance(recipe, Mapping) else recipe
    shares: dict[str, float] = {}
    for name, value in pairs:
        if name not in buckets:
            raise InputError(f"recipe names bucket {name!r}; the buckets are {', '.join(buckets)}")
        if name in shares:
            raise InputError(f"recipe names bucket {name!r} twice; every bucket may come once")
        shares[name] = _share(name, value)
    return _rescaled(np.array([shares.get(name, 0.0) for name in buckets]))


def require_packable(shares: np.ndarray, source: np.ndarray, buckets: tuple[str, ...]) -> None:
    """Raise InputError where an incumbent (D,) packs a bucket whose source (D,) is empty."""
    empty = np.flatnonzero((shares > 0) & (np.asarray(source) <= 0))
    if empty.size:
        name, share = buckets[empty[0]], shares[empty[0]]
        raise InputError(
            f"incumbent packs bucket {name!r}, which has 0 source tokens, got {share:g}"
        )


def _share(name: str, value: object) -> float:
    try:
        share = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        share = math.nan
    if isinstance(value, bool) or not (math.isfinite(share) and share >= 0):
        raise InputError(f"recipe share of {name!r} must be a number >= 0, got {value!r}")
    return share


def _rescaled(shares: np.ndarray) -> np.ndarray:
    total = shares.sum()
    if abs(total - 1.0) > SUM_TOLERANCE + 1e-12:
        raise InputError(f"recipe shares must sum to 1 within {SUM_TOLERANCE}, got {total:.6g}")
    return shares / total


def _text_pairs(text: str) -> Pairs:
    pairs: Pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, share = part.rpartition("=")
        if not equals:
            raise InputError(
                f"recipe must be NAME=SHARE,... or a .csv, .json or .toml file, got {part!r}"
            )
        pairs.append((name.strip(), share.strip()))
    return pairs


def _csv_pairs(path: Path) -> Pairs:
    try:
        table = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"recipe file {str(path)!r} is no CSV table: {error}") from error
    rows = table.to_numpy(dtype=str).tolist()
    if rows[0] == ["bucket", "share"]:
        return [(name, share) for name, share in rows[1:]]
    if len(rows) != 2:
        raise InputError(
            f"recipe file {str(path)!r} must hold one recipe, got {len(rows) - 1} rows"
        )
    return [(name.removeprefix("w_"), share) for name, share in zip(*rows, strict=True)]


def _json_pairs(path: Path) -> Pairs:
    try:
        # Pairs, not a dict: a repeated name must reach the check.
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=list)
    except ValueError as error:
        raise InputError(f"recipe file {str(path)!r} is no JSON: {error}") from error
    return _under_recipe(content, path)


def _toml_pairs(path: Path) -> Pairs:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"recipe file {str(path)!r} is no TOML: {error}") from error
    nested = content.get("recipe")
    return list((nested if isinstance(nested, dict) else content).items())


def _under_recipe(content: object, path: Path) -> Pairs:
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise InputError(f"recipe file {str(path)!r} must map bucket names to shares")
    nested = [value for name, value in content if name == "recipe" and isinstance(value, list)]
    return _under_recipe(nested[0], path) if nested else content
