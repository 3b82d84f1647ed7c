"""Options that several commands share, and the small texts that they are read from."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayes_infolaw.errors import InputError, require_probability

if TYPE_CHECKING:
    from bayes_infolaw.posterior.fit import Fit
    from bayes_infolaw.tables import RunTable

__all__ = [
    "AllowUnconverged",
    "AnswerFile",
    "AsJson",
    "Backend",
    "Buckets",
    "Chains",
    "DataDir",
    "Device",
    "Draws",
    "FitFile",
    "FittedTable",
    "FlopsPerToken",
    "Label",
    "Model",
    "Overtraining",
    "PriorDominated",
    "Prob",
    "Seed",
    "Shares",
    "SourceTokens",
    "Table",
    "TargetParams",
    "TargetTokens",
    "Warmup",
    "bucket_order",
    "named_values",
    "number",
    "open_fit",
    "read_planned",
    "require_folder",
    "require_one_degree",
    "require_prob",
    "share_values",
]

Table = Annotated[
    str,
    typer.Argument(
        metavar="TABLE|STUDY",
        help="Run table (CSV or Parquet), a study.toml, or a folder that holds one.",
    ),
]
FitFile = Annotated[str, typer.Argument(metavar="FIT", help="Fit file written by `fit`.")]
Model = Annotated[
    str,
    typer.Option(metavar="NAME|FILE", help="Shipped model (see `models`) or a model file (.toml)."),
]
Buckets = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="Bucket names, best first; not needed for the names 0..D-1, one bucket, or a study "
        "that declares them.",
    ),
]
Chains = Annotated[int, typer.Option(help="Chains.")]
Draws = Annotated[int, typer.Option(help="Draws of each chain.")]
Warmup = Annotated[int, typer.Option(help="Warm-up transitions of each chain.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed; the same seed gives the same draws.")]
Backend = Annotated[str, typer.Option(help="numpyro, or pymc (extra `pymc`).")]
Device = Annotated[str, typer.Option(help="auto, cpu or gpu.")]
DataDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER", help="Folder for {data} in studies; default: $BAYES_INFOLAW_DATA."
    ),
]
PriorDominated = Annotated[
    bool,
    typer.Option("--prior-dominated", help="Accept fewer runs than parameters they can inform."),
]
AllowUnconverged = Annotated[
    bool, typer.Option("--allow-unconverged", help="Go on from a fit that did not converge.")
]
Prob = Annotated[float, typer.Option(help="Probability of the equal-tailed intervals.")]
FittedTable = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="TABLE|STUDY",
        help="Refuse (exit 4) unless the fit is of exactly these data.",
    ),
]
TargetParams = Annotated[
    float, typer.Option(help="Parameters of the target model, embeddings apart (7e9).")
]
TargetTokens = Annotated[
    float, typer.Option(help="Tokens K that the target will be trained on (425e9).")
]
SourceTokens = Annotated[float, typer.Option(help="Tokens S of the target's source corpus.")]
FlopsPerToken = Annotated[
    float | None,
    typer.Option(
        help="M of the target, training FLOP per token with attention, from which m follows."
    ),
]
Overtraining = Annotated[
    float | None, typer.Option(help="The target's degree m itself, in the place of M.")
]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=SHARE",
        help="Source share of a bucket, once each; default: the fitted runs'.",
    ),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="The target's corpus or group, once a column; one left out is a new one.",
    ),
]
AnswerFile = Annotated[
    str | None, typer.Option(metavar="FILE.json", help="Write the answer there.")
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr."),
]


def bucket_order(text: str | None) -> list[str] | None:
    """``"a,b,c"`` -> ``["a", "b", "c"]``; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",")]


def named_values(pairs: Iterable[str], option: str) -> dict[str, str]:
    """``["a=1", "b=2"]`` -> ``{"a": "1", "b": "2"}``.

    Raises
    ------
    InputError
        A pair without ``=`` or a name given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.rpartition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f"{option}: must be NAME=VALUE, got {pair!r}")
        if name in values:
            raise InputError(f"{option}: every name must come once, got {name!r} twice")
        values[name] = value.strip()
    return values


def share_values(pairs: list[str] | None) -> dict[str, float] | None:
    """``--shares`` as numbers by bucket; None where none are given."""
    if not pairs:
        return None
    named = named_values(pairs, "--shares")
    return {name: number(text, f"--shares {name}") for name, text in named.items()}


def require_one_degree(
    command: str, flops_per_token: float | None, overtraining: float | None
) -> None:
    """Raise InputError where both M and m itself are given."""
    if flops_per_token is not None and overtraining is not None:
        raise InputError(f"{command}: give --flops-per-token or --overtraining, not both")


def require_folder(path: Path | str | None, option: str = "--out") -> None:
    """Raise InputError unless the folder of an output exists: before the work, not after it."""
    if path is not None and not Path(path).parent.is_dir():
        raise InputError(f"{option}: folder must exist, got {str(Path(path).parent)!r}")
    if path is not None and Path(path).is_dir():
        raise InputError(f"{option}: must be a file, got the folder {str(path)!r}")


def require_prob(prob: float) -> None:
    """Raise InputError unless 0 < prob < 1: before the work, not after it."""
    require_probability("--prob", prob)


def open_fit(path: str, table: str | None, data_dir: str | None) -> "Fit":
    """Load a fit file and, where a table is named, refuse it unless that is what was fitted.

    Raises
    ------
    InputError
        No fit file, or a bad table.
    RefusedError
        The fit is of other data.
    """
    from bayes_infolaw import load_fit, read_runs

    fitted = load_fit(path)
    if table is not None:
        runs = read_runs(
            table, buckets=fitted.table.buckets, data_dir=data_dir, prior_dominated=True
        )
        fitted.require_data(runs)
    return fitted


def read_planned(fitted: "Fit", plan: str, data_dir: str | None) -> "RunTable":
    """Read a plan file in the buckets and the unit of a fit."""
    from bayes_infolaw import read_plan

    of_fit = fitted.table
    return read_plan(plan, buckets=of_fit.buckets, loss_unit=of_fit.loss_unit, data_dir=data_dir)


def number(text: str, what: str) -> float:
    """Read a number such as 425e9.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what}: must be a number, got {text!r}") from None
