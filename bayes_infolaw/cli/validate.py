"""``bayes-infolaw validate``: a table and a hold-out rule -> scores beside the baselines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame, print_notes, progress

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.validation.report import Validation

__all__ = ["show_validation", "validate"]


@command
def validate(
    table: opt.Table,
    hold_out: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="Runs to hold out: largest-compute (the top 20 %), largest-compute:0.1, "
            "largest-size, largest-size:2, group=NAME, COLUMN=VALUE, or an expression such as "
            "'params_nonembedding > 4e9'.",
        ),
    ],
    model: opt.Model = "infolaw",
    buckets: opt.Buckets = None,
    chains: opt.Chains = 4,
    draws: opt.Draws = 1000,
    warmup: opt.Warmup = 900,
    seed: opt.Seed = 0,
    backend: opt.Backend = "numpyro",
    device: opt.Device = "auto",
    data_dir: opt.DataDir = None,
    prior_dominated: opt.PriorDominated = False,
    allow_unconverged: opt.AllowUnconverged = False,
    prob: opt.Prob = 0.9,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write the held-out runs' predictions (.csv, .parquet)."),
    ] = None,
    as_json: opt.AsJson = False,
) -> Answer:
    """Fit a part of a table, predict the rest, and compare with baselines on the same split.

    Errors are |predicted / measured - 1| in percent; coverage is of central predictive intervals;
    log score (nats a run, higher is better) and CRPS (loss unit, lower is better).
    """
    from bayes_infolaw import read_runs
    from bayes_infolaw.tables.files import write_frame
    from bayes_infolaw.validation.validate import validate as run_validate

    opt.require_folder(out)
    opt.require_prob(prob)
    order = opt.bucket_order(buckets)
    runs = read_runs(table, buckets=order, data_dir=data_dir, prior_dominated=prior_dominated)
    settings: dict[str, Any] = {"chains": chains, "draws": draws, "warmup": warmup, "seed": seed}
    settings |= {"backend": backend, "device": device, "prob": prob}
    settings |= {"prior_dominated": prior_dominated, "allow_unconverged": allow_unconverged}
    with progress("sampling") as said:
        found = run_validate(runs, hold_out, model, progress=said, **settings)
    if out:
        write_frame(found.rows, Path(out))
    payload = found.to_dict() | {"out": out}
    return Answer(payload, lambda console: _show(console, found))


def _show(console: "Console", found: "Validation") -> None:
    from bayes_infolaw.posterior.wording import verdict_sentence

    console.print(verdict_sentence(found.fit.verdict), soft_wrap=True)
    show_validation(console, found)
    print_notes(console, found.fit.info.get("notes", ()))


def show_validation(console: "Console", found: "Validation") -> None:
    """Print one table, methods in rows, and what is left out and why."""
    fitted, scored = len(found.fit.table), len(found.held)
    title = f"Held out by {found.hold_out}: {fitted} runs fitted, {scored} predicted"
    formats = {str(name): ".0f" for name in found.table() if str(name).startswith("in ")}
    formats |= {f"{name} %": ".3f" for name in ("mean", "median", "max")}
    print_frame(console, found.table(), title, formats)
    print_notes(console, [m.reason for m in found.baselines.values() if m.reason], "Not scored")
    head = "Held-out runs outside the law's domain, left out for every method"
    print_notes(console, found.outside.values(), head)
