"""``bayes-infolaw train``: one training run -> its record and a row of the study's table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import FAILED, STOPPED, Answer, command, print_frame, print_notes
from bayes_infolaw.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.harness.record import RunRecord
    from bayes_infolaw.harness.sweep.single import SingleRun

__all__ = ["train"]


@command
def train(
    corpus: Annotated[
        str, typer.Option(metavar="DIR", help="Corpus folder written by `corpus build`.")
    ],
    out: Annotated[
        str,
        typer.Option(metavar="DIR", help="The study's folder, the one that `sweep` writes, too."),
    ],
    size: Annotated[
        str | None, typer.Option(help="Preset, such as 147k, 50M or 1.2B; or give counts.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Blocks, instead of --size.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Width h.")] = None,
    heads: Annotated[int | None, typer.Option(help="Default: of about the presets' width.")] = None,
    mlp: Annotated[
        int | None, typer.Option(help="Width of SwiGLU; default: about 8 h / 3.")
    ] = None,
    seq_len: Annotated[int | None, typer.Option(help="Tokens a sequence.")] = None,
    tied: Annotated[bool, typer.Option("--tied", help="Output matrix is the embedding's.")] = False,
    tokens: Annotated[str | None, typer.Option(metavar="K", help="Tokens, such as 2e6.")] = None,
    overtraining: Annotated[
        float | None, typer.Option(metavar="M", help="Degree (K / K_opt)^2, instead of --tokens.")
    ] = None,
    source_tokens: Annotated[
        str | None, typer.Option(metavar="S", help="Tokens that the source is downsampled to.")
    ] = None,
    source_ratio: Annotated[
        float | None, typer.Option(metavar="R", help="S / K, instead of --source-tokens.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|BUCKET=SHARE,...",
            help="A recipe of --settings, HQ to LQ (six buckets), a bucket alone, or shares.",
        ),
    ] = None,
    subsample: Annotated[int | None, typer.Option(help="Seed of the source's subsample.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the initialisation.")] = None,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Default: from the rest.")] = None,
    settings: Annotated[
        str | None,
        typer.Option(metavar="FILE.toml", help="Defaults and named recipes, as for `sweep`."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, may be repeated: learning_rate, batch_tokens, order_seed, ... "
            "Learning rate and batch default to DeepSeek's rule, untuned, from 1M parameters on; "
            "below to lr_scale and batch_scale 0.25, warmup_fraction 0.03, beta2 0.99.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32 or bf16; default: bf16 on a GPU.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default 1.")] = None,
    compile_: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    parallel: Annotated[
        str, typer.Option(help="ddp or fsdp, for processes started by torchrun.")
    ] = "ddp",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard's files into the run's folder.")
    ] = False,
    as_json: opt.AsJson = False,
) -> Answer:
    """Train and evaluate one model, write its record, and renew the study's table.

    Checkpoints and logs are in OUT/work/RUN: after a kill, Ctrl-C (exit code 130) or SIGTERM the
    same command goes on, to the same last bit on the CPU. Exit code 3: the run diverged, which its
    record says and the table leaves out. On many GPUs: torchrun --nproc-per-node N
    --no-python -- bayes-infolaw train ...
    """
    stated = {
        "size": size,
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "mlp": mlp,
        "seq_len": seq_len,
        "tied": tied or None,
        "tokens": tokens,
        "overtraining": overtraining,
        "source_tokens": source_tokens,
        "source_ratio": source_ratio,
        "subsample": subsample,
        "seed": seed,
        "run": run,
        "precision": precision,
        "threads": threads,
        "compile": compile_ or None,
    }
    cells = {name: value for name, value in stated.items() if value is not None}
    cells |= _recipe(recipe) | _device(device, precision) | _others(set_ or [])
    made, notes = _resolved(cells, (corpus, out, settings), tensorboard)
    return _trained(made, parallel, notes)


def _recipe(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    if "=" not in text:
        return {"recipe": text}
    shares = opt.named_values([pair for pair in text.split(",") if pair.strip()], "--recipe")
    return {f"w_{name}": opt.number(value, f"--recipe {name}") for name, value in shares.items()}


def _device(device: str, precision: str | None) -> dict[str, str]:
    from bayes_infolaw.harness.training.device import chosen_device

    device = chosen_device(device)
    own = {} if device == "cpu" or precision else {"precision": "bf16"}
    return {"device": device, **own}


def _others(pairs: list[str]) -> dict[str, str]:
    from bayes_infolaw.harness.sweep.cells import SETTING_KINDS

    found = opt.named_values(pairs, "--set")
    for name in found:
        if name not in SETTING_KINDS:
            raise InputError(f"--set: must be one of {', '.join(SETTING_KINDS)}, got {name!r}")
    return found


def _resolved(
    cells: dict[str, Any], paths: tuple[str, str, str | None], tensorboard: bool
) -> tuple["SingleRun", list[str]]:
    from bayes_infolaw.harness.store import Corpus
    from bayes_infolaw.harness.sweep.folder import StudyFolder
    from bayes_infolaw.harness.sweep.settings_file import SweepFile, read_settings
    from bayes_infolaw.harness.sweep.single import SingleRun, resolve_run

    corpus, out, settings = paths
    opened = Corpus.open(corpus)
    file = read_settings(Path(settings)) if settings else SweepFile()
    resolved, notes = resolve_run(cells, opened, file)
    return SingleRun(resolved, opened, StudyFolder(Path(out)), tensorboard), notes


def _trained(made: "SingleRun", parallel: str, notes: list[str]) -> Answer:
    from bayes_infolaw.harness.sweep.single import train_into
    from bayes_infolaw.harness.training.parallel import launched

    try:
        with launched(parallel, made.settings.device) as strategy:
            record = train_into(made, strategy)
            if not strategy.is_main:
                raise typer.Exit(_code(record))
    except KeyboardInterrupt:
        payload: dict[str, Any] = {"run": made.settings.name, "status": "stopped"}
        said = "Stopped; the same command goes on from here."
        return Answer(payload, lambda console: console.print(said), STOPPED)
    payload = _payload(made, record, notes)
    return Answer(payload, lambda console: _show(console, payload), _code(record))


def _code(record: "RunRecord") -> int:
    return 0 if record.status == "finished" else FAILED


def _payload(made: "SingleRun", record: "RunRecord", notes: list[str]) -> dict[str, Any]:
    content = record.to_dict()
    kept = ("status", "error", "tokens", "steps", "losses", "counts", "model", "resources")
    table = made.folder.table
    return {
        "run": record.run,
        "record": str(made.folder.records / f"{record.run}.json"),
        "table": str(table) if table.exists() else None,
        **{name: content[name] for name in kept},
        "notes": notes,
    }


def _show(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    if payload["status"] != "finished":
        console.print(f"Run {payload['run']} {payload['status']}: {payload['error']}")
        return
    losses = pd.DataFrame(payload["losses"]).T.rename_axis("set").reset_index()
    print_frame(console, losses, f"Run {payload['run']}", {"documents": ".0f", "tokens": ".0f"})
    packed = pd.DataFrame(payload["counts"]).T.rename_axis("bucket").reset_index()
    whole = dict.fromkeys(("source", "packed", "unique", "documents"), ",.0f")
    print_frame(console, packed, "Packed", whole)
    speed, seconds = (payload["resources"][k] for k in ("tokens_per_second", "seconds"))
    console.print(
        f"{payload['tokens']:,} tokens in {payload['steps']} steps, {seconds:.0f} s, "
        f"{speed:,.0f} tokens/s; record in {payload['record']}.",
        soft_wrap=True,
    )
    print_notes(console, payload["notes"])
