"""``bayes-infolaw predict``: a fit file and a plan -> losses with intervals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, frame_rows, print_frame, print_notes

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["predict", "show_predictions"]

PARTS = ("parameters", "group", "noise")


@command
def predict(
    fit: opt.FitFile,
    plan: Annotated[
        str,
        typer.Option(metavar="PLAN", help="Planned runs: the run table's columns without loss."),
    ],
    prob: opt.Prob = 0.9,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write plan and predictions there (.csv or .parquet)."),
    ] = None,
    table: opt.FittedTable = None,
    data_dir: opt.DataDir = None,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Predict the losses of planned runs from a fit.

    loss_* is a new run (parameters, group, noise), mean_* leaves the noise out; the parts of the
    variance and the distance beyond the fitted runs (compute, repetition, m, convex hull) follow.
    """
    from bayes_infolaw.posterior.plan import plan_for
    from bayes_infolaw.posterior.predict import prediction_table

    opt.require_folder(out)
    fitted = opt.open_fit(fit, table, data_dir)
    planned = plan_for(fitted, opt.read_planned(fitted, plan, data_dir))
    predicted = fitted.predict(planned, prob, allow_unconverged=allow_unconverged)
    frame = prediction_table(predicted, planned)
    if out:
        from bayes_infolaw.tables.files import write_frame

        write_frame(frame, Path(out))
    notes = [*_simulated(fitted.table.simulated), *predicted.attrs["notes"]]
    payload: dict[str, Any] = {
        "fit": fit,
        "prob": prob,
        "interval": predicted.attrs["interval"],
        "loss_unit": predicted.attrs["loss_unit"],
        "converged": fitted.verdict.converged,
        "rows": frame_rows(frame),
        "out": out,
        "simulated": fitted.table.simulated,
        "notes": notes,
    }
    return Answer(payload, lambda console: _show(console, frame, payload))


def _simulated(simulated: bool) -> tuple[str, ...]:
    return ("the fit is to simulated losses.",) if simulated else ()


def _show(console: "Console", frame: "pd.DataFrame", payload: dict[str, Any]) -> None:
    show_predictions(console, frame, payload["loss_unit"])
    if payload["out"]:
        console.print(f"All columns are in {payload['out']}.")
    print_notes(console, payload["notes"])


def show_predictions(console: "Console", frame: "pd.DataFrame", loss_unit: str) -> None:
    """Print the key columns of a prediction table."""
    import pandas as pd

    variance = frame[[f"variance_{part}" for part in PARTS]]
    shares = variance.div(variance.sum(axis=1), axis=0) * 100
    key = pd.DataFrame(
        {
            "run": frame["run"].astype(str),
            **{name: frame[name] for name in ("loss_mean", "loss_sd", "loss_lo", "loss_hi")},
            **{name: frame[name] for name in ("mean_lo", "mean_hi")},
            "from parameters %": shares["variance_parameters"],
            "group %": shares["variance_group"],
            "noise %": shares["variance_noise"],
            "C beyond": frame["beyond_compute"],
            "T beyond": frame["beyond_repetition"],
            "m beyond": frame["beyond_degree"],
            "in hull": frame["inside_hull"],
        }
    )
    losses = {str(name): ".4f" for name in key if str(name).startswith(("loss_", "mean_"))}
    rest = {str(name): ".0f" for name in key if str(name).endswith("%")}
    title = f"Predicted loss, {loss_unit}; {frame['prob'].iloc[0]:.0%} equal-tailed intervals"
    print_frame(console, key, title, losses | rest | {"C beyond": ".3g", "T beyond": ".2f"})
