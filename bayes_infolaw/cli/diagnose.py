"""``bayes-infolaw diagnose``: a fit file -> what its draws, prior and data say of one another."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame, print_notes, progress

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.posterior.fit import Fit

__all__ = ["diagnose"]


@command
def diagnose(
    fit: opt.FitFile,
    prob: opt.Prob = 0.9,
    refits: Annotated[
        bool,
        typer.Option(
            "--refits/--no-refits", help="Fit again with K_0 x 10 and / 10 to see what moves."
        ),
    ] = True,
    table: opt.FittedTable = None,
    data_dir: opt.DataDir = None,
    as_json: opt.AsJson = False,
) -> Answer:
    """Say whether a fit can be trusted, and what its answer hangs on.

    The verdict, posterior against prior, sensitivity to prior and likelihood, leave-one-out
    predictions with their k-hats, and the probability integral transform.
    """
    opt.require_prob(prob)
    fitted = opt.open_fit(fit, table, data_dir)
    from bayes_infolaw.posterior.diagnose import diagnose as run_diagnose

    with progress("refitting") as said:
        found = run_diagnose(fitted, prob=prob, refits=refits, progress=said)
    payload = {"fit": fit, **found.to_dict(), "simulated": fitted.table.simulated}
    return Answer(payload, lambda console: _show(console, fitted, found))


def _show(console: "Console", fitted: "Fit", found: Any) -> None:
    from bayes_infolaw.posterior.wording import verdict_sentence

    console.print(verdict_sentence(fitted.verdict), soft_wrap=True)
    for title, frame in found.tables():
        print_frame(console, frame.reset_index(), title)
    print_notes(console, fitted.info.get("notes", ()))
