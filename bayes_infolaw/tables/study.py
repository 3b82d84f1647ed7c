"""study.toml -> how to read a table that lies somewhere else, under its own column names.

A study reads a public table where it lies, without editing it. Only ``table`` is needed::

    title = "..."                   # source, licence, caveats = [...] likewise: kept with the fit
    table = "{data}/runs.csv"       # beside this file, or {data}/...: the data folder (see below)
    loss_unit = "nats per token"    # or "bits per byte"
    buckets = ["web", "books"]      # best first; not needed for one bucket or the names 0..D-1
    groups = ["corpus"]             # columns with random intercepts
    corpus = "corpus"               # column over which theta is partially pooled (D > 1)
    simulated = false               # true: the losses are simulated, and every output says so
    ignore = ["w_sum_raw"]          # columns of the file to leave out

    [[filter]]                      # rows to keep; several filters must all hold
    column = "in_fit182"            # in the file's own names
    equals = 1                      # or not_equals, one_of = [...], min, max (both inclusive)

    [columns]                       # canonical name = the file's name, times a factor for units
    params_nonembedding = "n_params"
    tokens = { column = "tokens_b", times = 1e9 }

    [constants]                     # canonical name = one value for all rows
    seq_len = 2048

    [derive]                        # canonical name = one of five fixed forms
    loss_se = { half_width = ["lo95", "hi95"], prob = 0.95 }  # sd from a normal interval's ends
    compute = { product = ["flops_per_token", "tokens"] }
    unique_tokens = { ratio = ["tokens", "epochs"] }
    run = { join = ["model", "seed"], separator = "-" }       # also makes repeated names unique
    label = { numbered = "point-" }                           # point-1, point-2, ...: file's rows

    [parameters]                    # of a simulation: free facts, kept with the fit

Filters and derived columns are data in fixed forms, not expressions: reading a study runs no code
from it. Forms read the file's own columns.

``{data}`` is the folder given by `data_dir`, else by the environment variable
``BAYES_INFOLAW_DATA``, else ``shared/data`` beside the repository where that exists.
"""

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bayes_infolaw.errors import InputError

__all__ = ["DATA_VARIABLE", "Study", "data_folder", "read_study"]

DATA_VARIABLE = "BAYES_INFOLAW_DATA"
DATA_MARK = "{data}/"
REPOSITORY = Path(__file__).parents[2]
CONDITIONS = ("equals", "not_equals", "one_of", "min", "max")


@dataclass(frozen=True)
class Study:
    """What study.toml says; the empty study reads a table as it is."""

    table: str = ""
    title: str = ""
    source: str = ""
    licence: str = ""
    caveats: tuple[str, ...] = ()
    loss_unit: str | None = None
    buckets: tuple[str, ...] | None = None
    groups: tuple[str, ...] = ()
    corpus: str | None = None
    simulated: bool = False
    ignore: tuple[str, ...] = ()
    filter: tuple[dict[str, Any], ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    derive: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Free facts that a fit keeps: title, source, licence, caveats, simulation parameters."""
        names = ("title", "source", "licence", "caveats", "parameters")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises
    ------
    InputError
        The file is missing, is no TOML, has an unknown key or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"study {path}: cannot be read ({error})") from error
    _check_keys(path, content)
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    if "buckets" in lists:
        lists["buckets"] = tuple(str(name) for name in lists["buckets"])
    for condition in lists.get("filter", ()):
        _check_filter(path, condition)
    for name, value in content.get("constants", {}).items():
        if not isinstance(value, str | int | float):
            rule = "must be a number, text or true/false"
            raise InputError(f"study {path}, key constants.{name}: {rule}, got {value!r}")
    return Study(**(content | lists))


def _check_keys(path: Path, content: dict[str, Any]) -> None:
    kinds = {f.name: _kind(f.type) for f in fields(Study)}
    for key, value in content.items():
        if key not in kinds:
            raise InputError(f"study {path}: key must be one of {', '.join(kinds)}, got {key!r}")
        if not isinstance(value, kinds[key]):
            need = kinds[key].__name__
            raise InputError(f"study {path}, key {key}: must be a {need}, got {value!r}")
    if "table" not in content:
        raise InputError(f"study {path}, key table: must name the table, got nothing")


def _kind(annotation: Any) -> type:
    text = str(annotation)
    for mark, kind in (("tuple", list), ("dict", dict), ("bool", bool)):
        if mark in text:
            return kind
    return str


def _check_filter(path: Path, condition: Any) -> None:
    keys = set(condition) - {"column"} if isinstance(condition, dict) else set()
    if not keys or "column" not in condition or not keys <= set(CONDITIONS):
        rule = f"must have a column and one or more of {', '.join(CONDITIONS)}"
        raise InputError(f"study {path}, key filter: {rule}, got {condition!r}")
    kinds: dict[str, Any] = {"one_of": list, "min": int | float, "max": int | float}
    for key, value in condition.items():
        if not isinstance(value, kinds.get(key, str | int | float)):
            raise InputError(f"study {path}, key filter.{key}: wrong kind of value, got {value!r}")


def table_path(study: Study, path: Path, data_dir: str | Path | None = None) -> Path:
    """Where the table of the study at `path` lies."""
    if not study.table.startswith(DATA_MARK):
        return path.parent / study.table
    folder = data_folder(data_dir)
    if folder is None:
        raise InputError(
            f"study {path}, key table: {study.table} needs the data folder, set {DATA_VARIABLE} "
            "to it or give it as data_dir (--data-dir), got neither"
        )
    return folder / study.table.removeprefix(DATA_MARK)


def data_folder(data_dir: str | Path | None = None) -> Path | None:
    """Folder of the public tables: argument, else environment, else beside the repository."""
    named = data_dir if data_dir is not None else os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named)
    beside = REPOSITORY.parent / "shared" / "data"
    return beside if beside.is_dir() else None
