"""lm-eval's answered requests -> the loss on right answers, and lm-eval's own metrics."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_infolaw.harness.record import Loss
from bayes_infolaw.harness.training.evaluate import ratio_and_error

if TYPE_CHECKING:
    from bayes_infolaw.harness.tasks.model import LikelihoodModel

__all__ = ["TaskScore", "mean_answer_loss", "score_tasks"]

RIGHT_OR_WRONG = ("acc", "acc_norm", "acc_bytes", "exact_match")


@dataclass(frozen=True)
class TaskScore:
    """What a model made of one task, or of the tasks of one group together.

    Attributes
    ----------
    answer : Loss or None
        Loss on the right answers given their questions; of a text as a whole for tasks without
        questions; None where no question says which answer is right.
    choice_nats, choice_nats_se : float or None
        Mean of ``-log(p(right) / sum of p over the choices)``, where there are choices.
    metrics : dict of str to float
        lm-eval's own (``acc``, ``acc_norm``, ``acc_stderr``...): of each task, by
        ``task/metric`` where the name stands for several.
    tasks : tuple of str
        The tasks that the name stands for.
    cut : int
        Requests whose context did not fit the model and lost its beginning.
    """

    answer: Loss | None
    choice_nats: float | None
    choice_nats_se: float | None
    metrics: dict[str, float] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    cut: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain fields, for a record."""
        return asdict(self)


@dataclass(frozen=True)
class _Answer:
    nats: float
    tokens: int
    n_bytes: int
    choice_nats: float | None


def score_tasks(
    adapter: "LikelihoodModel",
    tasks: Mapping[str, Any],
    results: Mapping[str, Any],
    cut: int = 0,
) -> TaskScore:
    """Score together the tasks that lm-eval put to a model.

    Parameters
    ----------
    adapter : LikelihoodModel
        Which answered: it counts tokens.
    tasks : mapping of str to lm_eval.api.task.Task
        With the requests and what was answered.
    results : mapping
        What ``lm_eval.evaluate`` returned.
    cut : int
        Requests whose context was shortened.
    """
    answers = [answer for task in tasks.values() for answer in _answers(adapter, task)]
    choices = [answer.choice_nats for answer in answers if answer.choice_nats is not None]
    among = ratio_and_error(np.array(choices), np.ones(len(choices))) if choices else (None, None)
    return TaskScore(
        answer=_loss(answers) if answers else None,
        choice_nats=among[0],
        choice_nats_se=among[1],
        metrics=_metrics(results),
        tasks=tuple(tasks),
        cut=cut,
    )


def mean_answer_loss(scores: Mapping[str, TaskScore]) -> float | None:
    """Mean over tasks of the nats per token of the right answer, each task weighing the same."""
    losses = [score.answer.nats_per_token for score in scores.values() if score.answer]
    return float(np.mean(losses)) if losses else None


def _answers(adapter: "LikelihoodModel", task: Any) -> Iterator[_Answer]:
    """The right answer of each question; a question without a known one gives none."""
    questions: dict[int, list[Any]] = {}
    for request in task.instances:
        questions.setdefault(request.doc_id, []).append(request)
    for requests in questions.values():
        requests.sort(key=lambda request: request.idx)
        if task.OUTPUT_TYPE == "loglikelihood_rolling":
            text, nats = requests[0].args[0], -requests[0].resps[0]
            yield _Answer(nats, len(adapter.tok_encode(text)), len(text.encode()), None)
        elif right := _right(task, requests):
            yield _answer(adapter, requests[: _n_choices(task, requests)], right)


def _answer(adapter: "LikelihoodModel", choices: list[Any], right: list[int]) -> _Answer:
    logs = np.array([request.resps[0][0] for request in choices])
    best = max(right, key=lambda i: logs[i])  # of several right answers, the likeliest
    context, text = choices[best].args
    tokens, n_bytes = adapter.tokens_of_answer(context, text), len(text.encode())
    among = None
    if len(choices) > 1:
        among = float(np.logaddexp.reduce(logs) - np.logaddexp.reduce(logs[right]))
    return _Answer(-float(logs[best]), tokens, n_bytes, among)


def _n_choices(task: Any, requests: list[Any]) -> int:
    """Requests that are answers to the question; more follow them for mutual information."""
    if task.OUTPUT_TYPE == "multiple_choice" and not task.multiple_input:
        return len(task.doc_to_choice(requests[0].doc))
    return len(requests)


def _right(task: Any, requests: list[Any]) -> list[int]:
    """Which requests hold a right answer."""
    if len(requests) == 1:
        return [0]
    if task.OUTPUT_TYPE != "multiple_choice":
        return []
    doc = requests[0].doc
    said = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
    n, found = _n_choices(task, requests), []
    for label in said if isinstance(said, list) else [said]:
        if isinstance(label, str):
            names = task.doc_to_choice(doc)
            label = names.index(label) if label in names else -1
        found.append(int(label))
    return [label for label in found if 0 <= label < n]


def _loss(answers: Sequence[_Answer]) -> Loss:
    nats, tokens, n_bytes = np.array([(a.nats, a.tokens, a.n_bytes) for a in answers]).T
    per_token, bits = ratio_and_error(nats, tokens), ratio_and_error(nats / np.log(2), n_bytes)
    return Loss(*per_token, *bits, documents=len(answers), tokens=int(tokens.sum()))


def _metrics(results: Mapping[str, Any]) -> dict[str, float]:
    """lm-eval's numbers, by metric for one task or the group, by task/metric for its parts."""
    groups, found = results.get("groups", {}), {}
    for name, metrics in {**results["results"], **groups}.items():
        alone = name in groups or len(results["results"]) == 1
        prefix = "" if alone else f"{name}/"
        for key, value in metrics.items():
            metric, _, kind = key.partition(",")
            if kind and isinstance(value, int | float):
                found[f"{prefix}{metric}" if kind == "none" else f"{prefix}{key}"] = float(value)
                if metric in RIGHT_OR_WRONG and name not in groups:
                    questions = results["n-samples"][name]["effective"]
                    found[f"{prefix}{metric}_stderr"] = _binomial_se(value, questions)
    return found


def _binomial_se(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else math.nan
