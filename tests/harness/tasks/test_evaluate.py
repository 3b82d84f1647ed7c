"""Tasks through the real lm-eval, offline, against likelihoods computed token by token."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bayes_infolaw.errors import InputError

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")
pytestmark = pytest.mark.train

from bayes_infolaw.harness.shapes import Shape  # noqa: E402
from bayes_infolaw.harness.tasks.evaluate import TaskSettings, evaluate_tasks, load_tasks  # noqa: E402
from bayes_infolaw.harness.tasks.model import LikelihoodModel, pieces  # noqa: E402
from bayes_infolaw.harness.tasks.scores import mean_answer_loss  # noqa: E402
from bayes_infolaw.harness.training.transformer import Transformer  # noqa: E402

from ..generated import END_OF_TEXT, generate_documents, train_tokenizer  # noqa: E402
from .task_files import QUESTIONS, question, work_offline, write_task  # noqa: E402

SEQ_LEN = 32
TEXTS = """
task: whole_texts
dataset_path: json
dataset_kwargs: {data_files: {test: whole_texts.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
"""
WRITING = """
task: writing
dataset_path: json
dataset_kwargs: {data_files: {test: writing.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{start}}"
doc_to_target: "{{end}}"
generation_kwargs: {until: ["."], do_sample: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of two tasks: which word goes on, and how likely is a text."""
    folder = tmp_path_factory.mktemp("tasks")
    rng = np.random.default_rng(0)
    write_task(folder, "next_word", QUESTIONS, [question(rng) for _ in range(25)])
    write_task(folder, "whole_texts", TEXTS, generate_documents(4, 3, "clean"))
    return folder


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory):
    texts = [row["text"] for row in generate_documents(60, 0, "clean")]
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    train_tokenizer(texts, 300).save(str(path))
    return path


@pytest.fixture(scope="module")
def encoder(tokenizer_file):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(tokenizer_file))


@pytest.fixture(scope="module")
def model(encoder):
    """Random weights, large enough that likelihoods differ by nats."""
    torch.set_num_threads(1)
    made = Transformer(Shape(2, 16, 2, 40, encoder.get_vocab_size(), SEQ_LEN))
    made.initialise(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(8 if weight.ndim > 1 else 1)
    return made.eval()


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path_factory):
    work_offline(monkeypatch, tmp_path_factory.getbasetemp() / "arrow")


@pytest.fixture
def adapter(model, tokenizer_file, encoder):
    return LikelihoodModel(model, tokenizer_file, encoder.token_to_id(END_OF_TEXT))


def nats_by_token(model, context: list[int], answer: list[int]) -> float:
    """-log p of the answer, one token at a time from the model's logits, nothing padded."""
    total = 0.0
    for i, token in enumerate(answer):
        seen = (context + answer[:i])[-SEQ_LEN:]
        with torch.no_grad():
            logits = model(torch.tensor([seen]))[0, -1].double()
        total += float(torch.logsumexp(logits, 0) - logits[token])
    return total


def read_rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def evaluate(model, tokenizer_file, encoder, tasks, **settings):
    end = encoder.token_to_id(END_OF_TEXT)
    loaded = load_tasks(tasks, TaskSettings(**settings))
    return evaluate_tasks(model, tokenizer_file, end, loaded)


def test_multiple_choice_equals_likelihoods_token_by_token(model, tokenizer_file, encoder, folder):
    scores = evaluate(model, tokenizer_file, encoder, [folder])
    score, end = scores["next_word"], encoder.token_to_id(END_OF_TEXT)
    assert score.cut == 0
    nats, tokens, among, picked = [], [], [], []
    rows = read_rows(folder, "next_word")
    for row in rows:
        context = [end, *encoder.encode(row["start"]).ids]
        answers = [encoder.encode(" " + word).ids for word in row["words"]]
        losses = np.array([nats_by_token(model, context, answer) for answer in answers])
        nats.append(losses[row["right"]])
        tokens.append(len(answers[row["right"]]))
        among.append(losses[row["right"]] + np.log(np.exp(-losses).sum()))
        picked.append(losses.argmin() == row["right"])
    assert score.answer.nats_per_token == pytest.approx(sum(nats) / sum(tokens), rel=1e-5)
    assert score.choice_nats == pytest.approx(np.mean(among), rel=1e-4)
    assert score.choice_nats_se == pytest.approx(np.std(among, ddof=1) / 5, rel=1e-4)
    assert score.metrics["acc"] == pytest.approx(np.mean(picked))
    assert (score.answer.documents, score.answer.tokens) == (25, sum(tokens))
    n_bytes = sum(len(row["words"][row["right"]]) + 1 for row in rows)
    assert score.answer.bits_per_byte == pytest.approx(sum(nats) / math.log(2) / n_bytes, rel=1e-5)
    assert mean_answer_loss(scores) == pytest.approx(
        np.mean([s.answer.nats_per_token for s in scores.values()])
    )


def test_texts_are_scored_whole(model, tokenizer_file, encoder, folder):
    score = evaluate(model, tokenizer_file, encoder, [folder / "whole_texts.yaml"])["whole_texts"]
    end, texts = encoder.token_to_id(END_OF_TEXT), read_rows(folder, "whole_texts")
    ids = [encoder.encode(row["text"]).ids for row in texts]
    assert min(map(len, ids)) > 3 * SEQ_LEN
    assert score.answer.tokens == sum(map(len, ids))
    nats = sum(nats_in_windows(model, end, row) for row in ids)
    assert score.answer.nats_per_token == pytest.approx(nats / sum(map(len, ids)), rel=1e-5)
    assert score.metrics["bits_per_byte"] == pytest.approx(score.answer.bits_per_byte, rel=1e-9)


def nats_in_windows(model, end: int, ids: list[int]) -> float:
    """By lm-eval's own windows, one forward pass each."""
    from lm_eval.utils import get_rolling_token_windows

    total = 0.0
    for inputs, targets in get_rolling_token_windows(ids, end, SEQ_LEN, 1):
        with torch.no_grad():
            logs = model(torch.tensor([inputs]))[0, -len(targets) :].log_softmax(-1)
        total -= float(logs[range(len(targets)), targets].double().sum())
    return total


def test_examples_stand_before_the_question(model, tokenizer_file, encoder, folder):
    tasks, end = [folder / "next_word.yaml"], encoder.token_to_id(END_OF_TEXT)
    none, two, other = (
        load_tasks(tasks, TaskSettings(limit=8, shots=shots, seed=seed))
        for shots, seed in ((None, 0), (2, 0), (2, 1))
    )
    scores = [
        evaluate_tasks(model, tokenizer_file, end, loaded)["next_word"]
        for loaded in (none, two, two, other)
    ]
    assert {score.answer.documents for score in scores} == {8}
    assert scores[0].cut < scores[1].cut <= 8 * 4
    assert scores[1] == scores[2]  # what was loaded can be put to many models
    assert len({score.answer for score in scores}) == 3


def test_a_long_context_loses_its_beginning(model, adapter, encoder):
    long = " ".join(["bala"] * 60)
    [(logs, _)] = adapter.loglikelihood([request(long, " mino")])
    answer = encoder.encode(" mino").ids
    expected = nats_by_token(model, encoder.encode(long).ids, answer)
    assert -logs == pytest.approx(expected, rel=1e-5)
    assert adapter.cut == 1


def request(*args: str) -> SimpleNamespace:
    return SimpleNamespace(args=args)


def test_batches_do_not_change_a_likelihood(adapter, monkeypatch):
    texts = ["Bala mi", "No", "Bala mino pera codi fegu", ""]
    requests = [request(text, f" {word}") for text in texts for word in ("mi", "fegula")]
    together = adapter.loglikelihood(requests)
    monkeypatch.setattr("bayes_infolaw.harness.tasks.model.LOGITS_BYTES", 1)
    alone = adapter.loglikelihood(requests)
    assert [nats for nats, _ in together] == pytest.approx([nats for nats, _ in alone], rel=1e-5)
    assert [greedy for _, greedy in together] == [greedy for _, greedy in alone]


def test_greedy_means_the_likeliest_token_each_time(model, adapter, encoder):
    end = encoder.token_to_id(END_OF_TEXT)
    ids = [end, *encoder.encode("Bala").ids]
    with torch.no_grad():
        best = int(model(torch.tensor([ids]))[0, -1].argmax())
    scored = adapter._score([(ids, [best]), (ids, [(best + 1) % 300])])
    assert [greedy for _, greedy in scored] == [True, False]


@pytest.mark.parametrize(("n_context", "n_answer"), [(1, 5), (3, 9), (20, 4), (2, 31), (9, 8)])
def test_pieces_score_every_token_once(n_context, n_answer):
    context, answer = list(range(n_context)), list(range(100, 100 + n_answer))
    cut = list(pieces(context, answer, 8))
    assert [token for tokens, scored in cut for token in tokens[-scored:]] == answer
    assert all(len(tokens) <= 9 and scored < len(tokens) for tokens, scored in cut)
    full = min(9, n_context + n_answer)
    assert len(cut[-1][0]) == full  # as much context as there is room for


def test_pieces_are_lm_evals_windows():
    from lm_eval.utils import get_rolling_token_windows

    for n in (1, 7, 8, 9, 16, 21):
        ids = list(range(1, n + 1))
        theirs = [(i, t) for i, t in get_rolling_token_windows(ids, 0, 8, 1)]
        ours = [(p[:-1], p[-scored:]) for p, scored in pieces([0], ids, 8)]
        assert ours == theirs


def test_a_token_across_the_border_splits_there(adapter, encoder):
    whole = next(t for t in encoder.get_vocab() if t.isalpha() and len(t) == 3)
    [(_, context, answer)] = [adapter_split(adapter, whole[:1], whole[1:])]
    assert encoder.decode(context) == whole[:1]
    assert encoder.decode(answer) == whole[1:]


def adapter_split(adapter, context: str, continuation: str):
    return (None, *adapter._encode_pair(context, continuation))


def test_generating_tasks_are_refused(model, tokenizer_file, encoder, tmp_path, adapter):
    write_task(tmp_path, "writing", WRITING, [{"start": "a", "end": "b"}])
    with pytest.raises(InputError, match=r"'writing' must score likelihoods.*generate_until"):
        evaluate(model, tokenizer_file, encoder, [tmp_path])
    with pytest.raises(InputError, match="generate_until"):
        adapter.generate_until([request("a", "b")])


@pytest.mark.parametrize(
    ("tasks", "rule"),
    [
        ([], "at least one"),
        pytest.param(["no_such_task"], "must be a task of lm-eval", marks=pytest.mark.slow),
        (["absent/task.yaml"], "file must exist"),
        (["{empty}"], "must hold task files"),
        (["{folder}", "{folder}"], "'next_word' twice"),
    ],
)
def test_bad_tasks(model, tokenizer_file, encoder, folder, tmp_path, tasks, rule):
    named = [task.format(folder=folder, empty=tmp_path) for task in tasks]
    with pytest.raises(InputError, match=rule):
        evaluate(model, tokenizer_file, encoder, named)


def test_a_task_without_its_data(model, tokenizer_file, encoder, tmp_path):
    (tmp_path / "next_word.yaml").write_text(QUESTIONS, encoding="utf-8")
    with pytest.raises(InputError, match="'next_word' cannot be loaded"):
        evaluate(model, tokenizer_file, encoder, [tmp_path])


def test_a_question_without_a_label_does_not_count(
    model, tokenizer_file, encoder, tmp_path, folder
):
    rows = read_rows(folder, "next_word")[:3]
    write_task(tmp_path, "next_word", QUESTIONS, [*rows, {**rows[0], "right": -1}])
    score = evaluate(model, tokenizer_file, encoder, [tmp_path])["next_word"]
    assert score.answer.documents == 3


def test_an_empty_answer_is_an_error(adapter):
    with pytest.raises(InputError, match="must have text"):
        adapter.loglikelihood([request("a", "")])


def test_a_foreign_tokenizer_is_an_error(model, tmp_path):
    train_tokenizer(["a b c d e f g " * 30, *(f"word{i}" * 9 for i in range(200))], 700).save(
        str(tmp_path / "t.json")
    )
    with pytest.raises(InputError, match="at most the model's 300 tokens"):
        LikelihoodModel(model, tmp_path / "t.json", 0)


@pytest.mark.parametrize("settings", [{"shots": -1}, {"limit": 0}, {"seed": -2}])
def test_bad_settings(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        TaskSettings(**settings)
