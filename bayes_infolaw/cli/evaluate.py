"""``bayes-infolaw evaluate``: trained runs and tasks -> the likelihood of the right answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayes_infolaw.cli import options as opt
from bayes_infolaw.cli.output import Answer, command, print_frame, print_notes, progress

if TYPE_CHECKING:
    from rich.console import Console

    from bayes_infolaw.harness.tasks.evaluate import LoadedTasks
    from bayes_infolaw.harness.tasks.scores import TaskScore
    from bayes_infolaw.harness.training.trained import TrainedModel

__all__ = ["evaluate"]


@command
def evaluate(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Folders of runs (STUDY/work/RUN), or of single checkpoints."
        ),
    ],
    corpus: Annotated[
        str, typer.Option(metavar="DIR", help="Corpus that the runs were trained on.")
    ],
    tasks: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE|FOLDER,...",
            help="lm-eval's tasks by name (by network), task files (.yaml), or folders of them.",
        ),
    ],
    shots: Annotated[
        int | None,
        typer.Option(help="Solved examples before each question; default: as the task says."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Questions of each task; default: all.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the choice of examples.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write one row a run there (.csv or .parquet)."),
    ] = None,
    as_json: opt.AsJson = False,
) -> Answer:
    """Score trained models by the likelihood of tasks' right answers (extra `tasks`).

    answer_loss is the mean over tasks of the nats per token of the right answer: the paper's smooth
    stand-in for accuracy. choice_nats is -log of the right answer's share among the choices.
    """
    from bayes_infolaw.harness.store import Corpus
    from bayes_infolaw.harness.tasks.evaluate import TaskSettings, load_tasks

    opt.require_folder(out)
    opened = Corpus.open(corpus)
    device = _device(device, threads)
    settings = TaskSettings(shots, limit, seed)
    loaded = load_tasks([name.strip() for name in tasks.split(",")], settings)
    payload: dict[str, Any] = {"corpus": opened.hash, "runs": [], "out": out, "notes": []}
    from bayes_infolaw.harness.training.trained import load_trained

    for path in runs:
        trained = load_trained(path, opened, device)
        scores = _scores(trained, opened, loaded)
        payload["runs"].append(_result(trained, scores))
        payload["notes"] += _notes(trained, scores)
    if out:
        _write(payload["runs"], Path(out))
    return Answer(payload, lambda console: _show(console, payload))


def _device(device: str, threads: int) -> str:
    from bayes_infolaw.harness.training.device import chosen_device, use_threads

    use_threads(threads)
    return chosen_device(device)


def _scores(trained: "TrainedModel", corpus: Any, loaded: "LoadedTasks") -> dict[str, "TaskScore"]:
    from bayes_infolaw.harness.tasks.evaluate import evaluate_tasks

    with progress(trained.settings.name) as tell, trained.precision():
        return evaluate_tasks(
            trained.model, corpus.tokenizer_file, corpus.end_of_text, loaded, tell
        )


def _result(trained: "TrainedModel", scores: dict[str, "TaskScore"]) -> dict[str, Any]:
    from bayes_infolaw.harness.tasks.scores import mean_answer_loss

    return {
        "run": trained.settings.name,
        "step": trained.step,
        "answer_loss": mean_answer_loss(scores),
        "tasks": {name: score.to_dict() for name, score in scores.items()},
    }


def _notes(trained: "TrainedModel", scores: dict[str, "TaskScore"]) -> list[str]:
    name, notes = trained.settings.name, []
    if not trained.finished:
        notes.append(f"{name}: at step {trained.step} of {trained.settings.budget.steps}.")
    notes += [
        f"{name}: {score.cut} requests of {task} did not fit {trained.settings.shape.seq_len} "
        "tokens and lost their beginning."
        for task, score in scores.items()
        if score.cut
    ]
    return notes


def _write(runs: list[dict[str, Any]], path: Path) -> None:
    import pandas as pd

    from bayes_infolaw.tables.files import write_frame

    write_frame(pd.DataFrame([_row(run) for run in runs]), path)


def _row(run: dict[str, Any]) -> dict[str, Any]:
    """One row a run, to be joined to the study's table by ``run``."""
    row = {name: run[name] for name in ("run", "step", "answer_loss")}
    for task, score in run["tasks"].items():
        row |= {f"{task}_{name}": value for name, value in (score["answer"] or {}).items()}
        row[f"{task}_choice_nats"] = score["choice_nats"]
        row |= {f"{task}_{name}": value for name, value in score["metrics"].items()}
    return row


def _show(console: "Console", payload: dict[str, Any]) -> None:
    import pandas as pd

    rows = [
        {
            "run": run["run"],
            "task": task,
            "questions": score["answer"]["documents"] if score["answer"] else 0,
            "nats per token": score["answer"]["nats_per_token"] if score["answer"] else None,
            "se": score["answer"]["nats_per_token_se"] if score["answer"] else None,
            "choice nats": score["choice_nats"],
            "acc": score["metrics"].get("acc"),
        }
        for run in payload["runs"]
        for task, score in run["tasks"].items()
    ]
    print_frame(console, pd.DataFrame(rows), "Right answers", {"questions": ".0f"})
    for run in payload["runs"]:
        if run["answer_loss"] is not None:
            console.print(f"{run['run']}: answer loss {run['answer_loss']:.4f} nats per token.")
    if payload["out"]:
        console.print(f"All columns are in {payload['out']}.")
    print_notes(console, payload["notes"])
