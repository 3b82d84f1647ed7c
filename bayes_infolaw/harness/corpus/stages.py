"""Stages of tasks that leave a marker when they are done, so that a killed build goes on."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bayes_infolaw.harness.corpus.engine import Engine
from bayes_infolaw.harness.corpus.work import Work
from bayes_infolaw.whole_file import write_whole

__all__ = ["Progress", "Runner", "Stage"]

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class Stage:
    """The same function for many items.

    Attributes
    ----------
    name : str
        Folder of its markers.
    label : str
        What the progress bar says.
    task : callable
        ``task(work, item) -> dict`` at module level; writes its files and tells what it did.
    items : sequence
        Picklable; their order numbers the tasks, so it must be the same when resumed.
    """

    name: str
    label: str
    task: Callable[[Work, Any], dict[str, Any]]
    items: Sequence[Any]


@dataclass(frozen=True)
class Runner:
    """Runs stages one after another.

    Attributes
    ----------
    work : Work
    engine : Engine
    progress : callable
        ``progress(label)`` is a context manager that gives ``show(done, total)``.
    """

    work: Work
    engine: Engine
    progress: Progress

    def __call__(self, stage: Stage) -> list[dict[str, Any]]:
        """Run what is missing of a stage; what every task told, in order of the items."""
        markers = [self._marker(stage, number) for number in range(len(stage.items))]
        missing = [
            partial(_do, stage.task, self.work, item, marker)
            for item, marker in zip(stage.items, markers, strict=True)
            if not marker.is_file()
        ]
        done = len(markers) - len(missing)
        with self.progress(stage.label) as show:
            for _ in self.engine.run(missing):
                done += 1
                show(done, len(markers))
        return [json.loads(marker.read_text(encoding="utf-8")) for marker in markers]

    def _marker(self, stage: Stage, number: int) -> Path:
        return self.work.path("done", f"{stage.name}-{number:06d}.json")


def _do(task: Callable[[Work, Any], dict[str, Any]], work: Work, item: Any, marker: Path) -> None:
    text = json.dumps(task(work, item))
    write_whole(marker, lambda path: path.write_text(text, encoding="utf-8"))
