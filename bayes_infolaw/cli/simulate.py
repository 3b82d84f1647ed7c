"""``bayes-infolaw simulate``: a design and known parameters -> a table of simulated runs."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_notes
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.model.spec import ModelSpec
    from bayes_infolaw.tables import RunTable

__all__ = ["simulate"]


@command
def simulate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Shipped model (see `models`) or a model file.")
    ],
    design: Annotated[
        str,
        typer.Option(metavar="TABLE", help="Runs to simulate: a plan or a run table."),
    ],
    parameters: Annotated[
        str,
        typer.Option(
            metavar="NAME=VALUE,...|FILE.toml",
            help="theta, a, b, alpha, beta, sigma (sd of log loss) and K_0 in published units; in "
            "a file, alpha may be a table by overtraining degree m.",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="TABLE", help="Table to write (.csv or .parquet).")],
    noise: Annotated[
        float | None, typer.Option(help="Sd of log loss, in the place of sigma.")
    ] = None,
    seed: opt.Seed = 0,
    buckets: opt.Buckets = None,
    data_dir: opt.DataDir = None,
    as_json: opt.AsJson = False,
) -> Answer:
    """Draw losses for a design from the law at known parameters.

    The table is labelled as simulated, and so is everything that is fitted to it.
    """
    from bayes_infolaw import find_model
    from bayes_infolaw import simulate as run_simulate
    from bayes_infolaw.tables import write_runs

    opt.require_folder(out)
    if seed < 0:
        raise InputError(f"--seed: must be at least 0, got {seed}")
    spec = find_model(model)
    _require_published_form(spec)
    values = _parameters(parameters)
    if not isinstance(spec.tokens_0, str):
        values.setdefault("K_0", float(spec.tokens_0))
    runs = _read_design(design, opt.bucket_order(buckets), data_dir)
    made = run_simulate(runs, values, seed=seed, noise_sd=noise)
    write_runs(made, out)
    facts = made.provenance["parameters"]
    payload: dict[str, Any] = {
        "table": out,
        "runs": len(made),
        "model": spec.name,
        "parameters": {name: value for name, value in facts.items() if name not in ("law", "seed")},
        "seed": seed,
        "buckets": list(made.buckets),
        "loss_unit": made.loss_unit,
        "simulated": True,
        "notes": _notes(made),
    }
    return Answer(payload, lambda console: _show(console, payload))


def _require_published_form(spec: "ModelSpec") -> None:
    """Known parameters are stated in the published form: other laws have none of these names."""
    needed = {
        "normaliser": "log",
        "rate": "log",
        "densities": "constant",
        "irreducible": False,
        "noise": "normal",
        "grows_with_repetition": False,
    }
    for name, value in needed.items():
        found = getattr(spec, name)
        if found != value:
            rule = f"must be {value!r} to simulate from published parameters"
            raise InputError(f"model {spec.name}: {name} {rule}, got {found!r}")


def _parameters(text: str) -> dict[str, Any]:
    if Path(text).suffix != ".toml":
        pairs = [pair for pair in text.split(",") if pair.strip()]
        named = opt.named_values(pairs, "--parameters")
        return {name: opt.number(value, f"--parameters {name}") for name, value in named.items()}
    try:
        content = tomllib.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--parameters {text}: cannot be read ({error})") from error
    values = content.get("parameters", content)
    if not isinstance(values, dict):
        raise InputError(f"--parameters {text}: must hold names and numbers")
    return dict(values)


def _read_design(design: str, buckets: list[str] | None, data_dir: str | None) -> "RunTable":
    """Read a design with or without losses; without an order, its study or the names declare it."""
    from bayes_infolaw import read_plan

    return read_plan(design, buckets=cast("list[str]", buckets), data_dir=data_dir)


def _notes(made: "RunTable") -> list[str]:
    integers = tuple(str(d) for d in range(made.n_buckets))
    notes = ["the losses are simulated."]
    if made.n_buckets > 1 and made.buckets != integers:
        notes.append(f"read the table with --buckets {','.join(made.buckets)}.")
    return notes


def _show(console: "Console", payload: dict[str, Any]) -> None:
    console.print(f"{payload['runs']} simulated runs written to {payload['table']}.")
    stated = ", ".join(f"{name} {value}" for name, value in payload["parameters"].items())
    console.print(f"Parameters: {stated}; seed {payload['seed']}.", soft_wrap=True)
    print_notes(console, payload["notes"])
