"""Tasks of lm-eval-harness -> the likelihood of their right answers.

The paper's downstream loss (section 3.2) is a smooth stand-in for accuracy: the mean negative log
likelihood per token of the right answer (Schaeffer et al. 2023, arXiv 2304.15004), over several
multiple-choice tasks. lm-eval reads the tasks, builds their prompts and computes its own metrics.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.requires import require
from bayes_infolaw.harness.tasks.scores import TaskScore, score_tasks

if TYPE_CHECKING:
    from bayes_infolaw.harness.tasks.model import LikelihoodModel
    from bayes_infolaw.harness.training.transformer import Transformer

__all__ = ["LoadedTasks", "TaskSettings", "evaluate_tasks", "load_tasks"]

SCORED = ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TaskSettings:
    """How tasks are put to the model.

    Attributes
    ----------
    shots : int or None
        Solved examples before each question; None: as the task says.
    limit : int or None
        Questions of each task; None: all.
    seed : int
        Of the choice of examples.
    """

    shots: int | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("shots", 0), ("limit", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name}: must be at least {least}, got {value}")


@dataclass(frozen=True)
class LoadedTasks:
    """Tasks as lm-eval read them, by name, and how they are put."""

    found: dict[str, dict[str, Any]]
    settings: TaskSettings


def load_tasks(tasks: Sequence[str | Path], settings: TaskSettings | None = None) -> LoadedTasks:
    """Read tasks, once for all the models that they are put to.

    Parameters
    ----------
    tasks : sequence of str or Path
        Names of lm-eval's tasks, groups or tags (their data sets come by network), task files
        (.yaml), or folders of task files, all of whose tasks are taken. Data files that a local
        task names lie relative to its folder.
    settings : TaskSettings, optional
        Examples, limit and seed.

    Raises
    ------
    InputError
        There is no such task, it cannot be loaded, it wants generated text, or two have one name.
    ImportError
        The extra ``tasks`` is not installed.
    """
    require("lm_eval")
    loaded = LoadedTasks({}, settings or TaskSettings())
    for name, found in itertools.chain.from_iterable(_load(task) for task in tasks):
        if name in loaded.found:
            raise InputError(f"tasks: every name must come once, got {name!r} twice")
        for task in found["tasks"].values():
            _set_shots(task, loaded.settings.shots)
        loaded.found[name] = found
    if not loaded.found:
        raise InputError("tasks: must name at least one")
    return loaded


def evaluate_tasks(
    model: "Transformer",
    tokenizer_file: str | Path,
    end_of_text: int,
    tasks: LoadedTasks,
    progress: Progress | None = None,
) -> dict[str, TaskScore]:
    """Score a model on tasks.

    Parameters
    ----------
    model : Transformer
        Trained on the tokenizer's ids.
    tokenizer_file : str or Path
        The corpus's ``tokenizer.json``.
    end_of_text : int
        Id of the token that ends documents: it stands before every context.
    tasks : LoadedTasks
        What `load_tasks` gave.
    progress : callable, optional
        Called with (done, total) sequences of the task at work.

    Returns
    -------
    dict of TaskScore
        By name; a folder's tasks one by one.

    Raises
    ------
    InputError
        The tokenizer has more tokens than the model, or an answer is empty.
    """
    from bayes_infolaw.harness.tasks.model import LikelihoodModel

    adapter = LikelihoodModel(model, tokenizer_file, end_of_text, progress)
    return {name: _evaluate(adapter, f, tasks.settings) for name, f in tasks.found.items()}


def _load(task: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and lm-eval's task dictionary of what one argument stands for."""
    path = Path(task)
    if not path.is_dir() and path.suffix not in (".yaml", ".yml"):
        yield str(task), _load_named(_shipped(), str(task))
        return
    from lm_eval.tasks import TaskManager

    if not path.exists():
        raise InputError(f"tasks: file must exist, got {str(path)!r}")
    folder = (path if path.is_dir() else path.parent).resolve()
    manager = TaskManager(include_path=folder, include_defaults=False)
    names = manager.all_subtasks if path.is_dir() else [str(path.resolve())]
    if not names:
        raise InputError(f"tasks: folder must hold task files (.yaml), got {str(path)!r}")
    for name in names:
        with contextlib.chdir(folder):  # data files are named from there
            found = _load_named(manager, name)
        yield from ((title, {**found, "tasks": {title: t}}) for title, t in found["tasks"].items())


@cache
def _shipped() -> Any:
    """lm-eval's own tasks: reading thousands of files takes it ten seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _load_named(manager: Any, name: str) -> dict[str, Any]:
    if name not in manager.all_tasks and not Path(name).is_file():
        rule = "must be a task of lm-eval, a task file or a folder of them"
        raise InputError(f"tasks: {rule}, got {name!r}")
    try:
        found: dict[str, Any] = manager.load([name])
    except Exception as error:  # a task runs templates, functions and downloads of its own
        raise InputError(f"tasks: {name!r} cannot be loaded ({error})") from error
    for title, task in found["tasks"].items():
        if task.OUTPUT_TYPE not in SCORED:
            rule = f"must score likelihoods (output_type {', '.join(SCORED)})"
            raise InputError(f"tasks: {title!r} {rule}, got {task.OUTPUT_TYPE!r}")
    return found


def _evaluate(
    adapter: "LikelihoodModel", found: dict[str, Any], settings: TaskSettings
) -> TaskScore:
    from lm_eval import evaluate

    before, tasks = adapter.cut, found["tasks"]
    for task in tasks.values():
        task.set_fewshot_seed(seed=settings.seed)
    # No bootstrap: it starts a process for every core; errors of means have a closed form.
    results = evaluate(
        adapter, task_dict=found, limit=settings.limit, log_samples=False, bootstrap_iters=0
    )
    return score_tasks(adapter, tasks, results, adapter.cut - before)


def _set_shots(task: Any, shots: int | None) -> None:
    """Examples as wanted, but a task that itself says 0 is built for 0 (lm-eval's rule)."""
    own = task.get_config("num_fewshot")
    if own is None or (shots is not None and own != 0):
        task.set_config(key="num_fewshot", value=shots or 0)
