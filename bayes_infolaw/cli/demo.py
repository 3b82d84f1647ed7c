"""``bayes-infolaw demo``: the main job on the simulated tables of the repository."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.fit import fit_report
from bayes_infolaw.cli.output import Answer, command, frame_rows, print_frame, print_notes, progress
from bayes_infolaw.cli.predict import show_predictions
from bayes_infolaw.cli.show_recipe import show_recipe
from bayes_infolaw.cli.validate import show_validation

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.demo import Demo

__all__ = ["demo"]


@command
def demo(
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Folder to write to; made if it does not exist.")
    ] = "demo",
    chains: opt.Chains = 4,
    draws: opt.Draws = 1000,
    warmup: opt.Warmup = 900,
    seed: opt.Seed = 0,
    allow_unconverged: opt.AllowUnconverged = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Run the main job on a simulated table: fit, check, predict, recommend, one figure.

    27 runs of the paper's design (252M to 1.2B), simulated from its published constants; 78
    held-out ones; the target is the 7.7B model on 425B tokens. Needs a checkout of the repository.
    """
    from bayes_infolaw.demo import run_demo

    settings: dict[str, Any] = {"chains": chains, "draws": draws, "warmup": warmup, "seed": seed}
    with progress("sampling") as said:
        done = run_demo(Path(out), progress=said, allow_unconverged=allow_unconverged, **settings)
    return Answer(_payload(done), lambda console: _show(console, done))


def _payload(done: "Demo") -> dict[str, Any]:
    return {
        "simulated": True,
        "fit": fit_report(done.fit) | {"fit": done.files["fit.nc"]},
        "validation": done.validation.to_dict(),
        "prediction": frame_rows(done.predicted),
        "recommendation": done.free.to_dict(),
        "ordered": done.ordered.to_dict(),
        "files": done.files,
        "notes": done.notes,
    }


def _show(console: "Console", done: "Demo") -> None:
    from bayes_infolaw.demo import INCUMBENT, SIMULATED
    from bayes_infolaw.posterior.wording import verdict_sentence

    unit = done.fit.table.loss_unit
    console.print(SIMULATED, soft_wrap=True)
    console.rule("1. Fit")
    seconds = f"{len(done.fit.table)} runs, {done.fit.info['seconds']:.1f} s."
    console.print(f"{verdict_sentence(done.fit.verdict)} {seconds}", soft_wrap=True)
    print_notes(console, done.fit.info["notes"])
    console.rule("2. Held-out runs")
    show_validation(console, done.validation)
    print_frame(console, done.parts, "This fit, by part of the held-out design", {"in 90%": ".0f"})
    console.rule("3. Prediction at the target: 7.7B, 425B tokens")
    show_predictions(console, done.predicted, unit)
    console.rule(f"4. Recipe at the target (incumbent: {INCUMBENT})")
    show_recipe(console, done.free, unit)
    show_recipe(console, done.ordered, unit)
    print_notes(console, [f"{name}: {path}" for name, path in done.files.items()], "Files")
    print_notes(console, done.notes)
