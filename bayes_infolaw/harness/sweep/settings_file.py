"""``sweep.toml``: what all runs of a plan share, named recipes, and the study's facts."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.tables.paper_ladder import RECIPES

__all__ = ["SweepFile", "find_settings", "read_settings"]

SETTINGS_NAME = "sweep.toml"
PAPER_BUCKETS = 6


@dataclass(frozen=True)
class SweepFile:
    """The content of ``sweep.toml``; the empty one says nothing.

    Attributes
    ----------
    training : dict
        Settings of every run (any column of a plan); a plan's own cell wins.
    recipes : dict
        Recipe name -> packed shares: {bucket: share}, or a list over the buckets, best first. In
        the file also the name of a file beside it that ``recommend --out`` wrote.
    study : dict
        ``title``, ``licence``, ``source``, ``caveats``, ``groups``: for ``study.toml``.
    slurm, ray : dict
        Parameters of submitit's executor (``partition``, ``timeout_min``, ...) and of Ray's tasks
        (``num_gpus``, ``resources``, ...).
    path : Path or None
        The file that was read.
    """

    training: dict[str, Any] = field(default_factory=dict)
    recipes: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)
    slurm: dict[str, Any] = field(default_factory=dict)
    ray: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def recipe(self, name: str, buckets: tuple[str, ...]) -> dict[str, float]:
        """Packed shares of a named recipe over the corpus's buckets, as stated.

        The paper's HQ, MHQ, MQ, MLQ and LQ are known where there are six buckets; a bucket's own
        name is the recipe of that bucket alone.

        Raises
        ------
        InputError
            The name is unknown, or the recipe does not fit the corpus's buckets.
        """
        known = {bucket: {bucket: 1.0} for bucket in buckets}
        known |= _paper_recipes(buckets) | self.recipes
        if name not in known:
            raise InputError(f"must be one of {', '.join(known)} (sweep.toml names more)")
        shares = known[name]
        if not isinstance(shares, Mapping):
            shares = _by_bucket(shares, buckets)
        strange = [bucket for bucket in shares if bucket not in buckets]
        if strange:
            rule = f"must have buckets among the corpus's {', '.join(buckets)}"
            raise InputError(f"{rule} (has {strange[0]!r})")
        return {bucket: float(shares.get(bucket, 0.0)) for bucket in buckets}


def _paper_recipes(buckets: tuple[str, ...]) -> dict[str, Any]:
    return dict(RECIPES) if len(buckets) == PAPER_BUCKETS else {}


def _by_bucket(shares: Sequence[float], buckets: tuple[str, ...]) -> dict[str, float]:
    if len(shares) != len(buckets):
        raise InputError(f"must have {len(buckets)} shares, one a bucket (has {len(shares)})")
    return dict(zip(buckets, shares, strict=True))


def find_settings(plan: Path, given: Path | None) -> SweepFile:
    """The settings file that was named, else ``sweep.toml`` beside the plan, else none."""
    if given is not None:
        return read_settings(given)
    beside = plan.parent / SETTINGS_NAME
    return read_settings(beside) if beside.is_file() else SweepFile()


def read_settings(path: Path) -> SweepFile:
    """Read a settings file.

    Raises
    ------
    InputError
        The file is missing or no TOML, has an unknown key, or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"settings {path}: cannot be read ({error})") from error
    known = [f.name for f in fields(SweepFile) if f.name != "path"]
    for key, value in content.items():
        _check_key(path, key, value, known)
    recipes = {}
    for name, stated in content.get("recipes", {}).items():
        where = f"settings {path}, key recipes.{name}"
        recipes[name] = _recommended(where, path.parent, stated)
        _check_recipe(where, recipes[name])
    return SweepFile(**(content | {"recipes": recipes, "path": path}))


def _recommended(where: str, folder: Path, stated: Any) -> Any:
    """The recipe of a file that ``recommend --out`` wrote, where one is named."""
    if not isinstance(stated, str):
        return stated
    try:
        return json.loads((folder / stated).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        rule = "must name a file that `recommend --out` wrote"
        raise InputError(f"{where}: {rule}, got {stated!r} ({error})") from error


def _check_key(path: Path, key: str, value: Any, known: list[str]) -> None:
    if key not in known:
        raise InputError(f"settings {path}: key must be one of {', '.join(known)}, got {key!r}")
    if not isinstance(value, dict):
        raise InputError(f"settings {path}, key {key}: must be a table, got {value!r}")


def _check_recipe(where: str, recipe: Any) -> None:
    if not isinstance(recipe, dict | list) or not recipe:
        rule = "must be shares by bucket (a table, or a list best first) or a recommendation's file"
        raise InputError(f"{where}: {rule}, got {recipe!r}")
    for share in recipe.values() if isinstance(recipe, dict) else recipe:
        number = isinstance(share, int | float) and not isinstance(share, bool)
        if not number or not share >= 0:
            raise InputError(f"{where}: shares must be numbers of at least 0, got {share!r}")
