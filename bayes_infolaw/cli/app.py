"""The commands, gathered."""

import importlib.metadata
from typing import Annotated

import typer

from bayes_infolaw.cli.beats import beats
from bayes_infolaw.cli.corpus import corpus_app
from bayes_infolaw.cli.demo import demo
from bayes_infolaw.cli.diagnose import diagnose
from bayes_infolaw.cli.evaluate import evaluate
from bayes_infolaw.cli.fit import fit
from bayes_infolaw.cli.models import models
from bayes_infolaw.cli.next_run import next_run
from bayes_infolaw.cli.plan import plan
from bayes_infolaw.cli.predict import predict
from bayes_infolaw.cli.recommend import recommend
from bayes_infolaw.cli.simulate import simulate
from bayes_infolaw.cli.sweep import sweep
from bayes_infolaw.cli.thin import thin
from bayes_infolaw.cli.train import train
from bayes_infolaw.cli.validate import validate
from bayes_infolaw.cli.worth import worth

__all__ = ["app"]

app = typer.Typer(
    name="bayes-infolaw",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="From a table of small training runs to a calibrated loss prediction and the best data "
    "recipe.\n\nWith --json, stdout is one JSON object and everything else goes to stderr.\n\n"
    "Exit codes: 0 fine; 2 bad input; 3 fit written but not converged, or runs failed or diverged; "
    "4 refused; 130 stopped.",
)
FITTING = (fit, diagnose, predict, validate, recommend, simulate, models, demo)
DECIDING = (beats, plan, worth)
HARNESS = (train, sweep, evaluate)
for command in (*FITTING, *DECIDING, *HARNESS):
    app.command()(command)
app.command("next")(next_run)
corpus_app.command()(thin)
app.add_typer(corpus_app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("bayes-infolaw"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass
