"""``bayes-infolaw sweep``: a plan of training runs -> records and the study's table."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import (
    FAILED,
    STOPPED,
    Answer,
    command,
    frame_rows,
    print_frame,
    print_notes,
)
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from bayes_infolaw.harness.sweep.opening import Sweep
    from bayes_infolaw.harness.sweep.run import How, Summary
    from bayes_infolaw.harness.sweep.stacks import StackedHow

__all__ = ["sweep"]


@command
def sweep(
    plan: Annotated[
        str,
        typer.Argument(metavar="PLAN", help="Plan of runs (CSV or Parquet): runs/README.md."),
    ],
    corpus: Annotated[
        str, typer.Option(metavar="DIR", help="Corpus folder written by `corpus build`.")
    ],
    out: Annotated[
        str, typer.Option(metavar="DIR", help="The study's folder, made where it is missing.")
    ],
    engine: Annotated[
        str, typer.Option(help="local, ray (many machines) or slurm (by submitit).")
    ] = "local",
    slots: Annotated[
        int | None, typer.Option(help="Runs at once; default: as many as the cores hold.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each run; default: as the plan has it.")
    ] = None,
    nice: Annotated[
        int, typer.Option(help="How far the workers stand back for other work: 0 to 19.")
    ] = 0,
    settings: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.toml",
            help="Training defaults, named recipes, the study's facts; default: sweep.toml beside "
            "the plan.",
        ),
    ] = None,
    match_repetition: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|TABLE[#RUN]",
            help="Give every run the target's S / K, hence its repetition of every bucket.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try failed and diverged runs again.")
    ] = False,
    ray_address: Annotated[
        str | None, typer.Option(help="A running Ray cluster; default: one on this machine.")
    ] = None,
    slurm_cluster: Annotated[
        str, typer.Option(help="slurm; or submitit's local, to try it out.")
    ] = "slurm",
    train: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Another trainer, called as `train_run` is."),
    ] = None,
    stack: Annotated[
        int | None,
        typer.Option(
            metavar="R",
            help="Train up to R runs of one shape as one program, in this process: for a device "
            "that such runs leave idle.",
        ),
    ] = None,
    stack_flops: Annotated[
        float | None,
        typer.Option(
            metavar="C", help="With --stack: put no more runs together than take so many FLOP."
        ),
    ] = None,
    stop_after: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="With --stack: stop cleanly after so long."),
    ] = None,
    drop_checkpoints: Annotated[
        bool, typer.Option("--drop-checkpoints", help="Keep no weights of finished runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be trained, and train nothing.")
    ] = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Train the runs of a plan that have no record yet, and write the study's table.

    Each run is one immutable record in OUT/records and, where it finished, a row of OUT/runs.csv,
    which `bayes-infolaw fit OUT` reads. Ctrl-C stops cleanly; the same command goes on. Exit code
    3: some runs failed or diverged (--retry-failed); 130: stopped.
    """
    from bayes_infolaw.harness.sweep.job import TRAINER
    from bayes_infolaw.harness.sweep.monitor import watching
    from bayes_infolaw.harness.sweep.opening import open_sweep
    from bayes_infolaw.harness.sweep.run import How, run_sweep
    from bayes_infolaw.harness.sweep.state import check_records

    how = How(
        engine=engine,
        slots=slots,
        threads=threads,
        nice=nice,
        drop_checkpoints=drop_checkpoints,
        retry_failed=retry_failed,
        ray_address=ray_address,
        slurm_cluster=slurm_cluster,
        train=train or TRAINER,
    )
    together = _together(how, stack, {"stack_flops": stack_flops, "stop_after": stop_after})
    opened = open_sweep(plan, corpus, out, settings, match_repetition)
    if dry_run:
        check_records(opened.folder, opened.runs, opened.corpus, retry_failed)
        return _dry(opened, how.slots)
    if together is not None:
        from bayes_infolaw.harness.sweep.stacks import run_stacks

        return _done(opened, run_stacks(opened, together))
    return _done(opened, run_sweep(opened, how, watching))


def _together(
    how: "How", stack: int | None, bounds: dict[str, float | None]
) -> "StackedHow | None":
    """What --stack asks for; it knows one process on this machine, and our own trainer."""
    from bayes_infolaw.harness.sweep.job import TRAINER
    from bayes_infolaw.harness.sweep.stacks import StackedHow

    if stack is None:
        for name, bound in bounds.items():
            if bound is not None:
                option = name.replace("_", "-")
                raise InputError(f"--{option}: must go with --stack, got {bound:g} alone")
        return None
    for name, default in (("engine", "local"), ("slots", None), ("nice", 0), ("train", TRAINER)):
        if getattr(how, name) != default:
            raise InputError(f"--stack: must go without --{name}, got {getattr(how, name)!r}")
    kept = {name: getattr(how, name) for name in ("threads", "drop_checkpoints", "retry_failed")}
    return StackedHow(stack, bounds["stack_flops"], seconds=bounds["stop_after"], **kept)


def _dry(opened: "Sweep", slots: int | None) -> Answer:
    from bayes_infolaw.harness.sweep.overview import overview, planned_totals

    frame = overview(opened.runs, opened.corpus, opened.folder)
    totals = planned_totals(frame, slots)
    payload: dict[str, Any] = {"runs": frame_rows(frame), "totals": totals}
    payload |= {"notes": list(opened.plan.notes)}

    def show(console: "Console") -> None:
        print_frame(console, _narrow(frame), f"{len(frame)} runs", {"flops": ".2g", "S/K": ".3g"})
        console.print(_totals_text(totals), soft_wrap=True)
        print_notes(console, payload["notes"])

    return Answer(payload, show)


def _narrow(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The overview under short names: T is the repetition of a bucket."""
    short = {"params_nonembedding": "params", "source_ratio": "S/K", "overtraining": "m"}
    short |= {"learning_rate": "lr", "seconds": "s"}
    short |= {
        name: f"T{name.removeprefix('repetition')}"
        for name in map(str, frame.columns)
        if name.startswith("repetition_")
    }
    return frame.rename(columns=short)


def _totals_text(totals: dict[str, Any]) -> str:
    from bayes_infolaw.harness.sweep.monitor import duration

    text = f"To train: {totals['missing']} runs, {totals['flops']:.3g} FLOP"
    if totals["seconds"] is None:
        return f"{text}; the time is unknown until a run is finished."
    return f"{text}, about {duration(totals['seconds'])} on {totals['slots']} slots."


def _done(opened: "Sweep", summary: "Summary") -> Answer:
    failed = [
        {"run": record.run, "status": record.status, "error": record.error}
        for record in summary.failed
    ]
    payload: dict[str, Any] = {
        "out": str(opened.folder.root),
        "table": str(opened.folder.table) if summary.rows else None,
        "rows": summary.rows,
        "status": summary.status,
        "failed": failed,
        "stopped": summary.stopped,
        "notes": list(opened.plan.notes),
    }
    code = STOPPED if summary.stopped else FAILED if failed else 0
    return Answer(payload, lambda console: _show(console, payload), code)


def _show(console: "Console", payload: dict[str, Any]) -> None:
    counted = ", ".join(f"{count} {status}" for status, count in payload["status"].items())
    console.print(f"Runs of the plan: {counted}.", soft_wrap=True)
    if payload["table"]:
        console.print(f"{payload['rows']} rows in {payload['table']}.", soft_wrap=True)
    for record in payload["failed"]:
        line = f"{record['run']} {record['status']}: {record['error']}"
        console.print(line, style="red", soft_wrap=True)
    if payload["stopped"]:
        console.print("Stopped; the same command goes on from here.", soft_wrap=True)
    print_notes(console, payload["notes"])
